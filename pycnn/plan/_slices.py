"""Which team of threads works on a slice of an axis: shared by softmax and the losses.

The teams are those of kernels/include/pycnn/reduce.cuh. A plan reads from here how the block is
shaped and how much of a slice waits in shared memory for the second pass over it.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.plan._strided import Ints, merge_axes, strided
from pycnn.runtime.plan import Dim3
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: Shared memory that every architecture gives a block without being asked.
SHARED_BYTES = 48 * 1024

#: Longest slice that a warp works on; beyond, a block.
LANES_LENGTH = 1024

#: Fewest neighbouring slices that a block works on across the axis, for whole sectors.
COLUMNS = 32

#: Elements of a slice that a thread should have before it gets company.
SHARE = 16

#: As in kernels/include/pycnn/slices.cuh: loads of a thread in flight, bytes of one instruction.
BATCH = 4
VECTOR_BYTES = 16

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
    room : int
        Elements of shared memory for one array.
    shared : int
        Bytes of dynamic shared memory.
    """

    name: str
    block: Dim3
    slots: int
    cached: int
    room: int
    shared: int

    def blocks(self, slices: int) -> int:
        """Blocks that hold every slice at once."""
        return ceil_div(slices, self.slots)


def choose_team(length: int, contiguous: bool, dtype: str, arrays: int, reserved: int = 0) -> Team:
    """The team for slices of `length` elements.

    Parameters
    ----------
    length : int
        At least 1.
    contiguous : bool
        Whether neighbours of a slice are neighbours in the result; else those of the next slice.
    dtype : str
    arrays : int
        Arrays of which the slice is kept in shared memory.
    reserved : int, default 0
        Bytes of shared memory that the kernel takes for other things.

    Examples
    --------
    >>> choose_team(10, True, "float32", 1).block, choose_team(5000, True, "float32", 1).name
    ((4, 64, 1), 'long_rows')
    """
    itemsize = FLOATS[dtype].itemsize
    partial = FLOATS[FLOATS[dtype].accumulate].itemsize  # of a sum that waits for the others
    width = VECTOR_BYTES // itemsize

    def team(name: str, block: Dim3, slots: int, cached: int, skew: int) -> Team:
        room = ceil_div(slots * cached + skew, width) * width
        return Team(name, block, slots, cached, room, room * arrays * itemsize)

    def fitting(partials: int, skew: int) -> int:
        """Elements of one array for which there is shared memory, in whole vectors."""
        elements = (SHARED_BYTES - reserved - partials * partial) // (itemsize * arrays)
        return elements // width * width - skew

    if not contiguous:
        size = min(_power_of_two(ceil_div(length, SHARE)), THREADS // COLUMNS)
        room = fitting(THREADS, 0)
        while length * (THREADS // size) > room and size < THREADS // COLUMNS:
            size *= 2
        columns = THREADS // size
        return team("columns", (columns, size, 1), columns, min(length, room // columns), 0)
    if length <= LANES_LENGTH:
        size = min(_power_of_two(ceil_div(length, BATCH)), 32)
        slots = THREADS // size
        while slots * length > fitting(32, width):
            slots //= 2
        return team("rows", (size, slots, 1), slots, length, width)
    cached = min(length, fitting(32, width))
    return team("long_rows", (LONG_THREADS, 1, 1), 1, cached, width)


def _power_of_two(minimum: int) -> int:
    return 1 << (minimum - 1).bit_length()


def slices(shape: Ints, axis: int, operands: tuple[Ints, ...], team: Team, staged: int) -> np.void:
    """struct Slices: all slices along `axis` of operands of `shape`.

    Parameters
    ----------
    shape : tuple of int
    axis : int
    operands : tuple of tuple of int
        Element strides of each operand.
    team : Team
    staged : int
        How many of the operands, the first ones, are kept in shared memory. Blocks copy them as
        a whole where they can.
    """
    rest = shape[:axis] + shape[axis + 1 :]
    starts = tuple(s[:axis] + s[axis + 1 :] for s in operands)
    return struct(
        "pycnn/slices.cuh",
        f"Slices<{len(operands)}>",
        count=prod(rest),
        length=shape[axis],
        cached=team.cached,
        staged=team.cached if _whole(shape, axis, operands[:staged], team) else 0,
        room=team.room,
        axis_stride=[s[axis] for s in operands],
        start=strided(rest, starts),
    )


def _whole(shape: Ints, axis: int, operands: tuple[Ints, ...], team: Team) -> bool:
    """Whether the slices of a block are contiguous in all operands."""
    if team.name == "columns":
        return False
    if team.name == "long_rows":  # one slice a block
        return all(strides[axis] == 1 for strides in operands)
    order = [*(i for i in range(len(shape)) if i != axis), axis]
    moved = tuple(tuple(strides[i] for i in order) for strides in operands)
    return all(s in ((), (1,)) for s in merge_axes(tuple(shape[i] for i in order), moved)[1])
