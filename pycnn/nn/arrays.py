"""Arrays of either library, and where they lie."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.dtypes import FLOATS, dtype_name
from pycnn.runtime.backends import require
from pycnn.runtime.extras import import_extra

DEVICES = ("cpu", "cuda")


def device_of(array: Any) -> str:
    """``"cuda"`` for a CuPy array, ``"cpu"`` for a NumPy array."""
    return "cpu" if isinstance(array, np.ndarray | np.generic) else "cuda"


def library(array: Any) -> Any:
    """The module that an array belongs to: NumPy or CuPy."""
    return np if device_of(array) == "cpu" else sys.modules["cupy"]


def mover(device: str) -> Callable[[Any], Any]:
    """The function that brings an array to `device`; one that is there stays as it is.

    Raises
    ------
    ValueError
        If there is no such device.
    MissingExtra
        If it is "cuda" and CuPy is not installed.
    BackendUnavailable
        If it is "cuda" and CuPy finds no GPU.
    """
    if device not in DEVICES:
        raise ValueError(f"device={device!r}: allowed are {', '.join(DEVICES)}")
    if device == "cpu":
        return to_numpy
    cupy = import_extra("cupy", "cuda13", 'to("cuda")')
    require("cuda")
    return lambda array: array if isinstance(array, cupy.ndarray) else cupy.asarray(array)


def placer(example: Any) -> Callable[[Any], Any]:
    """The function that brings an array to the device and the dtype of `example`."""
    move = mover(device_of(example))
    return lambda array: move(array.astype(example.dtype, copy=False))


def widened(array: Any) -> Any:
    """The same values in float32 where they have 16 bits, whose range many a factor is out of."""
    return array.astype(FLOATS[dtype_name(array.dtype)].accumulate, copy=False)


def to_numpy(array: Any) -> np.ndarray:
    """The same values in a NumPy array; waits for the GPU if they are there."""
    return array if isinstance(array, np.ndarray) else array.get()
