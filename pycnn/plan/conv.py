"""Plans of convolution and its gradients: which algorithm, and what it launches.

An algorithm is a module: `conv_direct`, `conv_tiled`, `conv_gemm`. This one knows their names,
puts them in the order in which `auto` tries them, and turns their steps into a plan.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from pycnn.plan import conv_direct, conv_gemm, conv_tiled
from pycnn.plan.conv_gemm import columns_1x1, columns_im2col
from pycnn.plan.conv_problem import Problem, Steps, Unfit
from pycnn.runtime.plan import ArraySpec, Plan

#: Makes the steps within a workspace limit in bytes; raises `Unfit`.
Planner = Callable[[Problem, int], Steps]


def _unlimited(steps: Callable[[Problem], Steps]) -> Planner:
    """For what needs no workspace to speak of."""
    return lambda problem, limit: steps(problem)


PLANNERS: dict[str, dict[str, Planner]] = {
    "forward": {
        "direct": _unlimited(conv_direct.forward),
        "direct_tiled": _unlimited(conv_tiled.forward),
        "im2col": partial(conv_gemm.forward, lowering=columns_im2col),
        "gemm_1x1": partial(conv_gemm.forward, lowering=columns_1x1),
    },
    "backward_input": {
        "direct": _unlimited(conv_direct.backward_input),
        "direct_tiled": _unlimited(conv_tiled.backward_input),
        "im2col": partial(conv_gemm.backward_input, in_place=False),
        "gemm_1x1": partial(conv_gemm.backward_input, in_place=True),
    },
    "backward_weight": {
        "direct": _unlimited(conv_direct.backward_weight),
        "im2col": partial(conv_gemm.backward_weight, lowering=columns_im2col),
        "gemm_1x1": partial(conv_gemm.backward_weight, lowering=columns_1x1),
    },
    "backward_bias": {"direct": _unlimited(conv_direct.backward_bias)},
}

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
            steps = PLANNERS[direction][name](problem, limit)
        except Unfit as unfit:
            found.append(Algorithm(name, 0, False, str(unfit)))
        else:
            used = sum(steps.workspace.values()) * problem.itemsize
            found.append(Algorithm(name, used, True, reason))
    return found


def plan(problem: Problem, direction: str, algo: str, limit: int, unbatched: bool = False) -> Plan:
    """The plan of one direction.

    Parameters
    ----------
    problem : Problem
    direction : {"forward", "backward_input", "backward_weight", "backward_bias"}
    algo : str
        A name of `PLANNERS`, or "auto" for the first of `algorithms` that fits.
    limit : int
        Largest workspace in bytes.
    unbatched : bool, default False
        Whether y or dx have no axis of images.

    Raises
    ------
    ValueError
        If the direction has no such algorithm, or it cannot compute this problem within the
        limit.
    """
    steps, algo = _steps(problem, direction, algo, limit)
    shapes = {
        "y": problem.y.shape[unbatched:],
        "dx": problem.x.shape[unbatched:],
        "dweight": problem.weight.shape,
        "dbias": problem.y.shape[1:2],
    }
    dtype, output = np.dtype(problem.dtype), OUTPUTS[direction]
    elements = sum(prod(v.shape) for v in (problem.x, problem.weight, problem.y))
    flops = 2 * prod(problem.y.shape) * problem.channels * problem.taps
    if direction == "backward_bias":
        elements = flops = prod(problem.y.shape)
    return Plan(
        "conv2d" if direction == "forward" else f"conv2d_{direction}",
        algo,
        steps.launches,
        {output: ArraySpec(shapes[output], dtype)},
        {name: ArraySpec((size,), dtype) for name, size in steps.workspace.items()},
        flops,
        elements * dtype.itemsize,
    )


def _steps(problem: Problem, direction: str, algo: str, limit: int) -> tuple[Steps, str]:
    """The steps, and the algorithm that "auto" has become."""
    planners = PLANNERS[direction]
    if algo != "auto" and algo not in planners:
        raise ValueError(f"algo={algo!r}; allowed for {direction}: auto, {', '.join(planners)}")
    if problem.x.shape[0] == 0:
        return Steps((), {}), algo
    reasons = []
    for name, _ in _preference(problem, direction) if algo == "auto" else [(algo, "")]:
        try:
            return planners[name](problem, limit), name
        except Unfit as unfit:
            reasons.append(f"{name}: {unfit}")
    raise ValueError(f"algo={algo!r} does not fit; {'; '.join(reasons)}")


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
        "gemm_1x1": "it is a matrix product as it stands",
        "im2col": f"{sizes}: the columns of a matrix product pay from {MANY} of {LONG} on",
        "direct_tiled": f"{sizes}: tiles reuse what they load, with no columns to make",
        "direct": f"{sizes}: tiles have idle threads below {FEW} outputs",
    }
    order = list(reasons)
    if outputs < MANY or terms < LONG:
        order = ["gemm_1x1", "direct_tiled", "im2col", "direct"]
    if outputs < FEW:
        order = ["direct", "gemm_1x1", "im2col", "direct_tiled"]
    return [(name, reasons[name]) for name in order if name in PLANNERS[direction]]
