"""Plans of the sum of several arrays with broadcasting, and of its gradient."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._map import THREADS, VECTOR_BYTES, grid, map_views
from pycnn.plan._map_sum import MapSum, in_turn
from pycnn.plan._strided import Ints, are_contiguous, broadcast_axes
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan

#: MOST in kernels/elementwise/add_n.cu.
MOST = 8


def add_n(shape: Ints, operands: Mapping[str, Ints], dtype: str) -> Plan:
    """The sum of operands that are given by their strides, zero where they are broadcast."""
    strides, missing = tuple(operands.values()), MOST - len(operands)
    pointers = (*map(Buffer, operands), *(None,) * missing, Buffer("y"))
    views = (*strides, *((0,) * len(shape),) * missing)
    launch = _launch("add_n", shape, are_contiguous(shape, strides), views, pointers, dtype)
    algo = "strided" if launch.kernel.entry.endswith("strided") else "vectors"
    spec = ArraySpec(shape, numpy_dtype(dtype))
    return Plan("add_n", algo, (launch,) if prod(shape) else (), {"y": spec})


def add_n_backward(shape: Ints, dy: Ints, own: Mapping[str, Ints], dtype: str) -> Plan:
    """dy for every operand, summed over the axes that it was broadcast over.

    Parameters
    ----------
    shape, dy : tuple of int
        Shape and element strides of dy.
    own : mapping of str to tuple of int
        Shapes of the operands by the names of their gradients.
    dtype : str
    """
    summed = {name: broadcast_axes(shape, its) for name, its in own.items()}
    sums = [
        MapSum(
            file="elementwise/add.cu",
            entry="add_backward",
            shape=shape,
            inputs=(("dy", dy),),
            mapped=None,
            total=name,
            summed=axes,
            dtype=dtype,
            constants=(0.0, 1.0),
        )
        for name, axes in summed.items()
        if axes
    ]
    plan = in_turn("add_n_backward", sums, own, dtype)
    copied = [name for name, axes in summed.items() if not axes]
    if not copied or not prod(shape):
        return plan
    pointers = (Buffer("dy"), *map(Buffer, copied), *(None,) * (MOST - len(copied)))
    contiguous = are_contiguous(shape, (dy,))
    copies = _launch("add_n_backward", shape, contiguous, (dy,), pointers, dtype)
    algo = plan.algo if sums else "vectors" if contiguous else "strided"
    return replace(plan, algo=algo, launches=(copies, *plan.launches))


def _launch(
    entry: str,
    shape: Ints,
    contiguous: bool,
    views: Sequence[Ints],
    pointers: tuple[Argument, ...],
    dtype: str,
) -> Launch:
    count, width = prod(shape), VECTOR_BYTES // FLOATS[dtype].itemsize
    arguments = (*pointers, np.int64(count))
    if not contiguous:
        entry, arguments = f"{entry}_strided", (*arguments, map_views(shape, views, width))
    kernel = Kernel("elementwise/add_n.cu", entry, (("SCALAR", SCALAR[dtype]),))
    return Launch(kernel, grid(count, width), (THREADS, 1, 1), arguments)
