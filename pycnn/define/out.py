"""The `out` argument: may the result go there, and putting it there."""

from typing import Any

import numpy as np


def check_writeable(out: Any, name: str = "out") -> None:
    """`out` may be written to, which can change from call to call."""
    if not getattr(out.flags, "writeable", True):
        raise ValueError(f"{name} is read-only; allowed: a writeable array")


def check_apart(out: Any, **inputs: Any) -> None:
    """`out` shares no memory with any input."""
    for name, array in inputs.items():
        if array is not None and not _apart(out, array):
            raise ValueError(f"out shares memory with {name}; allowed: an array of its own")


def _apart(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        if a.base is None and b.base is None:
            return a is not b  # two arrays that each own their memory
        return not np.may_share_memory(a, b)
    # An array of CuPy's without a base may still be made of another one's pointer, or by DLPack of
    # a part of another library's array.
    (a_begin, a_end), (b_begin, b_end) = span(a), span(b)
    return a_end <= b_begin or b_end <= a_begin or a_begin == a_end or b_begin == b_end


def span(array: Any) -> tuple[int, int]:
    """Addresses of the first byte that an array has, and behind the last one."""
    begin = end = address(array)
    if array.flags.c_contiguous:  # an empty one is
        return begin, end + array.nbytes
    for extent, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            begin += (extent - 1) * stride
        else:
            end += (extent - 1) * stride
    return begin, end + array.itemsize


def same_view(a: Any, b: Any) -> bool:
    """Whether two arrays are the same elements at the same addresses."""
    return a is b or (
        type(a) is type(b)
        and a.shape == b.shape
        and a.dtype == b.dtype
        and a.strides == b.strides
        and address(a) == address(b)
    )


def address(array: Any) -> int:
    """Of the first element."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def store(result: Any, out: np.ndarray | None) -> np.ndarray:
    """`result` as an array, in `out` if there is one."""
    if out is None or result is out:
        return np.asarray(result)
    np.copyto(out, result, casting="no")
    return out
