"""Warps that queue for the scheduler and for memory, between one alone and many."""

from itertools import pairwise

import pytest

from pycnn.predict.queue import Warp, in_waves, together


def unit(front: float, memory: float, alone: float) -> Warp:
    """A warp that keeps its scheduler busy for four times `front` clocks."""
    return Warp(4 * front, memory, 0.0, 0.0, alone)


def test_few_warps_are_bound_by_their_own_waiting() -> None:
    assert together(1, unit(10, 5, 1000)) == pytest.approx(1000)
    assert together(4, unit(10, 5, 1000)) == pytest.approx(1000, rel=0.05)
    assert together(0, unit(10, 5, 1000)) == 0


def test_many_warps_are_bound_by_the_busiest_unit() -> None:
    assert together(64, unit(10, 1, 100)) == pytest.approx(640, rel=0.05)
    assert together(64, unit(1, 10, 100)) == pytest.approx(640, rel=0.05)


def test_more_warps_take_longer_but_not_in_proportion() -> None:
    times = [together(n, unit(10, 8, 300)) for n in (1, 2, 4, 6, 8, 16, 32)]
    assert times == sorted(times)
    assert all(later < 2 * sooner for sooner, later in pairwise(times))
    # Two units that are equally busy are both waited for.
    assert together(16, unit(10, 10, 100)) > together(16, unit(10, 1, 100))


def test_waves_and_the_last() -> None:
    warp = unit(10, 1, 100)
    whole, half = together(16, warp), together(8, warp)
    assert in_waves(40, 2, 10, 8, warp) == pytest.approx(2 * whole)
    assert in_waves(41, 2, 10, 8, warp) == pytest.approx(2 * whole + half)
    assert in_waves(5, 2, 10, 8, warp) == pytest.approx(half)


def test_a_warp_that_finds_the_memory_idle_is_served_by_one_channel() -> None:
    many = Warp(1, 1, 0.0, 40.0, 500, 2 / 10)
    few = many._replace(channels=1.0)
    assert together(1, many) == pytest.approx(500 - 2 + 2 + 8 + 40 * 40 / 510, rel=0.02)
    assert together(8, many) < together(8, few)
    # However they are shared out, the memory gives no more than it has.
    assert together(64, many) == pytest.approx(64 * 40, rel=0.02)
    assert together(64, few) == pytest.approx(64 * 40, rel=0.05)
