"""What the definitions of convolution and of its transpose share: settings, and their checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycnn.define.call import Arguments, Call
from pycnn.define.conv_layout import Layout
from pycnn.define.operation import Arrays
from pycnn.define.validate import boolean, check_shape, choice, slope_of
from pycnn.define.views import View
from pycnn.plan import conv as plans
from pycnn.plan._epilogue import ACTIVATIONS, Epilogue
from pycnn.plan.conv_problem import Ints, Problem

#: Gradients by what is computed, and the direction that computes it.
GRADIENTS = {"dx": "backward_input", "dweight": "backward_weight", "dbias": "backward_bias"}

#: The environment variable that limits workspace.
LIMIT = "PYCNN_WORKSPACE_LIMIT"

#: Operands of the epilogue, and the settings that say what happens beside them.
FINISH = ("scale", "shift", "residual")


@dataclass(frozen=True)
class Settings:
    """A convolution, checked.

    Attributes
    ----------
    layout : Layout
    problem : Problem
        In the words of plans, all arrays as they are given or contiguous.
    algo : str
    limit : int
        Largest workspace in bytes.
    needs : tuple of str
        Of gradients, which.
    """

    layout: Layout
    problem: Problem
    algo: str
    limit: int
    needs: tuple[str, ...] = ()


def epilogue(
    views: Mapping[str, View],
    layout: Layout,
    y: Ints,
    args: Arguments,
    defaults: Mapping[str, Any],
) -> Epilogue:
    """What happens to the sums of y (N, K, ...), checked."""
    steps: dict[str, Any] = {}
    for name in ("bias", "scale", "shift"):
        if name in views:
            check_shape(name, views[name].shape, (y[1],), "one value a filter")
            steps[name] = views[name].strides[0]
    beside = None
    if "residual" in views:
        check_shape(
            "residual", views["residual"].shape, layout.arranged(y), "the shape of the result"
        )
        beside = layout.view(views["residual"]).strides
    usual = defaults["negative_slope"]
    slope = slope_of(args.activation, args.negative_slope, usual, ACTIVATIONS)
    return Epilogue(**steps, residual=beside, activation=args.activation, slope=slope)


def finish(call: Call, arrays: Arrays) -> dict[str, Any]:
    """Arguments of the references' functions for what comes after the bias."""
    s = call.settings
    operands = {name: arrays[name] for name in FINISH if name in arrays}
    if "residual" in operands:
        operands["residual"] = s.layout.images(operands["residual"])
    end = s.problem.epilogue
    return {**operands, "activation": end.activation, "slope": end.slope}


def needed_gradients(needs: Any) -> tuple[str, ...]:
    """Names of the gradients that the argument `needs` asks for."""
    if not isinstance(needs, (tuple, list)) or len(needs) != 3:
        raise ValueError(f"needs={needs!r}; allowed: (bool, bool, bool) for input, weight, bias")
    return tuple(n for n, need in zip(GRADIENTS, needs, strict=True) if boolean("needs", need))


def check_algorithm(algo: Any, directions: Sequence[str]) -> None:
    """`algo` is "auto" or an algorithm of every direction."""
    if algo != "auto":
        fitting = [a.name for a in plans.ALGORITHMS.values() if {*directions} <= a.planners.keys()]
        choice("algo", algo, ("auto", *fitting))


def refuse_kernel_algorithm(algo: str) -> None:
    """The CPU path has methods of its own."""
    if algo != "auto":
        raise ValueError(
            f"algo={algo!r}; allowed on the backend reference: auto (the kernels run on CuPy "
            "arrays, or with pycnn.use_backend('emulator'))"
        )
