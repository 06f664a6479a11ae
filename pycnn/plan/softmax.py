"""Plans of softmax and log-softmax: which team of threads takes a slice of the axis."""

from math import prod

import numpy as np

from pycnn.dtypes import numpy_dtype
from pycnn.plan._row_vectors import last_axis_team
from pycnn.plan._slices import choose_team, slices
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan


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
    return _plan(shape, {"x": strides}, "y", axis, dtype, log, backward=False)


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
    op = ("log_softmax" if log else "softmax") + "_backward" * backward
    name = "softmax_backward" if backward else "softmax"
    outputs = {output: ArraySpec(shape, numpy_dtype(dtype))}
    buffers: tuple[Argument, ...] = (*map(Buffer, inputs), Buffer(output))
    defines = (("SCALAR", SCALAR[dtype]), ("LOG", str(int(log))))
    count = prod(shape)
    rows = last_axis_team(shape, axis, dtype, *inputs.values())
    if rows:
        kernel = Kernel("softmax/vectors.cu", f"{name}_{rows.entry}", defines)
        length = shape[axis]
        args = (*buffers, np.int64(count // length), np.int32(length))
        launch = Launch(kernel, (rows.blocks(count // length), 1, 1), rows.block, args)
        return Plan(op, rows.name, (launch,), outputs)
    last = prod(shape[axis + 1 :]) == 1
    team = choose_team(max(shape[axis], 1), last, dtype, len(inputs))
    launches: tuple[Launch, ...] = ()
    if count:
        operands = (*inputs.values(), row_major(shape))
        params = slices(shape, axis, operands, team, staged=len(inputs))
        launch = Launch(
            Kernel("softmax/softmax.cu", f"{name}_{team.name}", defines),
            grid=(team.blocks(count // shape[axis]), 1, 1),
            block=team.block,
            args=(*buffers, params),
            shared=team.shared,
        )
        launches = (launch,)
    return Plan(op, team.name, launches, outputs)
