"""The `out` argument: may the result go there, and putting it there."""

import sys
from typing import Any

import numpy as np


def check_writeable(out: Any) -> None:
    """`out` may be written to, which can change from call to call."""
    if not getattr(out.flags, "writeable", True):
        raise ValueError("out is read-only; allowed: a writeable array")


def check_apart(out: Any, **inputs: Any) -> None:
    """`out` shares no memory with any input."""
    for name, array in inputs.items():
        if array is not None and not _apart(out, array):
            raise ValueError(f"out shares memory with {name}; allowed: an array of its own")


def _apart(a: Any, b: Any) -> bool:
    if a.base is None and b.base is None:
        return a is not b  # two arrays that each own their memory
    xp = np if isinstance(a, np.ndarray) else sys.modules["cupy"]
    return not xp.may_share_memory(a, b)


def same_view(a: Any, b: Any) -> bool:
    """Whether two arrays are the same elements at the same addresses."""
    return a is b or (
        type(a) is type(b)
        and a.shape == b.shape
        and a.dtype == b.dtype
        and a.strides == b.strides
        and _address(a) == _address(b)
    )


def _address(array: Any) -> int:
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def store(result: Any, out: np.ndarray | None) -> np.ndarray:
    """`result` as an array, in `out` if there is one."""
    if out is None or result is out:
        return np.asarray(result)
    np.copyto(out, result, casting="no")
    return out
