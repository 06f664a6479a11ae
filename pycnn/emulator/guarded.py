"""Arrays of a checked launch: copies with room around them, so that a stray access hits nothing."""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Bytes kept free on each side. An access beyond lands in no array either, but this makes sure
#: that one array does not begin where another ends.
GUARD = 1 << 16
#: CuPy's allocator aligns to this; sectors and vector loads see the same offsets here.
ALIGNMENT = 512

#: Memory handed out by `empty` that nobody has written since: base address -> size.
_fresh: dict[int, int] = {}


def empty(shape: int | tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """An array whose elements count as uninitialised until a kernel writes them.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    dtype : dtype, default float64
        Type of its elements.

    Returns
    -------
    numpy.ndarray
        C-contiguous, filled with bytes 0xFF (NaN in floating types). A checked kernel that reads
        an element of it before one has been written raises `UninitialisedReadError`.

    Examples
    --------
    >>> bool(np.isnan(empty(3)).all())
    True
    """
    array = np.empty(shape, dtype)
    array.view(np.uint8).fill(0xFF) if array.ndim and array.size else None
    address = array.__array_interface__["data"][0]
    _fresh[address] = array.nbytes
    weakref.finalize(array, _fresh.pop, address, None)
    return array


@dataclass(frozen=True)
class Pointer:
    """An argument that points into an array: `offset` bytes behind its first element.

    Examples
    --------
    >>> x = np.arange(4.0)
    >>> Pointer(x, 8).address - Pointer(x).address
    8
    """

    array: np.ndarray
    offset: int = 0

    @property
    def address(self) -> int:
        return int(self.array.__array_interface__["data"][0]) + self.offset


class Guarded:
    """Stand-ins for the arrays among the arguments of one launch.

    Arrays that share memory share a stand-in, so an in-place kernel stays one.
    """

    def __init__(self, arguments: Sequence[Any]) -> None:
        pointers = {
            i: a if isinstance(a, Pointer) else Pointer(a)
            for i, a in enumerate(arguments)
            if isinstance(a, (np.ndarray, Pointer))
        }
        arrays = [p.array for p in pointers.values()]
        self._groups = _overlapping(arrays)
        self._copies = [
            _copy_of(low, high, _offset(arrays[members[0]], low))
            for low, high, members in self._groups
        ]
        self.ranges: list[tuple[int, int, bool, str]] = []
        positions = list(pointers)
        self._pointers = list(pointers.values())
        for (low, high, members), copy in zip(self._groups, self._copies, strict=True):
            names = " and ".join(
                f"argument {positions[m]} ({arrays[m].dtype}{list(arrays[m].shape)})"
                for m in members
            )
            base = copy.__array_interface__["data"][0]
            self.ranges.append((base, high - low, not _is_fresh(low), names))
        self.arguments = tuple(
            self._stand_in(pointers[i].address) if i in pointers else a
            for i, a in enumerate(arguments)
        )

    def _stand_in(self, address: int) -> int:
        """Where the byte at `address` is in the copies."""
        for (low, high, _), copy in zip(self._groups, self._copies, strict=True):
            if low <= address < high:
                return int(copy.__array_interface__["data"][0]) + address - low
        return address  # of an array without elements

    def write_back(self) -> None:
        """Copy what the kernel wrote into the arrays themselves."""
        for (low, high, _), copy in zip(self._groups, self._copies, strict=True):
            memory = _memory(low, high)
            if not np.array_equal(memory, copy):  # what is only read may be read-only
                if not any(
                    p.array.flags.writeable for p in self._pointers if low <= p.address < high
                ):
                    raise ValueError(
                        "the kernel wrote to a read-only array, whose const it cast away"
                    )
                memory[:] = copy
            for address in [a for a in _fresh if low <= a < high]:
                del _fresh[address]


def _is_fresh(address: int) -> bool:
    return any(base <= address < base + size for base, size in _fresh.items())


def _memory(low: int, high: int) -> np.ndarray:
    """The bytes of this process from `low` to `high`."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * (high - low)).from_address(low))


def _offset(array: np.ndarray, low: int) -> int:
    """Where in its allocation a view begins: a GPU's allocation would be aligned, the view not."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    return (low - int(root.__array_interface__["data"][0])) % ALIGNMENT


def _copy_of(low: int, high: int, offset: int) -> np.ndarray:
    size = high - low
    storage = np.empty(size + 2 * GUARD + 2 * ALIGNMENT, np.uint8)
    first = GUARD + (-storage.__array_interface__["data"][0] - GUARD) % ALIGNMENT + offset
    copy = storage[first : first + size]
    copy[:] = _memory(low, high)
    return copy


def _overlapping(arrays: Sequence[np.ndarray]) -> list[tuple[int, int, list[int]]]:
    """Groups of arrays whose memory overlaps: (first byte, end, indices)."""
    bounds = []
    for i, array in enumerate(arrays):
        if array.size:
            low, high = np.lib.array_utils.byte_bounds(array)
            bounds.append((low, high, [i]))
    groups: list[tuple[int, int, list[int]]] = []
    for low, high, members in sorted(bounds):
        if groups and low < groups[-1][1]:
            before = groups[-1]
            groups[-1] = (before[0], max(before[1], high), before[2] + members)
        else:
            groups.append((low, high, members))
    return groups
