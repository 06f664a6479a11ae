"""Activations as layers."""

from collections.abc import Mapping
from typing import Any

import pycnn
from pycnn.nn.function import OfInput, OfOutput
from pycnn.nn.init import constant
from pycnn.nn.layer import Layer


class ReLU(OfInput, operation="relu"):
    """``max(x, 0)``, see `pycnn.relu`."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = pycnn.relu(x)
        return y, y  # positive where x is; and the next layer mostly keeps it too


class ReLU6(OfInput, operation="relu6"):
    """``min(max(x, 0), 6)``, see `pycnn.relu6`."""


class Clip(OfInput, operation="clip"):
    """Between two bounds, either of which may be None; see `pycnn.clip`."""


class Hardtanh(OfInput, operation="hardtanh"):
    """A line between two bounds; see `pycnn.hardtanh`."""


class LeakyReLU(OfInput, operation="leaky_relu"):
    """``x`` where positive, ``negative_slope * x`` elsewhere; see `pycnn.leaky_relu`."""


class ELU(OfInput, operation="elu"):
    """``alpha * (exp(x) - 1)`` where negative; see `pycnn.elu`."""


class SELU(OfInput, operation="selu"):
    """ELU scaled to keep mean and variance; see `pycnn.selu`."""


class CELU(OfInput, operation="celu"):
    """ELU with a continuous derivative; see `pycnn.celu`."""


class Sigmoid(OfInput, operation="sigmoid"):
    """``1 / (1 + exp(-x))``, see `pycnn.sigmoid`."""


class Hardsigmoid(OfInput, operation="hardsigmoid"):
    """A sigmoid of three straight lines; see `pycnn.hardsigmoid`."""


class Tanh(OfInput, operation="tanh"):
    """Hyperbolic tangent, see `pycnn.tanh`."""


class Softplus(OfInput, operation="softplus"):
    """``log(1 + exp(beta * x)) / beta``, see `pycnn.softplus`."""


class Softsign(OfInput, operation="softsign"):
    """``x / (1 + |x|)``, see `pycnn.softsign`."""


class GELU(OfInput, operation="gelu"):
    """``x`` times the normal distribution function of x; see `pycnn.gelu`."""


class SiLU(OfInput, operation="silu"):
    """``x * sigmoid(x)``, see `pycnn.silu`."""


class Hardswish(OfInput, operation="hardswish"):
    """``x * hardsigmoid(x)``, see `pycnn.hardswish`."""


class Mish(OfInput, operation="mish"):
    """``x * tanh(softplus(x))``, see `pycnn.mish`."""


class PReLU(Layer):
    """Leaky ReLU whose slopes are learnt, one or one a channel; see `pycnn.prelu`."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.params["weight"] = constant((num_parameters,), init, dtype)

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return pycnn.prelu(x, self["weight"]), x

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        dx, dweight = pycnn.prelu_backward(dy, kept, self["weight"])
        return dx, {"weight": dweight}

    def describe(self) -> str:
        weight = self.params["weight"]
        dtype = "" if weight.dtype.name == "float32" else f", dtype={weight.dtype.name!r}"
        return f"{weight.size}{dtype}"


class Softmax(OfOutput, operation="softmax"):
    """Probabilities along an axis, by default the last; see `pycnn.softmax`."""


class LogSoftmax(OfOutput, operation="log_softmax"):
    """Their logarithms; see `pycnn.log_softmax`."""
