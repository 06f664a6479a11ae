"""How much memory one array may take: refused before it is allocated."""

import os
from collections.abc import Iterable
from contextvars import ContextVar

from pycnn.onnx.errors import OnnxError

#: Bytes of one array that may be computed while a model is loaded.
WHILE_LOADING = 2**28


def machine_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


limit: ContextVar[int | None] = ContextVar("pycnn_onnx_limit", default=None)


def check_size(shape: Iterable[int], itemsize: int, what: str = "a result") -> None:
    """Refuse an array that is larger than memory, or has a negative extent."""
    extents = tuple(shape)
    count = 1
    for extent in extents:
        if extent < 0:
            raise OnnxError(f"{what} of shape {extents}; allowed: no negative extent")
        count *= extent
    allowed = limit.get() or machine_memory()
    if count * itemsize > allowed or len(extents) > 64:
        raise OnnxError(
            f"{what} of shape {extents} takes {count * itemsize} bytes; allowed: {allowed}"
        )
