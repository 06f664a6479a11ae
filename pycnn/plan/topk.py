"""Plans of the k largest elements along an axis, and of the gradient."""

from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._slices import SHARED_BYTES, VECTOR_BYTES, Team, choose_team, slices
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

FILE = "topk/topk.cu"
THREADS = 256

#: Most elements that a block sorts in shared memory.
MOST = 1024

#: Bytes of a key and an index, and of what the kernel declares itself.
SORTED_BYTES = 16
OWN_BYTES = 2048


def topk(shape: Ints, strides: Ints, axis: int, dtype: str, k: int, largest: bool) -> Plan:
    """Plan of `pycnn.topk`: input ``x``, outputs ``values`` and ``indices``.

    Parameters
    ----------
    shape, strides : tuple of int
        Of x, in elements.
    axis : int
        From the front.
    dtype : str
    k : int
        1 to the extent of the axis.
    largest : bool

    Raises
    ------
    ValueError
        If k is more than a block can sort.

    Examples
    --------
    >>> plan = topk((64, 1000), (1000, 1), 1, "float32", 5, True)
    >>> plan.launches[0].grid, plan.outputs["values"].shape
    ((64, 1, 1), (64, 5))
    """
    if k > MOST:
        raise ValueError(f"k={k}; allowed on the backends with kernels: up to {MOST}")
    result = (*shape[:axis], k, *shape[axis + 1 :])
    outputs = {
        "values": ArraySpec(result, numpy_dtype(dtype)),
        "indices": ArraySpec(result, np.dtype(np.int64)),
    }
    count = prod(shape[:axis]) * prod(shape[axis + 1 :])
    launches: tuple[Launch, ...] = ()
    if count:
        padded = 1 << (k - 1).bit_length()
        itemsize = FLOATS[dtype].itemsize
        width = VECTOR_BYTES // itemsize
        behind = padded * SORTED_BYTES
        room = (SHARED_BYTES - OWN_BYTES - behind) // itemsize
        cached = min(shape[axis], room - width)
        room = ceil_div(cached + width, width) * width
        shared = room * itemsize + behind
        team = Team("long_rows", (THREADS, 1, 1), 1, cached, room, shared)
        operands = (strides, row_major(result), row_major(result))
        values = slices(shape, axis, operands, team, staged=1)
        params = struct(FILE, "Params", k=k, padded=padded, largest=largest)
        arguments = (Buffer("x"), Buffer("values"), Buffer("indices"), values, params)
        kernel = Kernel(FILE, "topk_slices", (("SCALAR", SCALAR[dtype]),))
        launches = (Launch(kernel, (count, 1, 1), team.block, arguments, shared),)
    return Plan("topk", "radix_select", launches, outputs)


def topk_backward(
    shape: Ints, dy_strides: Ints, indices_strides: Ints, axis: int, dtype: str, k: int
) -> Plan:
    """Plan of `pycnn.topk_backward`: inputs ``dy`` and ``indices``, output ``dx``.

    Parameters
    ----------
    shape : tuple of int
        Of x.
    dy_strides, indices_strides : tuple of int
        In elements.
    axis, dtype, k
        As for `topk`.
    """
    spec = ArraySpec(shape, numpy_dtype(dtype))
    launches: tuple[Launch, ...] = ()
    team = choose_team(max(shape[axis], 1), prod(shape[axis + 1 :]) == 1, dtype, arrays=1)
    if prod(shape):
        operands = (row_major(shape), dy_strides, indices_strides)
        values = slices(shape, axis, operands, team, staged=1)
        arguments = (Buffer("dy"), Buffer("indices"), Buffer("dx"), values, np.int64(k))
        kernel = Kernel(FILE, f"topk_backward_{team.name}", (("SCALAR", SCALAR[dtype]),))
        grid = (team.blocks(prod(shape) // shape[axis]), 1, 1)
        launches = (Launch(kernel, grid, team.block, arguments, team.shared),)
    return Plan("topk_backward", team.name, launches, {"dx": spec})
