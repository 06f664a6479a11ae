"""Arguments of pooling: checked, and in the forms that plans and references take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call
from pycnn.define.conv_layout import Layout
from pycnn.define.operand import Operand
from pycnn.define.validate import boolean, check_shape, each, integer, paddings, per_axis
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan.pool import Average, Pooling
from pycnn.plan.pool_axis import Axis
from pycnn.reference.cpu import _axis as cpu_axis

Ints = tuple[int, ...]

#: Names of the spatial axes, by their number.
AXES = {1: "L", 2: "H, W", 3: "D, H, W"}

#: A mean that counts the padding.
MEAN = Average()

#: Of global pooling, which must have images to tell their axis from those it pools over.
GLOBAL_X = Operand("x", "(N, C, 1 to 3 spatial axes), or the same with C last (NHWC)", (3, 4, 5))


@dataclass(frozen=True)
class Problem:
    """A pooling operation on arrays of known shape.

    Attributes
    ----------
    layout : Layout
        How arrays are arranged.
    pooling : Pooling
        The windows.
    average : Average
        What the sum of a window is divided by.
    norm : float
        Exponent of Lp pooling.
    indices : bool
        Whether the indices of maxima are asked for.
    """

    layout: Layout
    pooling: Pooling
    average: Average = MEAN
    norm: float = 1.0
    indices: bool = False

    @property
    def x_shape(self) -> Ints:
        """(N, C, spatial axes) of x."""
        p = self.pooling
        return (p.images, p.channels, *(a.extent for a in p.axes))

    def shape(self, of_x: bool) -> Ints:
        """Of x, or of y, as the caller has it."""
        return self.pooling.shape(of_x)

    def strides(self, view: View) -> Ints:
        """Of an array, in the order (N, C, spatial axes)."""
        return strides(self.layout, view)

    def cpu_axes(self) -> list[cpu_axis.Axis]:
        """As the CPU path takes them."""
        return _cpu_axes(self.pooling.axes)

    def first(self, call: Call, out: Any, dtype: np.dtype) -> tuple[Any, Any]:
        """Where the first output goes: the array, and a view (N, C, spatial axes) of it."""
        if out is None:
            out = np.empty(next(iter(call.outputs.values())).shape, dtype)
        return out, self.layout.channels_first(out)

    def channels_first(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Views (N, C, spatial axes) of all arrays."""
        return [self.layout.channels_first(array) for array in arrays.values()]


@lru_cache(256)
def _cpu_axes(axes: tuple[Axis, ...]) -> list[cpu_axis.Axis]:
    """Kept: finding the taps takes as long as small planes do."""
    return [
        cpu_axis.Sliding(a.extent, a.windows, a.kernel, a.stride, a.low, a.high, a.dilation)
        if a.kernel
        else cpu_axis.Adaptive(a.extent, a.windows)
        for a in axes
    ]


def strides(layout: Layout, view: View) -> Ints:
    """Strides of an array, in the order (N, C, spatial axes)."""
    own = view.strides if layout.batched else (0, *view.strides)
    return (own[0], own[-1], *own[1:-1]) if layout.channels_last else own


def operand_x(spatial: int) -> Operand:
    """x, with so many spatial axes; with any number of them if it is 0."""
    if spatial == 0:
        return GLOBAL_X
    return Operand("x", axes_text(spatial), (spatial + 1, spatial + 2))


def axes_text(spatial: int) -> str:
    """What the axes of an array mean."""
    return f"(N, C, {AXES[spatial]}) or (C, {AXES[spatial]}), or the same with C last (NHWC)"


def shape_of_x(value: Any, x: Operand) -> Ints:
    """The argument `x_shape`, of an operand as it went into forward."""
    if not isinstance(value, (tuple, list)) or len(value) not in x.ranks:
        raise ValueError(f"x_shape={value!r}; allowed: {x.axes}")
    return tuple(integer("x_shape", extent, 0) for extent in value)


def sliding(name: str, shape: Ints, spatial: int, args: Arguments) -> tuple[Layout, Pooling]:
    """Windows over x, whose shape came with the argument `name`."""
    arrangement, (images, channels, *extents) = _arranged(name, shape, spatial, args.layout)
    kernel = per_axis("kernel_size", args.kernel_size, 1, spatial)
    step = per_axis("stride", args.stride, 1, spatial) if has_stride(args.stride) else kernel
    sides = paddings(args.padding, spatial)
    apart = per_axis("dilation", args.dilation, 1, spatial)
    ceil = boolean("ceil_mode", args.ceil_mode)
    axes = tuple(
        Axis.sliding(*along, ceil)
        for along in zip(extents, kernel, step, sides, apart, strict=True)
    )
    if any(2 * max(axis.low, axis.high) > axis.kernel for axis in axes):
        raise ValueError(
            f"padding={args.padding!r} with kernel_size={args.kernel_size!r}; allowed: at most "
            "half of kernel_size on each side (pycnn.pad takes any)"
        )
    if min(axis.windows for axis in axes) < 1:
        raise ValueError(
            f"kernel_size={kernel} with dilation={apart} and padding={sides} on {name} of shape "
            f"{shape}; allowed: a window no larger than the padded input"
        )
    return arrangement, Pooling(images, channels, axes, *_flags(arrangement))


def has_stride(value: Any) -> bool:
    """Whether there is one of its own; None and an empty sequence stand for `kernel_size`."""
    return value is not None and value != () and value != []


def adaptive(
    name: str, shape: Ints, spatial: int, layout: Any, output_size: Any
) -> tuple[Layout, Pooling]:
    """As many windows as asked for; None for as many as there are elements."""
    arrangement, (images, channels, *extents) = _arranged(name, shape, spatial, layout)
    allowed = f"an int or None, or {spatial} of them"
    sizes = each("output_size", output_size, spatial, allowed)
    axes = tuple(
        Axis(extent, extent if size is None else integer("output_size", size, 1))
        for extent, size in zip(extents, sizes, strict=True)
    )
    return arrangement, Pooling(images, channels, axes, *_flags(arrangement))


def output_size(dy: View, rank: int, spatial: int, layout: Any) -> Ints:
    """Of adaptive pooling, as the gradient tells it."""
    if dy.rank != rank:
        raise ValueError(f"dy has shape {dy.shape}; allowed: {rank} axes, as x_shape has")
    size = Layout.of(layout, spatial, rank).extents(dy.shape)[2:]
    if 0 in size:
        raise ValueError(f"dy has shape {dy.shape}; allowed: {AXES[spatial]} of at least 1")
    return size


def check_gradient(problem: Problem, views: Mapping[str, View]) -> None:
    """What went into the gradient has the shape of what came out of forward."""
    shape = problem.shape(of_x=False)
    check_shape("dy", views["dy"].shape, shape, "the windows over x_shape")
    if "indices" in views:
        check_shape("indices", views["indices"].shape, shape, "the shape of dy")


def places(spatial: Sequence[int]) -> Allowed:
    """What indices into a plane may be; -1 is that of a window without any element of x.

    The kernels pass over other indices. To look at all of them on a GPU would cost a third of the
    operation's own traffic.
    """
    area = prod(spatial)
    extents = " * ".join(map(str, spatial))
    return Allowed(-1, area - 1, f"-1 to {extents} - 1 = {area - 1}", harmless=True)


def _arranged(name: str, shape: Ints, spatial: int, layout: Any) -> tuple[Layout, Ints]:
    """The arrangement, and the shape as (N, C, spatial axes)."""
    arrangement = Layout.of(layout, spatial, len(shape))
    extents = arrangement.extents(shape)
    if 0 in extents[2:]:
        raise ValueError(f"{name} has shape {shape}; allowed: {AXES[spatial]} of at least 1")
    return arrangement, extents


def _flags(layout: Layout) -> tuple[bool, bool]:
    return layout.channels_last, layout.batched
