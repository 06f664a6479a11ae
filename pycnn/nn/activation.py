"""Activations as layers."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pycnn
from pycnn.nn.init import constant
from pycnn.nn.layer import Layer


class _Activation(Layer):
    """A function of every element; settings as those of the operation."""

    operation: ClassVar[Callable[..., Any]]
    backward_operation: ClassVar[Callable[..., Any]]

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return type(self).operation(x, **self.settings), x

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, kept, **self.settings), {}

    def describe(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())


class ReLU(_Activation):
    """``max(x, 0)``, see `pycnn.relu`."""

    operation = staticmethod(pycnn.relu)
    backward_operation = staticmethod(pycnn.relu_backward)

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = pycnn.relu(x)
        return y, y  # positive where x is; and the next layer mostly keeps it too


class ReLU6(_Activation):
    """``min(max(x, 0), 6)``, see `pycnn.relu6`."""

    operation = staticmethod(pycnn.relu6)
    backward_operation = staticmethod(pycnn.relu6_backward)


class Clip(_Activation):
    """Between two bounds, either of which may be None; see `pycnn.clip`."""

    operation = staticmethod(pycnn.clip)
    backward_operation = staticmethod(pycnn.clip_backward)

    def __init__(self, min: float | None = None, max: float | None = None) -> None:
        super().__init__(min=min, max=max)


class LeakyReLU(_Activation):
    """``x`` where positive, ``negative_slope * x`` elsewhere; see `pycnn.leaky_relu`."""

    operation = staticmethod(pycnn.leaky_relu)
    backward_operation = staticmethod(pycnn.leaky_relu_backward)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ELU(_Activation):
    """``alpha * (exp(x) - 1)`` where negative; see `pycnn.elu`."""

    operation = staticmethod(pycnn.elu)
    backward_operation = staticmethod(pycnn.elu_backward)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class SELU(_Activation):
    """ELU scaled to keep mean and variance; see `pycnn.selu`."""

    operation = staticmethod(pycnn.selu)
    backward_operation = staticmethod(pycnn.selu_backward)


class CELU(_Activation):
    """ELU with a continuous derivative; see `pycnn.celu`."""

    operation = staticmethod(pycnn.celu)
    backward_operation = staticmethod(pycnn.celu_backward)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``, see `pycnn.sigmoid`."""

    operation = staticmethod(pycnn.sigmoid)
    backward_operation = staticmethod(pycnn.sigmoid_backward)


class Hardsigmoid(_Activation):
    """A sigmoid of three straight lines; see `pycnn.hardsigmoid`."""

    operation = staticmethod(pycnn.hardsigmoid)
    backward_operation = staticmethod(pycnn.hardsigmoid_backward)


class Tanh(_Activation):
    """Hyperbolic tangent, see `pycnn.tanh`."""

    operation = staticmethod(pycnn.tanh)
    backward_operation = staticmethod(pycnn.tanh_backward)


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``, see `pycnn.softplus`."""

    operation = staticmethod(pycnn.softplus)
    backward_operation = staticmethod(pycnn.softplus_backward)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__(beta=beta, threshold=threshold)


class Softsign(_Activation):
    """``x / (1 + |x|)``, see `pycnn.softsign`."""

    operation = staticmethod(pycnn.softsign)
    backward_operation = staticmethod(pycnn.softsign_backward)


class GELU(_Activation):
    """``x`` times the normal distribution function of x; see `pycnn.gelu`."""

    operation = staticmethod(pycnn.gelu)
    backward_operation = staticmethod(pycnn.gelu_backward)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)


class SiLU(_Activation):
    """``x * sigmoid(x)``, see `pycnn.silu`."""

    operation = staticmethod(pycnn.silu)
    backward_operation = staticmethod(pycnn.silu_backward)


class Hardswish(_Activation):
    """``x * hardsigmoid(x)``, see `pycnn.hardswish`."""

    operation = staticmethod(pycnn.hardswish)
    backward_operation = staticmethod(pycnn.hardswish_backward)


class Mish(_Activation):
    """``x * tanh(softplus(x))``, see `pycnn.mish`."""

    operation = staticmethod(pycnn.mish)
    backward_operation = staticmethod(pycnn.mish_backward)


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
        return str(self.params["weight"].size)


class _Rows(Layer):
    operation: ClassVar[Callable[..., Any]]
    backward_operation: ClassVar[Callable[..., Any]]

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = type(self).operation(x, self.axis)
        return y, y

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, kept, self.axis), {}

    def describe(self) -> str:
        return f"axis={self.axis}"


class Softmax(_Rows):
    """Probabilities along an axis, by default the last; see `pycnn.softmax`."""

    operation = staticmethod(pycnn.softmax)
    backward_operation = staticmethod(pycnn.softmax_backward)


class LogSoftmax(_Rows):
    """Their logarithms; see `pycnn.log_softmax`."""

    operation = staticmethod(pycnn.log_softmax)
    backward_operation = staticmethod(pycnn.log_softmax_backward)
