"""Convolution, transposed and deformable convolution, and their columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers
from pycnn.onnx.operators.registry import operator
from pycnn.onnx.operators.windows import Pairs, halves, of_rank, padding, pairs, per_axis

Ints = Sequence[int] | None


@operator("Conv", kernels=True)
def conv(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
    epilogue: dict[str, Any] | None = None,
) -> Any:
    check_kernel(kernel_shape, w)
    settings = geometry(x, w, auto_pad, dilations, group, pads, strides)
    return of_rank("conv", x)(x, w, b, **settings, **(epilogue or {}))


def geometry(
    x: Any, w: Any, auto_pad: str, dilations: Ints, group: int, pads: Ints, strides: Ints
) -> dict[str, Any]:
    """Settings of a convolution of `x` by `w`."""
    axes = x.ndim - 2
    strides, dilations = per_axis(strides, axes), per_axis(dilations, axes)
    sides = padding(x.shape[2:], w.shape[2:], strides, dilations, auto_pad, pads)
    return {"stride": strides, "padding": sides, "dilation": dilations, "groups": group}


def check_kernel(kernel_shape: Ints, w: Any) -> None:
    """The attribute says what the weight has, if it is there."""
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise OnnxError(f"kernel_shape {list(kernel_shape)}; allowed: {list(w.shape[2:])}")


@operator("ConvTranspose", kernels=True)
def conv_transpose(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    output_padding: Ints = None,
    output_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
    epilogue: dict[str, Any] | None = None,
) -> Any:
    check_kernel(kernel_shape, w)
    axes = x.ndim - 2
    strides, dilations = per_axis(strides, axes), per_axis(dilations, axes)
    longer = list(output_padding or [0] * axes)
    sides = pairs(pads) if pads is not None else ((0, 0),) * axes
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = [e * s for e, s in zip(x.shape[2:], strides, strict=True)]
    if output_shape is not None:
        check_size(output_shape, x.itemsize, "output_shape")
        sides = _leading_to(output_shape[-axes:], x, w, strides, dilations, longer, auto_pad)
    function = of_rank("conv_transpose", x)
    return function(x, w, b, strides, sides, tuple(longer), group, dilations, **(epilogue or {}))


def _leading_to(
    shape: Sequence[int],
    x: Any,
    w: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    longer: list[int],
    auto_pad: str,
) -> Pairs:
    """The padding that leads to a shape; what is missing from it goes into `longer`."""
    sides = []
    for i, extent in enumerate(shape):
        span = (w.shape[2 + i] - 1) * dilations[i] + 1
        total = (x.shape[2 + i] - 1) * strides[i] + longer[i] + span - extent
        longer[i] -= min(total, 0)
        sides.append(halves(max(total, 0), auto_pad))
    return tuple(sides)


@operator("Col2Im", kernels=True)
def col2im(
    x: Any,
    image_shape: Any,
    block_shape: Any,
    *,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """Kernels add up two axes that are padded alike on both sides; others go tap by tap."""
    image, block = integers(image_shape), integers(block_shape)
    axes = len(image)
    strides, dilations = per_axis(strides, axes), per_axis(dilations, axes)
    sides = pairs(pads) if pads is not None else ((0, 0),) * axes
    check_size([x.shape[0], x.shape[1], *image], x.itemsize, "image_shape")
    if axes == 2 and all(a == b for a, b in sides):
        begins = tuple(a for a, _ in sides)
        return pycnn.fold(x, tuple(image), tuple(block), dilations, begins, strides)
    counts = [
        (e + a + b - (k - 1) * d - 1) // s + 1
        for e, k, d, s, (a, b) in zip(image, block, dilations, strides, sides, strict=True)
    ]
    columns = x.reshape(x.shape[0], -1, *block, *counts)
    padded: Any = np.zeros(
        (*columns.shape[:2], *(e + a + b for e, (a, b) in zip(image, sides, strict=True))),
        x.dtype, like=x,
    )  # fmt: skip
    for tap in np.ndindex(*block):
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, counts, strides, strict=True)
        )
        padded[(..., *where)] += columns[(slice(None), slice(None), *tap)]
    inner = tuple(slice(a, a + e) for e, (a, _) in zip(image, sides, strict=True))
    return np.ascontiguousarray(padded[(..., *inner)])


@operator("DeformConv", kernels=True)
def deform_conv(
    x: Any,
    w: Any,
    offset: Any,
    b: Any = None,
    mask: Any = None,
    *,
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    offset_group: int = 1,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """Samples under every tap by `pycnn.grid_sample`, then one product with the weight."""
    check_kernel(kernel_shape, w)
    if x.ndim != 4:
        raise OnnxError(f"x of rank {x.ndim}; allowed: 4")
    (n, c, h, width), (k, _, r, s) = x.shape, w.shape
    (down, along), (over, across) = per_axis(strides, 2), per_axis(dilations, 2)
    (top, _), (left, _) = pairs(pads) if pads is not None else ((0, 0), (0, 0))
    p, q = offset.shape[2:]
    taps = offset.reshape(n, offset_group, r, s, 2, p, q)
    rows = (np.arange(p) * down - top)[:, None] + (np.arange(r) * over)[:, None, None, None]
    columns = (np.arange(q) * along - left) + (np.arange(s) * across)[:, None, None]
    at_row = taps[:, :, :, :, 0] + rows.astype(x.dtype)
    at_column = taps[:, :, :, :, 1] + columns.astype(x.dtype)
    ends = min(h, width) > 1  # coordinates of corner pixels are then exact
    across_x, across_y = (_normalised(v, e, ends) for v, e in ((at_column, width), (at_row, h)))
    grid = np.stack([across_x, across_y], axis=-1).reshape(n * offset_group, r * s * p, q, 2)
    image = x.reshape(n * offset_group, c // offset_group, h, width)
    sampled = pycnn.grid_sample(image, grid.astype(x.dtype), align_corners=ends)
    sampled = sampled.reshape(n, offset_group, c // offset_group, r, s, p, q)
    if mask is not None:
        sampled = sampled * mask.reshape(n, offset_group, 1, r, s, p, q)
    groups = sampled.reshape(n, group, c // group * r * s, p * q)
    weight = w.reshape(group, k // group, -1)
    y = pycnn.matmul(weight, np.ascontiguousarray(groups)).reshape(n, k, p, q)
    return y if b is None else pycnn.add(y, b.reshape(1, k, 1, 1))


def _normalised(at: Any, extent: int, ends: bool) -> Any:
    """Pixels as coordinates from -1 to 1: the centres of the outermost ones, or their edges."""
    return 2 * at / (extent - 1) - 1 if ends else (2 * at + 1) / extent - 1
