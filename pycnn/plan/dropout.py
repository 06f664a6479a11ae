"""Plans of dropout: one launch that draws its random numbers as it goes."""

from dataclasses import dataclass
from math import prod

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._map import THREADS, VECTOR_BYTES, accum_scalars, grid
from pycnn.plan._strided import Ints, are_contiguous, strided
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct

FILE = "elementwise/dropout.cu"


@dataclass(frozen=True)
class Mask:
    """Which elements are dropped.

    Attributes
    ----------
    seed, offset : int
        Key, and upper half of the counter, of Philox4x32-10.
    threshold : int
        A 32-bit random number below it drops: 0 to 2^32.
    scale : float
        What the others are multiplied by.
    span : int
        Neighbours in row-major order that share a number.
    """

    seed: int
    offset: int
    threshold: int
    scale: float
    span: int = 1


def dropout(op: str, shape: Ints, x: Ints, mask: Mask, dtype: str, names: tuple[str, str]) -> Plan:
    """One launch.

    Parameters
    ----------
    op : str
    shape, x : tuple of int
        Shape and element strides of what goes in.
    mask : Mask
    dtype : str
    names : (str, str)
        Of what goes in and what comes out.
    """
    count = prod(shape)
    spec = ArraySpec(shape, numpy_dtype(dtype))
    params = struct(
        FILE, "DropoutParams",
        seed=mask.seed, offset=mask.offset, threshold=mask.threshold,
        count=count, span=mask.span,
    )  # fmt: skip
    arguments: tuple[Argument, ...] = (
        *map(Buffer, names),
        *accum_scalars(dtype, mask.scale),
        params,
    )
    contiguous = are_contiguous(shape, (x,))
    if not contiguous:
        arguments += (strided(shape, (x,)),)
    entry = "dropout" if contiguous else "dropout_strided"
    kernel = Kernel(FILE, entry, (("SCALAR", SCALAR[dtype]),))
    blocks = grid(count, VECTOR_BYTES // FLOATS[dtype].itemsize)
    launch = Launch(kernel, blocks, (THREADS, 1, 1), arguments)
    algo = "vectors" if contiguous else "strided"
    return Plan(op, algo, (launch,) if count else (), {names[1]: spec})
