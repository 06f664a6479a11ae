"""From pixels, uint8, to what a network takes: float32 of mean 0 and deviation 1 per channel."""

from collections.abc import Sequence

import numpy as np

from pycnn.define.validate import check_shape

Channels = Sequence[float] | np.ndarray

_IMAGES_AT_ONCE = 1000  # bincount widens its input to int64


def normalise(images: np.ndarray, mean: Channels, std: Channels) -> np.ndarray:
    """``(images / 255 - mean) / std`` for each channel.

    Parameters
    ----------
    images : numpy.ndarray
        uint8, (..., C, H, W).
    mean, std : sequence or array of C float
        Of the pixels divided by 255; `std` is positive.

    Returns
    -------
    numpy.ndarray
        float32, of the shape of `images`.

    Raises
    ------
    TypeError
        If `images` is not uint8.
    ValueError
        If `mean` and `std` do not have one value for each channel.

    Examples
    --------
    >>> normalise(np.array([[[0, 255]]], np.uint8), mean=[0.5], std=[0.25])
    array([[[-2.,  2.]]], dtype=float32)
    """
    check_pixels("images", images)
    channels = images.shape[-3:-2]
    for name, values in (("mean", mean), ("std", std)):
        check_shape(name, np.shape(values), channels, "a value for each channel")
    scale = 1 / (255 * np.asarray(std, np.float64))
    offset = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    result = np.multiply(images, _per_channel(scale), dtype=np.float32)
    result += _per_channel(offset)
    return result


def statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of every channel of ``images / 255``, for `normalise`.

    The deviation of a channel that is the same everywhere, which would be 0, is given as 1.

    Parameters
    ----------
    images : numpy.ndarray
        uint8, (N, C, H, W), at least one.

    Returns
    -------
    mean, std : numpy.ndarray
        float64, (C,).

    Examples
    --------
    >>> statistics(np.array([0, 255], np.uint8).reshape(1, 1, 1, 2))
    (array([0.5]), array([0.5]))
    """
    values = np.arange(256) / 255
    share = _histograms(images) / (images.size / images.shape[1])
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where(std > 0, std, 1.0)


def check_pixels(name: str, images: np.ndarray) -> None:
    """`images` is uint8 and has channels and two axes of space."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        dtype = getattr(images, "dtype", type(images).__name__)
        raise TypeError(f"{name} has dtype {dtype}; allowed: uint8, pixels from 0 to 255")
    if images.ndim < 3:
        raise ValueError(f"{name} has shape {images.shape}; allowed: (..., C, H, W)")


def _per_channel(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None]


def _histograms(images: np.ndarray) -> np.ndarray:
    """How often each of the 256 values occurs, (C, 256)."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for begin in range(0, len(images), _IMAGES_AT_ONCE):
        some = images[begin : begin + _IMAGES_AT_ONCE]
        for channel, count in enumerate(counts):
            count += np.bincount(some[:, channel].ravel(), minlength=256)
    return counts
