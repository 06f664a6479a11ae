"""How samples are taken, seen through a clock that only counts."""

import pytest

from pycnn.bench.measure import GROUP_SECONDS, MAX_REPEATS, MIN_REPEATS, CpuClock, Timing, measure


class FakeClock:
    """A clock on which a call lasts as long as it is told to."""

    def __init__(self, seconds: float) -> None:
        self.each, self.groups = seconds, []

    def seconds(self, call, times):
        self.groups.append(times)
        for _ in range(times):
            call()
        return self.each * times


@pytest.mark.parametrize(
    ("seconds", "repeats"),
    [(0.01, 50), (1e-3, MAX_REPEATS), (0.2, MIN_REPEATS), (3.0, 3)],
)
def test_repeats_follow_the_budget_within_their_limits(seconds, repeats):
    timing = measure(lambda: None, FakeClock(seconds), budget=0.5)
    assert timing.repeats == repeats
    assert timing.median_ms == pytest.approx(seconds * 1e3)


def test_short_calls_are_timed_in_groups():
    clock = FakeClock(1e-6)
    timing = measure(lambda: None, clock, budget=0.5)
    assert clock.groups[2:] == [round(GROUP_SECONDS / 1e-6)] * timing.repeats
    assert timing.median_ms == pytest.approx(1e-3)


def test_a_cold_sample_is_one_call_after_one_flush():
    happened = []
    clock = FakeClock(1e-6)
    timing = measure(
        lambda: happened.append("call"), clock, 1e-5, before=lambda: happened.append("flush")
    )
    assert happened == ["call", "call"] + ["flush", "call"] * timing.repeats
    assert set(clock.groups) == {1}


def test_the_first_call_counts_only_where_calls_are_long():
    for seconds, calls, repeats in ((0.1, 7, 5), (1.0, 3, 3)):
        called = []
        timing = measure(lambda called=called: called.append(1), FakeClock(seconds), budget=0.2)
        assert (len(called), timing.repeats) == (calls, repeats)


def test_median_and_range_of_samples():
    timing = Timing((1.0, 2.0, 3.0, 10.0, 20.0))
    assert (timing.quantile(0), timing.median_ms, timing.quantile(1)) == (1.0, 3.0, 20.0)
    assert (timing.quantile(0.25), timing.quantile(0.75)) == (2.0, 10.0)


def test_the_cpu_clock_runs_what_it_times():
    called = []
    assert CpuClock().seconds(lambda: called.append(1), 3) > 0
    assert called == [1, 1, 1]
