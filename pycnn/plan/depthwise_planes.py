"""Depthwise convolution of columns that are neighbours: kernels/conv/depthwise.cu."""

from pycnn.define.views import View
from pycnn.plan.conv_problem import Problem, flat_grid
from pycnn.plan.depthwise_strips import Arguments, cells, defines, kind, params, sums, walk
from pycnn.runtime.plan import Kernel, Launch
from pycnn.shapes import ceil_div

#: Bytes of a vector of columns, by bytes of an element.
VECTORS = {2: (16, 8, 4), 4: (16,), 8: ()}

#: Blocks of a multiprocessor, by bytes of an element, side of the filter and stride; and in the
#: gradient of the weight.
BLOCKS = (7, 8, 4, 5, 7, 8, 5, 6, 5, 5, 3, 3)
RESIDENT = (5, 5, 3, 3, 6, 6, 3, 3, 3, 3, 2, 2)

#: The same of the gradient of x at stride 2, by bytes of an element and side of the filter.
CELL_BLOCKS = (7, 5, 7, 5, 4, 3)

#: Bytes of an element of small maps that have a kernel of their own.
SMALL = (2, 4)


def vector(problem: Problem, dx: bool = False) -> int:
    """BYTES: of the widest vectors that rows of x are made of; those of y at stride 2 of half.

    A residual is beside y, or with `dx` beside that.
    """
    side, stride = problem.weight.shape[-1], problem.stride[0]
    *x, x_w = problem.x.strides
    *y, y_q = problem.y.strides
    *residual, residual_q = problem.epilogue.residual or (0, 0, 0, 1)
    width = problem.y.shape[3]
    if (x_w, y_q, residual_q) != (1, 1, 1) or problem.pad_begin[1] != side // 2:
        return 0
    if problem.x.shape[3] != width * stride:
        return 0
    for size in VECTORS[problem.itemsize]:
        columns = size // problem.itemsize
        outputs = columns // stride
        long, short = ((*x, *residual), y) if dx else (x, (*y, *residual))
        if not any(step % columns for step in long) and not any(
            step % outputs for step in (*short, width)
        ):
            return size
    return 0


def is_small(problem: Problem) -> bool:
    """Whether `depthwise_maps` has these maps."""
    half = problem.weight.shape[-1] // 2
    maps, sizes = (problem.x, problem.y), problem.x.shape[2:]
    return (
        problem.itemsize in SMALL
        and problem.stride == (1, 1)
        and sizes in ((7, 7), (14, 14))
        and sizes == problem.y.shape[2:]
        and tuple(problem.pad_begin) == (half, half)
        and problem.epilogue.residual is None
        and all(m == View.contiguous(m.shape, m.dtype) for m in maps)
    )


def _small(problem: Problem, arguments: Arguments) -> Launch:
    """A thread for seven rows of a map."""
    (n, channels, side, _), size = problem.x.shape, problem.itemsize
    arrays, finish = arguments
    block = 32 if 7 * side * size > 256 else 64
    macros = (problem.scalar, ("SIDE", str(side)), ("KSIZE", str(problem.weight.shape[-1])))
    return Launch(
        Kernel("conv/depthwise_maps.cu", "depthwise_maps", macros),
        flat_grid(n * channels * side // 7, block, "the maps"),
        (block, 1, 1),
        (*arrays, params(problem, side, False), finish),
    )


def columns(problem: Problem, size: int) -> int:
    """COLUMNS: outputs of a thread in a row."""
    return size // problem.itemsize // problem.stride[0] if size else 1


def forward(problem: Problem, arguments: Arguments) -> Launch:
    """Of the first array with the filters, into the last; `arguments` are those of `walk`."""
    if is_small(problem):
        return _small(problem, arguments)
    n, channels, _, width = problem.y.shape
    size = vector(problem)
    across = n * channels * ceil_div(width, columns(problem, size))
    macros = (*defines(problem), ("BYTES", str(size)))
    kernel = Kernel("conv/depthwise.cu", "depthwise_forward", macros)
    return walk(problem, kernel, arguments, across, BLOCKS[kind(problem)])


def backward_input(problem: Problem, arguments: Arguments) -> Launch:
    """Of dy with the filters, at stride 2."""
    n, channels = problem.x.shape[:2]
    size = vector(problem, dx=True)
    across = n * channels * ceil_div(cells(problem)[1], columns(problem, size))
    macros = (*defines(problem)[:-1], ("BYTES", str(size)))
    kernel = Kernel("conv/depthwise_input.cu", "depthwise_input", macros)
    return walk(problem, kernel, arguments, across, CELL_BLOCKS[kind(problem) // 2], dx=True)


def backward_weight(problem: Problem) -> tuple[Launch, int]:
    """Sums of dy and x, and how many parts of the result they are."""
    n, channels, _, width = problem.y.shape
    size = vector(problem)
    across = n * ceil_div(width, columns(problem, size))
    macros = (*defines(problem), ("BYTES", str(size)))
    kernel = Kernel("conv/depthwise_weight.cu", "depthwise_weight", macros)
    return sums(problem, kernel, across, channels, RESIDENT[kind(problem)])
