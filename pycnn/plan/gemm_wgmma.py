"""The versions ``wgmma`` of the matrix product: what they take, and maps of their operands."""

from dataclasses import replace

from pycnn.dtypes import numpy_dtype
from pycnn.plan._wgmma import (
    MAX_EXTENT,
    MAX_STRIDE,
    PIECE,
    TILES,
    Way,
    copied_as,
    depth,
    obstacle,
    step,
)
from pycnn.plan.gemm_problem import Gemm, Strides
from pycnn.runtime.plan import Buffer, TensorMap
from pycnn.shapes import ceil_div

#: Rows and columns, and terms of a sum, from which on "auto" takes it. A rule of thumb, not yet
#: measured on a GPU.
WIDE, LONG = 64, 64


def unsupported(problem: Gemm, aligned: bool, names: tuple[str, str] = ("a", "b")) -> str | None:
    """Why the kernel cannot compute a problem; None if it can.

    Rows of its C are contiguous; `aligned` says whether all strides of A and B, which the caller
    knows by `names`, keep 16 bytes together.
    """
    reason = obstacle()
    if reason:
        return reason
    if problem.wide and _has_16_bits(problem.dtype):
        return "sums that are not rounded; allowed: C of the operands' dtype"
    if not 1 <= problem.k <= MAX_EXTENT or max(problem.m, problem.n) > MAX_EXTENT:
        return f"extents {(problem.m, problem.n, problem.k)}; allowed: 1 to {MAX_EXTENT}"
    outer, inner = problem.batch
    if Way(min(TILES), cluster=2).tiles(problem.m, problem.n, outer * inner) >= 2**31:
        return "2^31 tiles or more"
    a, b = names
    for name, strides, shape in (
        (a, problem.a, (problem.m, problem.k)),
        (b, problem.b, (problem.k, problem.n)),
    ):
        extents = (1, 1, *shape)  # of the batch every index may be the same
        steps = [s for s, extent in zip(strides, extents, strict=True) if extent > 1]
        if min(strides[:2]) < 0 or max(strides) >= MAX_STRIDE or min(steps, default=1) < 1:
            return f"element strides {strides} of {name}; allowed: 1 to {MAX_STRIDE - 1}"
    if problem.k == 1 and not _has_16_bits(problem.dtype):
        return "sums of one term; allowed: of several, where operands have no 16 bits"
    if not aligned:
        return (
            f"element strides {problem.a} of {a} and {problem.b} of {b}; allowed: 1 for rows or "
            f"columns, and multiples of {step(problem.dtype)} for all others"
        )
    if not _has_16_bits(problem.dtype) and not problem.a[3] == problem.b[2] == 1:
        return (
            f"element strides {problem.a} of {a} and {problem.b} of {b}; allowed: 1 along a "
            "sum, which elements of 16 bits alone may lie across"
        )
    return None


def _has_16_bits(dtype: str) -> bool:
    return numpy_dtype(dtype).itemsize == 2


def preferred(problem: Gemm, aligned: bool) -> bool:
    """Whether "auto" takes it."""
    large = min(problem.m, problem.n) >= WIDE and problem.k >= LONG
    return large and unsupported(problem, aligned) is None


def operand_maps(
    problem: Gemm, a: Buffer, b: Buffer, way: Way, a_transposed: bool, b_transposed: bool
) -> tuple[TensorMap, TensorMap]:
    """The maps of both; of B a block copies its share of the cluster's."""
    (tile_m, tile_n), m, n, k = way.tile, problem.m, problem.n, problem.k
    share = tile_n // way.cluster
    return (
        operand_map(
            a, problem, problem.a, (m, k), not a_transposed, None if a_transposed else tile_m
        ),
        operand_map(
            b, problem, problem.b, (k, n), not b_transposed, share if b_transposed else None
        ),
    )


def operand_map(
    array: Buffer,
    problem: Gemm,
    strides: Strides,
    shape: tuple[int, int],
    by_rows: bool,
    blk: int | None = None,
) -> TensorMap:
    """The map of A or B: axes outer and inner batch, and the contiguous axis last.

    Parameters
    ----------
    array : Buffer
    problem : Gemm
    strides : (outer, inner, row, col)
    shape : (rows, columns)
    by_rows : bool
        Whether neighbours in memory are neighbours in a row, not in a column.
    blk : int, optional
        Rows or columns of a tile, where the contiguous axis is k; else a box has 128 bytes of
        them, and a tile is several boxes.
    """
    last = int(by_rows)
    *batch, first_step = (*strides[:2], strides[3 - last])
    extents = [extent if apart else 1 for extent, apart in zip(problem.batch, batch, strict=True)]
    steps, reach, even = [1], shape[last], step(problem.dtype)
    for extent, apart in (
        (shape[1 - last], first_step),
        (extents[1], batch[1]),
        (extents[0], batch[0]),
    ):
        # Where there is one index the stride is none of the operand's: anything a map may have.
        own = apart if extent > 1 else ceil_div(reach, even) * even
        steps.append(own)
        reach = max(reach, own * extent)
    return TensorMap(
        array,
        copied_as(problem.dtype),
        (*extents, shape[1 - last], shape[last]),
        tuple(reversed(steps)),
        (1, 1, blk or depth(problem.dtype), depth(problem.dtype)),
    )


def result_map(array: Buffer, problem: Gemm) -> TensorMap | None:
    """The map by which C is stored, a piece at a time; None where its strides have none.

    Floats are stored without.
    """
    if not _has_16_bits(problem.dtype):
        return None
    shape = (problem.m, problem.n)
    extents = (*problem.batch, problem.m)
    steps = [s for s, extent in zip(problem.c, extents, strict=False) if extent > 1]
    if any(s % step(problem.dtype) or not 0 < s < MAX_STRIDE for s in steps):
        return None
    described = operand_map(array, problem, problem.c, shape, True, PIECE[0])
    return replace(described, optional=True)
