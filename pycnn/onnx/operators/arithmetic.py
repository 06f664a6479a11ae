"""Arithmetic and comparison of two arrays or more, broadcast as in NumPy."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import is_float
from pycnn.onnx.operators.registry import operator

Binary = Callable[[Any, Any], Any]


def aligned(a: Any, b: Any, axis: int | None, broadcast: int) -> Any:
    """b, to be broadcast; before opset 7 its axes begin at `axis` of a."""
    if not broadcast or axis is None:
        return b
    return b.reshape(*b.shape, *[1] * (a.ndim - b.ndim - axis % max(a.ndim, 1)))


def _binary(name: str, function: Binary, kernels: bool = False) -> None:
    def apply(a: Any, b: Any, *, axis: int | None = None, broadcast: int = 0) -> Any:
        return function(a, aligned(a, b, axis, broadcast))

    operator(name, kernels=kernels)(apply)


def _add(a: Any, b: Any) -> Any:
    return pycnn.add(a, b) if is_float(a, b) else np.add(a, b)


def _mul(a: Any, b: Any) -> Any:
    return pycnn.mul(a, b) if is_float(a, b) else np.multiply(a, b)


def _divide(a: Any, b: Any) -> Any:
    """Integers are divided towards zero, and by zero they give zero, as NumPy has it."""
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    if a.dtype.kind == "i":
        quotient += ((np.remainder(a, b) != 0) & ((a < 0) != (b < 0))).astype(a.dtype)
    return quotient


def _power(a: Any, b: Any) -> Any:
    """Of the dtype of the base, whatever that of the exponent."""
    if a.dtype.kind in "iu" and b.dtype.kind in "iu" and not (b < 0).any():
        return np.power(a, b.astype(a.dtype))
    if a.dtype.kind in "iu":
        return np.power(a.astype(np.float64), b).astype(a.dtype)
    return np.power(a, b.astype(a.dtype))


_binary("Add", _add, kernels=True)
_binary("Mul", _mul, kernels=True)
_binary("Sub", np.subtract)
_binary("Div", _divide)
_binary("Pow", _power)
_binary("And", np.logical_and)
_binary("Or", np.logical_or)
_binary("Xor", np.logical_xor)
_binary("Equal", np.equal)
_binary("Less", np.less)
_binary("Greater", np.greater)
_binary("LessOrEqual", np.less_equal)
_binary("GreaterOrEqual", np.greater_equal)
_binary("BitwiseAnd", np.bitwise_and)
_binary("BitwiseOr", np.bitwise_or)
_binary("BitwiseXor", np.bitwise_xor)


@operator("Mod")
def mod(a: Any, b: Any, *, fmod: int = 0) -> Any:
    """The sign is that of b; with `fmod` that of a."""
    return np.fmod(a, b) if fmod else np.mod(a, b)


@operator("BitShift")
def bit_shift(a: Any, b: Any, *, direction: str) -> Any:
    if direction not in ("LEFT", "RIGHT"):
        raise OnnxError(f"direction {direction!r}; allowed: 'LEFT', 'RIGHT'")
    bits = 8 * a.itemsize
    if direction == "RIGHT" and a.dtype.kind == "i":  # the sign goes on
        return np.right_shift(a, np.minimum(b, bits - 1))
    shifted = np.left_shift if direction == "LEFT" else np.right_shift
    return np.where(b < bits, shifted(a, b), a.dtype.type(0)).astype(a.dtype)


@operator("Sum", kernels=True)
def sum_of(*arrays: Any) -> Any:
    if len(arrays) > 1 and is_float(*arrays) and len({a.shape for a in arrays}) == 1:
        return pycnn.add_n(arrays)
    return reduce(_add, arrays)


@operator("Mean", kernels=True)
def mean_of(*arrays: Any) -> Any:
    return sum_of(*arrays) / arrays[0].dtype.type(len(arrays))


@operator("Max")
def max_of(*arrays: Any) -> Any:
    return reduce(np.maximum, arrays)


@operator("Min")
def min_of(*arrays: Any) -> Any:
    return reduce(np.minimum, arrays)
