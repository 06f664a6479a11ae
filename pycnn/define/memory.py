"""The memory of repeated calls: what validation and planning gave, under all they depend on.

A repeated call spends microseconds before the launch. The key holds shapes, strides and dtypes of
the arrays, and the other arguments: ints as they are and everything else as text. Equal text means
equal value and type, as 1, 1.0 and True are not, and a list has one too.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

#: Calls that are kept, the oldest going first.
KEPT = 8192

_kept: dict[Hashable, Any] = {}


def kept(key: Hashable, make: Callable[[], T]) -> T:
    """What `make` gives, or gave when called with this key before."""
    found: T | None = _kept.get(key)
    if found is None:
        found = make()
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = found
    return found


def metadata(array: Any) -> Hashable:
    """What validation and planning depend on of an argument that should be an array or None."""
    if array is None:
        return None
    try:
        aligned = getattr(array.flags, "aligned", True)  # CuPy's arrays have no such flag
        return array.__class__, array.shape, array.strides, array.dtype, aligned
    except AttributeError:  # no array, as `make` will say
        return array.__class__


def plain(value: Any) -> Hashable:
    """What validation depends on of an argument that is no array."""
    return value if type(value) is int or value is None else repr(value)
