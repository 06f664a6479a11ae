"""Integers that stand for real numbers: to and from them, and convolution of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import normal_axis
from pycnn.onnx.operators.casting import dtype_of, to_float8
from pycnn.onnx.operators.convolution import check_kernel, geometry
from pycnn.onnx.operators.registry import operator
from pycnn.runtime.backends import backend_for

Ints = Sequence[int] | None

#: Channels of a group are a multiple of so many where tensor cores multiply them.
CHUNK = 16

#: Least and largest value of the integers that are narrower than a byte.
_NARROW = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}


def _bounds(dtype: np.dtype) -> tuple[int, int] | None:
    if dtype.name in _NARROW:
        return _NARROW[dtype.name]
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)
    return None


def _spread(scale: Any, x: Any, axis: int, block_size: int) -> Any:
    """A scale or zero point for every element: one, one along an axis, or one a block."""
    if scale.size == 1 and scale.ndim <= 1:
        return scale.reshape(())
    axis = normal_axis(axis, x.ndim)
    if scale.ndim == 1:
        return scale.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    if scale.ndim != x.ndim or block_size < 1:
        raise OnnxError(f"a scale of shape {scale.shape}, block_size {block_size}, for {x.shape}")
    repeated = np.repeat(scale, block_size, axis)
    return np.take(repeated, np.arange(x.shape[axis]), axis)


@operator("QuantizeLinear")
def quantize_linear(
    x: Any,
    scale: Any,
    zero: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Any:
    if zero is not None:
        dtype = zero.dtype
    else:
        dtype = dtype_of(output_dtype) if output_dtype else np.dtype(np.uint8)
    kind = dtype_of(precision) if precision else scale.dtype
    # 16 bits would round the quotient; float32 rounds it to what they would hold.
    ratio = x.astype(np.float32) / _spread(scale, x, axis, block_size).astype(np.float32)
    ratio = ratio.astype(kind).astype(np.float32)
    offset = np.float32(0) if zero is None else _spread(zero, x, axis, block_size)
    offset = offset.astype(np.float32)
    bounds = _bounds(dtype)
    if bounds is None:
        if dtype.name.startswith("float8"):
            return to_float8(ratio + offset, dtype, bool(saturate))
        return (ratio + offset).astype(dtype)
    y = np.clip(np.rint(ratio) + offset, *bounds)
    return y.astype(np.int32).astype(dtype) if dtype.name in _NARROW else y.astype(dtype)


@operator("DequantizeLinear")
def dequantize_linear(
    x: Any,
    scale: Any,
    zero: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Any:
    dtype = dtype_of(output_dtype) if output_dtype else scale.dtype
    wide = np.int32 if x.dtype.kind in "iu" or x.dtype.name in _NARROW else np.float32
    value = x.astype(wide)
    if zero is not None:
        value = value - _spread(zero, x, axis, block_size).astype(wide)
    factor = _spread(scale, x, axis, block_size).astype(np.float32)
    return (value.astype(np.float32) * factor).astype(dtype)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Any) -> Any:
    """uint8 over the range of x, which is made to have zero in it."""
    low, high = (np.float32(f(x)) if x.size else np.float32(0) for f in (np.min, np.max))
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    scale = np.float32((high - low) / np.float32(255))
    zero = np.uint8(np.clip(np.rint(-low / scale) if scale else 0, 0, 255))
    return quantize_linear(x, np.asarray(scale), np.asarray(zero)), scale, zero


def _settings(
    x: Any, w: Any, auto_pad: str, dilations: Ints, group: int, pads: Ints, strides: Ints
) -> dict[str, Any]:
    if x.ndim != 4:
        raise OnnxError(f"x of rank {x.ndim}; allowed: 4")
    return geometry(x, w, auto_pad, dilations, group, pads, strides)


def _vector(value: Any) -> Any:
    """A scale or zero point of one element as the operation takes it: without axes."""
    return value.reshape(()) if value is not None and value.size == 1 else value


def _convolved(function: Any, x: Any, *others: Any, groups: int, **settings: Any) -> Any:
    """With channels last where kernels have tensor cores for it; so they stay for the next one."""
    if backend_for(x=x) == "reference" or x.shape[1] // groups % CHUNK:
        return function(x, *others, groups=groups, **settings)
    last = x.transpose(0, 2, 3, 1)
    if not last.flags.c_contiguous:
        last = pycnn.permute(x, (0, 2, 3, 1))
    return function(last, *others, groups=groups, layout="NHWC", **settings).transpose(0, 3, 1, 2)


@operator("ConvInteger", kernels=True)
def conv_integer(
    x: Any,
    w: Any,
    x_zero: Any = None,
    w_zero: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    check_kernel(kernel_shape, w)
    settings = _settings(x, w, auto_pad, dilations, group, pads, strides)
    return _convolved(pycnn.conv2d_integer, x, w, _vector(x_zero), _vector(w_zero), **settings)


@operator("QLinearConv", kernels=True)
def qlinear_conv(
    x: Any,
    x_scale: Any,
    x_zero: Any,
    w: Any,
    w_scale: Any,
    w_zero: Any,
    y_scale: Any,
    y_zero: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    check_kernel(kernel_shape, w)
    settings = _settings(x, w, auto_pad, dilations, group, pads, strides)
    return _convolved(
        pycnn.qlinear_conv2d, x, _vector(x_scale), _vector(x_zero), w, _vector(w_scale),
        _vector(w_zero), _vector(y_scale), _vector(y_zero), b, **settings,
    )  # fmt: skip
