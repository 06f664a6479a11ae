"""Plans of putting maxima back: kernels/pool/max_unpool.cu."""

from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, strided
from pycnn.plan.pool_tile import SECTOR, SHARED_BYTES
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

#: Bytes in shared memory for each element of a piece of the large plane.
WINNER_BYTES = 4

FILE = "pool/max_unpool.cu"


@dataclass(frozen=True)
class Unpooling:
    """A problem.

    Attributes
    ----------
    images, channels : int
    small, large : tuple of int
        Spatial extents of what max pooling made, and of what it was made from.
    last : bool
        Whether the channels are the last axis of arrays in memory (NHWC).
    batched : bool
        Whether arrays have an axis for the images.
    """

    images: int
    channels: int
    small: Ints
    large: Ints
    last: bool = False
    batched: bool = True

    def shape(self, spatial: Ints) -> Ints:
        """Of an array with these extents, as it lies in memory."""
        image = (*spatial, self.channels) if self.last else (self.channels, *spatial)
        return (self.images, *image) if self.batched else image


def max_unpool(op: str, problem: Unpooling, x: Ints, indices: Ints, dtype: str) -> Plan:
    """Plan: inputs ``x`` and ``indices``, output ``y``.

    Parameters
    ----------
    op : str
        Name of the operation.
    problem : Unpooling
    x, indices : tuple of int
        Their element strides: image, channel, spatial axes.
    dtype : str

    Examples
    --------
    >>> problem = Unpooling(2, 3, (3, 4), (6, 8))
    >>> strides = (36, 12, 4, 1)
    >>> max_unpool("max_unpool2d", problem, strides, strides, "float32").outputs["y"].shape
    (2, 3, 6, 8)
    """
    group = _group(problem, dtype)
    small, large = prod(problem.small), prod(problem.large)
    itemsize = FLOATS[dtype].itemsize
    room = SHARED_BYTES // (WINNER_BYTES * group)
    staged = (
        ceil_div(large, 2) * 2 * WINNER_BYTES * group + small * itemsize * group <= SHARED_BYTES
    )
    piece = ceil_div(min(large, room), 2) * 2  # what follows it is aligned to 8 bytes
    shared = WINNER_BYTES * group * piece + staged * small * itemsize * group
    arguments = (Buffer("x"), Buffer("indices"), Buffer("y"))
    output = {"y": ArraySpec(problem.shape(problem.large), numpy_dtype(dtype))}
    no_strides = (0, 0) + (0,) * len(problem.large)
    params = _params(problem, group, piece, x, indices, no_strides)
    pieces = ceil_div(large, piece)
    return _plan(op, problem, dtype, output, arguments, params, staged, shared, pieces)


def max_unpool_backward(op: str, problem: Unpooling, dy: Ints, indices: Ints, dtype: str) -> Plan:
    """Plan of the gradient: ``dy`` and ``indices`` to ``dx``; parameters as `max_unpool`."""
    group = _group(problem, dtype)
    size = prod(problem.large) * FLOATS[dtype].itemsize * group
    staged = size <= SHARED_BYTES
    arguments = (Buffer("dy"), Buffer("indices"), Buffer("dx"))
    output = {"dx": ArraySpec(problem.shape(problem.small), numpy_dtype(dtype))}
    no_strides = (0, 0) + (0,) * len(problem.small)
    params = _params(problem, group, prod(problem.large), no_strides, indices, dy)
    return _plan(op, problem, dtype, output, arguments, params, staged, size * staged, 1)


def _group(problem: Unpooling, dtype: str) -> int:
    """Neighbouring channels of a block: enough for whole sectors of the values."""
    if not problem.last:
        return 1
    most = SECTOR // FLOATS[dtype].itemsize
    return min(most, 1 << max(problem.channels - 1, 0).bit_length())


def _params(
    problem: Unpooling, group: int, piece: int, value: Ints, indices: Ints, large: Ints
) -> np.void:
    return struct(
        FILE, "Unpool",
        images=problem.images, channels=problem.channels, last=problem.last,
        small=prod(problem.small), large=prod(problem.large),
        group=group, piece=piece,
        large_n=large[0], large_c=large[1],
        value_n=value[0], value_c=value[1],
        index_n=indices[0], index_c=indices[1],
        element=strided(problem.small, [value[2:], indices[2:]]),
        place=strided(problem.large, [large[2:]]),
    )  # fmt: skip


def _plan(
    op: str,
    problem: Unpooling,
    dtype: str,
    output: dict[str, ArraySpec],
    arguments: tuple[Argument, ...],
    params: np.void,
    staged: bool,
    shared: int,
    pieces: int,
) -> Plan:
    entry = "max_unpool_backward" if "dx" in output else "max_unpool"
    defines = (("SCALAR", SCALAR[dtype]), ("STAGED", str(int(staged))))
    kernel = Kernel(FILE, entry, defines)
    launches: tuple[Launch, ...] = ()
    if problem.images * problem.channels:
        groups = ceil_div(problem.channels, int(params["group"]))
        grid = (problem.images * groups * pieces, 1, 1)
        memory = ceil_div(shared, 16) * 16
        launches = (Launch(kernel, grid, (THREADS, 1, 1), (*arguments, params), memory),)
    return Plan(op, "staged" if staged else "in place", launches, output)
