"""The compiled loops (`cpu/*.cpp`), or None where the package was built without a C++ compiler.

Whatever uses them has a way without them, which says the same but for the last bits.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np


def _load() -> Any:
    try:
        return importlib.import_module("pycnn.reference.cpu._compiled")
    except ImportError:
        return None


compiled = _load()


def fast() -> bool:
    """Whether they are there, with vectors that are at least as wide as those of NumPy's BLAS."""
    return compiled is not None and compiled.chosen() != "baseline"


def take(*arrays: np.ndarray) -> bool:
    """Whether they are there and fast, and take arrays of these layouts and dtypes."""
    return fast() and all(
        a.flags.c_contiguous and a.dtype in (np.float32, np.float64) for a in arrays
    )


def about() -> str:
    """For ``pycnn info``."""
    return f"compiled loops ({compiled.chosen()})" if compiled else "no compiled loops"


def shares(count: int, parts: int) -> Iterator[tuple[int, int]]:
    """`count` things in that many parts, as (first, end).

    Examples
    --------
    >>> list(shares(5, 2))
    [(0, 2), (2, 5)]
    """
    parts = max(1, min(count, parts))
    for i in range(parts):
        yield count * i // parts, count * (i + 1) // parts
