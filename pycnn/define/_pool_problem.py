"""Arguments of pooling: checked, and in the forms that plans and references take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call
from pycnn.define.conv_layout import Layout
from pycnn.define.operand import Operand
from pycnn.define.operation import NoPeer
from pycnn.define.validate import boolean, check_shape, integer
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan.pool import Average, Pooling
from pycnn.plan.pool_axis import Axis
from pycnn.reference.cpu import _axis as cpu_axis
from pycnn.reference.oracle import _window

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
        return [
            cpu_axis.Sliding(a.extent, a.windows, a.kernel, a.stride, a.low, a.high, a.dilation)
            if a.kernel
            else cpu_axis.Adaptive(a.extent, a.windows)
            for a in self.pooling.axes
        ]

    def windows(self) -> list[list[range]]:
        """As the oracle takes them."""
        return [
            _window.sliding(a.extent, a.windows, a.kernel, a.stride, a.low, a.dilation)
            if a.kernel
            else _window.adaptive(a.extent, a.windows)
            for a in self.pooling.axes
        ]

    def first(self, call: Call, out: Any, dtype: np.dtype) -> tuple[Any, Any]:
        """Where the first output goes: the array, and a view (N, C, spatial axes) of it."""
        if out is None:
            out = np.empty(next(iter(call.outputs.values())).shape, dtype)
        return out, self.layout.channels_first(out)

    def given(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Views (N, C, spatial axes) of all arrays."""
        return [self.layout.channels_first(array) for array in arrays.values()]


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


def extents(name: str, value: Any, minimum: int, spatial: int) -> Ints:
    """An int, or a sequence of one or of one for each axis, for every axis."""
    if isinstance(value, (tuple, list)):
        if len(value) not in (1, spatial):
            each = "one for each axis" if spatial == 1 else f"a sequence of 1 or {spatial}"
            raise ValueError(f"{name}={value!r}; allowed: an int or {each}")
        numbers = tuple(integer(name, v, minimum) for v in value)
        return numbers if len(numbers) == spatial else numbers * spatial
    return (integer(name, value, minimum),) * spatial


def paddings(value: Any, spatial: int) -> tuple[tuple[int, int], ...]:
    """An int, one for each axis, or ((low, high), ...), as the last form."""
    if isinstance(value, (tuple, list)) and any(isinstance(v, (tuple, list)) for v in value):
        pairs = [v for v in value if isinstance(v, (tuple, list)) and len(v) == 2]
        if len(pairs) != spatial or len(value) != spatial:
            raise ValueError(f"padding={value!r}; allowed: {spatial} pairs (low, high)")
        return tuple((integer("padding", a, 0), integer("padding", b, 0)) for a, b in pairs)
    return tuple((p, p) for p in extents("padding", value, 0, spatial))


def shape_of_x(value: Any, spatial: int) -> Ints:
    """The argument `x_shape`."""
    if not isinstance(value, (tuple, list)) or len(value) not in (spatial + 1, spatial + 2):
        raise ValueError(f"x_shape={value!r}; allowed: {axes_text(spatial)}")
    return tuple(integer("x_shape", extent, 0) for extent in value)


def sliding(
    name: str,
    shape: Ints,
    spatial: int,
    layout: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
) -> tuple[Layout, Pooling]:
    """Windows over x, whose shape came with the argument `name`."""
    arrangement, (images, channels, *found) = _arranged(name, shape, spatial, layout)
    kernel = extents("kernel_size", kernel_size, 1, spatial)
    step = kernel if stride is None else extents("stride", stride, 1, spatial)
    sides = paddings(padding, spatial)
    apart = extents("dilation", dilation, 1, spatial)
    ceil = boolean("ceil_mode", ceil_mode)
    axes = tuple(
        Axis.sliding(*along, ceil) for along in zip(found, kernel, step, sides, apart, strict=True)
    )
    if any(max(axis.low, axis.high) >= axis.span for axis in axes):
        raise ValueError(
            f"padding={padding!r} with kernel_size={kernel_size!r} and dilation={dilation!r}; "
            "allowed: at most (kernel_size - 1) * dilation on each side, so that no window lies "
            "in the padding"
        )
    if min(axis.windows for axis in axes) < 1:
        raise ValueError(
            f"kernel_size={kernel} with dilation={apart} and padding={sides} on {name} of shape "
            f"{shape}; allowed: a window no larger than the padded input"
        )
    return arrangement, Pooling(images, channels, axes, *_flags(arrangement))


def adaptive(
    name: str, shape: Ints, spatial: int, layout: Any, output_size: Any
) -> tuple[Layout, Pooling]:
    """As many windows as asked for; None for as many as there are elements."""
    arrangement, (images, channels, *found) = _arranged(name, shape, spatial, layout)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * spatial
    if len(wanted) != spatial:
        raise ValueError(
            f"output_size={output_size!r}; allowed: an int or None, or {spatial} of them"
        )
    axes = tuple(
        Axis(extent, extent if size is None else integer("output_size", size, 1))
        for extent, size in zip(found, wanted, strict=True)
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


def global_shape(value: Any) -> Ints:
    """The argument `x_shape` of global pooling."""
    if not isinstance(value, (tuple, list)) or len(value) not in GLOBAL_X.ranks:
        raise ValueError(f"x_shape={value!r}; allowed: {GLOBAL_X.axes}")
    return tuple(integer("x_shape", extent, 0) for extent in value)


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


# PyTorch knows neither the layout nor padding that differs from side to side.


def to_torch(tensor: Any, spatial: int, settings: Mapping[str, Any]) -> Any:
    """A tensor with the channels before the spatial axes."""
    if settings.get("layout") != "NHWC":
        return tensor
    return tensor.movedim(-1, -1 - spatial).contiguous()


def from_torch(tensor: Any, spatial: int, settings: Mapping[str, Any]) -> Any:
    """The reverse of `to_torch`."""
    return tensor.movedim(-1 - spatial, -1) if settings.get("layout") == "NHWC" else tensor


def torch_settings(
    settings: Mapping[str, Any], spatial: int, lacks: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings without the layout, padding as one number an axis.

    Raises
    ------
    NoPeer
        If the padding is not the same on both sides or more than half of the kernel, or there is
        a setting that PyTorch's function `lacks`.
    """
    rest = {name: value for name, value in settings.items() if name != "layout"}
    for name in lacks:
        if name in rest:
            raise NoPeer(f"PyTorch has no such pooling with {name}")
    if "padding" in rest:
        sides = paddings(rest["padding"], spatial)
        if any(low != high for low, high in sides):
            raise NoPeer("PyTorch has no pooling with padding that differs from side to side")
        kernel = extents("kernel_size", rest["kernel_size"], 1, spatial)
        if any(2 * low > taps for (low, _), taps in zip(sides, kernel, strict=True)):
            raise NoPeer("PyTorch has no pooling with padding of more than half of the kernel")
        rest["padding"] = tuple(low for low, _ in sides)
    return rest
