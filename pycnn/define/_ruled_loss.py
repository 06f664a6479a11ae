"""Definitions of the losses that are lines of a table: kernels/loss/pointwise_loss.cu."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pycnn.define._pointwise_loss import PointwiseBackward, PointwiseLoss
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Operation
from pycnn.define.validate import boolean, number
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.reference.cpu import pointwise_loss as cpu


class Form(NamedTuple):
    """The cost, as the kernel and the CPU path name it, its factor and its constant."""

    cost: str
    factor: float = 1.0
    parameter: float = 1.0


class Settings(NamedTuple):
    """Of a call."""

    reduction: str
    form: Form


@dataclass(frozen=True)
class Rule:
    """What one loss has that others have not.

    Attributes
    ----------
    name : str
        Of the public function.
    form : callable
        From the other settings to the cost.
    settings : mapping of str to check
        The other settings.
    weights : tuple of str
        The weights that it takes.
    batchmean : bool
        Whether the sum may be divided by the extent of the first axis.
    probabilities : bool
        Whether both tensors hold nothing but numbers from 0 to 1.
    """

    name: str
    form: Callable[..., Form]
    settings: Mapping[str, Callable[[str, Any], Any]] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    batchmean: bool = False
    probabilities: bool = False


def at_least_zero(name: str, value: Any) -> float:
    """A finite number that is not negative."""
    real = number(name, value, 0.0)
    if math.isinf(real):
        raise ValueError(f"{name}={value!r}; allowed: a finite number of at least 0")
    return real


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    real = at_least_zero(name, value)
    if real == 0:
        raise ValueError(f"{name}={value!r}; allowed: a finite number above 0")
    return real


RULES = (
    Rule("l1_loss", lambda: Form("Distance")),
    Rule(
        "smooth_l1_loss",
        lambda beta: Form("SmoothDistance", 1.0, beta) if beta else Form("Distance"),
        {"beta": at_least_zero},
    ),
    Rule(
        "huber_loss",
        lambda delta: Form("SmoothDistance", delta, delta),
        {"delta": positive},
    ),
    Rule(
        "kl_div",
        lambda log_target: Form("LogDivergence" if log_target else "Divergence"),
        {"log_target": boolean},
        batchmean=True,
    ),
    Rule(
        "binary_cross_entropy",
        lambda: Form("BinaryCrossEntropy"),
        weights=("weight",),
        probabilities=True,
    ),
)


class _Ruled:
    """What forward and backward share."""

    entry = "pointwise_loss"
    rule: Rule
    weights: tuple[str, ...]
    reductions: tuple[str, ...]

    def set_rule(self, rule: Rule) -> None:
        """Everything that follows from the line of the table."""
        self.rule = rule
        self.weights = rule.weights
        self.reductions = ("none", "sum", "mean") + ("batchmean",) * rule.batchmean

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        reduction, outputs = super().infer(views, args)  # type: ignore[misc]
        values = (check(name, getattr(args, name)) for name, check in self.rule.settings.items())
        return Settings(reduction, self.rule.form(*values)), outputs

    def reduction(self, call: Call) -> str:
        return str(call.settings.reduction)

    def options(self, call: Call) -> dict[str, Any]:
        form = call.settings.form
        return {
            "weights": ("weight",),  # whether there are any or not
            "factor": form.factor,
            "parameter": form.parameter,
            "defines": (("COST", form.cost),),
        }

    def allowed(self, call: Call) -> dict[str, Allowed]:
        if not self.rule.probabilities:
            return {}
        between = Allowed(0, 1, "0 to 1", harmless=True)
        return {"x": between, "target": between}


class RuledLoss(_Ruled, PointwiseLoss):
    """A loss of the table."""

    def __init__(self, rule: Rule) -> None:
        self.set_rule(rule)
        self.name = rule.name
        weights = (Operand(name, optional=True) for name in rule.weights)
        self.operands = (Operand("x"), Operand("target"), *weights)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        operands = arrays["x"], arrays["target"], arrays.get("weight"), call.settings.form
        return {"loss": cpu.ruled(*operands, self.divisor(call))}


class RuledBackward(_Ruled, PointwiseBackward):
    """Its gradient with respect to x."""

    def __init__(self, forward: RuledLoss) -> None:
        self.forward = forward
        self.set_rule(forward.rule)
        self.name = f"{forward.name}_backward"
        self.operands = (Operand("dy"), *forward.operands)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        operands = arrays["x"], arrays["target"], arrays.get("weight"), call.settings.form
        return {"dx": cpu.ruled_backward(arrays["dy"], *operands, self.divisor(call))}


#: Losses of the table and their gradients, by name.
RULED: dict[str, Operation] = {}
for _rule in RULES:
    _forward = RuledLoss(_rule)
    _backward = RuledBackward(_forward)
    RULED |= {_forward.name: _forward, _backward.name: _backward}
