"""Memory for plans that are run again and again on arrays that stay where they are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pycnn.runtime.plan import Plan, Transform
from pycnn.shapes import ceil_div

#: Everything begins at a multiple of so many bytes, as CuPy's allocations do.
ALIGNMENT = 512


@dataclass
class Piece:
    """Memory that is needed from one step to another, both included."""

    size: int
    first: int
    last: int
    offset: int = 0


def place(pieces: Sequence[Piece]) -> int:
    """Give every piece its offset, those needed at a time apart; the bytes of all together.

    The largest goes first, each to the lowest place where nothing is that it would meet.

    References
    ----------
    Y. Pisarchyk, J. Lee, "Efficient memory management for deep neural net inference", 2020,
    section 5.2.

    Examples
    --------
    >>> a, b, c = Piece(1024, 0, 1), Piece(512, 1, 2), Piece(1000, 2, 3)
    >>> place([a, b, c]), a.offset, b.offset, c.offset
    (1536, 0, 1024, 0)
    """
    placed: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: p.size, reverse=True):
        met = [p for p in placed if p.first <= piece.last and piece.first <= p.last]
        piece.offset = 0
        for other in sorted(met, key=lambda p: p.offset):
            if piece.offset + piece.size <= other.offset:
                break
            piece.offset = max(piece.offset, _aligned(other.offset + other.size))
        placed.append(piece)
    return max((p.offset + p.size for p in pieces), default=0)


def _aligned(size: int) -> int:
    return ceil_div(size, ALIGNMENT) * ALIGNMENT


def memory(library: Any, size: int) -> Any:
    """Uninitialised bytes of NumPy or CuPy, for `array_in`."""
    return np.empty(size, np.uint8) if library is np else library.cuda.alloc(max(size, 1))


def array_in(
    library: Any,
    where: Any,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """An array whose first element lies `offset` bytes into `memory`."""
    if library is np:
        return np.ndarray(shape, dtype, where, offset, strides)
    return library.ndarray(shape, dtype, where + offset, strides)


def prepared(plan: Plan, constants: Collection[str]) -> tuple[int, set[str]]:
    """How many of the first launches need nothing but `constants`, and the workspace they fill.

    What they make may be kept as long as the constants stay: the filters of Winograd's algorithm,
    a weight in another order. Each fills one array of the workspace that no other has touched.
    """
    filled: set[str] = set()
    for number, launch in enumerate(plan.launches):
        fresh = set(launch.names) - filled - set(constants)
        if isinstance(launch, Transform) or len(fresh) != 1 or not fresh <= plan.workspace.keys():
            return number, filled
        filled |= fresh
    return 0, set()  # everything: there is nothing left to run


def split(plan: Plan, count: int) -> tuple[Plan, Plan]:
    """The first launches and the others, as plans whose workspace the caller has."""
    bare: dict[str, Any] = {"workspace": {}}
    return (
        replace(plan, launches=plan.launches[:count], outputs={}, **bare),
        replace(plan, launches=plan.launches[count:], **bare),
    )
