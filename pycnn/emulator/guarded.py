"""Arrays of a checked launch: copies with room around them, so that a stray access hits nothing."""

import bisect
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

#: No memory of a process lies outside; a smaller integer is a size or an index.
_LEAST_ADDRESS, _END_OF_ADDRESSES = 1 << 20, 1 << 57
#: As many integers of one array are taken for addresses at most.
_MOST_ADDRESSES = 1 << 16

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

    A report calls it by `name`; by its number if that is empty.

    Examples
    --------
    >>> x = np.arange(4.0)
    >>> Pointer(x, 8).address - Pointer(x).address
    8
    """

    array: np.ndarray
    offset: int = 0
    name: str = ""

    @property
    def address(self) -> int:
        return int(self.array.__array_interface__["data"][0]) + self.offset


@dataclass(frozen=True, eq=False)
class Following:
    """A struct by value that holds addresses, and the arrays that these are of."""

    value: np.void
    arrays: tuple[Pointer, ...]


def followed(arguments: Sequence[Any]) -> tuple[Sequence[Any], list[Any]]:
    """The arguments with plain structs, and the arrays that these point into."""
    known = [p for a in arguments if type(a) is Following for p in a.arrays]
    if not known:
        return arguments, known
    return [a.value if type(a) is Following else a for a in arguments], known


class Guarded:
    """Stand-ins for the arrays among the arguments of one launch.

    Arrays that share memory share a stand-in, so an in-place kernel stays one. An array whose
    address is also among the arguments as a number, or within a struct or an array of integers, is
    used where it is: the kernel may follow that pointer.

    Attributes
    ----------
    arguments : tuple
        The arguments of the launch, with stand-ins for arrays.
    ranges : list of tuple
        First byte, size, whether initialised, name, and free bytes on both sides of each array.
    numbers : list of int
        Numbers among the arguments that may be addresses of memory unknown here.
    """

    def __init__(self, arguments: Sequence[Any]) -> None:
        pointers = {
            i: a if isinstance(a, Pointer) else Pointer(a)
            for i, a in enumerate(arguments)
            if isinstance(a, (np.ndarray, Pointer))
        }
        arrays = [p.array for p in pointers.values()]
        numbers = _addresses(arguments, arrays)
        self._groups = _overlapping(arrays)
        self._copies = [
            _memory(low, high)
            if _any_within(numbers, low, high)
            else _copy_of(low, high, _offset(arrays[members[0]], low))
            for low, high, members in self._groups
        ]
        self.ranges: list[tuple[int, int, bool, str, int]] = []
        self._positions = positions = list(pointers)
        self._pointers = list(pointers.values())
        for (low, high, members), copy in zip(self._groups, self._copies, strict=True):
            names = " and ".join(
                f"argument {self._pointers[m].name or positions[m]} "
                f"({arrays[m].dtype}{list(arrays[m].shape)})"
                for m in members
            )
            base = copy.__array_interface__["data"][0]
            guard = GUARD if base != low else 0
            self.ranges.append((base, high - low, not _is_fresh(low), names, guard))
        for low, size in _fresh.items():
            passed = any(low < end and first < low + size for first, end, _ in self._groups)
            if size and not passed and _any_within(numbers, low, low + size):
                self.ranges.append((low, size, False, "an array of pycnn.emulator.empty", 0))
        known = [(low, high) for low, high, _ in self._groups]
        known += [(low, low + size) for low, size, *_ in self.ranges]
        self.numbers = [n for n in numbers if not any(low <= n < high for low, high in known)]
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

    def write_back(self, kernel: str) -> None:
        """Copy what the kernel wrote into the arrays themselves."""
        for (low, high, _), copy in zip(self._groups, self._copies, strict=True):
            memory = _memory(low, high)
            if not np.array_equal(memory, copy):  # what is only read may be read-only
                own = [i for i, p in enumerate(self._pointers) if low <= p.address < high]
                if not any(self._pointers[i].array.flags.writeable for i in own):
                    raise ValueError(
                        f"{kernel}: argument {self._positions[own[0]]} is a read-only array, which "
                        "the kernel wrote to; it is as before"
                    )
                memory[:] = copy
            for address in [a for a in _fresh if low <= a < high]:
                del _fresh[address]


def _addresses(arguments: Sequence[Any], arrays: Sequence[np.ndarray]) -> list[int]:
    """Numbers that may be addresses: integers, and the aligned words of structs and of arrays of
    64-bit integers."""
    values = [a for a in arguments if isinstance(a, (int, np.integer)) and a >= _LEAST_ADDRESS]
    addresses = {int(a) for a in values if a < _END_OF_ADDRESSES}
    scalars = [np.asarray(a) for a in arguments if isinstance(a, np.void)]
    for array in [*scalars, *arrays]:
        if array.dtype.kind not in "iuV" or array.dtype.itemsize % 8 or array.dtype.hasobject:
            continue
        words = np.ascontiguousarray(array).view(np.uint64).reshape(-1)
        likely = words[(words >= _LEAST_ADDRESS) & (words < _END_OF_ADDRESSES)]
        addresses.update(int(n) for n in likely[:_MOST_ADDRESSES])
    return sorted(addresses)


def _any_within(numbers: Sequence[int], low: int, high: int) -> bool:
    at = bisect.bisect_left(numbers, low)
    return at < len(numbers) and numbers[at] < high


def _is_fresh(address: int) -> bool:
    return any(base <= address < base + size for base, size in _fresh.items())


def _memory(low: int, high: int) -> np.ndarray:
    """The bytes of this process from `low` to `high`."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * (high - low)).from_address(low))


def _offset(array: np.ndarray, low: int) -> int:
    """Where in its allocation a view begins: a GPU's allocation would be aligned, the view not."""
    root, owner = array, array.base
    while owner is not None:  # between views there may be what made one, as of as_strided
        root = owner if isinstance(owner, np.ndarray) else root
        owner = getattr(owner, "base", None)
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
