"""Context variables that have another value inside a block."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def held(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Inside, the variable has this value; afterwards, whatever happens, that of before.

    Examples
    --------
    >>> depth = ContextVar("depth", default=0)
    >>> with held(depth, 1):
    ...     depth.get()
    1
    >>> depth.get()
    0
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
