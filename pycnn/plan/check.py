"""Plan of a look at the values of an array: whether an operation allows them all."""

from math import prod

import numpy as np

from pycnn.plan._strided import Ints, strided
from pycnn.runtime.plan import Argument, Buffer, Kernel, Launch, Plan
from pycnn.shapes import ceil_div

FILE = "check/values.cu"
THREADS = 256

#: Blocks enough to fill a large GPU.
MOST_BLOCKS = 1024

#: Entry and type of the limits, by dtype of the array.
ENTRIES: dict[str, tuple[str, type[np.generic]]] = {
    "int64": ("check_integers", np.int64),
    "int32": ("check_narrow", np.int32),
    "float32": ("check_floats", np.float32),
}


def values(
    shape: Ints, strides: Ints, dtype: str, low: float, high: float, also: float | None = None
) -> Plan:
    """Plan that looks at ``x`` and writes to ``found`` if it holds what is not allowed.

    Parameters
    ----------
    shape, strides : tuple of int
        Of x, strides in elements.
    dtype : {"int64", "int32", "float32"}
    low, high : number
        What is allowed, both included.
    also : number, optional
        One more value that is.

    Examples
    --------
    >>> plan = values((64, 5), (5, 1), "int64", 0, 9, -100)
    >>> plan.launches[0].kernel.entry, plan.launches[0].grid, plan.outputs
    ('check_integers', (2, 1, 1), {})
    """
    count = prod(shape)
    launches: tuple[Launch, ...] = ()
    if count:
        entry, number = ENTRIES[dtype]
        if number is np.int32:  # what is beyond them is in no such array
            limits = np.iinfo(number)
            low, high = max(low, limits.min), min(high, limits.max)
            also = also if also is not None and limits.min <= also <= limits.max else None
        bounds = tuple(number(n) for n in (low, high, low if also is None else also))
        view = strided(shape, [strides])
        arguments: tuple[Argument, ...] = (Buffer("x"), Buffer("fault"), np.int64(count), view)
        blocks = min(ceil_div(count, THREADS), MOST_BLOCKS)
        launches = (
            Launch(Kernel(FILE, entry), (blocks, 1, 1), (THREADS, 1, 1), arguments + bounds),
        )
    return Plan("check", "values", launches, {})
