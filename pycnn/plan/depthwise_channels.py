"""Depthwise convolution of channels that are neighbours: kernels/conv/depthwise_nhwc.cu."""

from pycnn.plan.conv_problem import Problem
from pycnn.plan.depthwise_strips import Arguments, cells, defines, kind, sums, walk
from pycnn.runtime.plan import Kernel, Launch
from pycnn.shapes import ceil_div

#: By bytes of an element, side of the filter and stride: columns of outputs of a thread, and blocks
#: of a multiprocessor; the same in the gradient of the weight.
COLUMNS = (7, 7, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4)
BLOCKS = (4, 4, 3, 3, 4, 4, 3, 3, 3, 3, 2, 2)
OUTS = (7, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1, 1)
RESIDENT = (3, 3, 2, 2, 3, 3, 2, 2, 3, 3, 2, 2)

#: Of the gradient of x at stride 2, by bytes of an element and side of the filter: pairs of columns
#: of a thread, and blocks of a multiprocessor.
PAIRS = (2, 2, 2, 2, 2, 2)
CELL_BLOCKS = (7, 4, 6, 3, 4, 2)

#: Threads with neighbouring channels in the gradient of the weight.
LANES = 32


def vector(problem: Problem) -> int:
    """VEC: channels of a thread."""
    return 1 if problem.itemsize > 4 else 2


def forward(problem: Problem, arguments: Arguments) -> Launch:
    """Of the first array with the filters, into the last; `arguments` are those of `walk`."""
    n, channels, _, width = problem.y.shape
    across = n * ceil_div(channels, vector(problem))
    across *= ceil_div(width, COLUMNS[kind(problem)])
    kernel = Kernel("conv/depthwise_nhwc.cu", "depthwise_nhwc", defines(problem))
    return walk(problem, kernel, arguments, across, BLOCKS[kind(problem)], whole(problem))


def backward_input(problem: Problem, arguments: Arguments) -> Launch:
    """Of dy with the filters, at stride 2."""
    n, channels = problem.x.shape[:2]
    of = kind(problem) // 2
    across = n * ceil_div(channels, vector(problem)) * ceil_div(cells(problem)[1], PAIRS[of])
    macros = defines(problem)[:-1]
    kernel = Kernel("conv/depthwise_nhwc_input.cu", "depthwise_nhwc_input", macros)
    return walk(problem, kernel, arguments, across, CELL_BLOCKS[of], whole(problem), dx=True)


def backward_weight(problem: Problem) -> tuple[Launch, int]:
    """Sums of dy and x, and how many parts of the result they are."""
    n, channels, _, width = problem.y.shape
    vec = vector(problem)
    lanes = min(LANES, 1 << (ceil_div(channels, vec) - 1).bit_length())
    groups = ceil_div(channels, lanes * vec)
    across = n * ceil_div(width, OUTS[kind(problem)])
    kernel = Kernel("conv/depthwise_nhwc_weight.cu", "depthwise_nhwc_weight", defines(problem))
    resident = RESIDENT[kind(problem)]
    return sums(problem, kernel, across, groups, resident, lanes, whole(problem))


def whole(problem: Problem) -> bool:
    """Whether channels are whole vectors in memory."""
    vec, residual = vector(problem), problem.epilogue.residual or (0, 1, 0, 0)
    views = problem.x.strides, problem.y.strides, residual
    return problem.y.shape[1] % vec == 0 and all(
        s[1] == 1 and not any(step % vec for step in (s[0], *s[2:])) for s in views
    )
