"""The memory of repeated calls: what validation and planning gave, under all they depend on.

A repeated call spends microseconds before the launch. The key holds shapes, strides and dtypes of
the arrays, and types and values of the other arguments, simple ones as bytes and everything else as
text. Values alone would not do: 1, 1.0 and True are equal, and so are 0.0 and -0.0.
"""

import marshal
from collections.abc import Collection, Hashable
from typing import Any, TypeVar

from numpy import ndarray

T = TypeVar("T")

#: Calls that are kept, the oldest going first.
KEPT = 8192

#: Types of which `marshal` writes type and value, exactly.
_SIMPLE = frozenset((int, float, str, bool, type(None)))

_kept: dict[Hashable, Any] = {}


#: What was kept under a key, or None.
recall = _kept.get


def keep(key: Hashable, value: T) -> T:
    """`value`, from now on kept under `key`."""
    while len(_kept) >= KEPT:
        _kept.pop(next(iter(_kept)), None)
    _kept[key] = value
    return value


def metadata(array: Any) -> Hashable:
    """What validation and planning depend on of an argument that should be an array or None."""
    if array is None:
        return None
    if isinstance(array, ndarray):
        return array.__class__, array.shape, array.strides, array.dtype, array.flags.aligned
    try:  # CuPy's arrays have no such flag, and to make their others takes as long as all this
        return array.__class__, array.shape, array.strides, array.dtype
    except AttributeError:  # no array, as `backend_for` will say
        return array.__class__


def settled(values: Collection[Any]) -> Hashable:
    """What validation depends on of arguments that are no arrays."""
    kinds = tuple(map(type, values))
    if _SIMPLE.issuperset(kinds):
        return marshal.dumps(tuple(values), 2)
    return kinds, *[v if kind in _SIMPLE and kind is not float else repr(v)
                    for v, kind in zip(values, kinds, strict=True)]  # fmt: skip
