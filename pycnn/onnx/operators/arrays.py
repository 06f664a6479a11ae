"""What operators ask of arrays, NumPy's or CuPy's."""

from typing import Any

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.onnx.errors import OnnxError


def is_float(*arrays: Any) -> bool:
    """Whether kernels take them: floating, and all of one dtype."""
    return arrays[0].dtype.name in FLOATS and all(a.dtype == arrays[0].dtype for a in arrays)


def integers(array: Any) -> list[int]:
    """The elements of a shape, axes, pads: on the host, whatever the backend."""
    return [int(v) for v in array.reshape(-1).tolist()]


def scalar(array: Any) -> Any:
    """The only element of an array, as a number of Python's."""
    if array.size != 1:
        raise OnnxError(f"an array of shape {array.shape}; allowed: one element")
    return array.reshape(-1)[0].item()


def normal_axis(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < max(rank, 1):
        raise OnnxError(f"axis {axis} of an array of rank {rank}")
    return axis % rank if rank else 0


def per_axis(values: Any, rank: int, axis: int) -> Any:
    """A vector along an axis, so that it broadcasts to arrays of that rank."""
    if values.ndim != 1:
        return values
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def host(array: Any) -> np.ndarray:
    """A NumPy array of the same values; CuPy's are copied."""
    return array.get() if hasattr(array, "get") else np.asarray(array)
