"""Plans of what goes over many parameters at once: the step of an optimiser."""

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan, Table
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

HEADER = "pycnn/optim.cuh"

#: MOST, THREADS, VECTORS and HEAD in kernels/include/pycnn/optim.cuh.
MOST, THREADS, VECTORS, HEAD = 64, 256, 2, 4

#: What a table holds of each parameter; what an optimiser keeps is `first` and `second`.
MEMBERS = ("value", "grad", "first", "second")

#: Of parameters that kernels move. NumPy computes bfloat16 with numbers of Python in float32.
DTYPES = ("float16", "float32", "float64")

#: The block after the last, of parameters that are not there.
NO_BLOCK = 2**31 - 1


class Verdict(NamedTuple):
    """What the GPU decides by all gradients together, before the step.

    Attributes
    ----------
    most : float
        How long they may be together.
    counted : bool
        Whether the array ``state`` holds scale, steps since an overflow and steps taken; where a
        gradient is not finite nothing is moved then.
    every : int
        Steps without an overflow until the scale is doubled.
    betas : (float, float)
        How slowly Adam's means change: it corrects their bias by the steps taken.
    """

    most: float = inf
    counted: bool = False
    every: int = 1
    betas: tuple[float, float] = (0.0, 0.0)


@lru_cache(maxsize=256)
def step(
    entry: str, constants: tuple[Any, ...], counts: tuple[int, ...], slots: int, dtype: str,
    verdict: Verdict | None = None,
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
    verdict : Verdict, optional

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
    members = MEMBERS[: 2 + slots]
    kernel = Kernel("optim/step.cu", entry, (("SCALAR", SCALAR[dtype]),))
    numbers = [np.int32(c) if isinstance(c, int) else np.float64(c) for c in constants]
    rates = "rates" if verdict is None else "decided"
    launches = []
    for first in range(0, len(counts), MOST):
        table, blocks = tabled(counts, first, members, dtype)
        own = Buffer(rates, 8 * (HEAD + 2 * first))
        args: tuple[Argument, ...] = (table, Buffer(rates), own, *numbers)
        if blocks:
            launches.append(Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), args))
    if verdict is None or not launches:
        return Plan("step", entry, tuple(launches), {})
    before, parts = _verdict(counts, dtype, verdict)
    doubles = np.dtype(np.float64)
    decided = ArraySpec((HEAD + 2 * len(counts),), doubles)
    workspace = {"parts": ArraySpec((parts,), doubles), "decided": decided}
    return Plan("step", entry, (*before, *launches), {}, workspace)


def _verdict(counts: tuple[int, ...], dtype: str, verdict: Verdict) -> tuple[list[Launch], int]:
    """What goes before the step, and the sums that it leaves."""
    squares, judge = (
        Kernel("optim/gradients.cu", f"gradient_{name}", (("SCALAR", SCALAR[dtype]),))
        for name in ("squares", "verdict")
    )
    launches, parts = [], 0
    for first in range(0, len(counts), MOST):
        table, blocks = tabled(counts, first, ("grad",), dtype)
        args: tuple[Argument, ...] = (table, Buffer("parts", 8 * parts))
        if blocks:
            launches.append(Launch(squares, (blocks, 1, 1), (THREADS, 1, 1), args))
        parts += blocks
    args = (
        Buffer("parts"), np.int32(parts), Buffer("rates"), Buffer("decided"),
        np.int32(len(counts)), Buffer("state") if verdict.counted else None,
        np.float64(verdict.most), np.int64(verdict.every), *map(np.float64, verdict.betas),
    )  # fmt: skip
    launches.append(Launch(judge, (1, 1, 1), (THREADS, 1, 1), args))
    return launches, parts


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
