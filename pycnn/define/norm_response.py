"""Definition of local response normalisation."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._norm_rules import (
    LAYOUTS,
    channel_axis,
    channel_count,
)
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape, integer, number
from pycnn.define.views import View
from pycnn.plan import norm_response as plans
from pycnn.plan.norm_response import Window
from pycnn.reference.cpu import norm as cpu
from pycnn.runtime.plan import Plan

X = Operand("x", "(N, C, L), (N, C, H, W) or (N, C, D, H, W)", (3, 4, 5))


class _Response(Operation):
    family = "norm"
    layouts = LAYOUTS

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        shape = views["x"].shape
        if "dy" in views:
            check_shape("dy", views["dy"].shape, shape, "the shape of x")
        channel_count(views["x"], args.layout)
        window = Window(
            integer("size", args.size, 1),
            number("alpha", args.alpha),
            number("beta", args.beta),
            number("k", args.k),
            args.layout,
        )
        return window, {"dx" if "dy" in views else "y": (shape, None)}

    def plan(self, call: Call) -> Plan:
        inputs = {name: view.strides for name, view in call.views.items()}
        (output,) = call.outputs
        shape = call.views["x"].shape
        return plans.response(self.name, shape, inputs, output, call.dtype, call.settings)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        w, (output,) = call.settings, call.outputs
        operands = (arrays[name] for name in call.views)
        function = getattr(cpu, self.name)
        axis = channel_axis(w.layout)
        return {output: function(*operands, w.size, w.alpha, w.beta, w.k, axis)}

    def flops(self, call: Call) -> int:
        size = call.settings.size
        each = 3 * size + 9 if len(call.views) == 2 else 2 * size + 4  # a power counts as one
        return each * prod(call.views["x"].shape)


class LocalResponseNorm(_Response):
    """Divided by a power of the mean of squares over neighbouring channels."""

    name = "local_response_norm"
    operands = (X,)


LOCAL_RESPONSE_NORM = LocalResponseNorm()


class LocalResponseNormBackward(_Response, Gradient):
    """Its gradient."""

    name = "local_response_norm_backward"
    forward = LOCAL_RESPONSE_NORM
    operands = (Operand("dy"), X)


LOCAL_RESPONSE_NORM_BACKWARD = LocalResponseNormBackward()

DEFINITIONS = (LOCAL_RESPONSE_NORM, LOCAL_RESPONSE_NORM_BACKWARD)
