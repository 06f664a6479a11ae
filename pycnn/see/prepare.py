"""An image as a network takes it, and as a person sees the same pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pycnn.data import normalise, read_image
from pycnn.data.packages import package_file
from pycnn.models import Pretrained
from pycnn.models.pretrained import MEAN

#: Of every channel, where nothing is known of the data a network was trained on.
TYPICAL_MEAN, TYPICAL_DEVIATION = 0.5, 0.25
#: Pixels of the longer side of what is shown whole.
LONGEST = 480

#: Photos that come with scikit-image, without a download.
PHOTOS = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
}


@dataclass(frozen=True)
class PreparedImage:
    """What a network is shown.

    Attributes
    ----------
    name : str
        Of the file.
    x : float32 array (C, H, W)
        What the network takes.
    photo : uint8 array (C, H, W)
        The same pixels, to look at.
    original : uint8 array (C, rows, columns)
        The whole image, its longer side at most `LONGEST`.
    blue_first : bool
        Whether the channels of `x` are blue, green, red.
    """

    name: str
    x: np.ndarray
    photo: np.ndarray
    original: np.ndarray
    blue_first: bool = False


def image_file(image: Path | str) -> Path:
    """A file, or by its name a photo that comes with scikit-image.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    MissingExtra
        If it is such a name, and scikit-image is not installed.
    """
    if Path(image).is_file():
        return Path(image)
    if str(image) not in PHOTOS:
        raise FileNotFoundError(
            f"image {image}: no such file; nor is it a photo of scikit-image: {', '.join(PHOTOS)}"
        )
    inside = f"data/{PHOTOS[str(image)]}"
    return package_file("skimage", inside, "scikit-image", f"the photo {image}")


def prepare_image(
    path: Path | str,
    input_shape: tuple[int, ...],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> PreparedImage:
    """An image scaled to the input of a network, with values about 0.

    Parameters
    ----------
    path : Path or str
    input_shape : tuple of int
        (C, H, W).
    mean, std : sequence of float, optional
        Of every channel, for `pycnn.data.normalise`; by default 0.5 and 0.25.

    Raises
    ------
    ValueError
        If the network takes no images, or the file cannot be read as one; names the file.
    FileNotFoundError
        If there is no such file.
    """
    if len(input_shape) != 3 or input_shape[0] not in (1, 3):
        raise ValueError(
            f"the network takes inputs of shape {input_shape}; allowed here: images "
            "(1 or 3 channels, height, width)"
        )
    channels, height, width = input_shape
    photo = read_image(path, size=(height, width), channels=channels)
    return PreparedImage(Path(path).name, from_pixels(photo, mean, std), photo, _whole(path))


def from_pixels(
    photo: np.ndarray, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> np.ndarray:
    """What a network takes of uint8 pixels (C, H, W) of its own extents; as `prepare_image`."""
    channels = len(photo)
    mean = (TYPICAL_MEAN,) * channels if mean is None else mean
    std = (TYPICAL_DEVIATION,) * channels if std is None else std
    return normalise(photo, mean, std)


def prepare_pretrained(path: Path | str, trained: Pretrained) -> PreparedImage:
    """An image prepared as for a trained network: SqueezeNet, whose channels are blue first."""
    x = trained.prepare(read_image(path, channels=3))
    return PreparedImage(Path(path).name, x, photo_of(x), _whole(path), blue_first=True)


def photo_of(x: np.ndarray) -> np.ndarray:
    """The pixels to look at, uint8 (3, H, W) in RGB, of what SqueezeNet takes."""
    pixels = (x.transpose(1, 2, 0) + np.asarray(MEAN, np.float32))[..., ::-1]
    return np.ascontiguousarray(np.rint(pixels.clip(0, 255)).astype(np.uint8).transpose(2, 0, 1))


def _whole(path: Path | str) -> np.ndarray:
    image = read_image(path)
    scale = LONGEST / max(image.shape[1:])
    if scale >= 1:
        return image
    height, width = (max(1, round(extent * scale)) for extent in image.shape[1:])
    return read_image(path, size=(height, width))
