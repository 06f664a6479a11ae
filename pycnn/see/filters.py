"""Classic filters: 3x3 convolutions that people chose by hand, on real photos.

References
----------
R. Gonzalez, R. Woods, "Digital image processing", 2018, sections 3.5 and 3.6.
"""

import numpy as np

import pycnn

#: By name; those whose weights sum to 0 find changes, the others make pictures.
CLASSIC: dict[str, tuple[tuple[float, ...], ...]] = {
    "identity": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "blur": ((1 / 9,) * 3,) * 3,
    "Gaussian": ((1 / 16, 1 / 8, 1 / 16), (1 / 8, 1 / 4, 1 / 8), (1 / 16, 1 / 8, 1 / 16)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "emboss": ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    "edge": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "Laplace": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "vertical edge": ((1, 0, -1), (1, 0, -1), (1, 0, -1)),
    "horizontal edge": ((1, 1, 1), (0, 0, 0), (-1, -1, -1)),
    "diagonal edge": ((1, 0, -1), (0, 0, 0), (-1, 0, 1)),
    "Sobel": ((1, 0, -1), (2, 0, -2), (1, 0, -1)),
}
#: Changes are brightened until this share of them is white, but no more than by this factor.
WHITE, BRIGHTEST = 0.02, 8.0


def response(photo: np.ndarray, name: str) -> np.ndarray:
    """A photo convolved with a classic filter, each channel by itself.

    Parameters
    ----------
    photo : uint8 array (C, H, W)
    name : str
        A key of `CLASSIC`.

    Returns
    -------
    float32 array (C, H, W)
        Beyond the edges the photo goes on as it ends.

    Raises
    ------
    ValueError
        If there is no such filter, or `photo` is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.array([[[0, 0, 100, 100]] * 3], np.uint8)
    >>> response(step, "vertical edge")[0, 1]
    array([   0., -300., -300.,    0.], dtype=float32)
    """
    if name not in CLASSIC:
        raise ValueError(f"name={name!r}: allowed are {', '.join(CLASSIC)}")
    if photo.ndim != 3 or photo.dtype != np.uint8:
        raise ValueError(
            f"photo is {photo.dtype} of shape {photo.shape}; allowed: uint8 of shape (C, H, W)"
        )
    channels = len(photo)
    kernel = np.asarray(CLASSIC[name], np.float32)
    weight = np.broadcast_to(kernel, (channels, 1, 3, 3))
    pixels = photo.astype(np.float32)
    filtered: np.ndarray = pycnn.conv2d(
        pixels, weight, padding=1, groups=channels, padding_mode="replicate"
    )
    return filtered


def filtered(photo: np.ndarray, name: str) -> np.ndarray:
    """What the filter makes of a photo, as a picture: uint8 (C, H, W).

    A filter whose weights sum to 0 gives the size of the change in the mean of the channels, so one
    channel, brightened where changes are small; other filters give colours, cut off at 0 and 255.
    """
    result = response(photo, name)
    if abs(np.sum(CLASSIC[name])) < 1e-6:
        result = np.abs(result.mean(axis=0, keepdims=True))
        strong = float(np.quantile(result, 1 - WHITE))
        result = result * min(max(255 / max(strong, 1e-6), 1.0), BRIGHTEST)
    return np.rint(result.clip(0, 255)).astype(np.uint8)
