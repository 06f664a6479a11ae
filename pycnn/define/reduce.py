"""Definitions of the reductions over axes, and of their gradients."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, check_shape, integer, normalise_axis
from pycnn.define.views import View
from pycnn.plan import reduce as plans
from pycnn.reference.cpu import reduce as cpu
from pycnn.runtime.plan import Plan

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reduced:
    """What is reduced of x.

    Attributes
    ----------
    shape : tuple of int
        Of x.
    axes : tuple of int
        From the front, in order.
    keepdims : bool
    """

    shape: Shape
    axes: Shape
    keepdims: bool

    @property
    def result(self) -> Shape:
        """Shape of y."""
        if self.keepdims:
            return tuple(1 if a in self.axes else e for a, e in enumerate(self.shape))
        return tuple(e for a, e in enumerate(self.shape) if a not in self.axes)

    @property
    def count(self) -> int:
        """Terms of one result."""
        return prod(self.shape[a] for a in self.axes)

    def strides(self, view: View) -> Shape:
        """Of an array shaped as y, over the axes of x: 0 where they are reduced."""
        if self.keepdims:
            return tuple(0 if a in self.axes else s for a, s in enumerate(view.strides))
        left = iter(view.strides)
        return tuple(0 if a in self.axes else next(left) for a in range(len(self.shape)))


def reduced(shape: Shape, axis: Any, keepdims: Any) -> Reduced:
    """Check `axis`, an int, a tuple of them or None for all, and `keepdims`."""
    rank = len(shape)
    if axis is None:
        axes = tuple(range(rank))
    elif isinstance(axis, (tuple, list)):
        if not axis:
            raise ValueError(f"axis={axis!r}; allowed: an int, a tuple of one or more, or None")
        axes = tuple(sorted(normalise_axis("axis", a, rank) for a in axis))
        if len(set(axes)) < len(axes):
            raise ValueError(f"axis={axis!r}; allowed: every axis once")
    else:
        axes = (normalise_axis("axis", axis, rank),)
    return Reduced(shape, axes, boolean("keepdims", keepdims))


class Reduction(Operation):
    """Base of those with one value for each slice."""

    family = "reduce"
    operands = (Operand("x"),)
    #: Name in the references.
    function: str
    #: Whether there is a value for no terms.
    empty = False

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        problem = reduced(views["x"].shape, args.axis, args.keepdims)
        refuse_nothing(self, problem)
        return problem, {"y": (problem.result, None)}

    def plan(self, call: Call) -> Plan:
        x, problem = call.views["x"], call.settings
        strides = x.strides, problem.axes
        return plans.reduction(self.name, x.shape, *strides, call.dtype, problem.result)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        arguments = (arrays["x"], call.settings.axes, call.settings.keepdims, out)
        return {"y": getattr(cpu, self.function)(*arguments)}

    def flops(self, call: Call) -> int:
        return prod(call.settings.shape)


class Sum(Reduction):
    """Sum of the elements along axes."""

    name = "sum"
    function = "total"
    empty = True


class Mean(Sum):
    """Sum of the elements along axes, by their number."""

    name = "mean"
    function = "mean"


class Amax(Reduction):
    """Largest element along axes."""

    name = function = "amax"


class Amin(Reduction):
    """Smallest element along axes."""

    name = function = "amin"


class Argmax(Reduction):
    """Place of the largest element along an axis."""

    name = function = "argmax"
    no_gradient = "a place does not change continuously"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        if args.axis is not None:
            integer("axis", args.axis, -(2**31))
        problem = reduced(views["x"].shape, args.axis, args.keepdims)
        refuse_nothing(self, problem)
        return problem, {"y": (problem.result, "int64")}

    def plan(self, call: Call) -> Plan:
        x, problem = call.views["x"], call.settings
        return plans.argmax(self.name, x.shape, x.strides, problem.axes, call.dtype, problem.result)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        arguments = arrays["x"], _one(call), call.settings.keepdims, out
        return {"y": getattr(cpu, self.function)(*arguments)}


class Argmin(Argmax):
    """Place of the smallest element along an axis."""

    name = function = "argmin"


def _one(call: Call) -> int | None:
    """The axis, or None for all of several."""
    axes = call.settings.axes
    return axes[0] if len(axes) == 1 else None


def refuse_nothing(op: Reduction, problem: Reduced) -> None:
    """There is no largest of no elements."""
    if not op.empty and problem.count == 0 and 0 not in problem.result:
        raise ValueError(
            f"x has shape {problem.shape}, with nothing along axis {problem.axes}; "
            f"allowed for {op.name}: at least one element"
        )


SUM, MEAN, AMAX, AMIN, ARGMAX, ARGMIN = Sum(), Mean(), Amax(), Amin(), Argmax(), Argmin()


class SumBackward(Gradient):
    """dy for every term."""

    name = "sum_backward"
    family = "reduce"
    forward = SUM
    operands = (Operand("dy"),)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        if not isinstance(args.shape, (tuple, list)):
            raise TypeError(
                f"shape={args.shape!r} is of type {type(args.shape).__name__}; allowed: tuple"
            )
        problem = reduced(
            tuple(integer("shape", e, 0) for e in args.shape), args.axis, args.keepdims
        )
        check_shape("dy", views["dy"].shape, problem.result, "that of the result")
        return problem, {"dx": (problem.shape, None)}

    def divisor(self, problem: Reduced) -> int:
        return 1

    def plan(self, call: Call) -> Plan:
        problem = call.settings
        strides = problem.strides(call.views["dy"]), problem.axes
        divisor = float(self.divisor(problem))
        return plans.broadcast(self.name, problem.shape, *strides, call.dtype, divisor)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        problem = call.settings
        divisor = self.divisor(problem)
        return {"dx": cpu.total_backward(arrays["dy"], problem.shape, problem.axes, divisor, out)}

    def flops(self, call: Call) -> int:
        return prod(call.settings.shape)


class MeanBackward(SumBackward):
    """dy for every term, by their number."""

    name = "mean_backward"
    forward = MEAN

    def divisor(self, problem: Reduced) -> int:
        return problem.count


class AmaxBackward(Gradient):
    """dy for the elements that equal the extreme, shared evenly."""

    name = "amax_backward"
    family = "reduce"
    forward: Operation = AMAX
    operands = (Operand("dy"), Operand("x"), Operand("y"))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        problem = reduced(views["x"].shape, args.axis, args.keepdims)
        for name in ("dy", "y"):
            check_shape(name, views[name].shape, problem.result, "that of the result")
        return problem, {"dx": (problem.shape, None)}

    def plan(self, call: Call) -> Plan:
        problem, views = call.settings, call.views
        kept = problem.strides(views["dy"]), problem.strides(views["y"])
        x = views["x"].strides
        return plans.extreme(self.name, problem.shape, x, kept, problem.axes, call.dtype)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        arguments = arrays["dy"], arrays["x"], arrays["y"], call.settings.axes
        return {"dx": cpu.extreme_backward(*arguments, out)}

    def flops(self, call: Call) -> int:
        return 2 * prod(call.settings.shape)


class AminBackward(AmaxBackward):
    """dy for the elements that equal the smallest, shared evenly."""

    name = "amin_backward"
    forward = AMIN


SUM_BACKWARD, MEAN_BACKWARD = SumBackward(), MeanBackward()
AMAX_BACKWARD, AMIN_BACKWARD = AmaxBackward(), AminBackward()

DEFINITIONS = (
    *(SUM, SUM_BACKWARD, MEAN, MEAN_BACKWARD),
    *(AMAX, AMAX_BACKWARD, AMIN, AMIN_BACKWARD, ARGMAX, ARGMIN),
)
