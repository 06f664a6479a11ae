"""Which threads keep a contiguous row in registers: kernels/include/pycnn/row_vectors.cuh."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from pycnn.dtypes import FLOATS
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import Dim3
from pycnn.shapes import ceil_div

#: 16-byte vectors of an operand that a thread has, and threads of blocks with many rows and one.
VECTORS, BLOCK, LONG_BLOCK = 4, 128, 512
VECTOR_BYTES = 16


@dataclass(frozen=True)
class RowTeam:
    """A block of threads for rows of whole vectors.

    Attributes
    ----------
    name : str
        ``vectors``: some lanes of a warp have a row; or ``long_vectors``: a block.
    entry : str
        End of the entries' names.
    block : (int, int, int)
        Threads of a row, and rows.
    """

    name: str
    entry: str
    block: Dim3

    shared: ClassVar[int] = 0  # bytes of dynamic shared memory

    def blocks(self, rows: int) -> int:
        """Blocks that hold every row at once."""
        return ceil_div(rows, self.block[1])


def row_team(
    length: int, dtype: str, most: int = LONG_BLOCK * VECTORS, each: int = VECTORS
) -> RowTeam | None:
    """The team for contiguous rows of `length` elements; None where they are no whole vectors.

    `most` is how many vectors a row may have, `each` how many a thread of a block has.

    Examples
    --------
    >>> row_team(1000, "bfloat16").block, row_team(1000, "float32").block, row_team(10, "float32")
    ((32, 4, 1), (64, 1, 1), None)
    """
    vecs, ragged = divmod(length, VECTOR_BYTES // FLOATS[dtype].itemsize)
    if ragged or not 0 < vecs <= most:
        return None
    threads = ceil_div(vecs, VECTORS)
    if threads > 32:
        block = ceil_div(ceil_div(vecs, each), 32) * 32
        return RowTeam("long_vectors", "vectors_long", (block, 1, 1))
    lanes = max(2, 1 << (threads - 1).bit_length())  # two have a whole sector
    return RowTeam("vectors", "vectors", (lanes, BLOCK // lanes, 1))


def last_axis_team(shape: Ints, axis: int, dtype: str, *strides: Ints) -> RowTeam | None:
    """The team for slices along an axis, which is the last one of contiguous operands."""
    last = prod(shape[axis + 1 :]) == 1 and all(s == row_major(shape) for s in strides)
    return row_team(shape[axis], dtype) if last and 0 not in shape else None
