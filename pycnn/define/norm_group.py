"""Definitions of normalisation by the statistics of groups of channels of one image."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pycnn.define._norm_rules import (
    IMAGES,
    LAYOUTS,
    channel_axis,
    channel_count,
    check_parameters,
    parameter_gradients,
    per_statistic,
    vector,
)
from pycnn.define.call import Arguments, Call, Inference, itemsize
from pycnn.define.norm_layer import FLOPS
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import boolean, check_shape, integer, number
from pycnn.define.views import View
from pycnn.plan import norm_batch, norm_group, norm_layer
from pycnn.plan.norm_batch import RUNNING, Channels
from pycnn.reference.cpu import norm as cpu
from pycnn.runtime.plan import Plan

SPATIAL = Operand("x", "(N, C, L), (N, C, H, W) or (N, C, D, H, W)", (3, 4, 5))


class Settings(NamedTuple):
    """How statistics are taken, and the number of groups.

    With `fixed` they are the running ones; a `momentum` is the share of x in these, of which both
    are there.
    """

    channels: Channels
    groups: int
    fixed: bool = False
    momentum: float | None = None

    @property
    def axis(self) -> int:
        return channel_axis(self.channels.layout)


def on_chip(call: Call, operands: int) -> bool:
    """Whether the elements of a group are neighbours, and few enough to be read once."""
    x, (channels, groups, *_) = call.views["x"], call.settings
    length = per_statistic(x, x.shape[0] * groups)
    if channels.layout != "NCHW":
        plan = norm_group.one_launch("", call.views, call.dtype, channels)
        return operands == 1 and plan is not None
    in_registers = operands == 1 and norm_layer.group_team(call.views, call.dtype, groups)
    return bool(in_registers) or norm_layer.fits(length, call.dtype, operands)


def _bytes_of_x(call: Call) -> int:
    return prod(call.views["x"].shape) * itemsize(call.dtype)


class _ByGroup(Operation):
    family = "norm"
    layouts = LAYOUTS

    def plan(self, call: Call) -> Plan:
        channels, groups, *_ = call.settings
        first = channels.layout == "NCHW"
        if first and prod(call.views["x"].shape) and on_chip(call, 1):
            return norm_layer.group_norm(self.name, call.views, call.dtype, groups, channels.eps)
        given = self.name, call.views, call.dtype, channels
        return norm_group.one_launch(*given) or norm_batch.own_statistics(
            *given, dict(call.outputs)
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s, affine = call.settings, (arrays.get("weight"), arrays.get("bias"))
        return {"y": cpu.group_norm(arrays["x"], s.groups, *affine, s.axis, s.channels.eps)}

    def flops(self, call: Call) -> int:
        return FLOPS[2] * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """x is read twice unless a group fits on chip."""
        return call.bytes + (0 if on_chip(call, 1) else _bytes_of_x(call))


class GroupNorm(_ByGroup):
    """Normalised over groups of channels."""

    name = "group_norm"
    operands = (IMAGES, vector("weight"), vector("bias"))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        return (
            _group_settings(views, args.num_groups, args.eps, args.layout),
            {"y": (views["x"].shape, None)},
        )


def _group_settings(views: Mapping[str, View], num_groups: Any, eps: Any, layout: Any) -> Settings:
    x, c = views["x"], channel_count(views["x"], layout)
    groups = integer("num_groups", num_groups, 1)
    if c % groups:
        raise ValueError(f"num_groups={groups}; allowed: a divisor of the {c} channels of x")
    check_parameters(views, ("weight", "bias"), (c,), "the channels of x")
    if prod(x.shape) == groups:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: one value for each group; allowed: two or more, for "
            "there to be a variance"
        )
    channels = Channels(layout, True, max(c // groups, 1), number("eps", eps, 0.0))
    return Settings(channels, groups)


class InstanceNorm(_ByGroup):
    """Normalised over every channel of every image, or by running statistics."""

    name = "instance_norm"
    operands = (SPATIAL, *map(vector, (*RUNNING, "weight", "bias")))
    updates = {n: f"new_{n}" for n in RUNNING}  # noqa: RUF012

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        settings = _instance_settings(views, args.use_input_stats, args.eps, args.layout)
        momentum = number("momentum", args.momentum)
        outputs: dict[str, tuple[tuple[int, ...], str | None]] = {"y": (views["x"].shape, None)}
        if settings.fixed or "running_mean" not in views:
            return settings, outputs
        for name in RUNNING:
            if views[name].shape[0] > 1 and views[name].strides[0] == 0:
                raise ValueError(f"{name} repeats one element; allowed: an array to be updated")
        if not prod(views["x"].shape):
            raise ValueError(
                f"x has shape {tuple(views['x'].shape)}; allowed with running statistics: two or "
                "more values for each channel of an image (use_input_stats=False changes none)"
            )
        outputs |= {f"new_{n}": (views[n].shape, views[n].dtype) for n in RUNNING}
        return settings._replace(momentum=momentum), outputs

    def plan(self, call: Call) -> Plan:
        s, outputs = call.settings, dict(call.outputs)
        if s.fixed:
            return norm_batch.fixed_statistics(call.views, call.dtype, s.channels, self.name)
        if s.momentum is None:
            return super().plan(call)
        return norm_batch.own_statistics_of_images(
            self.name, call.views, call.dtype, s.channels, outputs, s.momentum
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s = call.settings
        if s.fixed:
            x, mean, var = (arrays[n] for n in ("x", *RUNNING))
            affine = arrays.get("weight"), arrays.get("bias")
            return {"y": cpu.batch_norm(x, mean, var, *affine, s.axis, s.channels.eps)}
        results = super().cpu(call, arrays, out)
        if s.momentum is not None:
            for name, fresh in zip(RUNNING, cpu.image_means(arrays["x"], s.axis), strict=True):
                results[f"new_{name}"] = (1 - s.momentum) * arrays[name] + s.momentum * fresh
        return results

    def necessary_bytes(self, call: Call) -> int:
        """x is read twice where statistics of its own leave the chip."""
        s = call.settings
        if s.fixed or s.momentum is None:
            return call.bytes if s.fixed else super().necessary_bytes(call)
        return call.bytes + _bytes_of_x(call)


def _instance_settings(
    views: Mapping[str, View], use_input_stats: Any, eps: Any, layout: Any
) -> Settings:
    x, c = views["x"], channel_count(views["x"], layout)
    check_parameters(views, (*RUNNING, "weight", "bias"), (c,), "the channels of x")
    present = [name in views for name in RUNNING]
    fixed = not boolean("use_input_stats", use_input_stats)
    if any(present) and not all(present):
        raise ValueError("running_mean without running_var, or reverse; allowed: both or neither")
    if fixed and not all(present):
        raise ValueError(
            "use_input_stats=False without running_mean and running_var; allowed with both of them"
        )
    elements = prod(x.shape)
    if not fixed and elements and elements == x.shape[0] * c:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: one value for each channel of an image; allowed: two "
            "or more, for there to be a variance"
        )
    return Settings(Channels(layout, not fixed, 1, number("eps", eps, 0.0)), c, fixed)


class _ByGroupBackward(Gradient):
    family = "norm"
    layouts = LAYOUTS
    operands: tuple[Operand, ...] = (Operand("dy"), IMAGES, vector("weight"))

    def _outputs(self, views: Mapping[str, View], settings: Settings) -> Inference:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        return settings, parameter_gradients(views, (views["x"].shape[settings.axis],))

    def plan(self, call: Call) -> Plan:
        channels, groups, *_ = call.settings
        outputs = dict(call.outputs)
        if prod(call.views["x"].shape) and on_chip(call, 2):
            return norm_layer.group_norm_backward(
                self.name, call.views, call.dtype, groups, channels.eps, outputs
            )
        return norm_batch.own_statistics_backward(
            self.name, call.views, call.dtype, channels, outputs
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s, weight = call.settings, arrays.get("weight")
        operands = arrays["dy"], arrays["x"], s.groups, weight, s.axis, s.channels.eps
        results = cpu.group_norm_backward(*operands)
        return dict(zip(call.outputs, results, strict=True))

    def flops(self, call: Call) -> int:
        return (FLOPS[3] + 4) * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """dy and x are read twice, for dx and dweight; x once more unless a group fits on chip."""
        return call.bytes + (2 if on_chip(call, 2) else 3) * _bytes_of_x(call)


GROUP_NORM, INSTANCE_NORM = GroupNorm(), InstanceNorm()


class GroupNormBackward(_ByGroupBackward):
    """Gradients of group norm."""

    name = "group_norm_backward"
    forward = GROUP_NORM

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        return self._outputs(views, _group_settings(views, args.num_groups, args.eps, args.layout))


class InstanceNormBackward(_ByGroupBackward):
    """Gradients of instance norm."""

    name = "instance_norm_backward"
    forward = INSTANCE_NORM
    operands = (Operand("dy"), SPATIAL, *map(vector, (*RUNNING, "weight")))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        settings = _instance_settings(views, args.use_input_stats, args.eps, args.layout)
        return self._outputs(views, settings)

    def plan(self, call: Call) -> Plan:
        s = call.settings
        if not s.fixed:
            own = {name: view for name, view in call.views.items() if name not in RUNNING}
            return super().plan(replace(call, views=own))
        return norm_batch.fixed_statistics_backward(
            call.views, call.dtype, s.channels, dict(call.outputs), self.name
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s = call.settings
        if not s.fixed:
            return super().cpu(call, arrays, out)
        dy, x, mean, var = (arrays[n] for n in ("dy", "x", *RUNNING))
        operands = dy, x, mean, var, arrays.get("weight"), s.axis, s.channels.eps
        results = cpu.batch_norm_backward(*operands)
        return dict(zip(call.outputs, results, strict=True))

    def necessary_bytes(self, call: Call) -> int:
        return call.bytes if call.settings.fixed else super().necessary_bytes(call)


GROUP_NORM_BACKWARD, INSTANCE_NORM_BACKWARD = GroupNormBackward(), InstanceNormBackward()

DEFINITIONS = (GROUP_NORM, GROUP_NORM_BACKWARD, INSTANCE_NORM, INSTANCE_NORM_BACKWARD)
