"""Pooling by maximum, mean and norm, over windows, whole images and regions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers, is_float
from pycnn.onnx.operators.registry import operator
from pycnn.onnx.operators.windows import Pairs, flat, of_rank, padding, per_axis

Ints = Sequence[int] | None


class Window:
    """Windows of a pooling node, and x with all the padding that the operation does not take.

    Operations refuse padding beyond half a window, and count through what they are given: what is
    longer is put around x here.
    """

    def __init__(
        self,
        x: Any,
        kernel_shape: Sequence[int],
        strides: Ints,
        dilations: Ints,
        auto_pad: str,
        pads: Ints,
        ceil_mode: int,
        fill: float,
    ) -> None:
        axes = x.ndim - 2
        if len(kernel_shape) != axes:
            raise OnnxError(f"kernel_shape {list(kernel_shape)} on {axes} spatial axes")
        self.kernel = tuple(kernel_shape)
        self.strides, self.dilations = per_axis(strides, axes), per_axis(dilations, axes)
        self.sides: Pairs = padding(
            x.shape[2:], self.kernel, self.strides, self.dilations, auto_pad, pads
        )
        self.ceil = bool(ceil_mode)
        self.fill = fill
        self.beyond = any(
            2 * max(pair) > k for pair, k in zip(self.sides, self.kernel, strict=True)
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Keywords of a pooling operation."""
        return {
            "kernel_size": self.kernel,
            "stride": self.strides,
            "dilation": self.dilations,
            "padding": 0 if self.beyond else self.sides,
            "ceil_mode": self.ceil,
        }

    def around(self, x: Any) -> Any:
        """x, with the padding that goes beyond half a window."""
        if not self.beyond:
            return x
        check_size(
            [e + sum(pair) for e, pair in zip(x.shape[2:], self.sides, strict=True)], x.itemsize
        )
        return pycnn.pad(x, flat(self.sides), value=self.fill)


@operator("MaxPool", kernels=True)
def max_pool(
    x: Any,
    *,
    outputs: int,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = None,
    pads: Ints = None,
    storage_order: int = 0,
    strides: Ints = None,
) -> Any:
    window = Window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode, -math.inf)
    dtype = x.dtype
    if not is_float(x):  # 8-bit integers, which float32 holds exactly
        x = x.astype(np.float32)
    padded, pool = window.around(x), of_rank("max_pool", x)
    if outputs < 2:
        return pool(padded, **window.settings).astype(dtype, copy=False)
    y, places = pool(padded, **window.settings, return_indices=True)
    at = list(np.unravel_index(places, padded.shape[2:]))
    if window.beyond:
        at = [a - low for a, (low, _) in zip(at, window.sides, strict=True)]
    return y.astype(dtype, copy=False), _through_all(at, x.shape, storage_order)


def _through_all(at: list[Any], shape: tuple[int, ...], storage_order: int) -> Any:
    """Places as ONNX counts them: through the whole tensor, of a plane by rows or by columns."""
    extents = shape[2:]
    if storage_order:
        at, extents = at[::-1], extents[::-1]
    within = np.zeros_like(at[0])
    for places, extent in zip(at, extents, strict=True):
        within = within * extent + places
    planes = np.arange(shape[0] * shape[1], like=within) * math.prod(extents)
    return within + planes.reshape(*shape[:2], *[1] * len(extents))


@operator("AveragePool", kernels=True)
def average_pool(
    x: Any,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    window = Window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode, 0.0)
    padded = window.around(x)
    if not window.beyond or count_include_pad:
        counted = {"count_include_pad": bool(count_include_pad)}
        return of_rank("avg_pool", x)(padded, **window.settings, **counted)
    pool = of_rank("sum_pool", x)
    count = pool(window.around(np.ones_like(x)), **window.settings)
    return pool(padded, **window.settings) / count


@operator("LpPool", kernels=True)
def lp_pool(
    x: Any,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = None,
    p: float = 2,
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """Of magnitudes: the operation takes powers of the values themselves."""
    window = Window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode, 0.0)
    return of_rank("lp_pool", x)(window.around(np.abs(x)), p, **window.settings)


@operator("GlobalAveragePool", kernels=True)
def global_average_pool(x: Any) -> Any:
    return pycnn.global_avg_pool(x)


@operator("GlobalMaxPool", kernels=True)
def global_max_pool(x: Any) -> Any:
    return pycnn.global_max_pool(x)


@operator("GlobalLpPool", kernels=True)
def global_lp_pool(x: Any, *, p: float = 2) -> Any:
    axes = tuple(range(2, x.ndim))
    return pycnn.sum(np.abs(x) ** p, axes, keepdims=True) ** x.dtype.type(1 / p)


@operator("MaxUnpool", kernels=True)
def max_unpool(
    x: Any,
    indices: Any,
    output_shape: Any = None,
    *,
    kernel_shape: Sequence[int],
    pads: Ints = None,
    strides: Ints = None,
) -> Any:
    """Indices count through the whole tensor of the extents that follow from the windows."""
    axes = x.ndim - 2
    strides = per_axis(strides, axes)
    sides = padding((0,) * axes, kernel_shape, strides, (1,) * axes, "NOTSET", pads)
    extents = [
        (e - 1) * s + k - a - b
        for e, s, k, (a, b) in zip(x.shape[2:], strides, kernel_shape, sides, strict=True)
    ]
    given = extents if output_shape is None else integers(output_shape)[2:]
    check_size([*x.shape[:2], *given], x.itemsize, "output_shape")
    at = np.unravel_index(indices % math.prod(extents), extents)
    places = np.zeros_like(indices)
    for place, extent in zip(at, given, strict=True):
        places = places * extent + place
    y = np.zeros((*x.shape[:2], math.prod(given)), x.dtype, like=x)
    planes = x.shape[0] * x.shape[1]
    rows = np.arange(planes, like=places)[:, None]
    y.reshape(planes, -1)[rows, places.reshape(planes, -1)] = x.reshape(planes, -1)
    return y.reshape(*x.shape[:2], *given)


@operator("MaxRoiPool")
def max_roi_pool(
    x: Any, rois: Any, *, pooled_shape: Sequence[int], spatial_scale: float = 1.0
) -> Any:
    """The maximum of each cell of each region; a region has at least one pixel."""
    _, c, h, w = x.shape
    p, q = pooled_shape
    check_size([len(rois), c, p, q], x.itemsize, "pooled_shape")
    y = np.zeros((len(rois), c, p, q), x.dtype, like=x)
    for i, roi in enumerate(rois.tolist()):
        left, top, right, bottom = (math.floor(v * spatial_scale + 0.5) for v in roi[1:])
        rows = _cells(top, bottom, p, h)
        columns = _cells(left, right, q, w)
        for a, (r0, r1) in enumerate(rows):
            for b, (c0, c1) in enumerate(columns):
                if r0 < r1 and c0 < c1:
                    y[i, :, a, b] = x[int(roi[0]), :, r0:r1, c0:c1].max(axis=(1, 2))
    return y


def _cells(first: int, last: int, count: int, extent: int) -> list[tuple[int, int]]:
    size = max(last - first + 1, 1) / count

    def clamped(edge: int) -> int:
        return min(max(edge + first, 0), extent)

    return [
        (clamped(math.floor(i * size)), clamped(math.ceil((i + 1) * size))) for i in range(count)
    ]
