"""Plans of group norm with channels last in one launch: kernels/norm/group_rows.cu."""

from math import lcm, prod

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan import _norm
from pycnn.plan._norm import LANES, VECTOR_BYTES, computed_in, kernel
from pycnn.plan._strided import row_major
from pycnn.plan.norm_batch import Channels, Views, optional
from pycnn.runtime.occupancy import limits_of
from pycnn.runtime.plan import ArraySpec, Buffer, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: Threads of a block at most, MOST of the kernel, and vectors that each should have.
MOST, EACH = 256, 8

#: Bytes of shared memory beside the tile and the sums: what is known of each group.
KNOWN = 1024


def one_launch(op: str, views: Views, dtype: str, channels: Channels) -> Plan | None:
    """Plan of group and instance norm in NHWC; None where a group does not fit, or is ragged.

    Examples
    --------
    >>> from pycnn.define.views import View
    >>> x = View((32, 7, 7, 256), (12544, 1792, 256, 1), "bfloat16")
    >>> one_launch("group_norm", {"x": x}, "bfloat16", Channels("NHWC", True, 8)).launches[0].grid
    (512, 1, 1)
    """
    x, group = views["x"], channels.group
    item, number = FLOATS[dtype].itemsize, computed_in(dtype).itemsize
    width = VECTOR_BYTES // item
    images, *rest, columns = x.shape
    rows, elements = prod(rest), prod(x.shape)
    lanes = lcm(group, width) // width
    if lanes == 1 and columns > width:
        lanes = 2  # a whole sector
    ragged = columns % width or x.strides != row_major(x.shape)
    if channels.layout != "NHWC" or not elements or ragged or lanes > MOST:
        return None
    threads = max(min(ceil_div(rows * lanes, EACH), MOST), lanes)
    threads = ceil_div(threads, LANES) * LANES
    each = ceil_div(rows, threads // lanes)
    states = width if group % width else 1
    shared = threads * (each * VECTOR_BYTES + states * 2 * number) + 128
    tiles = ceil_div(columns, lanes * width)
    limits = limits_of(target().arch)
    if shared + KNOWN > limits.shared - limits.reserved or images * tiles >= 2**31:
        return None
    geometry = struct(
        "pycnn/norm_tile.cuh", "Tile",
        columns=columns, rows=rows, spread=group, lanes=lanes, sets=lanes * width // group,
    )  # fmt: skip
    arguments = (
        *(Buffer("x"), optional(views, "weight"), optional(views, "bias"), Buffer("y")),
        struct("norm/group_rows.cu", "Group", tile=geometry, tiles=tiles, each=each),
        _norm.parameters(views, dtype, columns, group, eps=channels.eps),
    )
    entry = kernel("group_rows", "group_rows", dtype)
    launch = Launch(entry, (images * tiles, 1, 1), (threads, 1, 1), arguments, shared=shared)
    return Plan(op, "shared", (launch,), {"y": ArraySpec(x.shape, numpy_dtype(dtype))})
