"""Definitions of padding and of its gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import choice, integer
from pycnn.define.views import View
from pycnn.dtypes import MOVABLE, numpy_dtype
from pycnn.plan import pad as plans
from pycnn.plan.pad import MODES, Axis
from pycnn.reference.cpu import pad as cpu
from pycnn.runtime.plan import Plan


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

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        choice("mode", args.mode, MODES)
        pads = _pairs(args.padding, x.rank)
        axes = tuple(Axis(extent, *around) for extent, around in zip(x.shape, pads, strict=True))
        _check(args.padding, args.mode, axes)
        settings = PadSettings(axes, args.mode, _constant(args.value, args.mode, x.dtype))
        return settings, {"y": (tuple(axis.padded for axis in axes), None)}

    def plan(self, call: Call) -> Plan:
        s: PadSettings = call.settings
        return plans.pad(call.views["x"], s.axes, s.mode, s.value)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: PadSettings = call.settings
        return {"y": cpu.pad(arrays["x"], s.pads, s.mode, s.value, out=out)}

    def flops(self, call: Call) -> int:
        return 0

    def necessary_bytes(self, call: Call) -> int:
        return _necessary(call, call.settings.axes, call.settings.mode)


PAD = Pad()


class PadBackward(Gradient):
    """Every dy, where its element came from."""

    name = "pad_backward"
    family = "movement"
    forward = PAD
    operands = (Operand("dy"),)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        dy = views["dy"]
        choice("mode", args.mode, MODES)
        pads = _pairs(args.padding, dy.rank, "dy")
        extents = [extent - sum(around) for extent, around in zip(dy.shape, pads, strict=True)]
        if min(extents, default=0) < 0:
            raise ValueError(
                f"padding={args.padding!r}; allowed: no more than dy has, its shape is {dy.shape}"
            )
        axes = tuple(Axis(extent, *around) for extent, around in zip(extents, pads, strict=True))
        _check(args.padding, args.mode, axes)
        return PadSettings(axes, args.mode), {"dx": (tuple(extents), None)}

    def plan(self, call: Call) -> Plan:
        s: PadSettings = call.settings
        dy = call.views["dy"]
        if s.mode != "constant":
            return plans.pad_backward(dy, s.axes, s.mode)
        return plans.pad(dy, s.cropping, "constant", 0, "dy")

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: PadSettings = call.settings
        return {"dx": cpu.pad_backward(arrays["dy"], s.pads, s.mode, out=out)}

    def flops(self, call: Call) -> int:
        return max(0, prod(call.views["dy"].shape) - prod(call.outputs["dx"].shape))

    def necessary_bytes(self, call: Call) -> int:
        s: PadSettings = call.settings
        return _necessary(call, s.cropping if s.mode == "constant" else s.axes, s.mode)


PAD_BACKWARD = PadBackward()

DEFINITIONS = (PAD, PAD_BACKWARD)


def _necessary(call: Call, axes: tuple[Axis, ...], mode: str) -> int:
    """The result, and what is read: the rows that are not cropped."""
    result = next(iter(call.outputs.values()))
    read = [axis.left[1] - axis.left[0] for axis in axes]
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
    with np.errstate(all="ignore"):
        kept = np.asarray(value).astype(numpy_dtype(dtype))
    if kept.dtype.kind in "iub" and kept != value:
        raise ValueError(f"value={value!r}; allowed: what {dtype} holds")
    return kept[()]
