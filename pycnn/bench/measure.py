"""Timing: warm up, repeat within a budget, keep the median and the spread.

A clock starts, lets the caller run, and says how long that took. On a GPU two events stand around
the calls, so that the device's own time is measured and not that of the launches; on a CPU it is
`time.perf_counter`. Calls too short for the clock are timed in groups.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

#: A group of calls lasts at least this long, far above the resolution of either clock.
GROUP_SECONDS = 200e-6

#: Fewest and most samples; the budget decides in between.
MIN_REPEATS, MAX_REPEATS = 5, 200


class Clock(Protocol):
    """Measures the time of a group of calls."""

    def seconds(self, call: Callable[[], object], times: int) -> float:
        """How long `times` calls took, all work that they started included."""


class CpuClock:
    """Wall time."""

    def seconds(self, call: Callable[[], object], times: int) -> float:
        begin = time.perf_counter()
        for _ in range(times):
            call()
        return time.perf_counter() - begin


class CudaClock:
    """Device time between two events on the current stream."""

    def __init__(self, event: Callable[[], Any], milliseconds: Callable[[Any, Any], float]) -> None:
        self._event, self._milliseconds = event, milliseconds

    def seconds(self, call: Callable[[], object], times: int) -> float:
        begin, end = self._event(), self._event()
        begin.record()
        for _ in range(times):
            call()
        end.record()
        end.synchronize()
        return self._milliseconds(begin, end) * 1e-3


def cupy_clock() -> CudaClock:
    """Events of CuPy, on the stream that is current when they are recorded."""
    import cupy

    return CudaClock(cupy.cuda.Event, cupy.cuda.get_elapsed_time)


def torch_clock() -> CudaClock:
    """Events of PyTorch, on its current stream."""
    import torch

    event = torch.cuda.Event
    return CudaClock(lambda: event(enable_timing=True), event.elapsed_time)


@dataclass(frozen=True)
class Timing:
    """Samples of one call's time, in milliseconds, sorted."""

    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        return self.quantile(0.5)

    @property
    def repeats(self) -> int:
        return len(self.samples_ms)

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.samples_ms, q))


def measure(
    call: Callable[[], object],
    clock: Clock,
    budget: float,
    *,
    before: Callable[[], object] | None = None,
) -> Timing:
    """Time `call` for about `budget` seconds.

    Parameters
    ----------
    call : callable
        What is timed. Its first call warms up and does not count, unless it alone takes longer
        than the budget: then it is the first of three samples.
    clock : Clock
    budget : float
        Seconds to spend; at least `MIN_REPEATS` samples are taken of a call within the budget.
    before : callable, optional
        Called ahead of every sample and not timed, e.g. to flush a cache; then calls are not
        grouped.

    Returns
    -------
    Timing

    Examples
    --------
    >>> timing = measure(lambda: sum(range(1000)), CpuClock(), budget=0.01)
    >>> timing.samples_ms[0] <= timing.median_ms <= timing.samples_ms[-1]
    True
    """
    once = clock.seconds(call, 1)
    if once > budget:
        return Timing(tuple(sorted(1e3 * s for s in (once, *_samples(call, clock, 1, 2, before)))))
    once = clock.seconds(call, 1)
    times = 1 if before else max(1, round(GROUP_SECONDS / max(once, 1e-9)))
    wanted = int(budget / max(once * times, 1e-9))
    repeats = min(max(wanted, MIN_REPEATS), MAX_REPEATS)
    return Timing(tuple(sorted(1e3 * s for s in _samples(call, clock, times, repeats, before))))


def _samples(
    call: Callable[[], object],
    clock: Clock,
    times: int,
    repeats: int,
    before: Callable[[], object] | None,
) -> Iterator[float]:
    """Seconds of a call, averaged over groups of `times`."""
    for _ in range(repeats):
        if before:
            before()
        yield clock.seconds(call, times) / times
