"""The algorithm ``depthwise``: one filter for each channel, rows of x in registers."""

from dataclasses import replace
from math import prod
from types import ModuleType

from pycnn.define.views import View
from pycnn.plan import depthwise_channels, depthwise_planes
from pycnn.plan.conv_algorithm import Algorithm, unlimited
from pycnn.plan.conv_direct import add_parts
from pycnn.plan.conv_problem import Problem, Unsupported, planned
from pycnn.plan.depthwise_strips import Arguments
from pycnn.runtime.plan import Buffer, Plan
from pycnn.runtime.target import target

#: Threads of a multiprocessor, and outputs for each of them below which ``direct``, which has a
#: thread an output, is predicted to be faster (docs/model.md). Not yet measured on a GPU.
RESIDENT, WAVES = 2048, 2

#: Filters that are compiled in.
SIDES = (3, 5)


def forward(problem: Problem) -> Plan:
    """y, a thread for a strip of rows."""
    _require(problem)
    launch = _of(problem).forward(problem, _arguments(problem, "x", Buffer("weight"), "y"))
    return planned(problem, "y", problem.y.shape, (launch,))


def backward_input(problem: Problem) -> Plan:
    """dx: y of the convolution of dy with the filters rotated; at stride 2, four of them in one."""
    _require(problem)
    of = _of(problem)
    if problem.stride == (1, 1):
        k, c, w_r, w_s = problem.weight.strides
        side = problem.weight.shape[-1]
        rotated = replace(
            problem,
            x=problem.y,
            y=problem.x,
            weight=View(problem.weight.shape, (k, c, -w_r, -w_s), problem.dtype),
            pad_begin=tuple(side - 1 - before for before in problem.pad_begin),
        )
        last = Buffer("weight", (side - 1) * (w_r + w_s) * problem.itemsize)
        launch = of.forward(rotated, _arguments(problem, "dy", last, "dx"))
    else:
        given = _arguments(problem, "dy", Buffer("weight"), "dx")
        launch = of.backward_input(problem, given)
    return planned(problem, "dx", problem.x.shape, (launch,))


def backward_weight(problem: Problem) -> Plan:
    """dweight: sums over strips of rows, then the sum of these in their order."""
    _require(problem)
    size = problem.groups * problem.taps
    launch, parts = _of(problem).backward_weight(problem)
    added = add_parts(problem, "partial", "dweight", parts, size)
    workspace = {"partial": problem.sums(parts * size)}
    return planned(problem, "dweight", problem.weight.shape, (launch, added), workspace)


def _of(problem: Problem) -> ModuleType:
    """The kernels of a layout."""
    return depthwise_channels if problem.x.channels_last else depthwise_planes


def _arguments(problem: Problem, x: str, weight: Buffer, y: str) -> Arguments:
    """Of the array that comes first with the filters, into the last."""
    *pointers, finish = problem.epilogue.arguments()
    return (Buffer(x), weight, *pointers, Buffer(y)), finish


def _require(problem: Problem) -> None:
    """Raise `Unsupported` for what is not compiled in."""
    if problem.channels > 1 or problem.filters > 1:
        raise Unsupported(
            f"{problem.channels} channels and {problem.filters} filters a group; allowed: 1 and 1"
        )
    sides = problem.weight.shape[2:]
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] not in SIDES:
        raise Unsupported(f"filter {'x'.join(map(str, sides))}; allowed: 3x3, 5x5")
    if problem.stride not in ((1, 1), (2, 2)) or problem.dilation != (1, 1):
        raise Unsupported(
            f"stride {problem.stride}, dilation {problem.dilation}; allowed: stride (1, 1) or "
            "(2, 2), dilation (1, 1)"
        )
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode}; allowed: zeros")
    if max(problem.pad_begin) >= sides[0]:
        raise Unsupported(f"padding {problem.pad_begin}; allowed: less than the filter")


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    """Few strips of rows, one after the other in a thread, leave a GPU idle."""
    outputs = prod(problem.y.shape)
    if direction == "forward" and outputs < WAVES * RESIDENT * target().processors:
        return 54, f"{outputs} outputs, too few for strips of rows; better a thread for each"
    return 60, "one filter a channel: every element of x is loaded once"


DEPTHWISE = Algorithm(
    "depthwise",
    {
        "forward": unlimited(forward),
        "backward_input": unlimited(backward_input),
        "backward_weight": unlimited(backward_weight),
    },
    _score,
)
