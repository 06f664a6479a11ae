"""Definitions of padding and of its gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, NoPeer, Operation
from pycnn.define.validate import choice, integer
from pycnn.define.views import View
from pycnn.dtypes import MOVABLE, numpy_dtype
from pycnn.plan import pad as plans
from pycnn.plan.pad import MODES, Axis
from pycnn.reference.cpu import pad as cpu
from pycnn.reference.oracle import pad as oracle
from pycnn.runtime.plan import Plan

CASES = (
    Case("rows and columns", {"x": (2, 3, 5, 7)}, {"padding": (1, 2, 0, 3)}),
    Case("value", {"x": (3, 5)}, {"padding": (2, 1), "value": -1.5}),
    Case("all axes", {"x": (2, 3, 4)}, {"padding": (1, 0, 0, 2, 2, 1)}),
    Case("crop and pad", {"x": (4, 7, 6)}, {"padding": (-2, 3, 1, -3)}),
    Case("reflect", {"x": (2, 3, 5, 7)}, {"padding": (6, 2, 1, 4), "mode": "reflect"}),
    Case("reflect, cropped", {"x": (3, 7)}, {"padding": (-2, 3), "mode": "reflect"}),
    Case("replicate", {"x": (3, 4, 5)}, {"padding": (7, 1, 2, 9), "mode": "replicate"}),
    Case(
        "circular 3 axes",
        {"x": (1, 2, 3, 4, 5)},
        {"padding": (5, 2, 1, 4, 3, 0), "mode": "circular"},
    ),
    Case("circular, cropped", {"x": (2, 3, 7)}, {"padding": (-2, 3), "mode": "circular"}),
    Case("NHWC", {"x": (2, 5, 7, 3)}, {"padding": (0, 0, 3, 1, 2, 2), "mode": "reflect"}),
    Case("nothing", {"x": (3, 5)}, {"padding": ()}),
    Case("from nothing", {"x": (2, 0)}, {"padding": (2, 1), "value": 3.0}),
    Case("wide rows", {"x": (2, 4100)}, {"padding": (1, 2), "mode": "reflect"}),
    Case("batch of none", {"x": (0, 3, 5)}, {"padding": (1, 1), "mode": "replicate"}),
    Case("resnet50 layer", {"x": (1, 64, 28, 28)}, {"padding": (1, 1, 1, 1)}, standard=True),
    Case(
        "stem reflected",
        {"x": (1, 16, 56, 56)},
        {"padding": (1, 1, 1, 1), "mode": "reflect"},
        standard=True,
    ),
    Case(
        "stem to NHWC's right and bottom",
        {"x": (1, 56, 56, 16)},
        {"padding": (0, 0, 0, 1, 0, 1)},
        standard=True,
    ),
)


@dataclass(frozen=True)
class PadSettings:
    """Padding of every axis of x, and what with."""

    axes: tuple[Axis, ...]
    mode: str
    value: Any = 0

    @property
    def pads(self) -> list[tuple[int, int]]:
        """(before, after) of every axis."""
        return [(axis.before, axis.after) for axis in self.axes]

    @property
    def cropping(self) -> tuple[Axis, ...]:
        """What takes the padding off again."""
        return tuple(Axis(axis.padded, -axis.before, -axis.after) for axis in self.axes)


class Pad(Operation):
    """More, or fewer, elements around an array."""

    name = "pad"
    family = "movement"
    operands = (Operand("x"),)
    dtypes = MOVABLE
    cases = CASES

    def infer(
        self, views: Mapping[str, View], *, padding: Any, mode: Any = "constant", value: Any = 0.0
    ) -> Inferred:
        x = views["x"]
        choice("mode", mode, MODES)
        pads = _pairs(padding, x.rank)
        axes = tuple(Axis(extent, *around) for extent, around in zip(x.shape, pads, strict=True))
        _check(padding, mode, axes)
        settings = PadSettings(axes, mode, _constant(value, mode, x.dtype))
        return Inferred(settings, {"y": (tuple(axis.padded for axis in axes), None)})

    def plan(self, call: Call) -> Plan:
        s: PadSettings = call.settings
        return plans.pad(call.views["x"], s.axes, s.mode, s.value)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: PadSettings = call.settings
        return {"y": cpu.pad(arrays["x"], s.pads, s.mode, s.value, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: PadSettings = call.settings
        return {"y": oracle.pad(arrays["x"], s.pads, s.mode, s.value)}

    def flops(self, call: Call) -> int:
        return 0

    def necessary_bytes(self, call: Call) -> int:
        return _necessary(call, call.settings.axes, call.settings.mode)

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        others = {name: value for name, value in settings.items() if name != "padding"}
        try:
            return {"y": torch.nn.functional.pad(tensors["x"], settings["padding"], **others)}
        except (NotImplementedError, RuntimeError) as lacking:
            raise NoPeer(f"PyTorch: {str(lacking).splitlines()[0]}") from None


PAD = Pad()


class PadBackward(Gradient):
    """Every dy, where its element came from."""

    name = "pad_backward"
    family = "movement"
    forward = PAD
    operands = (Operand("dy"),)

    def settings(self, case: Case) -> dict[str, Any]:
        return {name: value for name, value in case.settings.items() if name != "value"}

    def infer(self, views: Mapping[str, View], *, padding: Any, mode: Any = "constant") -> Inferred:
        dy = views["dy"]
        choice("mode", mode, MODES)
        pads = _pairs(padding, dy.rank, "dy")
        extents = [extent - sum(around) for extent, around in zip(dy.shape, pads, strict=True)]
        if min(extents, default=0) < 0:
            raise ValueError(
                f"padding={padding!r}; allowed: no more than dy has, its shape is {dy.shape}"
            )
        axes = tuple(Axis(extent, *around) for extent, around in zip(extents, pads, strict=True))
        _check(padding, mode, axes)
        return Inferred(PadSettings(axes, mode), {"dx": (tuple(extents), None)})

    def plan(self, call: Call) -> Plan:
        s: PadSettings = call.settings
        dy = call.views["dy"]
        if s.mode != "constant":
            return plans.pad_backward(dy, s.axes, s.mode)
        return plans.pad(dy, s.cropping, "constant", 0, "dy")

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: PadSettings = call.settings
        return {"dx": cpu.pad_backward(arrays["dy"], s.pads, s.mode, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: PadSettings = call.settings
        return {"dx": oracle.pad_backward(arrays["dy"], s.pads, s.mode)}

    def flops(self, call: Call) -> int:
        return max(0, prod(call.views["dy"].shape) - prod(call.outputs["dx"].shape))

    def terms(self, call: Call) -> int:
        s: PadSettings = call.settings
        return prod(1 + max(0, before) + max(0, after) for before, after in s.pads)

    def necessary_bytes(self, call: Call) -> int:
        s: PadSettings = call.settings
        return _necessary(call, s.cropping if s.mode == "constant" else s.axes, s.mode)


PAD_BACKWARD = PadBackward()

DEFINITIONS = (PAD, PAD_BACKWARD)


def _necessary(call: Call, axes: tuple[Axis, ...], mode: str) -> int:
    """The result, and what is read: the rows that are not cropped."""
    result = next(iter(call.outputs.values()))
    read = [axis.left[1] - axis.left[0] for axis in axes]
    if axes:
        read[-1] = plans.read_of_row(axes[-1], mode)[1]
    return prod(read) * result.dtype.itemsize + result.nbytes


def _pairs(padding: Any, rank: int, name: str = "x") -> list[tuple[int, int]]:
    """(before, after) of every axis; `padding` begins with the last one."""
    if not isinstance(padding, (tuple, list)):
        raise TypeError(f"padding={padding!r}; allowed: (before, after) of the last axes")
    if len(padding) % 2 or len(padding) > 2 * rank:
        raise ValueError(
            f"padding={padding!r}; allowed: (before, after) of the last axis, then of the one in "
            f"front of it, and so on; {name} has {rank}"
        )
    numbers = [integer("padding", p, -(2**62)) for p in padding]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [(0, 0)] * (rank - len(pairs)) + pairs[::-1]


def _check(padding: Any, mode: str, axes: tuple[Axis, ...]) -> None:
    """Every axis has what the mode needs of it."""
    for axis in axes:
        begin, end = axis.left
        if axis.padded < 0 or begin > axis.extent or end < 0:
            raise ValueError(
                f"padding={padding!r}; allowed: cropping no more than there is, here {axis.extent}"
            )
        most = {"reflect": axis.extent - 1, "circular": end - begin}.get(mode)
        added = max(axis.before, axis.after, 0)
        if mode != "constant" and added and axis.extent == 0:
            raise ValueError(
                f'padding={padding!r} of an axis without elements; allowed for it: mode="constant"'
            )
        if most is not None and added > most:
            raise ValueError(f"padding={padding!r}; allowed for mode={mode!r}: at most {most} here")
        if mode != "constant" and end <= begin and added:
            raise ValueError(
                f'padding={padding!r} crops the whole axis; allowed for it: mode="constant"'
            )


def _constant(value: Any, mode: str, dtype: str) -> Any:
    """`value` in the dtype of x; zero, if the mode uses none."""
    if isinstance(value, (str, bytes)) or np.ndim(value) != 0 or np.iscomplexobj(value):
        raise TypeError(f"value={value!r} is of type {type(value).__name__}; allowed: a number")
    if value is None or mode != "constant":
        if value not in (None, 0):
            raise ValueError(
                f'value={value!r}; allowed with mode={mode!r}: 0, mode="constant" uses it'
            )
        return numpy_dtype(dtype).type(0)
    with np.errstate(over="ignore"):
        kept = np.asarray(value).astype(numpy_dtype(dtype))
    if kept.dtype.kind in "iub" and kept != value:
        raise ValueError(f"value={value!r}; allowed: what {dtype} holds")
    return kept[()]
