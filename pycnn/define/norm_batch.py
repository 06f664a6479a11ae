"""Definitions of batch norm: with given statistics, and with those of the batch."""

from collections.abc import Mapping
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
    vector,
    wide,
)
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import boolean, check_shape, number
from pycnn.define.views import View
from pycnn.plan import norm_batch as plans, norm_small
from pycnn.plan.norm_batch import Channels
from pycnn.reference.cpu import norm as cpu
from pycnn.runtime.plan import Plan

#: Operations an element.
FLOPS = {"moments": 7, "apply": 4, "sums": 4, "gradient": 5}

RUNNING = ("running_mean", "running_var")
AFFINE = ("weight", "bias")


class Settings(NamedTuple):
    """How statistics are taken, and the share of a batch in the running ones."""

    channels: Channels
    momentum: float = 0.0

    @property
    def axis(self) -> int:
        return channel_axis(self.channels.layout)

    @property
    def eps(self) -> float:
        return self.channels.eps


class _BatchNorm(Operation):
    family = "norm"
    layouts = LAYOUTS


class BatchNorm(_BatchNorm):
    """Normalised by running statistics."""

    name = "batch_norm"
    operands = (IMAGES, *(vector(n, False) for n in RUNNING), *(vector(n) for n in AFFINE))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x, c = views["x"], channel_count(views["x"], args.layout)
        check_parameters(views, (*RUNNING, *AFFINE), (c,), "the channels of x")
        if boolean("training", args.training):
            raise ValueError(
                "training=True; allowed: False (batch_norm_train normalises by the statistics of "
                "x and returns them)"
            )
        number("momentum", args.momentum)
        channels = Channels(args.layout, eps=number("eps", args.eps, 0.0))
        return Settings(channels), {"y": (x.shape, None)}

    def plan(self, call: Call) -> Plan:
        return plans.fixed_statistics(call.views, call.dtype, call.settings.channels)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s = call.settings
        x, mean, var = (arrays[n] for n in ("x", *RUNNING))
        weight, bias = (arrays.get(n) for n in AFFINE)
        return {"y": cpu.batch_norm(x, mean, var, weight, bias, s.axis, s.eps, out=out)}

    def flops(self, call: Call) -> int:
        return FLOPS["apply"] * prod(call.views["x"].shape)


class _BatchNormBackward(Gradient):
    family = "norm"
    layouts = LAYOUTS

    def _infer(self, views: Mapping[str, View], names: tuple[str, ...], layout: Any) -> int:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        c = channel_count(views["x"], layout)
        check_parameters(views, names, (c,), "the channels of x")
        return c


class BatchNormBackward(_BatchNormBackward):
    """Gradients where the statistics are constants."""

    name = "batch_norm_backward"
    operands = (
        Operand("dy"),
        IMAGES,
        *(vector(n, False) for n in RUNNING),
        vector("weight"),
    )

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        c = self._infer(views, (*RUNNING, "weight"), args.layout)
        channels = Channels(args.layout, eps=number("eps", args.eps, 0.0))
        return Settings(channels), parameter_gradients(views, (c,))

    def plan(self, call: Call) -> Plan:
        return plans.fixed_statistics_backward(
            call.views, call.dtype, call.settings.channels, dict(call.outputs)
        )

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s, weight = call.settings, arrays.get("weight")
        dy, x, mean, var = (arrays[n] for n in ("dy", "x", *RUNNING))
        results = cpu.batch_norm_backward(dy, x, mean, var, weight, s.axis, s.eps)
        return dict(zip(call.outputs, results, strict=True))

    def flops(self, call: Call) -> int:
        return (FLOPS["sums"] + 1) * prod(call.views["x"].shape)


class BatchNormTrain(_BatchNorm):
    """Normalised by the statistics of the batch, which come out too."""

    name = "batch_norm_train"
    rectified = False
    results = ("y", "mean", "rstd", "new_running_mean", "new_running_var")
    operands = (IMAGES, *(vector(n) for n in (*RUNNING, *AFFINE)))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x, c = views["x"], channel_count(views["x"], args.layout)
        check_parameters(views, (*RUNNING, *AFFINE), (c,), "the channels of x")
        values = prod(x.shape) // c if c else 2
        if values < 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: {values} values for each channel; allowed: two or "
                "more in training, for there to be a variance"
            )
        channels = Channels(args.layout, eps=number("eps", args.eps, 0.0))
        outputs = {
            "y": (x.shape, None),
            "mean": ((c,), wide(x.dtype)),
            "rstd": ((c,), wide(x.dtype)),
        }
        outputs |= {f"new_{n}": ((c,), views[n].dtype) for n in RUNNING if n in views}
        return Settings(channels, number("momentum", args.momentum)), outputs

    def plan(self, call: Call) -> Plan:
        channels, momentum = call.settings
        given = self.name, call.views, call.dtype, channels, dict(call.outputs), momentum
        return norm_small.forward(*given) or plans.own_statistics(*given)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s = call.settings
        weight, bias, residual = (arrays.get(n) for n in (*AFFINE, "residual"))
        y, mean, rstd, variance = cpu.batch_norm_train(
            arrays["x"], weight, bias, s.axis, s.eps, residual, self.rectified
        )
        results = {"y": y, "mean": mean, "rstd": rstd}
        for name, fresh in zip(RUNNING, (mean, variance), strict=True):
            if name in arrays:
                results[f"new_{name}"] = (1 - s.momentum) * arrays[name] + s.momentum * fresh
        return results

    def flops(self, call: Call) -> int:
        each = FLOPS["moments"] + FLOPS["apply"]
        return each * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """x is read twice, first for the statistics, where a block does not keep a channel."""
        once = len(self.plan(call).launches) == 1
        again = prod(call.views["x"].shape) * call.outputs["y"].dtype.itemsize
        return call.bytes + (0 if once else again)


BATCH_NORM, BATCH_NORM_TRAIN = BatchNorm(), BatchNormTrain()


class BatchNormTrainBackward(_BatchNormBackward):
    """Gradients where the statistics are those of the batch."""

    name = "batch_norm_train_backward"
    forward = BATCH_NORM_TRAIN
    operands = (
        Operand("dy"),
        IMAGES,
        *(vector(n, False) for n in ("mean", "rstd")),
        vector("weight"),
    )

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        c = self._infer(views, ("mean", "rstd", "weight"), args.layout)
        return Settings(Channels(args.layout)), parameter_gradients(views, (c,))

    def plan(self, call: Call) -> Plan:
        given = self.name, call.views, call.dtype, call.settings.channels, dict(call.outputs)
        return norm_small.backward(*given) or plans.own_statistics_backward(*given)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        dy, x, mean, rstd = (arrays[n] for n in ("dy", "x", "mean", "rstd"))
        operands = dy, x, mean, rstd, arrays.get("weight"), call.settings.axis
        results = cpu.batch_norm_train_backward(*operands)
        return dict(zip(call.outputs, results, strict=False))  # it has no residual

    def flops(self, call: Call) -> int:
        each = FLOPS["sums"] + FLOPS["gradient"]
        return each * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """dy and x are read twice, first for the sums, where a block does not keep a channel."""
        once = len(self.plan(call).launches) == 1
        again = 2 * prod(call.views["x"].shape) * call.outputs["dx"].dtype.itemsize
        return call.bytes + (0 if once else again)


BatchNormBackward.forward = BATCH_NORM
BATCH_NORM_BACKWARD, BATCH_NORM_TRAIN_BACKWARD = BatchNormBackward(), BatchNormTrainBackward()

DEFINITIONS = (
    BATCH_NORM,
    BATCH_NORM_BACKWARD,
    BATCH_NORM_TRAIN,
    BATCH_NORM_TRAIN_BACKWARD,
)
