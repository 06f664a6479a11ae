"""Plans of convolution and its gradients: which algorithm, and what it launches.

An algorithm is a module: `conv_direct`, `conv_tiled`, `conv_gemm`. This one knows their names,
puts them in the order in which `auto` tries them, and turns their steps into a plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from pycnn.dtypes import numpy_dtype
from pycnn.plan import (
    conv_depthwise,
    conv_direct,
    conv_fft,
    conv_gemm,
    conv_implicit,
    conv_tiled,
    conv_winograd,
)
from pycnn.plan._epilogue import IDENTITY
from pycnn.plan.conv_columns import columns_1x1, columns_im2col
from pycnn.plan.conv_problem import Problem, Steps, Unfit
from pycnn.runtime.plan import ArraySpec, Buffer, Launch, Plan, Transform

#: Makes the steps within a workspace limit in bytes; raises `Unfit`.
Planner = Callable[[Problem, int], Steps]


def _unlimited(steps: Callable[[Problem], Steps]) -> Planner:
    """For what needs no workspace to speak of."""
    return lambda problem, limit: steps(problem)


PLANNERS: dict[str, dict[str, Planner]] = {
    "forward": {
        "direct": _unlimited(conv_direct.forward),
        "depthwise": _unlimited(conv_depthwise.forward),
        "direct_tiled": _unlimited(conv_tiled.forward),
        "implicit_gemm": conv_implicit.forward,
        "im2col": partial(conv_gemm.forward, lowering=columns_im2col),
        "gemm_1x1": partial(conv_gemm.forward, lowering=columns_1x1),
        "winograd_f2": partial(conv_winograd.forward, side=2),
        "winograd_f4": partial(conv_winograd.forward, side=4),
        "fft": conv_fft.forward,
    },
    "backward_input": {
        "direct": _unlimited(conv_direct.backward_input),
        "depthwise": _unlimited(conv_depthwise.backward_input),
        "direct_tiled": _unlimited(conv_tiled.backward_input),
        "implicit_gemm": conv_implicit.backward_input,
        "im2col": partial(conv_gemm.backward_input, in_place=False),
        "gemm_1x1": partial(conv_gemm.backward_input, in_place=True),
        "winograd_f2": partial(conv_winograd.backward_input, side=2),
        "winograd_f4": partial(conv_winograd.backward_input, side=4),
        "fft": conv_fft.backward_input,
    },
    "backward_weight": {
        "direct": _unlimited(conv_direct.backward_weight),
        "depthwise": _unlimited(conv_depthwise.backward_weight),
        "implicit_gemm": conv_implicit.backward_weight,
        "im2col": partial(conv_gemm.backward_weight, lowering=columns_im2col),
        "gemm_1x1": partial(conv_gemm.backward_weight, lowering=columns_1x1),
        "winograd_f2": conv_winograd.backward_weight,
        "fft": conv_fft.backward_weight,
    },
    "backward_bias": {"direct": _unlimited(conv_direct.backward_bias)},
}

#: Algorithms that take three spatial axes, and those that end the sums of dx with an epilogue,
#: which the transposed convolution needs.
THREE_AXES = ("direct", "im2col", "gemm_1x1")
FINISHES_DX = (
    "direct",
    "depthwise",
    "direct_tiled",
    "implicit_gemm",
    "winograd_f2",
    "winograd_f4",
    "fft",
)

#: What a plan of each direction computes.
OUTPUTS = {
    "forward": "y",
    "backward_input": "dx",
    "backward_weight": "dweight",
    "backward_bias": "dbias",
}


@dataclass(frozen=True)
class Algorithm:
    """One way to compute a convolution.

    Attributes
    ----------
    name : str
    workspace_bytes : int
        Memory it takes besides arguments and results; 0 if it does not fit.
    fits : bool
        Whether it can be used, within the workspace limit.
    reason : str
        Why it stands where it stands in the order of `auto`, or why it does not fit.
    """

    name: str
    workspace_bytes: int
    fits: bool
    reason: str

    def together(self, other: "Algorithm") -> "Algorithm":
        """The same algorithm for two directions, one after the other."""
        both = (self, other)
        fits = self.fits and other.fits
        reasons = dict.fromkeys(part.reason for part in both if part.fits == fits)
        most = max(part.workspace_bytes for part in both) if fits else 0
        return Algorithm(self.name, most, fits, "; ".join(reasons))


def algorithms(problem: Problem, direction: str, limit: int) -> list[Algorithm]:
    """Every algorithm of a direction, in the order in which `auto` tries them."""
    found = []
    for name, reason in _preference(problem, direction):
        try:
            steps = _planned(problem, direction, name, limit)
        except Unfit as unfit:
            found.append(Algorithm(name, 0, False, str(unfit)))
        else:
            used = sum(steps.workspace.values()) * problem.itemsize
            found.append(Algorithm(name, used, True, reason))
    return found


def plan(
    problem: Problem,
    direction: str,
    algo: str,
    limit: int,
    op: str | None = None,
    output: ArraySpec | None = None,
) -> Plan:
    """The plan of one direction.

    Parameters
    ----------
    problem : Problem
    direction : {"forward", "backward_input", "backward_weight", "backward_bias"}
    algo : str
        A name of `PLANNERS`, or "auto" for the first of `algorithms` that fits.
    limit : int
        Largest workspace in bytes.
    op : str, optional
        The operation that this is a part of; conv2d or conv2d_DIRECTION by default.
    output : ArraySpec, optional
        What is computed, as its caller sees it: same memory, other axes than those of `problem`.

    Raises
    ------
    ValueError
        If the direction has no such algorithm, or it cannot compute this problem within the
        limit.
    """
    steps, algo = _steps(problem, direction, algo, limit)
    dtype, name = numpy_dtype(problem.dtype), OUTPUTS[direction]
    if output is None:
        shapes = {
            "y": problem.y.shape,
            "dx": problem.x.shape,
            "dweight": problem.weight.shape,
            "dbias": problem.y.shape[1:2],
        }
        output = ArraySpec(shapes[name], dtype)
    return Plan(
        op or ("conv2d" if direction == "forward" else f"conv2d_{direction}"),
        algo,
        steps.launches,
        {name: output},
        {name: ArraySpec((size,), dtype) for name, size in steps.workspace.items()},
    )


def renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    """The same plan on arrays of other names: a gradient that serves as another operation."""

    def launch(found: Launch | Transform) -> Launch | Transform:
        arguments = tuple(
            replace(a, name=names.get(a.name, a.name)) if isinstance(a, Buffer) else a
            for a in found.args
        )
        return replace(found, args=arguments)

    outputs = {names.get(name, name): spec for name, spec in plan.outputs.items()}
    return replace(plan, launches=tuple(map(launch, plan.launches)), outputs=outputs)


def _steps(problem: Problem, direction: str, algo: str, limit: int) -> tuple[Steps, str]:
    """The steps, and the algorithm that "auto" has become."""
    planners = PLANNERS[direction]
    if algo != "auto" and algo not in planners:
        raise ValueError(f"algo={algo!r}; allowed for {direction}: auto, {', '.join(planners)}")
    if problem.x.shape[0] == 0:
        if direction in ("forward", "backward_input"):
            return Steps((), {}), algo
        algo = "direct"  # an empty sum is zero, which a kernel must write
    reasons = []
    for name, _ in _preference(problem, direction) if algo == "auto" else [(algo, "")]:
        try:
            return _planned(problem, direction, name, limit), name
        except Unfit as unfit:
            reasons.append(f"{name}: {unfit}")
    raise ValueError(f"algo={algo!r} does not fit; {'; '.join(reasons)}")


def _planned(problem: Problem, direction: str, name: str, limit: int) -> Steps:
    """By one algorithm, after the checks that planners need not make."""
    if problem.spatial == 3 and name not in THREE_AXES:
        raise Unfit("3 spatial axes; allowed: 2")
    plain = problem.epilogue == IDENTITY
    if direction == "backward_input" and not plain and name not in FINISHES_DX:
        raise Unfit("an epilogue after the gradient; allowed: none")
    return PLANNERS[direction][name](problem, limit)


#: Outputs a group below which most threads of a tile are idle; and outputs a group and terms of
#: their sums from which on a matrix product pays for making columns.
FEW, MANY, LONG = conv_tiled.FILTERS, 64, 256


def _preference(problem: Problem, direction: str) -> list[tuple[str, str]]:
    """Algorithms and why, the preferred one first: a rule of thumb, not yet measured on a GPU."""
    outputs, terms = problem.filters, problem.channels
    if direction == "backward_input":
        outputs, terms = terms, outputs
    terms *= problem.taps
    sizes = f"{outputs} outputs a group of {terms} terms"
    reasons = {
        "depthwise": "one filter a channel: every element of x is loaded once",
        "gemm_1x1": "it is a matrix product as it stands",
        "implicit_gemm": f"{sizes}: a matrix product that finds its columns as it goes",
        "im2col": f"{sizes}: the columns of a matrix product pay from {MANY} of {LONG} on",
        "direct_tiled": f"{sizes}: tiles reuse what they load, with no columns to make",
        "direct": f"{sizes}: tiles have idle threads below {FEW} outputs",
    }
    order = list(reasons)
    if outputs < MANY or terms < LONG:
        order = ["depthwise", "gemm_1x1", "direct_tiled", "implicit_gemm", "im2col", "direct"]
    if outputs < FEW:
        order = ["depthwise", "direct", "gemm_1x1", "implicit_gemm", "im2col", "direct_tiled"]
    if max(problem.stride) > 1:  # a product for each row of pixels: many narrow ones
        order.append(order.pop(order.index("gemm_1x1")))
    first, last = conv_winograd.preferred(problem, direction)
    last["fft"] = "it pays for filters far larger than usual"
    reasons |= first | last
    order = [*first, *order, *last]
    return [(name, reasons[name]) for name in order if name in PLANNERS[direction]]
