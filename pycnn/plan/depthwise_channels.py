"""Depthwise convolution of channels that are neighbours: kernels/conv/depthwise_nhwc.cu."""

from math import prod

from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid
from pycnn.runtime.plan import Argument, Kernel, Launch
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: THREADS of kernels/include/pycnn/depthwise_channels.cuh.
THREADS = 128

#: Most rows of outputs of a strip.
ROWS = 56


def columns(itemsize: int, side: int) -> int:
    """COLUMNS: of outputs that a thread has, as many as registers hold."""
    return 7 if itemsize == 2 and side == 3 else 4


def blocks(itemsize: int, side: int) -> int:
    """BLOCKS: of a multiprocessor."""
    return 4 - (side > 3) - (itemsize > 4)


def strip(problem: Problem) -> int:
    """Rows of outputs of a strip: long ones read little again, but are to make whole waves."""
    n, channels, height, width = problem.y.shape
    side, stride = problem.weight.shape[-1], problem.stride[0]
    across = columns(problem.itemsize, side)
    threads = n * ceil_div(channels, vector(problem)) * ceil_div(width, across)
    at_once = blocks(problem.itemsize, side) * target().processors * THREADS

    def cost(strips: int) -> tuple[int, int]:
        """Rows of x that are read one after the other."""
        waves = ceil_div(threads * strips, at_once)
        return waves * (ceil_div(height, strips) * stride + (side - stride) // 2), strips

    fewest = ceil_div(height, ROWS)
    _, found = min(map(cost, range(fewest, max(fewest, ceil_div(height, 2)) + 1)))
    return ceil_div(height, found)


def vector(problem: Problem) -> int:
    """VEC: channels of a thread."""
    return 1 if problem.itemsize > 4 else 2


def launch(problem: Problem, arrays: tuple[Argument, ...], finish: Argument) -> Launch:
    """Of the first array with the filters, into the last.

    Raises
    ------
    Unsupported
        If neighbours in a row are 2^31 elements apart.
    """
    n, channels, height, width = problem.y.shape
    side, stride = problem.weight.shape[-1], problem.stride[0]
    x, y, w = problem.x.strides, problem.y.strides, problem.weight.strides
    if max(abs(x[3]), abs(y[3])) >= 2**31:
        raise Unsupported(f"columns {x[3]} and {y[3]} elements apart; allowed: less than 2^31")
    vec, across = vector(problem), columns(problem.itemsize, side)
    rows = strip(problem)
    residual = problem.epilogue.residual or (0, 1, 0, 0)
    whole = channels % vec == 0 and all(
        s[1] == 1 and not any(step % vec for step in (s[0], *s[2:])) for s in (x, y, residual)
    )
    order = (problem.taps, side, 1)
    params = struct(
        "pycnn/depthwise_channels.cuh", "StripParams",
        x_n=x[0], x_c=x[1], x_h=x[2], x_w=x[3], y_n=y[0], y_c=y[1], y_p=y[2], y_q=y[3],
        w_c=w[0], w_r=w[2], w_s=w[3], n=n, channels=channels,
        h=problem.x.shape[2], w=problem.x.shape[3], p=height, q=width,
        top=problem.pad_begin[0], left=problem.pad_begin[1], rows=rows, vectors=whole,
        tap_order=1 if (w[0], *w[2:]) == order else -1 if (w[0], -w[2], -w[3]) == order else 0,
    )  # fmt: skip
    threads = prod((n, ceil_div(channels, vec), ceil_div(height, rows), ceil_div(width, across)))
    if threads + THREADS >= 2**31:
        raise Unsupported(f"{threads} threads; allowed: 2147483519")
    defines = [problem.scalar, ("KSIZE", str(side)), ("STRIDE", str(stride))]
    return Launch(
        Kernel("conv/depthwise_nhwc.cu", "depthwise_nhwc", tuple(defines)),
        flat_grid(threads, THREADS, "the strips of rows"),
        (THREADS, 1, 1),
        (*arrays, params, finish),
    )
