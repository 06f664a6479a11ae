"""Inputs to choose from: images of the data a network was trained on, or photos."""

from dataclasses import dataclass

import numpy as np

from pycnn import data
from pycnn.live.network import Image, Served
from pycnn.runtime.extras import MissingExtra
from pycnn.see.prepare import PHOTOS, image_file

#: Images of at most so many classes.
MOST = 12


@dataclass(frozen=True)
class Sample:
    """An input with a name.

    Attributes
    ----------
    name : str
        What it shows.
    image : Image
    """

    name: str
    image: Image


def samples(network: Served) -> tuple[list[Sample], str]:
    """One image of each class where the data set is known, else photos, or digits.

    Returns
    -------
    list of Sample
    str
        Why there are none, or nothing.
    """
    channels, *extents = network.input_shape
    try:
        if network.data:
            return _of_data(network, network.data), ""
        if channels == 3:
            photos = [(name, network.of_file(image_file(name))) for name in PHOTOS]
            return [Sample(name, image) for name, image in photos], ""
        if min(extents) >= 28:
            return _of_data(network, "mnist5k"), ""
        return [], "no samples of this size"
    except (MissingExtra, ValueError, OSError) as error:
        return [], f"no samples: {error}"


def _of_data(network: Served, name: str) -> list[Sample]:
    found = data.load(name)
    labels = found.labels[found.test]
    return [
        Sample(word, network.of_pixels(_fitted(found.images[found.test[at[0]]], network)))
        for label, word in enumerate(found.classes[:MOST])
        if len(at := np.flatnonzero(labels == label))
    ]


def _fitted(image: np.ndarray, network: Served) -> np.ndarray:
    """With an edge of zeros as wide as the network asks for."""
    missing = [want - have for want, have in zip(network.input_shape, image.shape, strict=True)]
    if missing[0] or min(missing) < 0:
        raise ValueError(f"images of {image.shape} for a network of {network.input_shape}")
    return np.pad(image, [(m // 2, m - m // 2) for m in missing])
