"""`DataSet`: what it says of itself, and what it refuses."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from pycnn.data import DataSet, normalise
from pycnn.data.pixels import statistics


def test_it_says_what_it_holds(tiny: DataSet) -> None:
    assert len(tiny) == 12
    assert tiny.shape == (1, 2, 3)
    assert repr(tiny) == "DataSet('tiny': 10 to train, 2 to test, each (1, 2, 3); 3 classes)"
    assert tiny.balance("train") == {"a": 4, "b": 3, "c": 3}
    assert tiny.balance("test") == {"a": 0, "b": 1, "c": 1}


def test_it_is_frozen(tiny: DataSet) -> None:
    with pytest.raises(FrozenInstanceError):
        tiny.name = "other"  # type: ignore[misc]


def test_mean_and_deviation_are_those_of_the_training_part(tiny: DataSet) -> None:
    # Pixels 0 to 9: mean 4.5, variance (10^2 - 1) / 12.
    np.testing.assert_allclose(tiny.mean, [4.5 / 255], rtol=1e-12)
    np.testing.assert_allclose(tiny.std, [np.sqrt(99 / 12) / 255], rtol=1e-12)


def test_statistics_are_those_of_numpy_in_float64_over_several_chunks(
    rng: np.random.Generator,
) -> None:
    images = rng.integers(0, 256, (2345, 3, 4, 5), np.uint8)
    images[:, 1] //= 3
    mean, std = statistics(images)
    np.testing.assert_allclose(mean, (images / 255.0).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255.0).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_channel_that_is_the_same_everywhere_gets_the_deviation_one() -> None:
    mean, std = statistics(np.full((3, 1, 2, 2), 51, np.uint8))
    np.testing.assert_allclose(mean, [0.2], rtol=1e-12)
    assert std.tolist() == [1.0]


def test_normalised_is_centred_and_scaled_per_channel(rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (5, 2, 3, 4), np.uint8)
    mean, std = np.array([0.25, 0.5]), np.array([0.5, 0.125])
    found = normalise(images, mean, std)
    expected = (images / 255 - mean[:, None, None]) / std[:, None, None]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(normalise(images[0], mean, std), found[0])


def test_normalise_refuses_floats_and_other_channels(tiny: DataSet) -> None:
    with pytest.raises(TypeError, match="images has dtype float32; allowed: uint8"):
        tiny.normalised(tiny.images.astype(np.float32))
    with pytest.raises(ValueError, match=r"mean has shape \(1,\); allowed: \(3,\)"):
        tiny.normalised(np.zeros((1, 3, 2, 2), np.uint8))


def test_a_subset_takes_classes_evenly_and_keeps_the_rest(tiny: DataSet) -> None:
    some = tiny.subset("train", 7)
    assert some.balance("train") == {"a": 3, "b": 2, "c": 2}
    # One of each class in the order of the part, then a second of each ...
    assert some.train.tolist() == [9, 1, 2, 3, 4, 5, 6]
    assert set(some.train.tolist()) <= set(tiny.train.tolist())
    np.testing.assert_array_equal(some.test, tiny.test)
    np.testing.assert_array_equal(some.mean, tiny.mean)
    assert tiny.subset("test", 1).test.tolist() == [10]
    assert len(tiny.train) == 10


@pytest.mark.parametrize(
    ("part", "count", "message"),
    [
        ("train", 11, "count=11; tiny has 10 images in 'train'"),
        ("train", 0, "count=0; allowed: int >= 1"),
        ("valid", 1, "part='valid'; allowed: train, test"),
    ],
)
def test_a_subset_that_cannot_be_is_refused(
    tiny: DataSet, part: str, count: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.subset(part, count)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("images", np.zeros((12, 1, 2, 3)), TypeError, "images has dtype float64; allowed: uint8"),
        ("images", [[1]], TypeError, "images has dtype list"),
        ("images", np.zeros((12, 2, 3), np.uint8), ValueError, r"images has shape \(12, 2, 3\)"),
        ("images", np.zeros((12, 2, 3, 2), np.uint8)[..., :1], ValueError, "C-contiguous"),
        ("labels", np.zeros(12, np.int32), TypeError, "labels has dtype int32; allowed: int64"),
        ("labels", np.zeros(11, np.int64), ValueError, r"labels has shape \(11,\); allowed"),
        ("labels", np.full(12, 3), ValueError, "labels are from 3 to 3; allowed: 0 to 2"),
        ("labels", np.full(12, -1), ValueError, "labels are from -1 to -1"),
        ("classes", ["a", "b", "c"], TypeError, "allowed: a tuple of str"),
        ("classes", ("a", "a", "c"), ValueError, "allowed: different names"),
        ("train", np.array([], np.int64), ValueError, r"train has shape \(0,\)"),
        ("train", np.array([[1]]), ValueError, r"train has shape \(1, 1\)"),
        ("train", np.array([1, 12]), ValueError, "train has indices from 1 to 12; allowed: 0 to"),
        ("train", np.array([1, 2, 1]), ValueError, "train has an index twice"),
        ("train", np.array([1, 11]), ValueError, "train and test share 1 images, such as 11"),
        ("test", np.array([10.0]), TypeError, "test has dtype float64; allowed: int64"),
        ("mean", np.zeros(3), ValueError, r"mean has shape \(3,\); allowed: \(1,\)"),
        ("mean", np.array([np.nan]), ValueError, "allowed: finite numbers"),
        ("std", np.zeros(1), ValueError, "allowed: positive numbers"),
    ],
)
def test_a_field_that_is_not_as_described_is_named(
    tiny: DataSet, field: str, value: object, error: type[Exception], message: str
) -> None:
    changed: dict = {field: value}
    with pytest.raises(error, match=message):
        replace(tiny, **changed)


def test_an_empty_training_part_is_refused_before_its_statistics(tiny: DataSet) -> None:
    none = np.array([], np.int64)
    with pytest.raises(ValueError, match="train has shape"):
        DataSet.of("none", tiny.images, tiny.labels, tiny.classes, none, tiny.test)
