"""The thread that prepares batches: how far ahead it works, and that it ends."""

import threading
from collections.abc import Iterator

import pytest

from pycnn.data.prefetch import prefetched

WAIT = 10.0  # seconds after which something that should happen has not


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "pycnn-prefetch" in thread.name]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert running() == []
    yield
    assert running() == []


@pytest.mark.parametrize("depth", [0, 1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_come_in_order(depth: int, count: int) -> None:
    assert list(prefetched(lambda x: x * x, range(count), depth)) == [x * x for x in range(count)]


def test_it_works_ahead_by_the_depth_and_no_further() -> None:
    made, third = [], threading.Event()

    def make(item: int) -> int:
        made.append(item)
        if item == 2:
            third.set()
        return item

    results = prefetched(make, range(100), depth=2)
    assert next(results) == 0
    assert third.wait(WAIT)  # made while the caller holds the first
    results.close()  # type: ignore[attr-defined]
    assert made == [0, 1, 2]


def test_one_other_thread_makes_all_and_with_depth_0_the_caller() -> None:
    makers = set(prefetched(lambda _: threading.current_thread().name, range(20), depth=3))
    assert len(makers) == 1
    assert makers != {threading.current_thread().name}
    here = set(prefetched(lambda _: threading.current_thread().name, range(3), depth=0))
    assert here == {threading.current_thread().name}


def test_the_thread_ends_with_the_items() -> None:
    results = prefetched(abs, range(5), depth=2)
    assert next(results) == 0
    assert len(running()) == 1
    assert list(results) == [1, 2, 3, 4]
    assert running() == []


def test_the_thread_ends_when_the_caller_stops_early() -> None:
    for result in prefetched(abs, range(1000), depth=4):
        if result == 3:
            break  # the loop held the only reference
    assert running() == []


def test_the_thread_ends_when_the_caller_raises() -> None:
    def consume() -> None:
        for _ in prefetched(abs, range(1000), depth=4):
            raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own") as caught:
        consume()
    del caught  # its traceback holds the loop
    assert running() == []


def test_a_generator_that_was_never_asked_has_no_thread() -> None:
    results = prefetched(abs, range(5), depth=2)
    assert running() == []
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_an_exception_reaches_the_caller_at_its_item(depth: int) -> None:
    def make(item: int) -> int:
        if item == 2:
            raise ArithmeticError("item 2 is bad")
        return item

    results = prefetched(make, range(10), depth)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ArithmeticError, match="item 2 is bad"):
        next(results)
    assert list(results) == []  # ended
