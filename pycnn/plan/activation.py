"""Plans of the activations: contiguous arrays 128 bits at a time, views element by element."""

from functools import lru_cache
from math import prod

import numpy as np

from pycnn.plan._strided import Ints, merge_axes, record, strided, strided_dtype
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan

THREADS = 256
VECTOR_BYTES = 16


@lru_cache(maxsize=1024)
def relu(shape: Ints, strides: Ints, dtype: str) -> Plan:
    """Plan of `pycnn.relu`: input ``x``, output ``y``.

    Parameters
    ----------
    shape, strides : tuple of int
        Of x, in elements.
    dtype : str

    Examples
    --------
    >>> relu((2, 3), (3, 1), "float32").algo, relu((2, 3), (1, 2), "float32").algo
    ('vectors', 'strided')
    """
    return _elementwise("relu", shape, {"x": strides}, "y", dtype)


@lru_cache(maxsize=1024)
def relu_backward(shape: Ints, dy_strides: Ints, x_strides: Ints, dtype: str) -> Plan:
    """Plan of `pycnn.relu_backward`: inputs ``dy`` and ``x``, output ``dx``.

    Parameters
    ----------
    shape : tuple of int
        Of both.
    dy_strides, x_strides : tuple of int
        In elements.
    dtype : str
    """
    return _elementwise("relu_backward", shape, {"dy": dy_strides, "x": x_strides}, "dx", dtype)


def _elementwise(op: str, shape: Ints, inputs: dict[str, Ints], output: str, dtype: str) -> Plan:
    count = prod(shape)
    spec = ArraySpec(shape, np.dtype(dtype))
    operands = tuple(inputs.values())
    contiguous = count == 0 or all(s in ((), (1,)) for s in merge_axes(shape, operands)[1])
    algo = "vectors" if contiguous else "strided"
    arguments: tuple[Argument, ...] = (*map(Buffer, inputs), Buffer(output), np.int64(count))
    entry, per_thread = op, VECTOR_BYTES // spec.dtype.itemsize
    if not contiguous:
        entry, per_thread = f"{op}_strided", 1
        layout = strided_dtype(len(operands))
        arguments += (record(layout, *strided(shape, operands)),)
    kernel = Kernel("activation/relu.cu", entry, (("SCALAR", SCALAR[dtype]),))
    blocks = -(-count // (THREADS * per_thread))
    launch = Launch(kernel, (max(blocks, 1), 1, 1), (THREADS, 1, 1), arguments)
    return Plan(
        op,
        algo,
        (launch,) if count else (),
        {output: spec},
        flops=count,
        bytes=(len(inputs) + 1) * spec.nbytes,
    )
