"""Definitions of batch norm in training with a sum and the rectified linear unit behind it."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._norm_rules import IMAGES, parameter_gradients, vector
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.norm_batch import (
    AFFINE,
    FLOPS,
    RUNNING,
    BatchNormTrain,
    Settings,
    _BatchNormBackward,
)
from pycnn.define.operand import Operand
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.plan import norm_relu as plans
from pycnn.plan.norm_batch import Channels
from pycnn.reference.cpu import norm as cpu
from pycnn.runtime.plan import Plan

#: Of the sum and the unit, or of the mask.
MORE = 2


class BatchNormReluTrain(BatchNormTrain):
    """max(0, normalised x + residual)."""

    name = "batch_norm_relu_train"
    rectified = True
    operands = (
        IMAGES,
        *(vector(n) for n in (*RUNNING, *AFFINE)),
        Operand("residual", "the axes of x", (2, 3, 4, 5), None, True),
    )

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        if "residual" in views:
            check_shape("residual", views["residual"].shape, views["x"].shape, "the shape of x")
        return super().infer(views, args)

    def plan(self, call: Call) -> Plan:
        channels, momentum = call.settings
        return plans.forward(call.views, call.dtype, channels, dict(call.outputs), momentum)

    def flops(self, call: Call) -> int:
        return super().flops(call) + MORE * prod(call.views["x"].shape)


BATCH_NORM_RELU_TRAIN = BatchNormReluTrain()


class BatchNormReluTrainBackward(_BatchNormBackward):
    """Gradients of it, the output telling what the unit let through."""

    name = "batch_norm_relu_train_backward"
    forward = BATCH_NORM_RELU_TRAIN
    operands = (
        Operand("dy"),
        IMAGES,
        Operand("y"),
        *(vector(n, False) for n in ("mean", "rstd")),
        vector("weight"),
    )

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        shape = views["x"].shape
        check_shape("y", views["y"].shape, shape, "the shape of x")
        c = self._infer(views, ("mean", "rstd", "weight"), args.layout)
        gradients = parameter_gradients(views, (c,)) | {"dresidual": (shape, None)}
        return Settings(Channels(args.layout)), gradients

    def plan(self, call: Call) -> Plan:
        return plans.backward(call.views, call.dtype, call.settings.channels, dict(call.outputs))

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        dy, x, y, mean, rstd = (arrays[n] for n in ("dy", "x", "y", "mean", "rstd"))
        operands = dy, x, mean, rstd, arrays.get("weight"), call.settings.axis
        results = cpu.batch_norm_train_backward(*operands, y)
        return dict(zip(call.outputs, results, strict=True))

    def flops(self, call: Call) -> int:
        each = FLOPS["sums"] + FLOPS["gradient"] + MORE
        return each * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """x, and what dy has let through, are read again: first for the sums over all of them."""
        return call.bytes + 2 * prod(call.views["x"].shape) * call.outputs["dx"].dtype.itemsize


BATCH_NORM_RELU_TRAIN_BACKWARD = BatchNormReluTrainBackward()

DEFINITIONS = (BATCH_NORM_RELU_TRAIN, BATCH_NORM_RELU_TRAIN_BACKWARD)
