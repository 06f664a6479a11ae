"""Plans of convolution and its gradients: which algorithm, and what it launches.

An algorithm is an object in a module of its own (`pycnn.plan.conv_algorithm`). This module lists
them and puts them in the order in which ``auto`` tries them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pycnn.plan._chunks import in_brief
from pycnn.plan.choice import Candidate
from pycnn.plan.conv_algorithm import Algorithm, in_words
from pycnn.plan.conv_depthwise import DEPTHWISE
from pycnn.plan.conv_direct import DIRECT
from pycnn.plan.conv_few_channels import FEW_CHANNELS_MMA
from pycnn.plan.conv_fft import FFT
from pycnn.plan.conv_gemm import GEMM_1X1, IM2COL
from pycnn.plan.conv_implicit import IMPLICIT_GEMM
from pycnn.plan.conv_implicit_mma import (
    IMPLICIT_GEMM_FFMA,
    IMPLICIT_GEMM_MMA,
    IMPLICIT_GEMM_TF32,
    IMPLICIT_GEMM_TF32X3,
)
from pycnn.plan.conv_order import Place, in_order
from pycnn.plan.conv_problem import Problem, Unsupported
from pycnn.plan.conv_tiled import DIRECT_TILED
from pycnn.plan.conv_wgmma import IMPLICIT_GEMM_WGMMA, IMPLICIT_GEMM_WGMMA_TF32
from pycnn.plan.conv_winograd import WINOGRAD_F2, WINOGRAD_F4
from pycnn.runtime import measured
from pycnn.runtime.measured import Measured
from pycnn.runtime.plan import ArraySpec, Launch, Plan, renamed
from pycnn.runtime.target import target

#: Every algorithm, by name.
ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        DIRECT,
        DEPTHWISE,
        DIRECT_TILED,
        IMPLICIT_GEMM,
        IMPLICIT_GEMM_MMA,
        IMPLICIT_GEMM_FFMA,
        IMPLICIT_GEMM_TF32,
        IMPLICIT_GEMM_TF32X3,
        IMPLICIT_GEMM_WGMMA_TF32,
        IMPLICIT_GEMM_WGMMA,
        FEW_CHANNELS_MMA,
        IM2COL,
        GEMM_1X1,
        WINOGRAD_F2,
        WINOGRAD_F4,
        FFT,
    )
}


def names(direction: str) -> list[str]:
    """The algorithms that have a direction."""
    return [name for name, algorithm in ALGORITHMS.items() if direction in algorithm.planners]


def algorithms(problem: Problem, direction: str, limit: int) -> list[Candidate]:
    """Every algorithm of a direction, in the order in which `auto` tries them."""
    if problem.x.shape[0] == 0:  # as `plan` has it
        return [Candidate("direct", 0, True, "no images: nothing to do, or sums that are zero")]
    candidates = []
    found = measured_of(problem, direction)
    times = found.times_us if found else {}
    for algorithm, score, reason, estimate in _order(problem, direction, limit):
        name, by_name = algorithm.name, algorithm.by_name
        try:
            with in_brief():
                plan = algorithm.plan(problem, direction, limit)
        except Unsupported as unsupported:
            candidates.append(Candidate(name, 0, False, str(unsupported), score, by_name))
        else:
            reason = reason.format(sizes=in_words(problem, direction))
            size, time = plan.workspace_bytes, times.get(name)
            if found and name == found.algo:
                reason = f"measured on this GPU, {found.date}: the fastest of {len(times)}"
            elif estimate:
                reason += f"; bound by {estimate.bound}"
            candidates.append(
                Candidate(
                    name, size, True, reason, score, by_name, time, estimate and estimate.time_us
                )
            )
    return candidates


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
        A name of `ALGORITHMS`, or "auto" for the first of `algorithms` that fits.
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
    if algo != "auto" and algo not in names(direction):
        allowed = ", ".join(names(direction))
        raise ValueError(f"algo={algo!r}; allowed for {direction}: auto, {allowed}")
    if problem.x.shape[0] == 0:
        algo = "direct"  # nothing to do, or a sum that is zero, which a kernel must write
    if algo == "auto":
        places = _order(problem, direction, limit)
        tried = [place.algorithm for place in places if not place.algorithm.by_name]
    else:
        tried = [ALGORITHMS[algo]]
    reasons = []
    for algorithm in tried:
        try:
            found = algorithm.plan(problem, direction, limit, op, output)
        except Unsupported as unsupported:
            reasons.append(f"{algorithm.name}: {unsupported}")
            continue
        return found if algo == "auto" else _alone(found)
    raise ValueError(f"algo={algo!r} does not fit; {'; '.join(reasons)}")


def key_of(problem: Problem, direction: str) -> str:
    """Names a direction of a problem, but for what happens to the sums at the end.

    Examples
    --------
    >>> from pycnn.define.views import View
    >>> shapes = (1, 2, 5, 5), (3, 2, 1, 1), (1, 3, 5, 5)
    >>> key_of(Problem(*(View.contiguous(s, "float32") for s in shapes)), "forward")[:46]
    'conv forward float32 x 1,2,5,5 by 50,25,5,1 w '
    """
    arrays = (("x", problem.x), ("w", problem.weight), ("y", problem.y))
    windows = (
        ("stride", problem.stride),
        ("pad", (*problem.pad_begin, *problem.pad_end)),
        ("dilation", problem.dilation),
        ("groups", (problem.groups,)),
    )
    said = [f"{name} {_commas(v.shape)} by {_commas(v.strides)}" for name, v in arrays]
    said += [f"{name} {_commas(values)}" for name, values in windows]
    return f"conv {direction} {problem.dtype} {' '.join(said)} {problem.mode}"


def _commas(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


@dataclass(frozen=True)
class Convolving:
    """A result of an operation that is a convolution in some direction (`pycnn.plan.choice`).

    Attributes
    ----------
    result : str
    problem : Problem
    direction : str
    limit : int
        Largest workspace in bytes.
    op : str
        The operation that this is a part of.
    output : ArraySpec
        What is computed, as its caller sees it.
    names : mapping of str to str
        What the operation calls arrays that have other names in plans of convolution.
    """

    result: str
    problem: Problem
    direction: str
    limit: int
    op: str
    output: ArraySpec
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return key_of(self.problem, self.direction)

    def candidates(self) -> list[Candidate]:
        return algorithms(self.problem, self.direction, self.limit)

    def plan(self, algo: str) -> Plan:
        found = plan(self.problem, self.direction, algo, self.limit, self.op, self.output)
        return renamed(found, self.names) if self.names else found


def _alone(plan: Plan) -> Plan:
    """The same with no other kernel where an array begins at an odd place: that is an error."""
    if not any(isinstance(step, Launch) and step.unaligned for step in plan.launches):
        return plan
    launches = [
        replace(step, unaligned=None) if isinstance(step, Launch) else step
        for step in plan.launches
    ]
    return replace(plan, launches=tuple(launches))


def _order(problem: Problem, direction: str, limit: int) -> list[Place]:
    measured = measured_of(problem, direction)
    return in_order(ALGORITHMS.values(), problem, direction, limit, measured)


def measured_of(problem: Problem, direction: str) -> Measured | None:
    """What `pycnn tune` found for this very problem on the GPU at hand."""
    known = measured.on_gpu(target())
    return known.get(key_of(problem, direction)) if known else None
