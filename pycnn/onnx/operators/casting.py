"""Other dtypes, those of 8 and 4 bits among them, and of other bits the same."""

from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.registry import operator
from pycnn.onnx.package import package


def dtype_of(number: int | str) -> np.dtype:
    """The dtype of a number of ``onnx.TensorProto``; before opset 6 of its name."""
    onnx = package()
    try:
        if isinstance(number, str):
            number = onnx.TensorProto.DataType.Value(number)
        return package("onnx.helper").tensor_dtype_to_np_dtype(number)
    except (KeyError, ValueError, TypeError) as error:
        raise OnnxError(f"dtype {number!r} is none of ONNX's") from error


@operator("Cast")
def cast(x: Any, *, to: int | str, saturate: int = 1, round_mode: str = "up") -> Any:
    return converted(x, dtype_of(to), bool(saturate), round_mode)


@operator("CastLike")
def cast_like(x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    return converted(x, like.dtype, bool(saturate), round_mode)


def converted(x: Any, dtype: np.dtype, saturate: bool = True, round_mode: str = "up") -> Any:
    """x in another dtype; floats of 8 bits saturate, if asked."""
    if x.dtype == dtype:
        return x
    if dtype.hasobject:
        return _texts(x)
    if x.dtype.hasobject:
        if dtype.kind in "iu":
            return x.astype(str).astype(np.float64).astype(dtype)
        return x.astype(str).astype(np.float64 if dtype.kind == "V" else dtype).astype(dtype)
    if dtype.name.startswith("float8_e8m0"):
        return _power_of_two(x, dtype, saturate, round_mode)
    if dtype.name.startswith("float8"):
        return to_float8(x, dtype, saturate)
    if dtype.name.startswith(("int4", "uint4", "int2", "uint2")) and x.dtype.kind not in "iu":
        return x.astype(np.float32).astype(np.int32).astype(dtype)
    if dtype.kind == "b":
        return (x.astype(np.float32) if x.dtype.kind == "V" else x) != 0
    return x.astype(dtype)


def to_float8(x: Any, dtype: np.dtype, saturate: bool) -> Any:
    """What is beyond the largest value becomes that, or else infinity or NaN."""
    import ml_dtypes

    wide = x.astype(np.float32)
    if saturate:
        largest = float(ml_dtypes.finfo(dtype).max)
        return np.clip(wide, -largest, largest).astype(dtype)
    return wide.astype(dtype)


def _power_of_two(x: Any, dtype: np.dtype, saturate: bool, round_mode: str) -> Any:
    """An exponent alone: of magnitudes, rounded up, down or to the nearest one."""
    wide = np.abs(x.astype(np.float64))
    exponent = np.log2(np.where(wide > 0, wide, 1.0))
    lower = np.floor(exponent)
    if round_mode == "down":
        chosen = lower
    elif round_mode == "nearest":
        chosen = np.where(wide >= 1.5 * np.exp2(lower), lower + 1, lower)
    elif round_mode == "up":
        chosen = np.ceil(exponent)
    else:
        raise OnnxError(f"round_mode {round_mode!r}; allowed: 'up', 'down', 'nearest'")
    chosen = np.where(wide > 0, chosen, -127.0)
    over = chosen > 127
    value = np.exp2(np.clip(chosen, -127, 127))
    lost = np.isnan(wide) if saturate else np.isnan(wide) | over
    return np.where(lost, np.nan, value).astype(dtype)


def _texts(x: Any) -> Any:
    """Numbers as texts: the shortest that are read back as the same."""
    if x.dtype.kind in "iub":
        return x.astype(str).astype(object)
    wide = x if x.dtype.kind == "f" else x.astype(np.float32)
    flat = [_text(v) for v in wide.reshape(-1)]
    return np.array(flat, dtype=object).reshape(x.shape)


def _text(value: Any) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "INF" if value > 0 else "-INF"
    return np.format_float_positional(value, trim="-")


@operator("BitCast")
def bit_cast(x: Any, *, to: int) -> Any:
    dtype = dtype_of(to)
    if dtype.hasobject or x.dtype.hasobject or dtype.itemsize != x.dtype.itemsize:
        raise OnnxError(f"{x.dtype} as {dtype}; allowed: dtypes of one size")
    return np.ascontiguousarray(x).view(dtype).reshape(x.shape)
