"""Activations as layers."""

from typing import Any

import pycnn
from pycnn.nn.function import Function
from pycnn.nn.init import constant
from pycnn.nn.layer import Layer


class ReLU(Function, operation="relu"):
    """``max(x, 0)``, see `pycnn.relu`."""


class ReLU6(Function, operation="relu6"):
    """``min(max(x, 0), 6)``, see `pycnn.relu6`."""


class Clip(Function, operation="clip"):
    """Between two bounds, either of which may be None; see `pycnn.clip`."""


class Hardtanh(Function, operation="hardtanh"):
    """A line between two bounds; see `pycnn.hardtanh`."""


class LeakyReLU(Function, operation="leaky_relu"):
    """``x`` where positive, ``negative_slope * x`` elsewhere; see `pycnn.leaky_relu`."""


class ELU(Function, operation="elu"):
    """``alpha * (exp(x) - 1)`` where negative; see `pycnn.elu`."""


class SELU(Function, operation="selu"):
    """ELU scaled to keep mean and variance; see `pycnn.selu`."""


class CELU(Function, operation="celu"):
    """ELU with a continuous derivative; see `pycnn.celu`."""


class Sigmoid(Function, operation="sigmoid"):
    """``1 / (1 + exp(-x))``, see `pycnn.sigmoid`."""


class Hardsigmoid(Function, operation="hardsigmoid"):
    """A sigmoid of three straight lines; see `pycnn.hardsigmoid`."""


class Tanh(Function, operation="tanh"):
    """Hyperbolic tangent, see `pycnn.tanh`."""


class Softplus(Function, operation="softplus"):
    """``log(1 + exp(beta * x)) / beta``, see `pycnn.softplus`."""


class Softsign(Function, operation="softsign"):
    """``x / (1 + |x|)``, see `pycnn.softsign`."""


class GELU(Function, operation="gelu"):
    """``x`` times the normal distribution function of x; see `pycnn.gelu`."""


class SiLU(Function, operation="silu"):
    """``x * sigmoid(x)``, see `pycnn.silu`."""


class Hardswish(Function, operation="hardswish"):
    """``x * hardsigmoid(x)``, see `pycnn.hardswish`."""


class Mish(Function, operation="mish"):
    """``x * tanh(softplus(x))``, see `pycnn.mish`."""


class PReLU(Layer):
    """Leaky ReLU whose slopes are learnt, one or one a channel; see `pycnn.prelu`."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.params["weight"] = constant((num_parameters,), init, dtype)

    def compute(self, x: Any) -> Any:
        return pycnn.prelu(x, self["weight"])


class Softmax(Function, operation="softmax"):
    """Probabilities along an axis, by default the last; see `pycnn.softmax`."""

    full_precision = True


class LogSoftmax(Function, operation="log_softmax"):
    """Their logarithms; see `pycnn.log_softmax`."""

    full_precision = True
