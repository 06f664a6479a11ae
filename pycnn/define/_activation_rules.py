"""The table of the activations: names, settings, and what kernels get of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycnn.define.call import Call
from pycnn.define.operation import NoPeer
from pycnn.define.validate import choice, number
from pycnn.plan._map import accum_scalars, map_plan
from pycnn.reference.oracle.activation import SELU_ALPHA, SELU_SCALE
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
    settings : mapping of str to (default, check)
        The other arguments in their order.
    tried : tuple of mapping
        Settings that cases have, beside the defaults.
    file : str
        Kernel file, and beginning of its entries' names, if they are not the activation's.
    chosen : mapping of tuple to str
        Entries for some values of the settings.
    forward : str
        End of the forward entry's name, as "_backward" is of the other's.
    constants : callable
        From the settings to what the kernel gets of them.
    flops : int
        Operations an element, a function such as exp counted as one.
    torch : callable or None
        The same by PyTorch, from x and the settings by name; None for its function of that name.
    """

    name: str
    settings: Mapping[str, tuple[Any, Check]] = field(default_factory=dict)
    tried: tuple[Mapping[str, Any], ...] = ()
    file: str = ""
    chosen: Mapping[tuple[Any, ...], str] = field(default_factory=dict)
    forward: str = ""
    constants: Callable[..., tuple[float, ...]] = lambda *settings: settings
    flops: int = 1
    torch: Callable[..., Any] | None = None

    def checked(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """The settings in their order, by default where they are not `given`."""
        unknown = ", ".join(set(given) - set(self.settings))
        if unknown:
            raise TypeError(f"{self.name} has no argument {unknown}")
        return tuple(
            check(name, given.get(name, default))
            for name, (default, check) in self.settings.items()
        )

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
    found = number(name, value)
    if math.isinf(found):
        raise ValueError(f"{name}={value!r}; allowed: a finite number")
    return found


def not_zero(name: str, value: Any) -> float:
    """A finite number by which one can divide."""
    found = finite(name, value)
    if found == 0:
        raise ValueError(f"{name}={value!r}; allowed: a finite number other than zero")
    return found


def low(name: str, value: Any) -> float:
    """A lower bound; None for none."""
    return -math.inf if value is None else number(name, value)


def high(name: str, value: Any) -> float:
    """An upper bound; None for none."""
    return math.inf if value is None else number(name, value)


def form(name: str, value: Any) -> str:
    """A form of gelu."""
    return choice(name, value, ("none", "tanh"))


def clamp(x: Any, **bounds: Any) -> Any:
    """clip by PyTorch."""
    import torch

    if set(bounds.values()) <= {None}:
        raise NoPeer("PyTorch clips with at least one bound")
    return torch.clamp(x, **bounds)


def hardsigmoid(x: Any) -> Any:
    """By PyTorch, whose gradient has 1 / 6 rounded to float32: that of relu6 has not."""
    from torch.nn import functional

    return functional.relu6(x + 3) / 6 if x.requires_grad else functional.hardsigmoid(x)


def nothing(*settings: Any) -> tuple[float, ...]:
    """For kernels without constants."""
    return ()


RULES = (
    Rule("relu"),
    Rule("relu6"),
    Rule(
        "clip",
        {"min": (None, low), "max": (None, high)},
        ({"min": -1, "max": 0.5}, {"min": 0.25}, {"max": 1}, {"min": 1, "max": -1}),
        torch=clamp,
    ),
    Rule("leaky_relu", {"negative_slope": (0.01, finite)}, ({"negative_slope": -0.75},)),
    # The same kernels for three, which get alpha, scale and input_scale.
    Rule(
        "elu",
        {"alpha": (1.0, finite)},
        ({"alpha": -0.7},),
        constants=lambda alpha: (alpha, 1.0, 1.0),
        flops=3,
    ),
    Rule("selu", file="elu", constants=lambda: (SELU_ALPHA, SELU_SCALE, 1.0), flops=3),
    Rule(
        "celu",
        {"alpha": (1.0, not_zero)},
        ({"alpha": 4.0}, {"alpha": -0.5}),  # PyTorch rounds 1 / alpha to float32
        file="elu",
        constants=lambda alpha: (alpha, 1.0, 1 / alpha),
        flops=4,
    ),
    Rule("sigmoid", flops=3),
    Rule("hardsigmoid", flops=3, torch=hardsigmoid),
    Rule("tanh", forward="_forward"),  # tanh alone is a function of C
    Rule(
        "softplus",
        {"beta": (1.0, not_zero), "threshold": (20.0, number)},
        ({"beta": 2.5, "threshold": 1}, {"beta": -1}),
        flops=5,
    ),
    Rule("softsign", flops=2),
    Rule(
        "gelu",
        {"approximate": ("none", form)},
        ({"approximate": "tanh"},),
        chosen={("tanh",): "gelu_tanh"},
        constants=nothing,
        flops=3,
    ),
    Rule("silu", flops=4),
    Rule("hardswish", flops=4),
    Rule("mish", flops=8),
)
