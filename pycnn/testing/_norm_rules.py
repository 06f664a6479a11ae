"""What the cases of normalisation share."""

from typing import Any

import numpy as np

from pycnn.plan._norm import channels_first
from pycnn.testing.case import Case


def case(
    name: str,
    x: tuple[int, ...],
    vectors: str = "",
    *,
    layout: str = "NCHW",
    standard: bool = False,
    **settings: Any,
) -> Case:
    """A case with the vectors named, of as many elements as there are channels."""
    shapes = {"x": x} | dict.fromkeys(vectors.split(), channels_first(x, layout)[1:2])
    if layout != "NCHW":
        settings["layout"] = layout
    return Case(name, shapes, settings, standard)


def positive(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Variances."""
    return rng.uniform(0.5, 2.0, shape).astype(dtype)


def channels_second(tensor: Any, layout: str) -> Any:
    """A tensor of PyTorch with its channels where PyTorch has them."""
    return tensor.movedim(-1, 1) if layout == "NHWC" else tensor


def channels_last(tensor: Any, layout: str) -> Any:
    """Back from `channels_second`."""
    return tensor.movedim(1, -1) if layout == "NHWC" else tensor
