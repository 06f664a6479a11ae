"""Plans of the mean and the maximum over all spatial axes: kernels/pool/global_pool.cu."""

from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, merge_axes, strided
from pycnn.plan.pool import Pooling
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

#: Elements of a plane that a thread should have before it gets company, and those of one that is
#: in shared memory.
SHARE, SHARE_STAGED = 8, 16

#: Longest plane of which several are brought into shared memory in one piece.
STAGED_LENGTH = THREADS * SHARE

#: Most bytes of a plane of an odd number of elements that one thread adds up.
ODD_BYTES = 256

#: Neighbouring channels that a block works on where they are last, for whole sectors.
COLUMNS = 32

#: Threads that have vectors of channels side by side, and bytes of one.
CHANNEL_LANES, VECTOR_BYTES = 16, 16

FILE = "pool/global_pool.cu"


def global_pool(
    op: str, kind: str, pooling: Pooling, strides: Ints, dtype: str, indices: bool = False
) -> Plan:
    """Plan: input ``x``, outputs ``y`` and, if asked for, ``indices``.

    Parameters
    ----------
    op : str
        Name of the operation.
    kind : {"avg", "max"}
    pooling : Pooling
        Whose only window is the whole plane.
    strides : tuple of int
        Element strides of x: image, channel, spatial axes.
    dtype : str
    indices : bool, default False
        Of the maxima.

    Examples
    --------
    >>> from pycnn.plan.pool_axis import Axis
    >>> pooling = Pooling(2, 64, (Axis(7, 1), Axis(7, 1)))
    >>> plan = global_pool("global_avg_pool", "avg", pooling, (3136, 49, 7, 1), "float32")
    >>> plan.algo, plan.launches[0].grid
    ('odd planes', (1, 1, 1))
    """
    shape = pooling.shape(of_x=False)
    outputs = {"y": ArraySpec(shape, numpy_dtype(dtype))}
    arguments: tuple[Argument, ...] = (Buffer("x"), Buffer("y"))
    if kind == "max":
        arguments += (Buffer("indices") if indices else None,)
    if indices:
        outputs["indices"] = ArraySpec(shape, np.dtype(np.int64))
    count, itemsize = pooling.images * pooling.channels, FLOATS[dtype].itemsize
    n, c, *along = strides
    extents = tuple(a.extent for a in pooling.axes)
    length = prod(extents)
    in_one_piece = not pooling.last and merge_axes(
        (pooling.images, pooling.channels, *extents), [strides]
    )[1][0] in ((), (1,))
    staged = in_one_piece and length <= STAGED_LENGTH
    share = SHARE_STAGED if staged else SHARE
    team = min(1 << max(ceil_div(length, share) - 1, 0).bit_length(), THREADS)
    if pooling.last:
        team = min(team, THREADS // COLUMNS)
    slots = THREADS // team
    launches: tuple[Launch, ...] = ()
    if count:
        params = struct(
            FILE, "Planes",
            count=count, channels=pooling.channels, length=length,
            n=n, c=c, group_size=team, across=pooling.last,
            element=strided(extents, [tuple(along)]),
        )  # fmt: skip
        defines = (("SCALAR", SCALAR[dtype]), ("STAGED", str(int(staged))))
        if kind == "avg" and pooling.last and _are_vectors(pooling, strides, itemsize):
            kernel = Kernel(FILE, "global_avg_pool_channels", defines)
            tiles = ceil_div(pooling.channels, CHANNEL_LANES * VECTOR_BYTES // itemsize)
            grid = (pooling.images * tiles, 1, 1)
            launch = Launch(kernel, grid, (THREADS, 1, 1), (*arguments, params))
            return Plan(op, "channels", (launch,), outputs)
        if kind == "avg" and staged and length % 2 and length * itemsize <= ODD_BYTES:
            kernel = Kernel(FILE, "global_avg_pool_odd", defines)
            grid, shared = (ceil_div(count, THREADS), 1, 1), THREADS * length * itemsize
            launch = Launch(kernel, grid, (THREADS, 1, 1), (*arguments, params), shared)
            return Plan(op, "odd planes", (launch,), outputs)
        kernel = Kernel(FILE, f"global_{kind}_pool", defines)
        shared = 16 * ceil_div(slots * length * itemsize, 16) if staged else 0
        grid = (ceil_div(count, slots), 1, 1)
        launches = (Launch(kernel, grid, (THREADS, 1, 1), (*arguments, params), shared),)
    return Plan(op, "staged" if staged else "in place", launches, outputs)


def _are_vectors(pooling: Pooling, strides: Ints, itemsize: int) -> bool:
    """Whether channels are neighbours in whole vectors, and pixels evenly apart."""
    width = VECTOR_BYTES // itemsize
    n, c, *along = strides
    steps = merge_axes(tuple(a.extent for a in pooling.axes), [tuple(along)])[1][0]
    whole = not any(step % width for step in (pooling.channels, n, *steps))
    blocks = pooling.images * ceil_div(pooling.channels, CHANNEL_LANES * width)
    length = prod(a.extent for a in pooling.axes)
    small = max(pooling.channels, length, blocks) < 2**31 - THREADS
    return c == 1 and len(steps) <= 1 and whole and small
