"""Labelled images, and which of them are for training."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pycnn.data.order import rank_in_class
from pycnn.data.pixels import check_pixels, normalise, statistics
from pycnn.define.validate import check_shape, choice, integer

PARTS = ("train", "test")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DataSet:
    """Labelled images in memory, and which of them are for training and for testing.

    `DataSet.of` fills in `mean` and `std`.

    Attributes
    ----------
    name : str
        As given to `pycnn.data.load`, or the name of a folder.
    images : numpy.ndarray
        uint8, (N, C, H, W), C-contiguous; pixels from 0 to 255.
    labels : numpy.ndarray
        int64, (N,): which of `classes` each image shows.
    classes : tuple of str
        What the labels 0, 1, ... mean.
    mean, std : numpy.ndarray
        float64, (C,): of ``images / 255`` in the training part, for `normalised`.
    train, test : numpy.ndarray
        int64, indices of the images of the two parts, disjoint, in a fixed shuffled order.

    Raises
    ------
    TypeError, ValueError
        If a field is not as described; names it.

    Examples
    --------
    >>> images = np.arange(16, dtype=np.uint8).reshape(4, 1, 2, 2)
    >>> data = DataSet.of("tiny", images, np.array([0, 1, 0, 1]), ("even", "odd"),
    ...                   train=np.array([2, 3, 0]), test=np.array([1]))
    >>> data
    DataSet('tiny': 3 to train, 1 to test, each (1, 2, 2); 2 classes)
    >>> len(data), data.balance("train")
    (4, {'even': 2, 'odd': 1})
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    train: np.ndarray
    test: np.ndarray

    @classmethod
    def of(
        cls, name: str, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...],
        train: np.ndarray, test: np.ndarray,
    ) -> "DataSet":  # fmt: skip
        """The data set whose `mean` and `std` are those of its training part."""
        _check_images(images)
        check_indices("train", train, len(images), least=1)
        mean, std = statistics(images[train])
        return cls(
            name=name, images=images, labels=labels, classes=classes, mean=mean, std=std,
            train=train, test=test,
        )  # fmt: skip

    def __post_init__(self) -> None:
        _check_images(self.images)
        count, channels = self.images.shape[:2]
        _check_labels(self.labels, count, self.classes)
        check_indices("train", self.train, count, least=1)
        check_indices("test", self.test, count)
        both = np.intersect1d(self.train, self.test)
        if both.size:
            raise ValueError(f"train and test share {both.size} images, such as {both[0]}")
        for name in ("mean", "std"):
            check_shape(name, np.shape(getattr(self, name)), (channels,), "one for each channel")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError(f"mean={self.mean}, std={self.std}; allowed: finite numbers")
        if not (np.asarray(self.std) > 0).all():
            raise ValueError(f"std={self.std}; allowed: positive numbers")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return (
            f"DataSet({self.name!r}: {len(self.train)} to train, {len(self.test)} to test, "
            f"each {self.shape}; {len(self.classes)} classes)"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def part(self, part: str) -> np.ndarray:
        """The indices of ``"train"`` or ``"test"``."""
        return {"train": self.train, "test": self.test}[choice("part", part, PARTS)]

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images, as they are, and labels."""
        return self.images[indices], self.labels[indices]

    def balance(self, part: str) -> dict[str, int]:
        """How many images of each class `part` has."""
        counts = np.bincount(self.labels[self.part(part)], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def subset(self, part: str, count: int) -> "DataSet":
        """The data set with only `count` images in `part`, from all classes as evenly as may be.

        `mean`, `std` and the other part stay, so a network sees the same pixels as with all.

        Raises
        ------
        ValueError
            If the part has fewer images.

        Examples
        --------
        >>> import pycnn.data
        >>> pycnn.data.load("mnist5k").subset("train", 20)
        DataSet('mnist5k': 20 to train, 1000 to test, each (1, 28, 28); 10 classes)
        """
        indices = self.part(part)
        if integer("count", count, 1) > len(indices):
            raise ValueError(f"count={count}; {self.name} has {len(indices)} images in {part!r}")
        evenly = np.argsort(rank_in_class(self.labels[indices]), kind="stable")
        changed: dict[str, Any] = {part: indices[evenly[:count]]}
        return replace(self, **changed)

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """`images`, uint8 (..., C, H, W), as float32 of mean 0 and deviation 1 per channel.

        See `pycnn.data.normalise`.
        """
        return normalise(images, self.mean, self.std)


def _check_images(images: np.ndarray) -> None:
    check_pixels("images", images)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"images has shape {images.shape}; allowed: (N, C, H, W)")
    if not images.flags.c_contiguous:
        raise ValueError(f"images has strides {images.strides}; allowed: a C-contiguous array")


def _check_labels(labels: np.ndarray, count: int, classes: tuple[str, ...]) -> None:
    if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"classes={classes!r}; allowed: a tuple of str")
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes={classes!r}; allowed: different names")
    _check_int64("labels", labels)
    check_shape("labels", labels.shape, (count,), "a label for each image")
    if count and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(
            f"labels are from {labels.min()} to {labels.max()}; "
            f"allowed: 0 to {len(classes) - 1}, there being {len(classes)} classes"
        )


def check_indices(name: str, indices: np.ndarray, count: int, least: int = 0) -> None:
    _check_int64(name, indices)
    if indices.ndim != 1 or len(indices) < least:
        raise ValueError(
            f"{name} has shape {indices.shape}; allowed: one axis, of {least} or more indices"
        )
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise ValueError(
            f"{name} has indices from {indices.min()} to {indices.max()}; "
            f"allowed: 0 to {count - 1}, there being {count} images"
        )
    if len(np.unique(indices)) != len(indices):
        raise ValueError(f"{name} has an index twice; allowed: different indices")


def _check_int64(name: str, array: np.ndarray) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.int64:
        dtype = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"{name} has dtype {dtype}; allowed: int64")
