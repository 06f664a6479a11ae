"""What families and operations share: silence about infinities, and cutting a batch into blocks."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from pycnn.reference.cpu._blas import considerate
from pycnn.runtime.context import held

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Elements of a working buffer: a last-level cache holds it, and a larger one gains no speed.
BUFFER_ELEMENTS = 2**21


class _Kept(threading.local):
    """Each thread's buffers by name."""

    def __init__(self) -> None:
        self.buffers: dict[str, np.ndarray] = {}


_kept = _Kept()


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Uninitialised array, overwritten when this thread takes the same name again.

    Memory that was just given back to the system costs a page fault for every 4 KiB when it is
    taken anew, in a small layer more time than the arithmetic; so a buffer is kept for the next
    call unless it is larger than the blocks that the methods cut their work into.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    buffer = _kept.buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, np.uint8)
        if size <= BUFFER_ELEMENTS * dtype.itemsize:
            _kept.buffers[name] = buffer
    return buffer[:size].view(dtype).reshape(shape)


#: Inside a block of `quietly`: how NumPy handles errors outside, where that was asked for.
_quiet: ContextVar[Mapping[str, Any] | None] = ContextVar("pycnn_quiet", default=None)


class quietly:
    """No warning of what data, overflow or underflow make, as on a GPU; BLAS on free cores.

    A block inside another one has nothing to do. `before` is what `aloud` inside goes back to.
    """

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        self._before = before or {}
        self._entered: Any = None

    def __enter__(self) -> None:
        if _quiet.get() is None:
            blocks = considerate(), np.errstate(all="ignore")  # the first may refuse a setting
            for block in blocks:
                block.__enter__()
            self._entered = *blocks, _quiet.set(self._before)

    def __exit__(self, *exc: object) -> None:
        if self._entered is not None:
            *blocks, token = self._entered
            _quiet.reset(token)
            for block in reversed(blocks):
                block.__exit__(None, None, None)


@contextlib.contextmanager
def aloud() -> Iterator[None]:
    """Of code of a user's own, inside a block of `quietly`: NumPy warns as outside."""
    with np.errstate(**(_quiet.get() or {})), held(_quiet, None):
        yield


def quiet(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """No warning or error about what data, overflow or underflow make, as on a GPU."""

    @wraps(function)
    def silenced(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if _quiet.get() is not None:
            return function(*args, **kwargs)
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return silenced


def pixel_blocks(
    n: int, p: int, q: int, per_pixel: int, enough: int
) -> Iterator[tuple[slice, list[slice]]]:
    """Cut (N, P, Q) pixels into slices of images and, within each, slices of rows.

    Small images are joined until there are `enough` pixels; large ones are cut into rows, so
    that a buffer of `per_pixel` elements for each pixel keeps to BUFFER_ELEMENTS.
    """
    room = max(1, BUFFER_ELEMENTS // (per_pixel * q))
    images = max(1, min(-(-enough // (p * q)), room // p))
    rows = [slice(start, min(start + room, p)) for start in range(0, p, room)]
    for start in range(0, n, images):
        yield slice(start, min(start + images, n)), rows
