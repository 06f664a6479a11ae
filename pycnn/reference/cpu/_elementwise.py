"""A result for each element: by a compiled loop, where there is one, on all cores; or else block by
block, so that what is in between stays in cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.reference.cpu import _loops
from pycnn.reference.cpu._common import quiet
from pycnn.reference.cpu._threads import each, thread_count

#: Elements of a block: a few of them fit into a second-level cache.
BLOCK = 2**15


@quiet
def in_blocks(
    function: Callable[..., Any],
    arrays: tuple[np.ndarray, ...],
    settings: tuple[Any, ...],
    out: Any,
) -> np.ndarray:
    """`function(*arrays, *settings, out=out)`, for contiguous arrays in blocks.

    Parameters
    ----------
    function : callable
        Writes one result for each element into `out`, and reads no element after it wrote it.
    arrays : tuple of array
        Of one shape and dtype.
    settings : tuple
        Passed on.
    out : array or None
        May be one of `arrays`.

    Returns
    -------
    array
        `out`, or a new one.
    """
    first = arrays[0]
    result = np.empty(first.shape, first.dtype) if out is None else out
    if not settings and _loops.take(*arrays, result):
        loop = getattr(_loops.compiled, function.__name__, None)
        if loop is not None:
            _shared(loop, *arrays, result)
            return result
    if first.size > BLOCK and all(a.flags.c_contiguous for a in (*arrays, result)):
        flat = [a.reshape(-1) for a in arrays]
        into = result.reshape(-1)
        for start in range(0, first.size, BLOCK):
            part = slice(start, start + BLOCK)
            function(*[a[part] for a in flat], *settings, out=into[part])
    else:
        function(*arrays, *settings, out=result)
    return result


@quiet
def is_finite(x: np.ndarray) -> bool:
    """Whether all elements are finite; of NumPy, whether their sum is.

    Examples
    --------
    >>> is_finite(np.ones(3)), is_finite(np.array([1, np.inf, 2]))
    (True, False)
    """
    if _loops.take(x):
        return all(_shared(_loops.compiled.finite, x))
    return bool(np.isfinite(x.sum()))


def _shared(loop: Callable[..., Any], *arrays: np.ndarray) -> list[Any]:
    """What a compiled loop says of the shares that cores take of contiguous arrays."""
    size = arrays[0].size
    parts = min(thread_count(), -(-size // BLOCK))
    return each(lambda share: loop(*arrays, *share), _loops.shares(size, parts))
