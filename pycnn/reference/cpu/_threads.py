"""Blocks of work side by side: NumPy lets other threads run while it copies and multiplies."""

import contextvars
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pycnn import config
from pycnn.reference.cpu import _blas

Item = TypeVar("Item")
Result = TypeVar("Result")

_pools: dict[int, ThreadPoolExecutor] = {}
# A forked process has none of the threads: it makes its own.
os.register_at_fork(after_in_child=_pools.clear)


def thread_count() -> int:
    """``PYCNN_CPU_THREADS``; 0: ``OMP_NUM_THREADS``, or else one for each core that is free."""
    return config.get("PYCNN_CPU_THREADS") or _blas.usable_cores()


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``function(item)`` for each item, several at a time; the results in the order of the items.

    Examples
    --------
    >>> each(abs, [-1, -2])
    [1, 2]
    """
    items = list(items)
    if len(items) < 2:
        return [function(item) for item in items]
    # One thread of BLAS, however many of ours: a product's last bits tell how many BLAS has, and
    # ours times BLAS's would be more than there are cores.
    with _blas.limited(1):
        return _side_by_side(function, items)


def _side_by_side(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    threads = min(thread_count(), len(items))
    if threads < 2:
        return _run(function, items)
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="pycnn-cpu")
    # Settings of NumPy such as errstate belong to a context, of which every task runs in a copy.
    shares = [items[first::threads] for first in range(threads)]
    tasks = [
        _pools[threads].submit(contextvars.copy_context().run, _run, function, share)
        for share in shares[1:]
    ]
    done = [_run(function, shares[0]), *(task.result() for task in tasks)]
    return [done[i % threads][i // threads] for i in range(len(items))]


def _run(function: Callable[[Item], Result], share: list[Item]) -> list[Result]:
    return [function(item) for item in share]
