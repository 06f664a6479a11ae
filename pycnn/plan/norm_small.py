"""Plans of batch norm in training in one launch: kernels/norm/small.cu."""

from dataclasses import dataclass
from math import lcm, prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan import _norm
from pycnn.plan._norm import LANES, VECTOR_BYTES, channels_first, computed_in, kernel
from pycnn.plan._strided import row_major
from pycnn.plan.norm_batch import RUNNING, Channels, Specs, Views, optional
from pycnn.runtime.plan import Buffer, Dim3, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: Threads of a block; and the vectors that each should have, and may have, of an operand: MOST,
#: FORWARD and BACKWARD of the kernels.
MOST = 512
FORWARD, BACKWARD = (7, 8), (7, 7)


@dataclass(frozen=True)
class Tile:
    """A block, and what it keeps in registers.

    Attributes
    ----------
    grid, block : (int, int, int)
    shared : int
        Bytes for two numbers of each column of each thread.
    geometry : numpy.void
        struct Tile.
    """

    grid: Dim3
    block: Dim3
    shared: int
    geometry: np.void


def tile(
    views: Views,
    operands: tuple[str, ...],
    dtype: str,
    channels: Channels,
    vectors: tuple[int, int],
) -> Tile | None:
    """The block for the channels of contiguous operands; None where they do not fit, or are ragged.

    Parameters
    ----------
    views : mapping of str to View
    operands : tuple of str
        Names of those that are of the shape of x.
    dtype : str
    channels : Channels
    vectors : (int, int)
        Vectors of an operand that a thread should have, and may have.

    Examples
    --------
    >>> from pycnn.define.views import View
    >>> x = View((32, 2048, 7, 7), (100352, 49, 7, 1), "bfloat16")
    >>> tile({"x": x}, ("x",), "bfloat16", Channels("NCHW"), FORWARD).block
    (256, 1, 1)
    """
    shape = views["x"].shape
    width = VECTOR_BYTES // FLOATS[dtype].itemsize
    whole = all(views[name].strides == row_major(shape) for name in operands)
    if channels.per_image or channels.group > 1 or not whole or not prod(shape):
        return None
    images, number, *rest = channels_first(shape, channels.layout)
    if channels.layout == "NCHW" and prod(rest) > 1:
        rows, spread = images, prod(rest)
        lanes = lcm(spread, width) // width
    else:
        rows, spread = images * prod(rest), 1
        lanes = min(2, ceil_div(number, width))
    columns = number * spread
    if columns % width or lanes > MOST:
        return None
    each = max(ceil_div(rows, MOST // lanes), vectors[0])
    if each > vectors[1]:
        return None
    threads = ceil_div(ceil_div(rows, each) * lanes, LANES) * LANES
    item = computed_in(dtype).itemsize
    return Tile(
        grid=(ceil_div(columns, lanes * width), 1, 1),
        block=(threads, 1, 1),
        shared=2 * threads * item * width + 128,
        geometry=struct(
            "pycnn/norm_tile.cuh", "Tile",
            columns=columns, rows=rows, spread=spread, lanes=lanes, sets=lanes * width // spread,
        ),
    )  # fmt: skip


def forward(
    op: str, views: Views, dtype: str, channels: Channels, outputs: Specs, momentum: float
) -> Plan | None:
    """Plan of `own_statistics` in one launch; None where channels do not fit."""
    own = tile(views, ("x",), dtype, channels, FORWARD)
    if own is None or not {"mean", "rstd"} <= outputs.keys():
        return None
    names = ("weight", "bias", *RUNNING)
    arguments = (
        *(Buffer("x"), *(optional(views, n) for n in names), Buffer("y")),
        *(Buffer("mean"), Buffer("rstd")),
        *(Buffer(f"new_{n}") if n in views else None for n in RUNNING),
        struct("norm/small.cu", "Small", tile=own.geometry, dweight_wide=0, dbias_wide=0,
               momentum=momentum),
        _parameters(views, dtype, channels, RUNNING, channels.eps),
    )  # fmt: skip
    entry = kernel("small", "small_forward", dtype)
    launch = Launch(entry, own.grid, own.block, arguments, shared=own.shared)
    return Plan(op, "small", (launch,), outputs, {})


def backward(op: str, views: Views, dtype: str, channels: Channels, outputs: Specs) -> Plan | None:
    """Plan of `own_statistics_backward` in one launch; None where channels do not fit."""
    own = tile(views, ("dy", "x"), dtype, channels, BACKWARD)
    if own is None or "mean" not in views:
        return None
    narrow = numpy_dtype(dtype)
    wide = {f"{n}_wide": outputs[n].dtype != narrow for n in ("dweight", "dbias")}
    arguments = (
        *(Buffer("dy"), Buffer("x"), Buffer("mean"), Buffer("rstd"), optional(views, "weight")),
        *(Buffer("dx"), Buffer("dweight"), Buffer("dbias")),
        struct("norm/small.cu", "Small", tile=own.geometry, **wide, momentum=0),
        _parameters(views, dtype, channels, ("mean", "rstd"), 0.0),
    )
    entry = kernel("small", "small_backward", dtype)
    launch = Launch(entry, own.grid, own.block, arguments, shared=own.shared)
    return Plan(op, "small", (launch,), outputs, {})


def _parameters(
    views: Views, dtype: str, channels: Channels, statistics: tuple[str, str], eps: float
) -> np.void:
    number = channels_first(views["x"].shape, channels.layout)[1]
    mean, spread = statistics
    return _norm.parameters(views, dtype, number, mean=mean, spread=spread, eps=eps)
