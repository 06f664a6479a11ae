"""A small data set in colour, cut from ten photos that packages ship."""

import numpy as np

from pycnn.data.dataset import DataSet
from pycnn.data.image import read_image
from pycnn.data.order import shuffled
from pycnn.data.packages import package_file

_SKIMAGE = ("skimage", "data", "scikit-image")
_SKLEARN = ("sklearn", "datasets/images", "scikit-learn")

#: Class -> package, folder in it, name of the distribution, file.
PHOTOS = {
    "astronaut": (*_SKIMAGE, "astronaut.png"),
    "chelsea": (*_SKIMAGE, "chelsea.png"),
    "coffee": (*_SKIMAGE, "coffee.png"),
    "rocket": (*_SKIMAGE, "rocket.jpg"),
    "retina": (*_SKIMAGE, "retina.jpg"),
    "hubble": (*_SKIMAGE, "hubble_deep_field.jpg"),
    "ihc": (*_SKIMAGE, "ihc.png"),
    "motorcycle": (*_SKIMAGE, "motorcycle_left.png"),
    "china": (*_SKLEARN, "china.jpg"),
    "flower": (*_SKLEARN, "flower.jpg"),
}
PATCH, STRIDE, BLOCK = 32, 16, 64
MOST_TRAIN, MOST_TEST = 500, 125  # of one photo: two of them are far larger than the rest


def photo_patches() -> DataSet:
    """Patches of ten photos, (3, 32, 32): which photo is it from? 4,299 to train, 1,086 to test.

    Every photo is cut into blocks of 64x64. The block in row i and column j is for testing if
    ``(3 i + j) % 5 == 0``. Patches lie within a block, 16 pixels apart, so that no pixel is in
    both parts. Of a photo with more than 500 patches to train or 125 to test, so many are drawn.
    """
    images, labels, tests = [], [], []
    for label, photo in enumerate(PHOTOS):
        patches, is_test = _patches(_photo(photo))
        chosen = _at_most(is_test, seed=label)
        images.append(patches[chosen])
        labels.append(np.full(len(chosen), label))
        tests.append(is_test[chosen])
    order = shuffled(sum(map(len, images)), seed=0)
    is_test = np.concatenate(tests)[order]
    return DataSet.of(
        "photo_patches", np.concatenate(images), np.concatenate(labels), tuple(PHOTOS),
        train=order[~is_test], test=order[is_test],
    )  # fmt: skip


def _photo(name: str) -> np.ndarray:
    package, folder, distribution, file = PHOTOS[name]
    purpose = "the data set photo_patches"
    return read_image(package_file(package, f"{folder}/{file}", distribution, purpose), channels=3)


def _patches(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All patches (N, 3, 32, 32) within blocks of a photo (3, H, W), and which are for testing."""
    rows, columns = photo.shape[1] // BLOCK, photo.shape[2] // BLOCK
    whole = photo[:, : rows * BLOCK, : columns * BLOCK]
    windows = np.lib.stride_tricks.sliding_window_view(whole, (PATCH, PATCH), axis=(1, 2))
    windows = windows[:, ::STRIDE, ::STRIDE].transpose(1, 2, 0, 3, 4)
    y, x = np.indices(windows.shape[:2]) * STRIDE
    within = (y % BLOCK <= BLOCK - PATCH) & (x % BLOCK <= BLOCK - PATCH)
    is_test = (3 * (y // BLOCK) + x // BLOCK) % 5 == 0
    return windows[within], is_test[within]


def _at_most(is_test: np.ndarray, seed: int) -> np.ndarray:
    """Indices of at most so many patches of each part of a photo, in their order in the photo."""
    order = shuffled(len(is_test), seed)
    drawn = [order[~is_test[order]][:MOST_TRAIN], order[is_test[order]][:MOST_TEST]]
    return np.sort(np.concatenate(drawn))
