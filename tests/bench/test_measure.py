"""How samples are taken, seen through clocks and a device whose times are scripted."""

import pytest

from pycnn.bench import measure as module
from pycnn.bench.measure import (
    GROUP_SECONDS,
    LONGEST_FILLER,
    MAX_GROUP,
    MAX_REPEATS,
    MIN_REPEATS,
    CpuClock,
    CudaClock,
    Sample,
    Timing,
    measure,
)


class FakeClock:
    """A clock on which a call lasts as long as it is told to."""

    def __init__(self, seconds: float) -> None:
        self.each, self.groups = seconds, []

    def sample(self, call, times, before=None):
        self.groups.append(times)
        if before:
            before()
        for _ in range(times):
            call()
        return Sample(self.each * times, self.each * times)


@pytest.mark.parametrize(
    ("seconds", "repeats"),
    [(0.01, 50), (1e-3, MAX_REPEATS), (0.2, MIN_REPEATS), (3.0, 3)],
)
def test_repeats_follow_the_budget_within_their_limits(seconds, repeats):
    timing = measure(lambda: None, FakeClock(seconds), budget=0.5 - 1e-9)
    assert timing.repeats == repeats
    assert timing.median_ms == pytest.approx(seconds * 1e3)


@pytest.mark.parametrize("seconds", [1e-5, 1e-6])
def test_short_calls_are_timed_in_groups(seconds):
    clock = FakeClock(seconds)
    timing = measure(lambda: None, clock, budget=0.5)
    assert clock.groups[2:] == [min(round(GROUP_SECONDS / seconds), MAX_GROUP)] * timing.repeats
    assert timing.median_ms == pytest.approx(seconds * 1e3)


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
    sample = CpuClock().sample(lambda: called.append(1), 3, lambda: called.append(0))
    assert called == [0, 1, 1, 1]
    assert sample.seconds == sample.spent > 0
    assert (sample.host, sample.queued) == (None, True)


class Device:
    """A host and a device with one queue, whose times are scripted; both clocks are seconds.

    Launching takes the host a while; the device takes up what is queued as soon as it is free.
    """

    def __init__(self, launch=0.0):
        self.host = self.device = 0.0  # now, and when all that is queued will be done
        self.launch_seconds, self.fillers, self.flushes = launch, [], 0

    def now(self):
        return self.host

    def launch(self, seconds):
        self.host += self.launch_seconds
        self.device = max(self.device, self.host) + seconds

    def wait(self):
        self.host = max(self.host, self.device)

    def spin(self, seconds):
        self.fillers.append(seconds)
        self.launch(seconds)

    def flush(self):
        self.flushes += 1
        self.launch(65e-6)

    def event(self):
        return Event(self)

    def milliseconds(self, begin, end):
        return (end.at - begin.at) * 1e3

    def clock(self):
        return CudaClock(self, self.now)


class Event:
    def __init__(self, device):
        self.of, self.at = device, max(device.host, device.device)

    @property
    def done(self):
        return self.at <= self.of.host

    def synchronize(self):
        self.of.host = max(self.of.host, self.at)


def test_a_kernel_shorter_than_its_launch_is_timed_without_the_launch():
    device = Device(launch=20e-6)
    timing = measure(lambda: device.launch(2e-6), device.clock(), budget=0.01)
    assert timing.queued
    assert timing.samples_ms == pytest.approx([2e-3] * timing.repeats)
    assert timing.host_ms == pytest.approx(20e-3)


def test_without_a_filler_the_same_kernel_seems_as_long_as_its_launch(monkeypatch):
    """What the filler is for: the stand-in tells a clock without one from a clock with one."""
    device = Device(launch=20e-6)
    monkeypatch.setattr(device, "spin", lambda seconds: None)
    timing = measure(lambda: device.launch(2e-6), device.clock(), budget=0.01)
    assert timing.median_ms > 10e-3
    assert not timing.queued


def test_a_filler_that_ends_too_early_is_noticed_and_made_longer():
    device = Device(launch=30e-3)  # far more than the shortest filler
    sample = device.clock().sample(lambda: device.launch(1e-3), 1)
    assert len(device.fillers) == 2
    assert device.fillers[1] >= 2 * 30e-3
    assert sample.queued
    assert (sample.seconds, sample.host) == pytest.approx((1e-3, 30e-3))
    assert sample.spent == pytest.approx(device.host)  # the failed attempt costs time, too


def test_the_filler_follows_from_what_queueing_takes():
    device = Device(launch=1e-3)
    clock = device.clock()
    clock.sample(lambda: device.launch(1e-6), 1)
    tried = len(device.fillers)
    clock.sample(lambda: device.launch(1e-6), 10)
    assert device.fillers[tried:] == pytest.approx([module.MARGIN * 10e-3])


def test_a_retry_flushes_the_caches_again():
    device = Device(launch=1e-3)
    device.clock().sample(lambda: device.launch(1e-6), 1, device.flush)
    assert device.flushes == len(device.fillers) == 2


@pytest.mark.parametrize(("seconds", "whole"), [(5e-6, 25e-6), (1.0, 2.0)])
def test_a_call_that_waits_for_the_device_is_said_to(seconds, whole):
    device = Device(launch=10e-6)

    def waiting():
        device.launch(seconds)
        device.wait()
        device.launch(seconds)

    clock = device.clock()
    timing = measure(waiting, clock, budget=0.01)
    assert not timing.queued
    assert max(device.fillers) <= LONGEST_FILLER
    assert timing.median_ms == pytest.approx(1e3 * whole, rel=0.05)
    assert timing.host_ms < 1e3 * (2 * seconds + 50e-6)  # no filler was waited for
    tried = len(device.fillers)
    clock.sample(waiting, 1)
    assert len(device.fillers) == tried  # nothing is tried in vain again


def test_the_budget_includes_what_the_fillers_cost():
    device = Device(launch=10e-6)
    begin = device.host
    timing = measure(lambda: device.launch(5e-6), device.clock(), budget=0.05)
    assert timing.repeats < MAX_REPEATS
    assert device.host - begin < 0.06
