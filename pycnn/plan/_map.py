"""Plans of kernels with one result for each element: kernels/include/pycnn/map.cuh."""

from collections.abc import Mapping
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, merge_axes, record, strided, strided_dtype
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan

#: MAP_THREADS, and the bytes of one vector.
THREADS = 256
VECTOR_BYTES = 16


def map_plan(
    op: str,
    file: str,
    shape: Ints,
    inputs: Mapping[str, Ints],
    output: str,
    dtype: str,
    *,
    parameters: tuple[Argument, ...] = (),
    flops: int = 1,
) -> Plan:
    """One launch of the entry `op` of `file`, or of `op_strided` where a view needs it.

    Parameters
    ----------
    op : str
        The operation, and name of the entry for contiguous arrays.
    file : str
        Relative to ``kernels/``.
    shape : tuple of int
        Of all operands and of the result.
    inputs : mapping of str to tuple of int
        Element strides of every operand, in the order of the kernel's arguments.
    output : str
        Name of the result.
    dtype : str
    parameters : tuple, default ()
        Further arguments, which come after the number of elements.
    flops : int, default 1
        Operations an element.

    Examples
    --------
    >>> plan = map_plan("relu", "activation/relu.cu", (2, 3), {"x": (1, 2)}, "y", "float32")
    >>> plan.algo, plan.launches[0].kernel.entry
    ('strided', 'relu_strided')
    """
    count = prod(shape)
    spec = ArraySpec(shape, numpy_dtype(dtype))
    operands = tuple(inputs.values())
    contiguous = count == 0 or all(s in ((), (1,)) for s in merge_axes(shape, operands)[1])
    entry, per_thread = op, VECTOR_BYTES // FLOATS[dtype].itemsize
    arguments = (*map(Buffer, inputs), Buffer(output), np.int64(count), *parameters)
    if not contiguous:
        entry, per_thread = f"{op}_strided", 1
        arguments += (record(strided_dtype(len(operands)), *strided(shape, operands)),)
    kernel = Kernel(file, entry, (("SCALAR", SCALAR[dtype]),))
    blocks = -(-count // (THREADS * per_thread))
    launch = Launch(kernel, (max(blocks, 1), 1, 1), (THREADS, 1, 1), arguments)
    return Plan(
        op,
        "vectors" if contiguous else "strided",
        (launch,) if count else (),
        {output: spec},
        flops=flops * count,
        bytes=(len(inputs) + 1) * spec.nbytes,
    )
