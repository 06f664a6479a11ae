"""The algorithm ``direct``: no workspace, no limits, one thread (or block) a result."""

from math import prod

from pycnn.define.views import View
from pycnn.plan.conv_algorithm import FEW, Algorithm, product, unlimited
from pycnn.plan.conv_problem import Problem, flat_grid, planned
from pycnn.plan.reduce import reduction
from pycnn.runtime.plan import Buffer, Kernel, Launch, Plan, renamed
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

BLOCK = 256

#: Taps of a filter row that a block of direct_backward_weight sums, as in its kernel file.
TAPS = 4

#: From so many parts on, warps of a block share them.
WARP, MANY_PARTS = 32, 8


def forward(problem: Problem) -> Plan:
    """y, one thread an element."""
    return _by_element(problem, "direct_forward", ("x", "y"), problem.y)


def backward_input(problem: Problem) -> Plan:
    """dx, one thread an element, gathered."""
    return _by_element(problem, "direct_backward_input", ("dy", "dx"), problem.x)


def _by_element(problem: Problem, entry: str, names: tuple[str, str], result: View) -> Plan:
    """One launch from the array names[0] to names[1], which is `result`."""
    if problem.x.shape[0] == 0:
        return planned(problem, names[1], result.shape, ())
    *pointers, finish = problem.epilogue.arguments()
    params = problem.params(channels_last=result.channels_last)
    launch = Launch(
        _kernel(problem, entry),
        flat_grid(prod(result.shape), BLOCK, f"the elements of {names[1]}"),
        (BLOCK, 1, 1),
        (Buffer(names[0]), Buffer("weight"), *pointers, Buffer(names[1]), params, finish),
    )
    return planned(problem, names[1], result.shape, (launch,))


def backward_weight(problem: Problem) -> Plan:
    """dweight, one block for a few taps of a filter row."""
    *rows, s = problem.weight.shape
    summed = problem.x.shape[0] * problem.pixels
    block = min(BLOCK, max(32, 1 << max(summed - 1, 0).bit_length()))
    launch = Launch(
        Kernel("conv/direct_weight.cu", "direct_backward_weight", (problem.scalar,)),
        flat_grid(prod(rows) * ceil_div(s, TAPS), 1, "the filter rows"),
        (block, 1, 1),
        (Buffer("dy"), Buffer("x"), Buffer("dweight"), problem.params()),
    )
    return planned(problem, "dweight", problem.weight.shape, (launch,))


def backward_bias(problem: Problem) -> Plan:
    """dbias: the sum of dy over all axes but that of the filters."""
    (n, k, *pixels), strides = problem.y.shape, problem.y.strides
    others = (0, *range(2, 2 + len(pixels)))
    found = reduction("sum", (n, k, *pixels), strides, others, problem.dtype, (k,))
    launches = renamed(found, {"x": "dy", "y": "dbias"}).launches
    return planned(problem, "dbias", (k,), launches, found.workspace)


def add_parts(problem: Problem, parts: str, total: str, count: int, size: int) -> Launch:
    """total[i] = sum of `count` parts of `size` elements each, in an order of their number.

    Parts are of the type that sums are kept in.
    """
    params = struct("conv/sums.cu", "PartsParams", parts=count, size=size)
    entry, block = "conv_add_parts", (BLOCK, 1, 1)
    if count >= MANY_PARTS:
        entry, block = "conv_add_many_parts", (WARP, BLOCK // WARP, 1)
    return Launch(
        Kernel("conv/sums.cu", entry, (problem.scalar,)),
        flat_grid(size, block[0], "the elements of the sum"),
        block,
        (Buffer(parts), Buffer(total), params),
    )


def _kernel(problem: Problem, entry: str) -> Kernel:
    """Filters of 3x3 are compiled in; others are loops."""
    side = "3" if problem.weight.shape[-2:] == (3, 3) else "0"
    return Kernel("conv/direct.cu", entry, (problem.scalar, ("KSIZE", side)))


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    few = product(problem, direction)[0] < FEW
    return 55 if few else 10, f"{{sizes}}: tiles have idle threads below {FEW} outputs"


DIRECT = Algorithm(
    "direct",
    {
        "forward": unlimited(forward),
        "backward_input": unlimited(backward_input),
        "backward_weight": unlimited(backward_weight),
        "backward_bias": unlimited(backward_bias),
    },
    _score,
    spatial=3,
)
