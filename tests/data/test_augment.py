"""Augmentations: each image against the same change made by slicing."""

import numpy as np
import pytest

from pycnn.data.augment import Compose, HorizontalFlip, Normalise, RandomCrop


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 256, (400, 2, 5, 7), np.uint8)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_each_image_is_mirrored_whole_or_not_at_all(images: np.ndarray) -> None:
    flipped = HorizontalFlip()(images, generator())
    mirrored = [
        bool((new == old[:, :, ::-1]).all()) for new, old in zip(flipped, images, strict=True)
    ]
    kept = [bool((new == old).all()) for new, old in zip(flipped, images, strict=True)]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 140 < sum(mirrored) < 260  # 200 expected, deviation 10


def test_the_probability_of_a_flip(images: np.ndarray) -> None:
    np.testing.assert_array_equal(HorizontalFlip(0)(images, generator()), images)
    np.testing.assert_array_equal(HorizontalFlip(1)(images, generator()), images[..., ::-1])


def shift_of(new: np.ndarray, padded: np.ndarray, most: int) -> tuple[int, int]:
    """Where in its padded image a crop was taken; fails if nowhere."""
    height, width = new.shape[1:]
    for y in range(most + 1):
        for x in range(most + 1):
            if (padded[:, y : y + height, x : x + width] == new).all():
                return y, x
    pytest.fail("no window of the padded image")


def test_a_crop_is_a_window_of_the_image_with_zeros_around(images: np.ndarray) -> None:
    cropped = RandomCrop(padding=2)(images, generator())
    assert cropped.shape == images.shape
    assert cropped.dtype == np.uint8
    shifts = set()
    for new, old in zip(cropped, images, strict=True):
        padded = np.zeros((2, 9, 11), np.uint8)
        padded[:, 2:-2, 2:-2] = old
        shifts.add(shift_of(new, padded, most=4))
    assert shifts == {(y, x) for y in range(5) for x in range(5)}


def test_what_a_crop_is_filled_with() -> None:
    row = np.array([1, 2, 3], np.uint8).reshape(1, 1, 1, 3).repeat(3, axis=2).repeat(60, axis=0)
    wanted = {
        "constant": {(0, 1, 2), (1, 2, 3), (2, 3, 0)},
        "edge": {(1, 1, 2), (1, 2, 3), (2, 3, 3)},
        "reflect": {(2, 1, 2), (1, 2, 3), (2, 3, 2)},
    }
    for fill, windows in wanted.items():
        cropped = RandomCrop(1, fill)(row, generator())
        assert {tuple(image[0, 1].tolist()) for image in cropped} == windows


def test_no_padding_leaves_images_as_they_are(images: np.ndarray) -> None:
    np.testing.assert_array_equal(RandomCrop(0)(images, generator()), images)


@pytest.mark.parametrize("transform", [HorizontalFlip(), RandomCrop(3)], ids=repr)
def test_the_same_generator_gives_the_same(
    transform: HorizontalFlip | RandomCrop, images: np.ndarray
) -> None:
    before = images.copy()
    first = transform(images, generator(1))
    np.testing.assert_array_equal(first, transform(images, generator(1)))
    assert (first != transform(images, generator(2))).any()
    np.testing.assert_array_equal(images, before)


def test_composed_in_their_order_from_one_generator(images: np.ndarray) -> None:
    crop, flip = RandomCrop(1), HorizontalFlip()
    rng = generator(4)
    expected = (flip(crop(images, rng), rng) / 255 - 0.5) / 0.25
    found = Compose(crop, flip, Normalise((0.5, 0.5), (0.25, 0.25)))(images, generator(4))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert Compose()(images, rng) is images


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: HorizontalFlip(1.5), ValueError, "probability=1.5; allowed: 0 to 1"),
        (lambda: RandomCrop(-1), ValueError, "padding=-1; allowed: int >= 0"),
        (lambda: RandomCrop(1.0), TypeError, "padding=1.0 is of type float"),
        (lambda: RandomCrop(1, "wrap"), ValueError, "fill='wrap'; allowed: constant, edge, refl"),
        (lambda: Compose(3), TypeError, "transforms has 3; allowed: functions of"),
    ],
)
def test_bad_settings_are_refused_when_made(
    make: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]
