"""Activations as layers."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pycnn import ops
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

    operation = staticmethod(ops.relu)
    backward_operation = staticmethod(ops.relu_backward)

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = ops.relu(x)
        return y, y  # positive where x is; and the next layer mostly keeps it too


class ReLU6(_Activation):
    """``min(max(x, 0), 6)``, see `pycnn.relu6`."""

    operation = staticmethod(ops.relu6)
    backward_operation = staticmethod(ops.relu6_backward)


class Clip(_Activation):
    """Between two bounds, either of which may be None; see `pycnn.clip`."""

    operation = staticmethod(ops.clip)
    backward_operation = staticmethod(ops.clip_backward)

    def __init__(self, min: float | None = None, max: float | None = None) -> None:
        super().__init__(min=min, max=max)


class LeakyReLU(_Activation):
    """``x`` where positive, ``negative_slope * x`` elsewhere; see `pycnn.leaky_relu`."""

    operation = staticmethod(ops.leaky_relu)
    backward_operation = staticmethod(ops.leaky_relu_backward)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ELU(_Activation):
    """``alpha * (exp(x) - 1)`` where negative; see `pycnn.elu`."""

    operation = staticmethod(ops.elu)
    backward_operation = staticmethod(ops.elu_backward)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class SELU(_Activation):
    """ELU scaled to keep mean and variance; see `pycnn.selu`."""

    operation = staticmethod(ops.selu)
    backward_operation = staticmethod(ops.selu_backward)


class CELU(_Activation):
    """ELU with a continuous derivative; see `pycnn.celu`."""

    operation = staticmethod(ops.celu)
    backward_operation = staticmethod(ops.celu_backward)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``, see `pycnn.sigmoid`."""

    operation = staticmethod(ops.sigmoid)
    backward_operation = staticmethod(ops.sigmoid_backward)


class Hardsigmoid(_Activation):
    """A sigmoid of three straight lines; see `pycnn.hardsigmoid`."""

    operation = staticmethod(ops.hardsigmoid)
    backward_operation = staticmethod(ops.hardsigmoid_backward)


class Tanh(_Activation):
    """Hyperbolic tangent, see `pycnn.tanh`."""

    operation = staticmethod(ops.tanh)
    backward_operation = staticmethod(ops.tanh_backward)


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``, see `pycnn.softplus`."""

    operation = staticmethod(ops.softplus)
    backward_operation = staticmethod(ops.softplus_backward)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__(beta=beta, threshold=threshold)


class Softsign(_Activation):
    """``x / (1 + |x|)``, see `pycnn.softsign`."""

    operation = staticmethod(ops.softsign)
    backward_operation = staticmethod(ops.softsign_backward)


class GELU(_Activation):
    """``x`` times the normal distribution function of x; see `pycnn.gelu`."""

    operation = staticmethod(ops.gelu)
    backward_operation = staticmethod(ops.gelu_backward)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)


class SiLU(_Activation):
    """``x * sigmoid(x)``, see `pycnn.silu`."""

    operation = staticmethod(ops.silu)
    backward_operation = staticmethod(ops.silu_backward)


class Hardswish(_Activation):
    """``x * hardsigmoid(x)``, see `pycnn.hardswish`."""

    operation = staticmethod(ops.hardswish)
    backward_operation = staticmethod(ops.hardswish_backward)


class Mish(_Activation):
    """``x * tanh(softplus(x))``, see `pycnn.mish`."""

    operation = staticmethod(ops.mish)
    backward_operation = staticmethod(ops.mish_backward)


class PReLU(Layer):
    """Leaky ReLU whose slopes are learnt, one or one a channel; see `pycnn.prelu`."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.params["weight"] = constant((num_parameters,), init, dtype)

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return ops.prelu(x, self["weight"]), x

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        dx, dweight = ops.prelu_backward(dy, kept, self["weight"])
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

    operation = staticmethod(ops.softmax)
    backward_operation = staticmethod(ops.softmax_backward)


class LogSoftmax(_Rows):
    """Their logarithms; see `pycnn.log_softmax`."""

    operation = staticmethod(ops.log_softmax)
    backward_operation = staticmethod(ops.log_softmax_backward)
