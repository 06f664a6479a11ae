"""Warps that queue for the scheduler and for memory, between one alone and many."""

from itertools import pairwise

import pytest

from pycnn.predict.model import FRONT, MEMORY, _together


def unit(front: float, memory: float) -> dict[str, float]:
    every = (*FRONT, *MEMORY, "L2", "memory")
    return {**dict.fromkeys(every, 0.0), "issue": front, "load/store": memory}


def test_few_warps_are_bound_by_their_own_waiting() -> None:
    assert _together(1, unit(10, 5), 1000) == pytest.approx(1000)
    assert _together(4, unit(10, 5), 1000) == pytest.approx(1000, rel=0.05)
    assert _together(0, unit(10, 5), 1000) == 0


def test_many_warps_are_bound_by_the_busiest_unit() -> None:
    assert _together(64, unit(10, 1), 100) == pytest.approx(640, rel=0.05)
    assert _together(64, unit(1, 10), 100) == pytest.approx(640, rel=0.05)


def test_more_warps_take_longer_but_not_in_proportion() -> None:
    times = [_together(n, unit(10, 8), 300) for n in (1, 2, 4, 6, 8, 16, 32)]
    assert times == sorted(times)
    assert all(later < 2 * sooner for sooner, later in pairwise(times))
    # Two units that are equally busy are both waited for.
    assert _together(16, unit(10, 10), 100) > _together(16, unit(10, 1), 100)
