"""The cache of calls: what validation and planning gave, under all they depend on.

A repeated call spends microseconds before the launch. The key holds shapes, strides and dtypes of
the arrays, and types and values of the other arguments, simple ones as bytes and everything else as
text. Values alone would not do: 1, 1.0 and True are equal, and so are 0.0 and -0.0.
"""

import marshal
from collections.abc import Collection, Hashable, Iterable
from typing import Any, TypeVar

from numpy import ndarray

from pycnn.runtime.plan import BRIEF

T = TypeVar("T")

#: Calls that are cached, the oldest going first.
CALLS = 8192

#: Types of which `marshal` writes type and value, exactly.
_SIMPLE = frozenset((int, float, str, bool, type(None)))

_cache: dict[Hashable, Any] = {}


#: What is cached under a key, or None.
lookup = _cache.get


def store(key: Hashable, value: T) -> T:
    """`value`, from now on cached under `key`."""
    if BRIEF.get():  # nobody may run it
        return value
    while len(_cache) >= CALLS:
        _cache.pop(next(iter(_cache)), None)
    _cache[key] = value
    return value


def clear() -> None:
    """Forget all calls."""
    _cache.clear()


def forms(arrays: Iterable[Any]) -> list[Hashable]:
    """What they depend on of each array, or None."""
    found: list[Hashable] = []  # in one loop: a call for each array would take as long again
    for a in arrays:
        if a is None:
            found.append(None)
        elif isinstance(a, ndarray):
            found.append((a.__class__, a.shape, a.strides, a.dtype, a.flags.aligned))
        else:
            try:  # CuPy's arrays have no such flag; to make their others takes as long as all this
                found.append((a.__class__, a.shape, a.strides, a.dtype))
            except AttributeError:  # no array, as `backend_for` will say
                found.append(a.__class__)
    return found


def cache_key(arrays: Iterable[Any], settings: Collection[Any], *others: Hashable) -> Hashable:
    """What validation and planning depend on: of arrays or None, of settings, and `others`."""
    key = [*others, *forms(arrays)]
    kinds = tuple(map(type, settings))
    if _SIMPLE.issuperset(kinds):
        key.append(marshal.dumps(tuple(settings), 2))
    else:
        key.append(kinds)
        for value, kind in zip(settings, kinds, strict=True):
            key.append(value if kind in _SIMPLE and kind is not float else repr(value))
    return tuple(key)
