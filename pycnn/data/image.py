"""Image files as arrays."""

from pathlib import Path
from typing import Any

import numpy as np

from pycnn.define.validate import pair
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import require_file
from pycnn.runtime.text import printable

#: Pillow reads many more; some of them start other programs, such as Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

#: Of one picture; a file of few bytes may claim any number.
MOST_PIXELS = 89_478_485  # a quarter of a gigabyte in RGB, where Pillow begins to warn

# What Pillow calls pictures of 8 bits a channel; others, such as 16-bit ones, would be clipped.
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "RGBX")


def read_image(
    path: Path | str, size: int | tuple[int, int] | None = None, channels: int | None = None
) -> np.ndarray:
    """The pixels of an image file: PNG, JPEG, BMP, GIF, WebP, TIFF or PPM.

    Turned upright if the camera noted how it was held. What is transparent becomes white.

    Parameters
    ----------
    path : Path or str
    size : int or (height, width), optional
        Scaled to exactly this size (bilinear over all pixels covered); an int is both. Default: as
        it is.
    channels : 1 or 3, optional
        Made grey (ITU-R 601 luma) or RGB. Default: 1 for a grey picture, 3 for one in colour.

    Returns
    -------
    numpy.ndarray
        uint8, (C, H, W), C-contiguous.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read as an image of 8 bits a channel, or has over `MOST_PIXELS`; names the
        file and why.
    MissingExtra
        If Pillow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (4, 2), "red").save(f"{folder}/red.png")
    ...     read_image(f"{folder}/red.png", size=1)[:, 0, 0]
    array([255,   0,   0], dtype=uint8)
    """
    image_module = import_extra("PIL.Image", "data", "reading an image file")
    target = None if size is None else pair("size", size, 1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels={channels!r}; allowed: None, 1, 3")
    path = Path(path)
    require_file(path, "image")
    with path.open("rb") as file:
        try:
            with image_module.open(file, formats=FORMATS) as opened:
                _check_extents(*opened.size)
                picture = _upright(opened)
        except image_module.UnidentifiedImageError as error:
            allowed = ", ".join(FORMATS)
            reason = printable(f"{path} cannot be read as an image: it is none of {allowed}")
            raise ValueError(reason) from error
        except Exception as error:  # a decoder given a broken file raises anything
            reason = printable(f"{path} cannot be read as an image: {error}")
            raise ValueError(reason) from error
    if picture.mode not in (*_GREY, *_COLOUR):
        raise ValueError(f"{path} has pixels of mode {picture.mode}; allowed: 8 bits a channel")
    if channels is None:
        channels = 1 if picture.mode in _GREY else 3
    picture = _without_transparency(picture).convert("L" if channels == 1 else "RGB")
    if target is not None:
        picture = picture.resize(target[::-1], image_module.Resampling.BILINEAR)
    pixels = np.asarray(picture).reshape(picture.height, picture.width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_extents(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has {width}x{height} pixels; allowed: {MOST_PIXELS} in all")


def _upright(picture: Any) -> Any:
    """The decoded picture, turned as its EXIF orientation asks for."""
    picture.load()
    return import_extra("PIL.ImageOps", "data", "reading an image file").exif_transpose(picture)


def _without_transparency(picture: Any) -> Any:
    if picture.mode not in ("LA", "PA", "RGBA") and "transparency" not in picture.info:
        return picture
    image_module = import_extra("PIL.Image", "data", "reading an image file")
    picture = picture.convert("RGBA")
    white = image_module.new("RGBA", picture.size, "white")
    return image_module.alpha_composite(white, picture)
