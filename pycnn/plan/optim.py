"""Plans of what goes over many parameters at once: the step of an optimiser."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.runtime.plan import SCALAR, Argument, Buffer, Kernel, Launch, Plan, Table
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

HEADER = "pycnn/optim.cuh"

#: MOST, THREADS, VECTORS and HEAD in kernels/include/pycnn/optim.cuh.
MOST, THREADS, VECTORS, HEAD = 64, 256, 2, 4

#: What a table holds of each parameter; what an optimiser keeps is `first` and `second`.
MEMBERS = ("value", "grad", "first", "second", "copy")

#: Of parameters that kernels move. NumPy computes bfloat16 with numbers of Python in float32.
DTYPES = ("float16", "float32", "float64")

#: The block after the last, of parameters that are not there.
NO_BLOCK = 2**31 - 1


@lru_cache(maxsize=256)
def step(
    entry: str, constants: tuple[Any, ...], counts: tuple[int, ...], slots: int, dtype: str,
    copy: str | None = None,
) -> Plan:  # fmt: skip
    """Move parameters in place; arrays are called ``value[0]``, ``grad[0]``, ``first[0]``, ...

    Parameters
    ----------
    entry : str
        Of ``kernels/optim/step.cu``.
    constants : tuple of float and int
        What it takes beside table and rates, rounded to `dtype`.
    counts : tuple of int
        Elements of each parameter.
    slots : int
        Arrays that the optimiser keeps of each, 0 to 2.
    dtype : str
        Of the parameters, and all that is kept of them.
    copy : {"float16", "bfloat16"}, optional
        Of the arrays ``copy[0]``, ..., which get the float32 parameters in 16 bits.

    Returns
    -------
    Plan
        That reads ``rates``, float64: HEAD numbers for all, and two of each parameter.

    Examples
    --------
    >>> plan = step("adam", (0.9, 0.1, 0.999, 0.001, 1e-8, 0), (5000,) * 70, 2, "float32")
    >>> [launch.grid for launch in plan.launches]
    [(192, 1, 1), (18, 1, 1)]
    """
    members = MEMBERS[: 2 + slots] + (("copy",) if copy else ())
    defines = (("SCALAR", SCALAR[dtype]), ("COPY", SCALAR[copy] if copy else "void"))
    kernel = Kernel("optim/step.cu", entry, defines)
    numbers = [np.int32(c) if isinstance(c, int) else np.float64(c) for c in constants]
    launches = []
    for first in range(0, len(counts), MOST):
        table, blocks = tabled(counts, first, members, dtype)
        if blocks:
            own = Buffer("rates", 8 * (HEAD + 2 * first))
            args: tuple[Argument, ...] = (table, Buffer("rates"), own, *numbers)
            launches.append(Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), args))
    return Plan("step", entry, tuple(launches), {})


def tabled(
    counts: Sequence[int], first: int, members: Sequence[str], dtype: str
) -> tuple[Table, int]:
    """The table of MOST parameters from `first` on, and the blocks that they need together."""
    own = counts[first : first + MOST]
    chunk = THREADS * VECTORS * (16 // FLOATS[dtype].itemsize)
    ends = np.cumsum([ceil_div(count, chunk) for count in own])
    missing = MOST - len(own)
    nowhere = dict.fromkeys(MEMBERS, [0] * MOST)
    numbers = {"count": [*own] + [0] * missing, "end": [*ends] + [NO_BLOCK] * missing}
    arrays = {
        member: tuple([Buffer(f"{member}[{first + i}]") if n else None for i, n in enumerate(own)])
        for member in members
    }
    return Table(struct(HEADER, "Table", **nowhere, **numbers), arrays), int(ends[-1])


def rounded(value: float, dtype: np.dtype) -> float:
    """A number as an array of a dtype takes it into its arithmetic."""
    return float(dtype.type(value))
