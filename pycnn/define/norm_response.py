"""Definition of local response normalisation."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._norm_rules import (
    LAYOUTS,
    case,
    channel_axis,
    channel_count,
    channels_last,
    channels_second,
)
from pycnn.define.call import Call, Inferred
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape, integer, number
from pycnn.define.views import View
from pycnn.plan import norm_response as plans
from pycnn.plan.norm_response import Window
from pycnn.reference.cpu import norm as cpu
from pycnn.reference.oracle import norm as oracle
from pycnn.runtime.plan import Plan

X = Operand("x", "(N, C, L), (N, C, H, W) or (N, C, D, H, W)", (3, 4, 5))


class _Response(Operation):
    family = "norm"
    layouts = LAYOUTS

    def infer(
        self,
        views: Mapping[str, View],
        size: Any = None,
        alpha: Any = 1e-4,
        beta: Any = 0.75,
        k: Any = 1.0,
        layout: Any = "NCHW",
    ) -> Inferred:
        shape = views["x"].shape
        if "dy" in views:
            check_shape("dy", views["dy"].shape, shape, "the shape of x")
        channel_count(views["x"], layout)
        window = Window(
            integer("size", size, 1),
            number("alpha", alpha),
            number("beta", beta),
            number("k", k),
            layout,
        )
        return Inferred(window, {"dx" if "dy" in views else "y": (shape, None)})

    def plan(self, call: Call) -> Plan:
        inputs = {name: view.strides for name, view in call.views.items()}
        (output,) = call.outputs
        shape = call.views["x"].shape
        return plans.response(self.name, shape, inputs, output, call.dtype, call.settings)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return self._by(cpu, call, arrays)

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._by(oracle, call, arrays)

    def _by(self, module: Any, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        w, (output,) = call.settings, call.outputs
        given = (arrays[name] for name in call.views)
        function = getattr(module, self.name)
        axis = channel_axis(w.layout)
        return {output: function(*given, w.size, w.alpha, w.beta, w.k, axis)}

    def flops(self, call: Call) -> int:
        size = call.settings.size
        each = 3 * size + 9 if len(call.views) == 2 else 2 * size + 4  # a power counts as one
        return each * prod(call.views["x"].shape)

    def terms(self, call: Call) -> int:
        return call.settings.size


class LocalResponseNorm(_Response):
    """Divided by a power of the mean of squares over neighbouring channels."""

    name = "local_response_norm"
    operands = (X,)
    cases = (
        case("sequence", (2, 7, 5), size=3, alpha=0.5),
        case("even", (2, 6, 3, 5), size=4, alpha=2.0, beta=0.5, k=0.7),
        case("volumes", (2, 3, 3, 5, 2), size=5, alpha=1.0, beta=1.3),
        case("one", (2, 3, 5, 4), size=1, alpha=1.0, k=2.0),
        case("wider than x", (2, 3, 5, 4), size=9, alpha=1.0),
        case("many channels", (1, 131, 3, 2), size=5, alpha=1.0),
        case("nhwc", (2, 5, 7, 3), size=4, alpha=1.0, layout="NHWC"),
        case("nhwc tiles", (1, 2, 1, 1100), size=5, alpha=1.0, layout="NHWC"),
        case("empty", (0, 3, 4, 5), size=3),
        case("googlenet layer", (1, 64, 56, 56), size=5, standard=True),
        case("googlenet layer nhwc", (1, 56, 56, 64), size=5, layout="NHWC", standard=True),
    )

    def torch(self, tensors: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
        from torch.nn.functional import local_response_norm

        rest = {**settings}
        layout = rest.pop("layout", "NCHW")
        y = local_response_norm(channels_second(tensors["x"], layout), **rest)
        return {"y": channels_last(y, layout)}


LOCAL_RESPONSE_NORM = LocalResponseNorm()


class LocalResponseNormBackward(_Response, Gradient):
    """Its gradient."""

    name = "local_response_norm_backward"
    forward = LOCAL_RESPONSE_NORM
    operands = (Operand("dy"), X)


LOCAL_RESPONSE_NORM_BACKWARD = LocalResponseNormBackward()

DEFINITIONS = (LOCAL_RESPONSE_NORM, LOCAL_RESPONSE_NORM_BACKWARD)
