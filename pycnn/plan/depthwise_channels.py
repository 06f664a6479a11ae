"""Depthwise convolution of channels that are neighbours: kernels/conv/depthwise_nhwc.cu."""

import numpy as np

from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid
from pycnn.runtime.plan import Argument, Buffer, Kernel, Launch
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: THREADS of kernels/include/pycnn/depthwise_strips.cuh.
THREADS = 128

#: By bytes of an element, side of the filter and stride: columns of outputs of a thread, and blocks
#: of a multiprocessor; the same in the gradient of the weight.
COLUMNS = (7, 7, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4)
BLOCKS = (4, 4, 3, 3, 4, 4, 3, 3, 3, 3, 2, 2)
OUTS = (7, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1, 1)
RESIDENT = (3, 3, 2, 2, 3, 3, 2, 2, 3, 3, 2, 2)

#: Most rows of outputs of a strip.
ROWS = 56

#: Threads with neighbouring channels in the gradient of the weight, and multiprocessors that share
#: it: the same on all GPUs, as sums are.
LANES, PARTS = 32, 128


def strip(problem: Problem, across: int, at_once: int) -> int:
    """Rows of outputs of a strip: long ones read little again, but are to make whole waves.

    Parameters
    ----------
    problem : Problem
    across : int
        Strips beside each other.
    at_once : int
        Strips that all threads work on at a time.
    """
    height = problem.y.shape[2]
    side, stride = problem.weight.shape[-1], problem.stride[0]

    def cost(strips: int) -> tuple[int, int]:
        """Rows of x that are read one after the other."""
        waves = ceil_div(across * strips, at_once)
        return waves * (ceil_div(height, strips) * stride + (side - stride) // 2), strips

    fewest = ceil_div(height, ROWS)
    _, found = min(map(cost, range(fewest, max(fewest, ceil_div(height, 2)) + 1)))
    return ceil_div(height, found)


def kind(problem: Problem) -> int:
    """KIND: where the tables have a problem."""
    side, stride = problem.weight.shape[-1], problem.stride[0]
    return problem.itemsize // 4 * 4 + (side > 3) * 2 + (stride > 1)


def vector(problem: Problem) -> int:
    """VEC: channels of a thread."""
    return 1 if problem.itemsize > 4 else 2


def forward(problem: Problem, arrays: tuple[Argument, ...], finish: Argument) -> Launch:
    """Of the first array with the filters, into the last.

    Raises
    ------
    Unsupported
        If neighbours in a row are 2^31 elements apart, or there are too many threads.
    """
    n, channels, height, width = problem.y.shape
    across = n * ceil_div(channels, vector(problem))
    across *= ceil_div(width, COLUMNS[kind(problem)])
    rows = strip(problem, across, BLOCKS[kind(problem)] * target().processors * THREADS)
    threads = across * ceil_div(height, rows)
    if threads + THREADS >= 2**31:
        raise Unsupported(f"{threads} threads; allowed: 2147483519")
    return Launch(
        Kernel("conv/depthwise_nhwc.cu", "depthwise_nhwc", defines(problem)),
        flat_grid(threads, THREADS, "the strips of rows"),
        (THREADS, 1, 1),
        (*arrays, params(problem, rows, whole(problem)), finish),
    )


def backward_weight(problem: Problem) -> tuple[Launch, int]:
    """Sums of dy and x, and how many parts of the result they are.

    Raises
    ------
    Unsupported
        As `forward`.
    """
    n, channels, height, width = problem.y.shape
    vec = vector(problem)
    lanes = min(LANES, 1 << (ceil_div(channels, vec) - 1).bit_length())
    groups, teams = ceil_div(channels, lanes * vec), THREADS // lanes
    across = n * ceil_div(width, OUTS[kind(problem)])
    most = max(1, PARTS * RESIDENT[kind(problem)] // groups)
    rows = strip(problem, across, most * teams)
    units = across * ceil_div(height, rows)
    parts = min(most, ceil_div(units, teams))
    kernel = Kernel("conv/depthwise_nhwc_weight.cu", "depthwise_nhwc_weight", defines(problem))
    counts = {"lanes": lanes, "parts": parts, "units": units}
    return sums(problem, kernel, groups * parts, rows, whole(problem), **counts), parts


def sums(
    problem: Problem, kernel: Kernel, blocks: int, rows: int, vectors: bool, **counts: int
) -> Launch:
    """Parts of the gradient of the weight, whose TeamParams have these counts."""
    if counts["units"] + blocks * THREADS >= 2**31:
        raise Unsupported(f"{counts['units']} strips of rows; allowed: fewer than 2^31")
    strips = params(problem, rows, vectors)
    values = struct("pycnn/depthwise_strips.cuh", "TeamParams", strip=strips, **counts)
    return Launch(
        kernel,
        flat_grid(blocks, 1, "the parts of sums"),
        (THREADS, 1, 1),
        (Buffer("dy"), Buffer("x"), Buffer("partial"), values),
    )


def defines(problem: Problem) -> tuple[tuple[str, str], ...]:
    """Macros of the kernels."""
    side, stride = problem.weight.shape[-1], problem.stride[0]
    return problem.scalar, ("KSIZE", str(side)), ("STRIDE", str(stride))


def whole(problem: Problem) -> bool:
    """Whether channels are whole vectors in memory."""
    vec, residual = vector(problem), problem.epilogue.residual or (0, 1, 0, 0)
    views = problem.x.strides, problem.y.strides, residual
    return problem.y.shape[1] % vec == 0 and all(
        s[1] == 1 and not any(step % vec for step in (s[0], *s[2:])) for s in views
    )


def params(problem: Problem, rows: int, vectors: bool) -> np.void:
    """StripParams, with strips of so many rows."""
    n, channels, height, width = problem.y.shape
    x, y, w = problem.x.strides, problem.y.strides, problem.weight.strides
    if max(abs(x[3]), abs(y[3])) >= 2**31:
        raise Unsupported(f"columns {x[3]} and {y[3]} elements apart; allowed: less than 2^31")
    order = (problem.taps, problem.weight.shape[-1], 1)
    return struct(
        "pycnn/depthwise_strips.cuh", "StripParams",
        x_n=x[0], x_c=x[1], x_h=x[2], x_w=x[3], y_n=y[0], y_c=y[1], y_p=y[2], y_q=y[3],
        w_c=w[0], w_r=w[2], w_s=w[3], n=n, channels=channels,
        h=problem.x.shape[2], w=problem.x.shape[3], p=height, q=width,
        top=problem.pad_begin[0], left=problem.pad_begin[1], rows=rows, vectors=vectors,
        tap_order=1 if (w[0], *w[2:]) == order else -1 if (w[0], -w[2], -w[3]) == order else 0,
    )  # fmt: skip
