"""Changes of a batch that keep its labels, as `transform` of `pycnn.data.batches`.

Each is a function of the images and of a generator, and draws the same from the same generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pycnn.data.batching import Transform
from pycnn.data.pixels import normalise
from pycnn.define.validate import choice, integer, number

FILLS = ("constant", "edge", "reflect")


@dataclass(frozen=True)
class HorizontalFlip:
    """Some images mirrored left to right; not for digits, whose labels would not stay true.

    Parameters
    ----------
    probability : float, default 0.5
        Of each image.

    Examples
    --------
    >>> image = np.array([1, 2, 3], np.uint8).reshape(1, 1, 1, 3)
    >>> HorizontalFlip(probability=1)(image, np.random.default_rng(0)).ravel()
    array([3, 2, 1], dtype=uint8)
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        number("probability", self.probability, 0, 1)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mirrored = rng.random(len(images)) < self.probability
        result = images.copy()
        result[mirrored] = images[mirrored][..., ::-1]
        return result


@dataclass(frozen=True)
class RandomCrop:
    """Each image shifted at random: padded, and a window of its own size cut out.

    Parameters
    ----------
    padding : int, default 4
        Pixels on every side; the largest shift.
    fill : str, default "constant"
        What is padded with: ``"constant"`` zeros, the ``"edge"`` pixels, or those a mirror shows
        (``"reflect"``).

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", 2016, section 4.2.

    Examples
    --------
    >>> image = np.full((1, 1, 2, 2), 9, np.uint8)
    >>> RandomCrop(padding=1)(image, np.random.default_rng(2))[0, 0]
    array([[0, 9],
           [0, 0]], dtype=uint8)
    """

    padding: int = 4
    fill: str = "constant"

    def __post_init__(self) -> None:
        integer("padding", self.padding, 0)
        choice("fill", self.fill, FILLS)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = (self.padding, self.padding)
        padded = np.pad(images, ((0, 0), (0, 0), side, side), mode=self.fill)  # type: ignore[call-overload]
        windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))
        y, x = rng.integers(0, 2 * self.padding + 1, (2, len(images)))
        return windows[np.arange(len(images)), :, y, x]


@dataclass(frozen=True)
class Normalise:
    """As `pycnn.data.normalise`, with a mean and deviation of one's own; the last of a `Compose`.

    Parameters
    ----------
    mean, std : sequence of float
        For each channel, of the pixels divided by 255.

    Examples
    --------
    >>> image = np.full((1, 1, 1, 1), 255, np.uint8)
    >>> Normalise(mean=(0.5,), std=(0.25,))(image, np.random.default_rng(0)).ravel()
    array([2.], dtype=float32)
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return normalise(images, self.mean, self.std)


@dataclass(frozen=True, init=False)
class Compose:
    """One transform after the other, all drawing from one generator.

    Examples
    --------
    >>> Compose(RandomCrop(4), HorizontalFlip())
    Compose(transforms=(RandomCrop(padding=4, fill='constant'), HorizontalFlip(probability=0.5)))
    """

    transforms: tuple[Transform, ...]

    def __init__(self, *transforms: Transform) -> None:
        for transform in transforms:
            if not callable(transform):
                raise TypeError(
                    f"transforms has {transform!r}; allowed: functions of (images, rng)"
                )
        object.__setattr__(self, "transforms", transforms)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for transform in self.transforms:
            images = transform(images, rng)
        return images


@dataclass(frozen=True)
class Mixup:
    """As `mix` of `pycnn.data.batches`: every image with some of another, and so their classes.

    The share of the first is drawn from a beta distribution, one a batch. Targets become
    probabilities of the classes, which `pycnn.cross_entropy` takes.

    Parameters
    ----------
    classes : int
        How many there are.
    alpha : float, default 0.2
        Of the distribution; the smaller, the less is mixed.

    References
    ----------
    H. Zhang et al., "mixup: beyond empirical risk minimization", 2018.

    Examples
    --------
    >>> images, labels = np.zeros((2, 1, 1, 1), np.float32), np.array([0, 1])
    >>> _, mixed = Mixup(classes=3)(images, labels, np.random.default_rng(4))
    >>> mixed.shape, mixed.sum(axis=1).tolist()
    ((2, 3), [1.0, 1.0])
    """

    classes: int
    alpha: float = 0.2

    def __post_init__(self) -> None:
        integer("classes", self.classes, 1)
        number("alpha", self.alpha, 1e-6, 1e6)

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        share = np.float32(rng.beta(self.alpha, self.alpha))
        other = rng.permutation(len(images))
        exact = np.eye(self.classes, dtype=np.float32)[labels]
        mixed = share * exact + (1 - share) * exact[other]
        return share * images + (1 - share) * images[other], mixed
