"""Arrays out of nothing: constants, ranges, unit matrices."""

import math
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers, scalar
from pycnn.onnx.operators.casting import dtype_of
from pycnn.onnx.operators.registry import operator


@operator("Constant")
def constant(
    *,
    value: Any = None,
    sparse_value: Any = None,
    value_float: float | None = None,
    value_floats: list[float] | None = None,
    value_int: int | None = None,
    value_ints: list[int] | None = None,
    value_string: str | None = None,
    value_strings: list[str] | None = None,
) -> Any:
    """Exactly one of the attributes is there."""
    arrays = [a for a in (value, sparse_value) if a is not None]
    typed = ((value_float, np.float32), (value_floats, np.float32), (value_int, np.int64),
             (value_ints, np.int64), (value_string, object), (value_strings, object))  # fmt: skip
    arrays += [np.array(v, dtype) for v, dtype in typed if v is not None]
    if len(arrays) != 1:
        raise OnnxError(f"{len(arrays)} values of a constant; allowed: one")
    return arrays[0]


@operator("ConstantOfShape")
def constant_of_shape(shape: Any, *, value: Any = None) -> Any:
    fill = np.zeros(1, np.float32) if value is None else value
    extents = integers(shape)
    check_size(extents, fill.itemsize)
    return np.full(extents, fill.reshape(-1)[0], fill.dtype)


@operator("Range")
def range_of(start: Any, limit: Any, delta: Any, *, stash_type: int = 1) -> Any:
    first, last, step = (scalar(v) for v in (start, limit, delta))
    if not step:
        raise OnnxError("a step of 0")
    count = max(math.ceil((last - first) / step), 0)
    check_size([count], start.itemsize)
    if start.dtype.kind in "iu":
        return (first + np.arange(count, dtype=np.int64) * step).astype(start.dtype)
    return (first + np.arange(count, dtype=np.float64) * step).astype(start.dtype)


@operator("EyeLike")
def eye_like(x: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    if x.ndim != 2:
        raise OnnxError(f"an array of rank {x.ndim}; allowed: 2")
    return np.eye(x.shape[0], x.shape[1], k, dtype=x.dtype if dtype is None else dtype_of(dtype))
