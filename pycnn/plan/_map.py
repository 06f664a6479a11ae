"""Plans of kernels with one result for each element: kernels/include/pycnn/map.cuh."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, are_contiguous, merge_axes, strided
from pycnn.runtime.plan import (
    SCALAR,
    Argument,
    ArraySpec,
    Buffer,
    Dim3,
    Kernel,
    Launch,
    Plan,
)
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: ELEMENTWISE_THREADS, and the bytes of one vector.
THREADS = 256
VECTOR_BYTES = 16


def map_plan(
    op: str,
    file: str,
    shape: Ints,
    inputs: Mapping[str, Ints],
    output: str | tuple[str, ...],
    dtype: str,
    *,
    entry: str = "",
    parameters: tuple[Argument, ...] = (),
) -> Plan:
    """One launch of an entry of `file`, or of the one called ``..._strided`` if a view needs it.

    Parameters
    ----------
    op : str
        The operation.
    file : str
        Relative to ``kernels/``.
    shape : tuple of int
        Of all operands and of the result.
    inputs : mapping of str to tuple of int
        Element strides of every operand, in the order of the kernel's arguments.
    output : str or tuple of str
        Name of the result, or of several.
    dtype : str
    entry : str, default op
        Entry for contiguous arrays.
    parameters : tuple, default ()
        Further arguments, which come after the number of elements.

    Examples
    --------
    >>> plan = map_plan("relu", "activation/relu.cu", (2, 3), {"x": (1, 2)}, "y", "float32")
    >>> plan.algo, plan.launches[0].kernel.entry
    ('strided', 'relu_strided')
    """
    count = prod(shape)
    spec = ArraySpec(shape, numpy_dtype(dtype))
    operands = tuple(inputs.values())
    width = VECTOR_BYTES // spec.dtype.itemsize
    algo, entry = "vectors", entry or op
    outputs = (output,) if isinstance(output, str) else output
    arguments = (*map(Buffer, (*inputs, *outputs)), np.int64(count), *parameters)
    if not are_contiguous(shape, operands):
        algo, entry = "strided", f"{entry}_strided"
        arguments += (map_views(shape, operands, width),)
    kernel = Kernel(file, entry, (("SCALAR", SCALAR[dtype]),))
    launch = Launch(kernel, grid(count, width), (THREADS, 1, 1), arguments)
    return Plan(op, algo, (launch,) if count else (), dict.fromkeys(outputs, spec))


def grid(count: int, width: int) -> Dim3:
    """Blocks for `count` elements, `width` of them to a thread."""
    return max(ceil_div(count, THREADS * width), 1), 1, 1


def map_views(shape: Ints, operands: Sequence[Ints], width: int) -> np.void:
    """Struct MapViews of operands of `shape` with these element strides.

    Packs of `width` elements are possible if rows are whole packs, and if in every operand the
    elements of a row are either neighbours, with rows that begin where a pack may, or the same.
    """
    extents, strides = merge_axes(shape, operands)
    packed = (
        bool(extents)
        and extents[-1] % width == 0
        and all(
            s[-1] == 0 or (s[-1] == 1 and all(step % width == 0 for step in s[:-1]))
            for s in strides
        )
    )
    name = f"MapViews<{len(operands)}>"
    return struct("pycnn/map.cuh", name, at=strided(shape, operands), packed=packed)


def accum_scalars(dtype: str, *values: float) -> tuple[np.generic, ...]:
    """Constants as kernels for `dtype` take them: of the type that they compute in.

    Examples
    --------
    >>> accum_scalars("float16", 0.5)
    (np.float32(0.5),)
    """
    return tuple(map(np.dtype(FLOATS[dtype].accumulate).type, values))
