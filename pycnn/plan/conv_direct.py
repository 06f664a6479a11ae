"""The algorithm ``direct``: no workspace, no limits, one thread (or block) a result."""

import numpy as np

from pycnn.plan.conv_problem import Problem, Steps, flat_grid, struct
from pycnn.runtime.plan import Buffer, Kernel, Launch

BLOCK = 256

#: struct PartsParams of kernels/conv/sums.cu.
PARTS = np.dtype([(name, np.int64) for name in ("parts", "size", "accumulate")])

#: Taps of a filter row that a block of direct_backward_weight sums, as in its kernel file.
TAPS = 4

#: Blocks that keep a GPU busy, and the least a block of `conv_bias_sum` should add up.
BIAS_BLOCKS = 512
BIAS_SEGMENT = 4096


def forward(problem: Problem) -> Steps:
    """y, one thread an element."""
    n, k, p, q = problem.y.shape
    bias = None if problem.epilogue.bias is None else Buffer("bias")
    launch = Launch(
        _kernel(problem, "direct_forward"),
        flat_grid(n * k * p * q, BLOCK, "the elements of y"),
        (BLOCK, 1, 1),
        (Buffer("x"), Buffer("weight"), bias, Buffer("y"), problem.params()),
    )
    return Steps((launch,), {})


def backward_input(problem: Problem) -> Steps:
    """dx, one thread an element, gathered."""
    n, c, h, w = problem.x.shape
    launch = Launch(
        _kernel(problem, "direct_backward_input"),
        flat_grid(n * c * h * w, BLOCK, "the elements of dx"),
        (BLOCK, 1, 1),
        (Buffer("dy"), Buffer("weight"), Buffer("dx"), problem.params()),
    )
    return Steps((launch,), {})


def backward_weight(problem: Problem) -> Steps:
    """dweight, one block for a few taps of a filter row."""
    k, c, r, s = problem.weight.shape
    summed = problem.x.shape[0] * problem.pixels
    block = min(BLOCK, max(32, 1 << (summed - 1).bit_length()))
    launch = Launch(
        Kernel("conv/direct_weight.cu", "direct_backward_weight", (problem.scalar,)),
        flat_grid(k * c * r * -(-s // TAPS), 1, "the filter rows"),
        (block, 1, 1),
        (Buffer("dy"), Buffer("x"), Buffer("dweight"), problem.params()),
    )
    return Steps((launch,), {})


def backward_bias(problem: Problem) -> Steps:
    """dbias: partial sums over segments of images and pixels, then the sum of these."""
    k = problem.y.shape[1]
    summed = problem.x.shape[0] * problem.pixels
    segments = max(1, min(-(-BIAS_BLOCKS // k), summed // BIAS_SEGMENT))
    kernel = Kernel("conv/sums.cu", "conv_bias_sum", (problem.scalar,))
    target = "dbias" if segments == 1 else "partial"
    arguments = (Buffer("dy"), Buffer(target), problem.params())
    launch = Launch(kernel, (k, segments, 1), (BLOCK, 1, 1), arguments)
    if segments == 1:
        return Steps((launch,), {})
    added = add_parts(problem, target, "dbias", segments, k, accumulate=False)
    return Steps((launch, added), {target: segments * k})


def add_parts(
    problem: Problem, parts: str, total: str, count: int, size: int, accumulate: bool
) -> Launch:
    """total[i] (+)= sum of `count` parts of `size` elements each, in their order."""
    params = struct(PARTS, {"parts": count, "size": size, "accumulate": accumulate})
    return Launch(
        Kernel("conv/sums.cu", "conv_add_parts", (problem.scalar,)),
        flat_grid(size, BLOCK, "the elements of the sum"),
        (BLOCK, 1, 1),
        (Buffer(parts), Buffer(total), params),
    )


def _kernel(problem: Problem, entry: str) -> Kernel:
    """Filters of 3x3 are compiled in; others are loops."""
    side = "3" if problem.weight.shape[2:] == (3, 3) else "0"
    return Kernel("conv/direct.cu", entry, (problem.scalar, ("FILTER", side)))
