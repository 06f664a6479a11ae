"""Prepare what comes next in a thread while the caller works."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetched(
    make: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """``make(item)`` for each item, in order, up to `depth` of them ahead of the caller.

    One thread makes them all. It ends with this generator: when the items do, when the caller
    closes or drops the generator, and when `make` raises, which reaches the caller at the item
    that failed. With depth 0 there is no thread.

    Examples
    --------
    >>> list(prefetched(abs, [-1, -2, -3], depth=2))
    [1, 2, 3]
    """
    if depth == 0:
        yield from map(make, items)
        return
    thread = ThreadPoolExecutor(1, thread_name_prefix="pycnn-prefetch")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(thread.submit(make, item))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
