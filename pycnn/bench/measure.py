"""Timing: warm up, repeat within a budget, keep the median and the spread.

A clock runs the caller and says how long that took. On a CPU it is `time.perf_counter`. On a GPU
two events stand around the calls; a filler that is queued ahead of the first keeps the device busy
until all calls are queued, so that no launch is waited for between the events. Calls too short for
the clock are timed in groups.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

#: A group of calls lasts at least this long, far above the resolution of either clock.
GROUP_SECONDS = 200e-6

#: Most calls of a group: a GPU's queue holds about a thousand launches, and whoever queues more
#: waits for it.
MAX_GROUP = 64

#: Fewest and most samples; the budget decides in between.
MIN_REPEATS, MAX_REPEATS = 5, 200

#: A spread, see `Timing`, above which something else disturbed the samples.
DISTURBED = 0.25

#: Seconds of the shortest and the longest filler, and how much longer one lasts than queueing took
#: the last time.
SHORTEST_FILLER, LONGEST_FILLER, MARGIN = 100e-6, 0.25, 3.0

#: So often a filler that ended too early is made longer. Calls that are not queued by then wait for
#: the device themselves: whatever is ahead of them, they take longer than it.
ATTEMPTS = 6

Call = Callable[[], object]


class Sample(NamedTuple):
    """One group of calls.

    Attributes
    ----------
    seconds : float
        From the begin of the first to the end of the last.
    spent : float
        All that taking the sample cost, in seconds.
    host : float, optional
        Until the last call had returned; None where that is the same as `seconds`.
    queued : bool
        Whether everything was queued before the device came to it. If not, `seconds` includes time
        of the host.
    """

    seconds: float
    spent: float
    host: float | None = None
    queued: bool = True


class Clock(Protocol):
    """Measures the time of a group of calls."""

    def sample(self, call: Call, times: int, before: Call | None = None) -> Sample:
        """How long `times` calls took, all work that they started included.

        `before` is called ahead of them, not timed, as often as they are tried.
        """


class CpuClock:
    """Wall time."""

    def sample(self, call: Call, times: int, before: Call | None = None) -> Sample:
        if before:
            before()
        begin = time.perf_counter()
        for _ in range(times):
            call()
        seconds = time.perf_counter() - begin
        return Sample(seconds, seconds)


class Queue(Protocol):
    """A stream of a device, as far as a clock uses it."""

    def spin(self, seconds: float) -> None:
        """Queue work that lasts `seconds` and touches no memory."""

    def event(self) -> Any:
        """A recorded event, with `done` and `synchronize`."""

    def milliseconds(self, begin: Any, end: Any) -> float:
        """Device time between two events."""


class CudaClock:
    """Device time between two events, with everything between them queued beforehand.

    Parameters
    ----------
    queue : Queue
        The stream on which the calls work.
    now : callable, optional
        Clock of the host.
    """

    def __init__(self, queue: Queue, now: Callable[[], float] = time.perf_counter) -> None:
        self._queue, self._now = queue, now
        self._host = 0.0  # seconds to queue a call, as last seen
        self._waits = False  # the calls cannot be queued, see ATTEMPTS

    def sample(self, call: Call, times: int, before: Call | None = None) -> Sample:
        start, filler = self._now(), max(SHORTEST_FILLER, MARGIN * self._host * times)
        for _ in range(ATTEMPTS):
            if self._waits:
                break
            filler = min(filler, LONGEST_FILLER)
            seconds, host, queued = self._attempt(call, times, before, filler)
            if queued:
                self._host = host / times
                return Sample(seconds, self._now() - start, host)
            self._waits = filler == LONGEST_FILLER
            filler = max(2 * filler, MARGIN * host)
        self._waits = True
        seconds, host, _ = self._attempt(call, times, before, 0.0)
        return Sample(seconds, self._now() - start, host, queued=False)

    def _attempt(
        self, call: Call, times: int, before: Call | None, filler: float
    ) -> tuple[float, float, bool]:
        """Seconds on the device, seconds on the host, and whether the filler lasted."""
        if before:
            before()
        if filler:
            self._queue.spin(filler)
        begin = self._queue.event()
        start = self._now()
        for _ in range(times):
            call()
        host = self._now() - start
        end = self._queue.event()
        lasted = not begin.done
        end.synchronize()
        return self._queue.milliseconds(begin, end) * 1e-3, host, lasted


class CupyQueue:
    """A stream of CuPy, or one of another library by its handle."""

    #: Waits by the device's own clock of nanoseconds, which runs at the same pace whatever the SMs
    #: run at.
    SPIN = r"""
extern "C" __global__ void spin(unsigned long long nanoseconds) {
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - begin < nanoseconds);
}
"""

    def __init__(self, handle: int | None = None) -> None:
        import cupy

        self._cupy = cupy
        cuda = cupy.cuda
        self._stream = cuda.get_current_stream() if handle is None else cuda.ExternalStream(handle)
        self._spin = cupy.RawKernel(self.SPIN, "spin")

    def spin(self, seconds: float) -> None:
        with self._stream:
            self._spin((1,), (1,), (np.uint64(seconds * 1e9),))

    def event(self) -> Any:
        event = self._cupy.cuda.Event()
        event.record(self._stream)
        return event

    def milliseconds(self, begin: Any, end: Any) -> float:
        elapsed: float = self._cupy.cuda.get_elapsed_time(begin, end)
        return elapsed


def cupy_clock() -> CudaClock:
    """For work on the stream that is CuPy's current one now."""
    return CudaClock(CupyQueue())


def torch_clock() -> CudaClock:
    """For work on PyTorch's current stream: the same filler and the same events as for our own."""
    import torch

    return CudaClock(CupyQueue(torch.cuda.current_stream().cuda_stream))


@dataclass(frozen=True)
class Timing:
    """Samples of one call's time, in milliseconds, sorted.

    Attributes
    ----------
    samples_ms : tuple of float
    host_ms : float, optional
        Median time in which a call returns, on a device that computes on after that.
    queued : bool
        Whether the samples are the device's time alone, see `Sample`.
    """

    samples_ms: tuple[float, ...]
    host_ms: float | None = None
    queued: bool = True

    @property
    def median_ms(self) -> float:
        return self.quantile(0.5)

    @property
    def repeats(self) -> int:
        return len(self.samples_ms)

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.samples_ms, q))

    @property
    def spread(self) -> float:
        """Half of the range of the middle half of the samples, relative to the median."""
        return (self.quantile(0.75) - self.quantile(0.25)) / 2 / max(self.median_ms, 1e-9)


def measure(
    call: Call,
    clock: Clock,
    budget: float,
    *,
    before: Call | None = None,
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
    first = clock.sample(call, 1)
    if first.seconds > budget:
        return _timing([first, *_samples(call, clock, 1, before, lambda n, spent: n < 2)], 1)
    once = clock.sample(call, 1)
    times = 1 if before else round(GROUP_SECONDS / max(once.seconds, 1e-9))
    times = min(max(times, 1), MAX_GROUP)

    def more(taken: int, spent: float) -> bool:
        return taken < MIN_REPEATS or (taken < MAX_REPEATS and spent < budget)

    return _timing(list(_samples(call, clock, times, before, more)), times)


def _samples(
    call: Call,
    clock: Clock,
    times: int,
    before: Call | None,
    more: Callable[[int, float], bool],
) -> Iterator[Sample]:
    """Groups of `times` calls, while `more(number, seconds so far)` holds."""
    taken, spent = 0, 0.0
    while more(taken, spent):
        sample = clock.sample(call, times, before)
        taken, spent = taken + 1, spent + sample.spent
        yield sample


def _timing(samples: list[Sample], times: int) -> Timing:
    hosts = [sample.host for sample in samples if sample.host is not None]
    return Timing(
        tuple(sorted(1e3 * sample.seconds / times for sample in samples)),
        host_ms=1e3 * float(np.median(hosts)) / times if hosts else None,
        queued=all(sample.queued for sample in samples),
    )
