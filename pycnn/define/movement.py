"""Definitions of what only moves elements: permute, concat, split, channel_shuffle."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pycnn.define import trace
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Operation
from pycnn.define.validate import choice, integer, normalise_axis
from pycnn.define.views import View
from pycnn.dtypes import MOVABLE
from pycnn.plan.movement import joined, rearranged
from pycnn.reference.cpu import movement as cpu
from pycnn.runtime import foreign
from pycnn.runtime.backends import backend_for
from pycnn.runtime.plan import Plan

Shape = tuple[int, ...]


class Movement(Operation):
    """No arithmetic; any dtype."""

    family = "movement"
    operands = (Operand("x"),)
    dtypes = MOVABLE

    def flops(self, call: Call) -> int:
        return 0


class Permute(Movement):
    """Axes in another order."""

    name = "permute"
    no_gradient = "permute by the inverse order is its gradient"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        if not isinstance(args.axes, (tuple, list)):
            raise TypeError(f"axes={args.axes!r}; allowed: a sequence of int")
        order = tuple(normalise_axis("axes", axis, x.rank) for axis in args.axes)
        if sorted(order) != list(range(x.rank)):
            raise ValueError(f"axes={args.axes!r}; allowed: every axis of x once, x has {x.rank}")
        return order, {"y": (tuple(x.shape[axis] for axis in order), None)}

    def plan(self, call: Call) -> Plan:
        x, shape = call.views["x"], call.outputs["y"].shape
        strides = tuple(x.strides[axis] for axis in call.settings)
        return rearranged(self.name, x, shape, strides, shape)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.permute(arrays["x"], call.settings, out=out)}


class Concat(Movement):
    """Arrays one after the other."""

    name = "concat"
    operands = (Operand("tensors"),)
    no_gradient = "split is its gradient"
    takes_list = True

    def listed(self, values: Any) -> dict[str, Any]:
        if not isinstance(values, (tuple, list)):
            raise TypeError(
                f"tensors is of type {type(values).__name__}; allowed: a list or tuple of arrays"
            )
        if not values:
            raise ValueError("tensors is empty; allowed: one array or more")
        return {f"tensors[{i}]": array for i, array in enumerate(values)}

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        named = list(views.items())
        first = named[0][1]
        if first.rank == 0:
            raise ValueError("tensors[0] has shape (); allowed: at least one axis")
        along = normalise_axis("axis", args.axis, first.rank)
        for name, view in named:
            expected = list(first.shape)
            if view.rank == first.rank:
                expected[along] = view.shape[along]
            if list(view.shape) != expected:
                raise ValueError(
                    f"{name} has shape {view.shape}; allowed: that of tensors[0], {first.shape}, "
                    f"but for axis {along}"
                )
        shape = list(first.shape)
        shape[along] = sum(view.shape[along] for _, view in named)
        return along, {"y": (tuple(shape), None)}

    def plan(self, call: Call) -> Plan:
        return joined(tuple(call.views), tuple(call.views.values()), call.settings)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.concat(list(arrays.values()), call.settings, out=out)}


class Split(Movement):
    """Parts of an array, as views of it: nothing is computed and nothing launched."""

    name = "split"
    always_tuple = True
    no_gradient = "concat is its gradient"
    bound = "nothing"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        if x.rank == 0:
            raise ValueError("x has shape (); allowed: at least one axis")
        along = normalise_axis("axis", args.axis, x.rank)
        sizes = _sizes(args.split_size_or_sections, x.shape[along], along)
        shapes = [(*x.shape[:along], size, *x.shape[along + 1 :]) for size in sizes]
        outputs = {f"y[{i}]": (shape, None) for i, shape in enumerate(shapes)}
        return (sizes, along), outputs

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> tuple[Any, ...]:
        if (follower := trace.follower_of(arrays.values())) is not None:
            return tuple(follower(self, arrays, out, settings))
        if foreign.among(*arrays.values()):
            return tuple(foreign.call(partial(self.run, **settings), arrays, out))
        backend_for(**arrays)
        return tuple(self.computed(self.describe(arrays, **settings), arrays).values())

    def computed(self, call: Call, arrays: Arrays, out: Any = None) -> Mapping[str, Any]:
        """Views, whatever the backend."""
        sizes, axis = call.settings
        begins = [sum(sizes[:i]) for i in range(len(sizes))]
        before = (slice(None),) * axis
        return {
            name: arrays["x"][(*before, slice(begin, begin + size))]
            for name, begin, size in zip(call.outputs, begins, sizes, strict=True)
        }

    def plan(self, call: Call) -> tuple[Plan, ...]:
        return ()

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        sizes, axis = call.settings
        parts = np.split(arrays["x"], np.cumsum(sizes[:-1]), axis)
        return dict(zip(call.outputs, parts, strict=True))


class ChannelShuffle(Movement):
    """Channels of all groups in turn."""

    name = "channel_shuffle"
    operands = (Operand("x", "(N, C, ...), or (N, ..., C) with NHWC", (3, 4, 5)),)
    layouts = ("NCHW", "NHWC")
    no_gradient = "channel_shuffle by C / groups groups is its gradient"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        axis = 1 if choice("layout", args.layout, self.layouts) == "NCHW" else x.rank - 1
        count = integer("groups", args.groups, 1)
        if x.shape[axis] % count:
            raise ValueError(f"groups={count}; allowed: a divisor of {x.shape[axis]} channels")
        return (count, axis), {"y": (x.shape, None)}

    def plan(self, call: Call) -> Plan:
        x, (groups, axis) = call.views["x"], call.settings
        each, step = x.shape[axis] // groups, x.strides[axis]
        shape = (*x.shape[:axis], each, groups, *x.shape[axis + 1 :])
        strides = (*x.strides[:axis], step, each * step, *x.strides[axis + 1 :])
        return rearranged(self.name, x, shape, strides, x.shape)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.channel_shuffle(arrays["x"], *call.settings, out=out)}


#: Pixels of a plane that no memory holds: of no channels there could be any number.
LARGEST = 2**48


class _Blocks(Movement):
    """Blocks of pixels as channels, or the reverse."""

    operands = (Operand("x", "(N, C, H, W) or (C, H, W), or the same with C last (NHWC)", (3, 4)),)
    layouts = ("NCHW", "NHWC")
    #: The setting that is the extent of a block, and whether channels become blocks.
    setting: str
    up: bool

    def order(self, args: Arguments) -> str:
        """Whether the place in a block (D) or the channel (C) comes first in the old channels."""
        return "CRD"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x, r = views["x"], integer(self.setting, getattr(args, self.setting), 1)
        last = choice("layout", args.layout, self.layouts) == "NHWC"
        *batch, h, w, c = _channels(x.shape, last)
        if self.up and c % (r * r):
            allowed = f"its square a divisor of the {c} channels of x"
            raise ValueError(f"{self.setting}={r}; allowed: {allowed}")
        if not self.up and (h % r or w % r):
            raise ValueError(f"{self.setting}={r}; allowed: a divisor of {h} and {w}, H and W of x")
        if self.up and h * w * r * r >= LARGEST:
            raise ValueError(f"{self.setting}={r}; allowed: less than 2^48 pixels in a plane of y")
        size = (h * r, w * r, c // (r * r)) if self.up else (h // r, w // r, c * r * r)
        y = (*batch, *size) if last else (*batch, size[2], *size[:2])
        return (r, self.order(args), last), {"y": (y, None)}

    def seen(self, shape: Shape, strides: Shape, call: Call) -> tuple[Shape, Shape]:
        """Shape and strides of the view of x that is the result but for merged axes."""
        r, order, last = call.settings
        *batch, h, w, c = zip(_channels(shape, last), _channels(strides, last), strict=True)
        (rows, down), (columns, across), (channels, step) = h, w, c
        axes = {"H": h, "W": w}
        if self.up:
            one = channels // (r * r)
            within = "ijC" if order == "DCR" else "Cij"
            extents = {"i": r, "j": r, "C": one}
            for name in reversed(within):
                axes[name] = extents[name], step
                step *= extents[name]
            names = "HiWjC" if last else "CHiWj"
        else:
            axes = {"H": (rows // r, down * r), "W": (columns // r, across * r), "C": c}
            axes |= {"i": (r, down), "j": (r, across)}
            within = "ijC" if order == "DCR" else "Cij"
            names = f"HW{within}" if last else f"{within}HW"
        extents_, steps = zip(*batch, *(axes[name] for name in names), strict=True)
        return extents_, steps

    def plan(self, call: Call) -> Plan:
        x = call.views["x"]
        shape, strides = self.seen(x.shape, x.strides, call)
        return rearranged(self.name, x, shape, strides, call.outputs["y"].shape)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        x = arrays["x"]
        y = np.empty(call.outputs["y"].shape, x.dtype) if out is None else out
        shape, strides = self.seen(x.shape, x.strides, call)
        np.copyto(y.reshape(shape), np.lib.stride_tricks.as_strided(x, shape, strides))
        return {"y": y}


class PixelShuffle(_Blocks):
    """Channels to blocks of pixels."""

    name = "pixel_shuffle"
    setting = "upscale_factor"
    up = True
    no_gradient = "pixel_unshuffle is its gradient"


class PixelUnshuffle(_Blocks):
    """Blocks of pixels to channels."""

    name = "pixel_unshuffle"
    setting = "downscale_factor"
    up = False
    no_gradient = "pixel_shuffle is its gradient"


class _Depth(_Blocks):
    setting = "block_size"

    def order(self, args: Arguments) -> str:
        return choice("mode", args.mode, ("DCR", "CRD"))


class DepthToSpace(_Depth):
    """Channels to blocks of pixels, in either order."""

    name = "depth_to_space"
    up = True
    no_gradient = "space_to_depth is its gradient"


class SpaceToDepth(_Depth):
    """Blocks of pixels to channels, in either order."""

    name = "space_to_depth"
    up = False
    no_gradient = "depth_to_space is its gradient"


def _channels(values: Shape, last: bool) -> Shape:
    """Extents or strides with the channels last."""
    return values if last else (*values[:-3], *values[-2:], values[-3])


def _sizes(value: Any, extent: int, axis: int) -> tuple[int, ...]:
    """Extents of the parts: of equal size, but for the last one, or as listed."""
    name = "split_size_or_sections"
    if isinstance(value, (tuple, list)):
        sizes = tuple(integer(name, size, 0) for size in value)
        if not sizes or sum(sizes) != extent:
            raise ValueError(
                f"{name}={value!r}; allowed: extents that add up to {extent}, that of axis {axis}"
            )
        return sizes
    size = integer(name, value, 1)
    return tuple(min(size, extent - begin) for begin in range(0, extent, size)) or (0,)


PERMUTE = Permute()
CONCAT = Concat()
SPLIT = Split()
CHANNEL_SHUFFLE = ChannelShuffle()

PIXEL_SHUFFLE, PIXEL_UNSHUFFLE = PixelShuffle(), PixelUnshuffle()
DEPTH_TO_SPACE, SPACE_TO_DEPTH = DepthToSpace(), SpaceToDepth()

DEFINITIONS = (
    *(PERMUTE, CONCAT, SPLIT, CHANNEL_SHUFFLE),
    *(PIXEL_SHUFFLE, PIXEL_UNSHUFFLE, DEPTH_TO_SPACE, SPACE_TO_DEPTH),
)
