"""`batches`: every image once, in an order that depends on seed and epoch alone."""

import itertools

import numpy as np
import pytest

from pycnn.data import DataSet, augment, batches


def numbers(dataset: DataSet, **settings: object) -> list[list[int]]:
    """The numbers of the images in each batch, read back from their pixels."""
    arguments: dict = {"part": "train", "size": 4, "seed": 0, "epoch": 0, **settings}
    found = []
    for images, labels in batches(dataset, **arguments):
        pixels = (images * dataset.std + dataset.mean) * 255
        first = pixels[:, 0, 0, 0].round().astype(int).tolist()
        assert labels.tolist() == [number % 3 for number in first]
        found.append(first)
    return found


def flat(lists: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


def test_every_image_comes_once_with_its_label(tiny: DataSet) -> None:
    found = numbers(tiny)
    assert [len(batch) for batch in found] == [4, 4, 2]
    assert sorted(flat(found)) == list(range(10))
    assert sorted(flat(numbers(tiny, part="test", size=2))) == [10, 11]


def test_the_last_small_batch_can_be_left_out(tiny: DataSet) -> None:
    assert numbers(tiny, drop_last=True) == numbers(tiny)[:2]
    assert numbers(tiny, size=5, drop_last=True) == numbers(tiny, size=5)
    assert numbers(tiny, size=11, drop_last=True) == []


def test_the_order_is_a_function_of_seed_and_epoch(tiny: DataSet) -> None:
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    orders = [numbers(tiny, size=10, seed=seed, epoch=epoch) for seed, epoch in pairs]
    assert len({str(order) for order in orders}) == 4
    again = [numbers(tiny, size=10, seed=seed, epoch=epoch) for seed, epoch in pairs]
    assert again == orders
    # The size of the batches does not change the order.
    assert flat(numbers(tiny, size=3)) == orders[0][0]


def test_images_are_normalised(tiny: DataSet) -> None:
    ((images, labels),) = batches(tiny, "train", 10, seed=0, epoch=0)
    assert images.dtype == np.float32
    assert images.shape == (10, 1, 2, 3)
    assert labels.dtype == np.int64
    np.testing.assert_allclose(images.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(images.std(), 1, rtol=1e-5)


def noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images + rng.integers(0, 100, images.shape, np.uint8)


@pytest.mark.parametrize("prefetch", [1, 2, 5])
def test_prefetch_changes_nothing(tiny: DataSet, prefetch: int) -> None:
    settings: dict = {"seed": 3, "epoch": 2, "transform": noisy}
    plain = list(batches(tiny, "train", 3, prefetch=0, **settings))
    ahead = list(batches(tiny, "train", 3, prefetch=prefetch, **settings))
    assert len(ahead) == len(plain) == 4
    for (images, labels), (expected, expected_labels) in zip(ahead, plain, strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def test_a_transform_draws_anew_for_each_batch_and_epoch(tiny: DataSet) -> None:
    drawn = []

    def watch(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn.append(float(rng.random()))
        return images

    for epoch in (0, 1):
        list(batches(tiny, "train", 5, seed=0, epoch=epoch, transform=watch))
    assert len(set(drawn)) == 4
    list(batches(tiny, "train", 5, seed=0, epoch=1, transform=watch))
    assert drawn[4:] == drawn[2:4]


def test_a_transform_may_normalise_itself_and_change_the_size(tiny: DataSet) -> None:
    def halves(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full((len(images), 1, 1, 1), 0.5, np.float32)

    images, _ = next(batches(tiny, "train", 4, seed=0, epoch=0, transform=halves))
    assert images.tolist() == [[[[0.5]]]] * 4


def test_the_images_of_the_data_set_stay_as_they_are(tiny: DataSet) -> None:
    def spoil(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        images[:] = 0
        return images

    before = tiny.images.copy()
    list(batches(tiny, "train", 4, seed=0, epoch=0, transform=spoil))
    np.testing.assert_array_equal(tiny.images, before)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"part": "valid"}, ValueError, "part='valid'; allowed: train, test"),
        ({"size": 0}, ValueError, "size=0; allowed: int >= 1"),
        ({"size": 2.5}, TypeError, "size=2.5 is of type float"),
        ({"seed": -1}, ValueError, "seed=-1; allowed: int >= 0"),
        ({"epoch": None}, TypeError, "epoch=None is of type NoneType"),
        ({"prefetch": -1}, ValueError, "prefetch=-1; allowed: int >= 0"),
        ({"drop_last": 1}, TypeError, "drop_last=1 is of type int"),
        ({"transform": "flip"}, TypeError, "transform='flip'; allowed: None, a function"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(
    tiny: DataSet, settings: dict, error: type[Exception], message: str
) -> None:
    arguments: dict = {"part": "train", "size": 4, "seed": 0, "epoch": 0, **settings}
    with pytest.raises(error, match=message):
        batches(tiny, **arguments)  # nothing is asked for yet


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, TypeError, "transform returned NoneType; allowed: an array of uint8 or float32"),
        (np.zeros((4, 1, 2, 3)), TypeError, "transform returned float64"),
        (np.zeros((3, 1, 2, 3), np.uint8), ValueError, r"transform returned the shape \(3, 1, 2"),
    ],
)
def test_what_a_transform_may_not_return_is_refused(
    tiny: DataSet, returned: object, error: type[Exception], message: str
) -> None:
    transform: object = lambda images, rng: returned  # noqa: E731
    with pytest.raises(error, match=message):
        next(batches(tiny, "train", 4, seed=0, epoch=0, transform=transform))  # type: ignore[arg-type]


def test_augmented_batches_are_reproducible(tiny: DataSet) -> None:
    transform = augment.Compose(augment.RandomCrop(1), augment.HorizontalFlip())

    def run(epoch: int) -> np.ndarray:
        all_of_it = batches(tiny, "train", 3, seed=1, epoch=epoch, transform=transform)
        return np.concatenate([images for images, _ in all_of_it])

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()
