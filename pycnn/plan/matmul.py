"""Plans of products of many matrices: `pycnn.matmul`, `pycnn.linear` and its gradient."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from operator import mul

import numpy as np

from pycnn.dtypes import FLOATS, accumulator, numpy_dtype
from pycnn.plan._epilogue import IDENTITY, Epilogue
from pycnn.plan._strided import Ints, merge_axes, row_major
from pycnn.plan.conv_direct import BLOCK
from pycnn.plan.conv_problem import flat_grid
from pycnn.plan.gemm import choose, gemm_launch
from pycnn.plan.gemm_problem import Gemm, Strides
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct


@dataclass(frozen=True)
class Matrices:
    """An operand: a matrix for every index of the batch axes.

    Attributes
    ----------
    array : str
    batch : tuple of int
        Element strides of the batch axes, 0 where one matrix serves all.
    row, col : int
        Element strides within a matrix.
    """

    array: str
    batch: Ints
    row: int
    col: int


def products(
    op: str,
    output: str,
    shape: Ints,
    size: tuple[int, int, int],
    a: Matrices,
    b: Matrices,
    dtype: str,
    epilogue: Epilogue = IDENTITY,
    algo: str = "auto",
    batch: Ints = (),
) -> Plan:
    """Plan of C = epilogue(A B) for every index of `batch`.

    Parameters
    ----------
    op, output : str
        Names of the operation and of C.
    shape : tuple of int
        Of C, as it is returned: contiguous, the batch first.
    size : (m, n, k)
    a, b : Matrices
        (m, k) and (k, n).
    dtype : str
    epilogue : Epilogue, default nothing
        Channels are the columns of C.
    algo : str, default "auto"
    batch : tuple of int

    Notes
    -----
    Where B is the same for all, the batch is more rows of A, as far as strides allow. Two more
    levels are axes of a launch; beyond those there is a launch for every index.
    """
    m, n, k = size
    spec = ArraySpec(shape, numpy_dtype(dtype))
    if 0 in (m, n, *batch):
        return Plan(op, algo, (), {output: spec})
    *c_batch, c_row, _ = row_major((*batch, m, n))
    a_row = a.row
    extents: Ints
    if any(step for step, extent in zip(b.batch, batch, strict=True) if extent > 1):
        operands = (a.batch, b.batch, tuple(c_batch))
        extents, (a_steps, b_steps, c_steps) = merge_axes(batch, operands)
    else:
        both = ((*a.batch, a_row), (*c_batch, c_row))
        extents, (a_steps, c_steps) = merge_axes((*batch, m), both)
        if extents:
            extents, m = extents[:-1], extents[-1]
            a_steps, a_row = a_steps[:-1], a_steps[-1]
            c_steps, c_row = c_steps[:-1], c_steps[-1]
        b_steps = (0,) * len(extents)
    deep = max(0, len(extents) - 2)
    *_, second, first = (1, 1, *extents)
    problem = Gemm(
        m,
        n,
        k,
        dtype,
        a=_levels(a_steps, a_row, a.col),
        b=_levels(b_steps, b.row, b.col),
        c=_levels(c_steps, c_row, 1),
        batch=(second, first),
        epilogue=epilogue,
    )
    launches = []
    for place in np.ndindex(*extents[:deep]):
        at_a, at_b, at_c = (
            _at(array, place, steps, dtype)
            for array, steps in ((a.array, a_steps), (b.array, b_steps), (output, c_steps))
        )
        launches.append(gemm_launch(problem, at_a, at_b, at_c, algo=algo))
    algo = choose(problem) if algo == "auto" else algo
    return Plan(op, algo, tuple(launches), {output: spec})


def summed_product(
    op: str, output: str, shape: tuple[int, int], batch: Ints, a: Matrices, b: Matrices, dtype: str
) -> Plan:
    """Plan of the sum of a^T b over all indices of `batch`, with a and b of one row each.

    Parameters
    ----------
    op, output : str
    shape : (m, n)
        Of the sum: m columns of `a`, n columns of `b`.
    batch : tuple of int
        Axes of which as many are summed at once as strides allow; over the others products are
        added up one after the other, unrounded.
    a, b : Matrices
    dtype : str
    """
    spec = ArraySpec(shape, numpy_dtype(dtype))
    if 0 in shape:
        return Plan(op, "auto", (), {output: spec})
    extents: Ints = (0,)
    steps: tuple[Ints, ...] = ((0,), (0,))
    if 0 not in batch:
        extents, steps = merge_axes(batch, (a.batch, b.batch))
    if not extents:
        extents, steps = (1,), ((0,), (0,))
    (a_steps, b_steps), (*outer, k) = steps, extents
    several = prod(outer) > 1
    wide = several and FLOATS[dtype].is_half
    launches: list[Launch] = []
    problem = Gemm(
        *shape,
        k,
        dtype,
        a=(0, 0, a.col, a_steps[-1]),
        b=(0, 0, b_steps[-1], b.col),
        c=(0, 0, shape[1], 1),
        wide=wide,
    )
    target = "partial" if wide else output
    for number, place in enumerate(np.ndindex(*outer)):
        at_a, at_b = _at(a.array, place, a_steps, dtype), _at(b.array, place, b_steps, dtype)
        added = replace(problem, accumulate=number > 0)
        launches.append(gemm_launch(added, at_a, at_b, Buffer(target)))
    workspace = {}
    if wide:
        workspace[target] = ArraySpec(shape, accumulator(spec.dtype))
        launches.append(_rounded(target, output, prod(shape), dtype))
    return Plan(op, choose(problem), tuple(launches), {output: spec}, workspace)


def _at(array: str, place: Ints, steps: Ints, dtype: str) -> Buffer:
    """Where the matrices of an index of the outer axes begin."""
    return Buffer(array, FLOATS[dtype].itemsize * sum(map(mul, place, steps)))


def _rounded(source: str, target: str, size: int, dtype: str) -> Launch:
    """`source`, of sums, as elements of `dtype`."""
    params = struct("conv/sums.cu", "PartsParams", parts=1, size=size)
    return Launch(
        Kernel("conv/sums.cu", "conv_add_parts", (("SCALAR", SCALAR[dtype]),)),
        flat_grid(size, BLOCK, "the elements of the sum"),
        (BLOCK, 1, 1),
        (Buffer(source), Buffer(target), params),
    )


def _levels(steps: Sequence[int], row: int, col: int) -> Strides:
    """Strides of the last two batch axes, then those of the matrix."""
    *_, second, first = (0, 0, *steps)
    return second, first, row, col
