"""Definitions of what only moves elements: permute, concat, split, channel_shuffle."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Operation
from pycnn.define.validate import choice, integer, normalise_axis
from pycnn.define.views import View
from pycnn.dtypes import MOVABLE
from pycnn.plan.movement import joined, rearranged
from pycnn.reference.cpu import movement as cpu
from pycnn.reference.oracle import movement as oracle
from pycnn.runtime.backends import backend_for
from pycnn.runtime.plan import Plan


def _numbered(*shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors[0], tensors[1], ..."""
    return {f"tensors[{i}]": shape for i, shape in enumerate(shapes)}


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
    cases = (
        Case("matrix", {"x": (37, 45)}, {"axes": (1, 0)}),
        Case("scalar", {"x": ()}, {"axes": ()}),
        Case("to NHWC", {"x": (2, 3, 5, 7)}, {"axes": (0, 2, 3, 1)}),
        Case("to NCHW", {"x": (2, 5, 7, 67)}, {"axes": (0, 3, 1, 2)}),
        Case("rows stay", {"x": (3, 5, 2, 12)}, {"axes": (1, -4, 2, 3)}),
        Case("all move", {"x": (2, 3, 5, 2, 7)}, {"axes": (3, 1, 4, 0, 2)}),
        Case("nothing moves", {"x": (2, 3, 4)}, {"axes": (0, 1, 2)}),
        Case("empty", {"x": (3, 0, 5)}, {"axes": (2, 0, 1)}),
        Case("resnet50 to NHWC", {"x": (2, 64, 28, 28)}, {"axes": (0, 2, 3, 1)}, standard=True),
        Case("image to NCHW", {"x": (1, 112, 112, 3)}, {"axes": (0, 3, 1, 2)}, standard=True),
        Case("same rows", {"x": (24, 16, 48)}, {"axes": (1, 0, 2)}, standard=True),
    )

    def infer(self, views: Mapping[str, View], *, axes: Any) -> Inferred:
        x = views["x"]
        if not isinstance(axes, (tuple, list)):
            raise TypeError(f"axes={axes!r}; allowed: a sequence of int")
        order = tuple(normalise_axis("axes", axis, x.rank) for axis in axes)
        if sorted(order) != list(range(x.rank)):
            raise ValueError(f"axes={axes!r}; allowed: every axis of x once, x has {x.rank}")
        return Inferred(order, {"y": (tuple(x.shape[axis] for axis in order), None)})

    def plan(self, call: Call) -> Plan:
        x, shape = call.views["x"], call.outputs["y"].shape
        strides = tuple(x.strides[axis] for axis in call.settings)
        return rearranged(self.name, x, shape, strides, shape)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.permute(arrays["x"], call.settings, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": oracle.permute(arrays["x"], call.settings)}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": tensors["x"].permute(settings["axes"])}


class Concat(Movement):
    """Arrays one after the other."""

    name = "concat"
    operands = (Operand("tensors"),)
    no_gradient = "split is its gradient"
    cases = (
        Case("channels", _numbered((2, 3, 5, 7), (2, 1, 5, 7), (2, 4, 5, 7)), {"axis": 1}),
        Case("one", _numbered((5, 3))),
        Case("rows", _numbered((3, 5), (2, 5))),
        Case("last axis", _numbered((3, 5, 2), (3, 5, 3), (3, 5, 1)), {"axis": -1}),
        Case("whole vectors", _numbered((3, 16), (3, 32)), {"axis": 1}),
        Case("one is empty", _numbered((2, 3), (2, 0), (2, 2)), {"axis": 1}),
        Case("empty", _numbered((0, 3), (0, 2)), {"axis": 1}),
        Case(
            "densenet layer",
            _numbered((2, 64, 28, 28), (2, 32, 28, 28), (2, 32, 28, 28)),
            {"axis": 1},
            standard=True,
        ),
    )

    def infer(self, views: Mapping[str, View], *, axis: Any = 0) -> Inferred:
        named = list(views.items())
        first = named[0][1]
        if first.rank == 0:
            raise ValueError("tensors[0] has shape (); allowed: at least one axis")
        along = normalise_axis("axis", axis, first.rank)
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
        return Inferred(along, {"y": (tuple(shape), None)})

    def invoke(
        self, function: Callable[..., Any], arrays: Arrays, settings: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        return (function(list(arrays.values()), **settings),)

    def plan(self, call: Call) -> Plan:
        return joined(tuple(call.views), tuple(call.views.values()), call.settings)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.concat(list(arrays.values()), call.settings, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": oracle.concat(list(arrays.values()), call.settings)}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {"y": torch.cat(list(tensors.values()), settings.get("axis", 0))}


class Split(Movement):
    """Parts of an array, as views of it: nothing is computed and nothing launched."""

    name = "split"
    no_gradient = "concat is its gradient"
    bound = "nothing"
    takes_out = False
    cases = (
        Case("channels", {"x": (2, 7, 5, 3)}, {"split_size_or_sections": (3, 4), "axis": 1}),
        Case("by size", {"x": (7, 3)}, {"split_size_or_sections": 3}),
        Case("last axis", {"x": (2, 6)}, {"split_size_or_sections": [1, 0, 5], "axis": -1}),
        Case("empty", {"x": (0, 3)}, {"split_size_or_sections": 2}),
    )

    def infer(
        self, views: Mapping[str, View], *, split_size_or_sections: Any, axis: Any = 0
    ) -> Inferred:
        x = views["x"]
        if x.rank == 0:
            raise ValueError("x has shape (); allowed: at least one axis")
        along = normalise_axis("axis", axis, x.rank)
        sizes = _sizes(split_size_or_sections, x.shape[along], along)
        shapes = [(*x.shape[:along], size, *x.shape[along + 1 :]) for size in sizes]
        outputs = {f"y[{i}]": (shape, None) for i, shape in enumerate(shapes)}
        return Inferred((sizes, along), outputs)

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> tuple[Any, ...]:
        backend_for(**arrays)
        sizes, axis = self.describe(arrays, **settings).settings
        begins = [sum(sizes[:i]) for i in range(len(sizes))]
        before = (slice(None),) * axis
        return tuple(
            arrays["x"][(*before, slice(begin, begin + size))]
            for begin, size in zip(begins, sizes, strict=True)
        )

    def plan(self, call: Call) -> tuple[Plan, ...]:
        return ()

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        sizes, axis = call.settings
        parts = np.split(arrays["x"], np.cumsum(sizes[:-1]), axis)
        return dict(zip(call.outputs, parts, strict=True))

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        parts = oracle.split(arrays["x"], *call.settings)
        return dict(zip(call.outputs, parts, strict=True))

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        sections = settings["split_size_or_sections"]
        parts = torch.split(tensors["x"], sections, settings.get("axis", 0))
        return {f"y[{i}]": part for i, part in enumerate(parts)}


class ChannelShuffle(Movement):
    """Channels of all groups in turn."""

    name = "channel_shuffle"
    operands = (Operand("x", "(N, C, ...), or (N, ..., C) with NHWC", (3, 4, 5)),)
    layouts = ("NCHW", "NHWC")
    no_gradient = "channel_shuffle by C / groups groups is its gradient"
    cases = (
        Case("pixels", {"x": (2, 6, 5, 3)}, {"groups": 3}),
        Case("NHWC", {"x": (2, 5, 3, 6)}, {"groups": 2, "layout": "NHWC"}),
        Case("1 axis", {"x": (2, 10, 7)}, {"groups": 5}),
        Case("3 axes", {"x": (2, 4, 3, 2, 5)}, {"groups": 2}),
        Case("one group", {"x": (2, 3, 5)}, {"groups": 1}),
        Case("empty", {"x": (0, 6, 5, 3)}, {"groups": 3}),
        Case("shufflenet stage 2", {"x": (4, 116, 14, 14)}, {"groups": 2}, standard=True),
        Case(
            "shufflenet stage 2 NHWC",
            {"x": (4, 14, 14, 116)},
            {"groups": 2, "layout": "NHWC"},
            standard=True,
        ),
    )

    def infer(self, views: Mapping[str, View], *, groups: Any, layout: Any = "NCHW") -> Inferred:
        x = views["x"]
        axis = 1 if choice("layout", layout, self.layouts) == "NCHW" else x.rank - 1
        count = integer("groups", groups, 1)
        if x.shape[axis] % count:
            raise ValueError(f"groups={count}; allowed: a divisor of {x.shape[axis]} channels")
        return Inferred((count, axis), {"y": (x.shape, None)})

    def plan(self, call: Call) -> Plan:
        x, (groups, axis) = call.views["x"], call.settings
        each, step = x.shape[axis] // groups, x.strides[axis]
        shape = (*x.shape[:axis], each, groups, *x.shape[axis + 1 :])
        strides = (*x.strides[:axis], step, each * step, *x.strides[axis + 1 :])
        return rearranged(self.name, x, shape, strides, x.shape)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.channel_shuffle(arrays["x"], *call.settings, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": oracle.channel_shuffle(arrays["x"], *call.settings)}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        x, groups = tensors["x"], settings["groups"]
        if settings.get("layout") == "NHWC":
            return {"y": torch.channel_shuffle(x.movedim(-1, 1), groups).movedim(1, -1)}
        return {"y": torch.channel_shuffle(x, groups)}


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

DEFINITIONS = (PERMUTE, CONCAT, SPLIT, CHANNEL_SHUFFLE)
