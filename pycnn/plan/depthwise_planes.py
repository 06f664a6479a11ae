"""Depthwise convolution of columns that are neighbours: kernels/conv/depthwise.cu."""

from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid
from pycnn.plan.depthwise_channels import PARTS, THREADS, defines, kind, params, strip, sums
from pycnn.runtime.plan import Argument, Kernel, Launch
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: Bytes of a vector of columns, by bytes of an element.
VECTORS = {2: (16, 8, 4), 4: (16,), 8: ()}

#: Blocks of a multiprocessor, by bytes of an element, side of the filter and stride; and in the
#: gradient of the weight.
BLOCKS = (7, 8, 4, 5, 7, 8, 5, 6, 5, 5, 3, 3)
RESIDENT = (5, 5, 3, 3, 6, 6, 3, 3, 3, 3, 2, 2)


def vector(problem: Problem) -> int:
    """BYTES: of the widest vectors that rows of x are made of; those of y at stride 2 of half."""
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
        if not any(step % columns for step in x) and not any(
            step % outputs for step in (*y, *residual, width)
        ):
            return size
    return 0


def columns(problem: Problem, size: int) -> int:
    """COLUMNS: outputs of a thread in a row."""
    return size // problem.itemsize // problem.stride[0] if size else 1


def forward(problem: Problem, arrays: tuple[Argument, ...], finish: Argument) -> Launch:
    """Of the first array with the filters, into the last.

    Raises
    ------
    Unsupported
        If neighbours in a row are 2^31 elements apart, or there are too many threads.
    """
    n, channels, height, width = problem.y.shape
    size = vector(problem)
    across = n * channels * ceil_div(width, columns(problem, size))
    rows = strip(problem, across, BLOCKS[kind(problem)] * target().processors * THREADS)
    threads = across * ceil_div(height, rows)
    if threads + THREADS >= 2**31:
        raise Unsupported(f"{threads} threads; allowed: 2147483519")
    return Launch(
        Kernel("conv/depthwise.cu", "depthwise_forward", (*defines(problem), ("BYTES", str(size)))),
        flat_grid(threads, THREADS, "the strips of rows"),
        (THREADS, 1, 1),
        (*arrays, params(problem, rows, False), finish),
    )


def backward_weight(problem: Problem) -> tuple[Launch, int]:
    """Sums of dy and x, and how many parts of the result they are.

    Raises
    ------
    Unsupported
        As `forward`.
    """
    n, channels, height, width = problem.y.shape
    size = vector(problem)
    across = n * ceil_div(width, columns(problem, size))
    most = max(1, PARTS * RESIDENT[kind(problem)] // channels)
    rows = strip(problem, across, most * THREADS)
    units = across * ceil_div(height, rows)
    parts = min(most, ceil_div(units, THREADS))
    macros = (*defines(problem), ("BYTES", str(size)))
    kernel = Kernel("conv/depthwise_weight.cu", "depthwise_weight", macros)
    counts = {"lanes": 1, "parts": parts, "units": units}
    return sums(problem, kernel, channels * parts, rows, False, **counts), parts
