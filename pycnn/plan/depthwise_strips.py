"""Strips of rows of depthwise convolutions, which threads walk down."""

import numpy as np

from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid
from pycnn.runtime.plan import Argument, Buffer, Kernel, Launch
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: Arrays, and EpilogueParams.
Arguments = tuple[tuple[Argument, ...], Argument]

#: THREADS of kernels/include/pycnn/depthwise_strips.cuh.
THREADS = 128

#: Most rows of outputs of a strip.
ROWS = 56

#: Rows of cells whose time a start takes.
START = 1

#: Multiprocessors that share the gradient of the weight: the same on all GPUs, as sums are.
PARTS = 128


def strip(height: int, stride: int, start: int, across: int, at_once: int) -> int:
    """Rows of outputs of a strip: long ones read little again, but are to make whole waves.

    Parameters
    ----------
    height : int
        Rows of outputs.
    stride : int
        Rows that each of them reads.
    start : int
        How many rows could be read while a thread starts.
    across : int
        Strips beside each other.
    at_once : int
        Strips that all threads work on at a time.
    """

    def cost(strips: int) -> tuple[int, int]:
        """Rows that are read one after the other."""
        waves = ceil_div(across * strips, at_once)
        return waves * (ceil_div(height, strips) * stride + start), strips

    fewest = ceil_div(height, ROWS)
    _, found = min(map(cost, range(fewest, max(fewest, ceil_div(height, 2)) + 1)))
    return ceil_div(height, found)


def kind(problem: Problem) -> int:
    """KIND: where the tables have a problem."""
    side, stride = problem.weight.shape[-1], problem.stride[0]
    return problem.itemsize // 4 * 4 + (side > 3) * 2 + (stride > 1)


def defines(problem: Problem) -> tuple[tuple[str, str], ...]:
    """Macros of the kernels."""
    side, stride = problem.weight.shape[-1], problem.stride[0]
    return problem.scalar, ("KSIZE", str(side)), ("STRIDE", str(stride))


def cells(problem: Problem) -> tuple[int, int]:
    """Cells of 2x2 elements of dx, along its axes: the first may begin an element before it.

    Where depends on the padding: that of half a filter leaves none out.
    """
    above, before = ((pad + problem.weight.shape[-1] // 2) % 2 for pad in problem.pad_begin)
    height, width = problem.x.shape[2:]
    return ceil_div(height + above, 2), ceil_div(width + before, 2)


def walk(
    problem: Problem,
    kernel: Kernel,
    arguments: Arguments,
    across: int,
    resident: int,
    vectors: bool = False,
    dx: bool = False,
) -> Launch:
    """A thread for every strip.

    Parameters
    ----------
    problem : Problem
    kernel : Kernel
    arguments : Arguments
    across : int
        Strips beside each other.
    resident : int
        Blocks of a multiprocessor.
    vectors : bool
        Whether channels are whole vectors.
    dx : bool
        The gradient at stride 2, whose strips are of cells.

    Raises
    ------
    Unsupported
        If neighbours in a row are 2^31 elements apart, or there are too many threads.
    """
    read = (cells(problem)[0], 1, START) if dx else _read(problem)
    rows = strip(*read, across, resident * target().processors * THREADS)
    threads = across * ceil_div(read[0], rows)
    if threads + THREADS >= 2**31:
        raise Unsupported(f"{threads} threads; allowed: 2147483519")
    arrays, finish = arguments
    return Launch(
        kernel,
        flat_grid(threads, THREADS, "the strips of rows"),
        (THREADS, 1, 1),
        (*arrays, params(problem, rows, vectors), finish),
    )


def sums(
    problem: Problem,
    kernel: Kernel,
    across: int,
    groups: int,
    resident: int,
    lanes: int = 1,
    vectors: bool = False,
) -> tuple[Launch, int]:
    """Sums of dy and x over strips, and how many parts of the result they are.

    Parameters
    ----------
    problem, kernel, across, resident, vectors
        As in `walk`.
    groups : int
        Blocks of a part: a block has some channels.
    lanes : int
        Threads that work on a strip.

    Raises
    ------
    Unsupported
        As `walk`.
    """
    teams, read = THREADS // lanes, _read(problem)
    most = max(1, PARTS * resident // groups)
    rows = strip(*read, across, most * teams)
    units = across * ceil_div(read[0], rows)
    parts = min(most, ceil_div(units, teams))
    blocks = groups * parts
    if units + blocks * THREADS >= 2**31:
        raise Unsupported(f"{units} strips of rows; allowed: fewer than 2^31")
    values = struct(
        "pycnn/depthwise_strips.cuh", "TeamParams",
        strip=params(problem, rows, vectors), lanes=lanes, parts=parts, units=units,
    )  # fmt: skip
    launch = Launch(
        kernel,
        flat_grid(blocks, 1, "the parts of sums"),
        (THREADS, 1, 1),
        (Buffer("dy"), Buffer("x"), Buffer("partial"), values),
    )
    return launch, parts


def _read(problem: Problem) -> tuple[int, int, int]:
    """What `strip` wants to know of rows of y."""
    side, stride = problem.weight.shape[-1], problem.stride[0]
    return problem.y.shape[2], stride, (side - stride) // 2


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
