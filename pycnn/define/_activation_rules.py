"""The table of the activations: names, settings, and what kernels get of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycnn.define.call import Arguments, Call
from pycnn.define.validate import choice, number
from pycnn.plan._map import accum_scalars, map_plan
from pycnn.reference.cpu.activation import SELU_ALPHA, SELU_SCALE
from pycnn.runtime.plan import Plan

#: Takes the name of an argument and its value, and gives the value that is meant.
Check = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Rule:
    """What one activation has that others have not.

    Attributes
    ----------
    name : str
        Of the public function, and of the functions in the references.
    settings : mapping of str to check
        The other arguments.
    file : str
        Kernel file, and beginning of its entries' names, if they are not the activation's.
    chosen : mapping of tuple to str
        Entries for some values of the settings.
    forward, backward : str
        Ends of the entries' names.
    constants : callable
        From the settings to what the kernel gets of them.
    ordered : bool
        Whether the first setting must be below the second.
    flops : int
        Operations an element, a function such as exp counted as one.
    """

    name: str
    settings: Mapping[str, Check] = field(default_factory=dict)
    file: str = ""
    chosen: Mapping[tuple[Any, ...], str] = field(default_factory=dict)
    forward: str = ""
    backward: str = "_backward"
    constants: Callable[..., tuple[float, ...]] = lambda *settings: settings
    ordered: bool = False
    flops: int = 1

    def checked(self, args: Arguments) -> tuple[Any, ...]:
        """The settings in their order."""
        values = tuple(check(name, getattr(args, name)) for name, check in self.settings.items())
        if self.ordered and not values[0] < values[1]:
            low, high = self.settings
            raise ValueError(f"{low}={values[0]} and {high}={values[1]}; allowed: {low} < {high}")
        return values

    def plan(self, call: Call, output: str, op: str, end: str) -> Plan:
        """One launch of the entry whose name ends in `end`."""
        stem = self.file or self.name
        return map_plan(
            op,
            f"activation/{stem}.cu",
            call.outputs[output].shape,
            {name: view.strides for name, view in call.views.items()},
            output,
            call.dtype,
            entry=self.chosen.get(call.settings, stem) + end,
            parameters=accum_scalars(call.dtype, *self.constants(*call.settings)),
        )


def finite(name: str, value: Any) -> float:
    """A finite number."""
    real = number(name, value)
    if math.isinf(real):
        raise ValueError(f"{name}={value!r}; allowed: a finite number")
    return real


def not_zero(name: str, value: Any) -> float:
    """A finite number by which one can divide."""
    real = finite(name, value)
    if real == 0:
        raise ValueError(f"{name}={value!r}; allowed: a finite number other than zero")
    return real


def low(name: str, value: Any) -> float:
    """A lower bound; None for none."""
    return -math.inf if value is None else number(name, value)


def high(name: str, value: Any) -> float:
    """An upper bound; None for none."""
    return math.inf if value is None else number(name, value)


def form(name: str, value: Any) -> str:
    """A form of gelu."""
    return choice(name, value, ("none", "tanh"))


def nothing(*settings: Any) -> tuple[float, ...]:
    """For kernels without constants."""
    return ()


RULES = (
    Rule("relu"),
    Rule("clip", {"min": low, "max": high}),
    # The same kernels, but for slopes at the bounds and of NaN.
    Rule(
        "hardtanh",
        {"min_val": finite, "max_val": finite},
        file="clip",
        backward="_open_backward",
        ordered=True,
    ),
    Rule("relu6", file="clip", backward="_open_backward", constants=lambda: (0.0, 6.0)),
    Rule("leaky_relu", {"negative_slope": finite}),
    # The same kernels for three, which get alpha, scale and input_scale.
    Rule(
        "elu",
        {"alpha": finite},
        constants=lambda alpha: (alpha, 1.0, 1.0),
        flops=3,
    ),
    Rule("selu", file="elu", constants=lambda: (SELU_ALPHA, SELU_SCALE, 1.0), flops=3),
    Rule(
        "celu",
        {"alpha": not_zero},
        file="elu",
        constants=lambda alpha: (alpha, 1.0, 1 / alpha),
        flops=4,
    ),
    Rule("sigmoid", flops=3),
    Rule("hardsigmoid", flops=3),
    Rule("tanh", forward="_forward"),  # tanh alone is a function of C
    Rule(
        "softplus",
        {"beta": not_zero, "threshold": number},
        flops=5,
    ),
    Rule("softsign", flops=2),
    Rule(
        "gelu",
        {"approximate": form},
        chosen={("tanh",): "gelu_tanh"},
        constants=nothing,
        flops=3,
    ),
    Rule("silu", flops=4),
    Rule("hardswish", flops=4),
    Rule("mish", flops=8),
)
