"""Which team of threads works on a slice of an axis: shared by softmax and the losses.

The teams are those of kernels/include/pycnn/reduce.cuh. A plan reads from here how the block is
shaped and how much of a slice waits in shared memory for the second pass over it.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.plan._strided import Ints, strided, strided_dtype
from pycnn.runtime.plan import Dim3

#: Shared memory that every architecture gives a block without being asked.
SHARED_BYTES = 48 * 1024

#: Longest slice that a warp works on; beyond, a block.
LANES_LENGTH = 1024

#: Fewest neighbouring slices that a block works on across the axis, for whole sectors.
COLUMNS = 32

#: Elements of a slice that a thread should have before it gets company.
SHARE = 16

THREADS = 256
LONG_THREADS = 512


@dataclass(frozen=True)
class Team:
    """A block of threads for slices along one axis.

    Attributes
    ----------
    name : str
        End of the entry's name: ``rows``, ``long_rows`` or ``columns``.
    block : (int, int, int)
    slots : int
        Slices that a block works on at a time.
    cached : int
        Elements of a slice that are kept in shared memory.
    shared : int
        Bytes of dynamic shared memory.
    """

    name: str
    block: Dim3
    slots: int
    cached: int
    shared: int

    def blocks(self, slices: int) -> int:
        """Blocks that hold every slice at once."""
        return -(-slices // self.slots)


def choose_team(length: int, contiguous: bool, itemsize: int, arrays: int) -> Team:
    """The team for slices of `length` elements.

    Parameters
    ----------
    length : int
        At least 1.
    contiguous : bool
        Whether neighbours of a slice are neighbours in the result; else those of the next slice.
    itemsize : int
        Bytes of an element.
    arrays : int
        Arrays of which the slice is kept in shared memory.

    Examples
    --------
    >>> choose_team(10, True, 4, 1).block, choose_team(5000, True, 4, 1).name
    ((16, 16, 1), 'long_rows')
    """
    element = itemsize * arrays
    if not contiguous:
        size = min(_power_of_two(-(-length // SHARE)), THREADS // COLUMNS)
        room = (SHARED_BYTES - THREADS * itemsize) // element
        while length * (THREADS // size) > room and size < THREADS // COLUMNS:
            size *= 2
        columns = THREADS // size
        cached = min(length, room // columns)
        return Team("columns", (columns, size, 1), columns, cached, cached * columns * element)
    partial = 32 * itemsize
    if length <= LANES_LENGTH:
        size = min(_power_of_two(length), 32)
        slots = THREADS // size
        while slots * length * element > SHARED_BYTES - partial:
            slots //= 2
        return Team("rows", (size, slots, 1), slots, length, slots * length * element)
    cached = min(length, (SHARED_BYTES - partial) // element)
    return Team("long_rows", (LONG_THREADS, 1, 1), 1, cached, cached * element)


def _power_of_two(minimum: int) -> int:
    return 1 << (minimum - 1).bit_length()


def slices_dtype(operands: int) -> np.dtype:
    """Layout of struct Slices<operands> in kernels/include/pycnn/slices.cuh."""
    counts = [(name, np.int64) for name in ("count", "length", "cached")]
    axis_stride = ("axis_stride", np.int64, (operands,))
    return np.dtype([*counts, axis_stride, ("start", strided_dtype(operands))])


def slices(shape: Ints, axis: int, operands: tuple[Ints, ...], cached: int) -> tuple[Any, ...]:
    """Value of struct Slices: all slices along `axis` of operands of `shape`.

    Parameters
    ----------
    shape : tuple of int
    axis : int
    operands : tuple of tuple of int
        Element strides of each operand.
    cached : int
        As in `Team`.
    """
    rest = shape[:axis] + shape[axis + 1 :]
    starts = tuple(s[:axis] + s[axis + 1 :] for s in operands)
    along = tuple(s[axis] for s in operands)
    return prod(rest), shape[axis], cached, along, strided(rest, starts)
