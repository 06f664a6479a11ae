"""Plans of softmax and log-softmax: which team of threads takes a slice of the axis."""

from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._slices import choose_team, slices
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.shapes import ceil_div

#: Of kernels/softmax/vectors.cu: 16-byte vectors that a thread has, and threads of its blocks.
VECTORS, BLOCK, LONG_BLOCK = 4, 128, 512


def softmax(shape: Ints, strides: Ints, axis: int, dtype: str, log: bool) -> Plan:
    """Plan of `pycnn.softmax` and, with `log`, `pycnn.log_softmax`: input ``x``, output ``y``.

    Parameters
    ----------
    shape, strides : tuple of int
        Of x, in elements.
    axis : int
        From the front.
    dtype : str
    log : bool

    Examples
    --------
    >>> softmax((8, 500), (500, 1), 1, "float32", False).algo
    'vectors'
    >>> softmax((8, 1000), (1000, 1), 1, "float32", False).algo
    'long_vectors'
    >>> softmax((8, 1001), (1001, 1), 1, "float32", False).algo
    'rows'
    >>> softmax((8, 21, 60, 80), (100800, 4800, 80, 1), 1, "float32", True).algo
    'columns'
    """
    vecs, ragged = divmod(shape[axis], 16 // FLOATS[dtype].itemsize)
    last = prod(shape[axis + 1 :]) == 1 and strides == row_major(shape)
    if last and 0 not in shape and not ragged and vecs <= VECTORS * LONG_BLOCK:
        return _by_vectors(shape, vecs, shape[axis], dtype, log)
    return _plan(shape, {"x": strides}, "y", axis, dtype, log, backward=False)


def _by_vectors(shape: Ints, vecs: int, length: int, dtype: str, log: bool) -> Plan:
    """Rows kept in registers: kernels/softmax/vectors.cu."""
    threads = ceil_div(vecs, VECTORS)
    if threads <= 32:
        lanes = max(2, 1 << (threads - 1).bit_length())  # two have a whole sector
        entry, block = "softmax_vectors", (lanes, BLOCK // lanes, 1)
    else:
        entry, block = "softmax_vectors_long", (ceil_div(threads, 32) * 32, 1, 1)
    rows = prod(shape) // length
    defines = (("SCALAR", SCALAR[dtype]), ("LOG", str(int(log))))
    launch = Launch(
        Kernel("softmax/vectors.cu", entry, defines),
        grid=(ceil_div(rows, block[1]), 1, 1),
        block=block,
        args=(Buffer("x"), Buffer("y"), np.int64(rows), np.int32(length)),
    )
    name = "vectors" if threads <= 32 else "long_vectors"
    spec = ArraySpec(shape, numpy_dtype(dtype))
    return Plan("log_softmax" if log else "softmax", name, (launch,), {"y": spec})


def softmax_backward(
    shape: Ints, dy_strides: Ints, y_strides: Ints, axis: int, dtype: str, log: bool
) -> Plan:
    """Plan of the gradients: inputs ``dy`` and ``y``, output ``dx``.

    Parameters
    ----------
    shape : tuple of int
        Of both.
    dy_strides, y_strides : tuple of int
        In elements.
    axis, dtype, log
        As for `softmax`.
    """
    inputs = {"dy": dy_strides, "y": y_strides}
    return _plan(shape, inputs, "dx", axis, dtype, log, backward=True)


def _plan(
    shape: Ints,
    inputs: dict[str, Ints],
    output: str,
    axis: int,
    dtype: str,
    log: bool,
    backward: bool,
) -> Plan:
    op = "log_softmax" if log else "softmax"
    name = "softmax_backward" if backward else "softmax"
    spec = ArraySpec(shape, numpy_dtype(dtype))
    count = prod(shape)
    last = prod(shape[axis + 1 :]) == 1
    team = choose_team(max(shape[axis], 1), last, dtype, len(inputs))
    launches: tuple[Launch, ...] = ()
    if count:
        operands = (*inputs.values(), row_major(shape))
        defines = (("SCALAR", SCALAR[dtype]), ("LOG", str(int(log))))
        params = slices(shape, axis, operands, team, staged=len(inputs))
        launch = Launch(
            Kernel("softmax/softmax.cu", f"{name}_{team.name}", defines),
            grid=(team.blocks(count // shape[axis]), 1, 1),
            block=team.block,
            args=(*map(Buffer, inputs), Buffer(output), params),
            shared=team.shared,
        )
        launches = (launch,)
    return Plan(op + "_backward" * backward, team.name, launches, {output: spec})
