"""Definition of layer norm."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pycnn.define._norm_rules import check_parameters, parameter_gradients
from pycnn.define.call import Arguments, Call, Inference, itemsize
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape, integer, number
from pycnn.define.views import View
from pycnn.dtypes import FLOATING
from pycnn.plan import norm_layer as plans
from pycnn.reference.cpu import norm as cpu
from pycnn.runtime.plan import Plan

#: Operations an element, forward and backward.
FLOPS = {2: 11, 3: 20}

X = Operand("x", "one axis or more")


class Settings(NamedTuple):
    """How many of the last axes are normalised together."""

    axes: int
    eps: float


def _parameter(name: str) -> Operand:
    return Operand(name, "normalized_shape", dtypes=FLOATING, optional=True)


def _settings(views: Mapping[str, View], normalized_shape: Any, eps: Any) -> Settings:
    x = views["x"]
    if isinstance(normalized_shape, Sequence) and not isinstance(normalized_shape, str):
        shape = tuple(integer("normalized_shape", n, 0) for n in normalized_shape)
    else:
        shape = (integer("normalized_shape", normalized_shape, 0),)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(
            f"normalized_shape={shape}; allowed: the last extents of x, which has shape "
            f"{tuple(x.shape)}"
        )
    check_parameters(views, ("weight", "bias"), shape, "normalized_shape")
    return Settings(len(shape), number("eps", eps, 0.0))


def _length(call: Call) -> int:
    return prod(call.views["x"].shape[-call.settings.axes :])


def _again(call: Call, kept: int) -> int:
    """Bytes of x that are read a second time, as a slice does not fit on chip."""
    length = _length(call)
    affine = "weight" in call.views or "bias" in call.views
    cached = plans.choose_team(length, call.dtype, kept, affine).cached
    slices = prod(call.views["x"].shape[: -call.settings.axes])
    return slices * max(length - cached, 0) * itemsize(call.dtype)


class LayerNorm(Operation):
    """Normalised over the last axes."""

    name = "layer_norm"
    family = "norm"
    operands = (X, _parameter("weight"), _parameter("bias"))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        settings = _settings(views, args.normalized_shape, args.eps)
        return settings, {"y": (views["x"].shape, None)}

    def plan(self, call: Call) -> Plan:
        return plans.layer_norm(call.views, call.dtype, *call.settings)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        (axes, eps), affine = call.settings, (arrays.get("weight"), arrays.get("bias"))
        return {"y": cpu.layer_norm(arrays["x"], axes, *affine, eps)}

    def flops(self, call: Call) -> int:
        return FLOPS[2] * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """x once, and what does not fit on chip twice."""
        return call.bytes + _again(call, 1)


LAYER_NORM = LayerNorm()


class LayerNormBackward(Gradient):
    """Gradients of layer norm."""

    name = "layer_norm_backward"
    family = "norm"
    forward = LAYER_NORM
    operands = (Operand("dy"), X, _parameter("weight"))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        settings = _settings(views, args.normalized_shape, args.eps)
        shape = views["x"].shape[-settings.axes :]
        return settings, parameter_gradients(views, shape)

    def plan(self, call: Call) -> Plan:
        axes, eps = call.settings
        outputs = dict(call.outputs)
        return plans.layer_norm_backward(call.views, call.dtype, axes, eps, outputs)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        axes, eps = call.settings
        operands = arrays["dy"], arrays["x"], axes, arrays.get("weight"), eps
        results = cpu.layer_norm_backward(*operands)
        return dict(zip(call.outputs, results, strict=True))

    def flops(self, call: Call) -> int:
        return (FLOPS[3] + 4) * prod(call.views["x"].shape)

    def necessary_bytes(self, call: Call) -> int:
        """dy and x twice, for dx and for dweight; two more times what does not fit on chip.

        Of rows that are read once, what blocks have summed up instead, written and read.
        """
        plan = self.plan(call)
        if "parts" in plan.workspace:
            return call.bytes + 2 * plan.workspace["parts"].nbytes
        read = prod(call.views["x"].shape) * itemsize(call.dtype)
        return call.bytes + 2 * read + 4 * _again(call, 2)


LAYER_NORM_BACKWARD = LayerNormBackward()

DEFINITIONS = (LAYER_NORM, LAYER_NORM_BACKWARD)
