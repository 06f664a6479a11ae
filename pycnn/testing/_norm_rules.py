"""What the cases of normalisation share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.testing.case import Case
from pycnn.testing.reading import channel_axis
from pycnn.testing.tested import normal

RUNNING = ("running_mean", "running_var")


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
    shapes = {"x": x} | dict.fromkeys(vectors.split(), (x[channel_axis(layout)],))
    if layout != "NCHW":
        settings["layout"] = layout
    return Case(name, shapes, settings, standard)


def named(gradients: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Gradients by their names."""
    return dict(zip(("dx", "dweight", "dbias"), gradients, strict=True))


def with_running(case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
    """Random inputs. 16-bit values have running statistics of 32 bits, as networks keep them."""
    drawn = {}
    for name, shape in case.shapes.items():
        draw = positive if name == "running_var" else normal
        drawn[name] = draw(rng, shape, FLOATS[dtype].accumulate if name in RUNNING else dtype)
    return drawn


def positive(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Variances."""
    return rng.uniform(0.5, 2.0, shape).astype(dtype)


def channels_second(tensor: Any, layout: str) -> Any:
    """A tensor of PyTorch with its channels where PyTorch has them."""
    return tensor.movedim(-1, 1) if layout == "NHWC" else tensor


def channels_last(tensor: Any, layout: str) -> Any:
    """Back from `channels_second`."""
    return tensor.movedim(1, -1) if layout == "NHWC" else tensor
