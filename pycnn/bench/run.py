"""The main job: every layer, direction and runner: checked first, then timed.

:func:`plan` says what will be run, :func:`run` runs it and yields a record at a time, so
whoever consumes it can stop at any moment and keep what there is.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pycnn.bench import expected
from pycnn.bench.cases import Case
from pycnn.bench.ceilings import Ceiling, out_of_memory
from pycnn.bench.checking import check
from pycnn.bench.environment import free_memory
from pycnn.bench.measure import DISTURBED, Timing, measure
from pycnn.bench.operations.base import Check, Operation, Unsupported
from pycnn.bench.record import CHECKED, FAILED, SKIPPED, TIMED, WRONG, Record
from pycnn.bench.runners import Runner
from pycnn.bench.scaling import scale_down
from pycnn.bench.suites import Layer
from pycnn.emulator import KernelError


@dataclass(frozen=True)
class Budget:
    """How much is spent: seconds on a timing, FLOPs on an emulated layer."""

    seconds: float
    emulated_flops: int


FULL = Budget(seconds=0.5, emulated_flops=20_000_000)
QUICK = Budget(seconds=0.1, emulated_flops=1_000_000)


@dataclass(frozen=True)
class Benchmark:
    """One layer in one direction and precision, and all who take part in it."""

    suite: str
    op: Operation
    layer: Layer
    direction: str
    dtype: str
    runners: tuple[Runner, ...]


@dataclass(frozen=True)
class Problem:
    """Inputs of a case and what must come out of them; drawn once for a benchmark."""

    case: Case
    arrays: Mapping[str, np.ndarray]
    checks: Sequence[Check]


def plan(
    suite: str,
    op: Operation,
    layers: Sequence[Layer],
    directions: Sequence[str],
    dtypes: Sequence[str],
    runners: Callable[[Case, str, str], Sequence[Runner]],
) -> list[Benchmark]:
    """Every benchmark of a run; `runners` gives those of a case, direction and dtype."""
    return [
        Benchmark(suite, op, layer, direction, dtype, tuple(runners(layer.case, direction, dtype)))
        for dtype in dtypes
        for layer in layers
        for direction in directions
        if dtype in op.dtypes_of(direction)
    ]


def run(
    benchmarks: Sequence[Benchmark],
    budget: Budget,
    ceilings: Mapping[tuple[str, str], Ceiling],
    announce: Callable[[str], object] = lambda doing: None,
) -> Iterator[tuple[Record, Case]]:
    """Run `benchmarks`.

    Parameters
    ----------
    benchmarks : sequence of Benchmark
    budget : Budget
    ceilings : mapping of (device, dtype) to Ceiling
    announce : callable, optional
        Called with what is being done, for a progress bar.

    Yields
    ------
    (Record, Case)
        One for each runner of each benchmark.
    """
    for benchmark in benchmarks:
        problems = _Problems(benchmark, budget.emulated_flops)
        for runner in benchmark.runners:
            announce(f"{benchmark.layer.name} {benchmark.direction} {runner.backend}")
            record = _one(benchmark, runner, problems, budget, ceilings)
            with contextlib.suppress(Exception):  # a broken device shows in the next record
                runner.release()
            yield record, benchmark.layer.case


class _Problems:
    """The problems of a benchmark, drawn when first needed: whole, and for the emulator."""

    def __init__(self, benchmark: Benchmark, emulated_flops: int) -> None:
        self._benchmark, self._flops = benchmark, emulated_flops
        self._known: dict[Case, Problem] = {}

    def of(self, runner: Runner) -> Problem:
        benchmark, case = self._benchmark, self._benchmark.layer.case
        if runner.device is None:
            case = scale_down(
                case, lambda c: benchmark.op.emulated_flops(c, benchmark.direction), self._flops
            )
        if case not in self._known:
            _require_memory(benchmark.op.traffic(case, benchmark.direction, benchmark.dtype))
            arrays = benchmark.op.inputs(case, benchmark.direction, benchmark.dtype, expected.rng())
            known = expected.key(benchmark.op.name, str(case), benchmark.direction, benchmark.dtype)
            with expected.recalling(known):
                checks = benchmark.op.checks(case, benchmark.direction, arrays)
            self._known[case] = Problem(case, arrays, checks)
        return self._known[case]


#: What random inputs, results and what they are compared with take, over the arrays themselves.
COPIES = 3


def _require_memory(nbytes: int) -> None:
    """Raise `Unsupported` for arrays that would have the system end this process."""
    free = free_memory()
    if free is not None and COPIES * nbytes > free:
        raise Unsupported(
            f"arrays of {nbytes / 1e9:.1f} GB, {COPIES} times over; free: {free / 1e9:.1f} GB; a "
            "smaller --batch may fit"
        )


def begun(benchmark: Benchmark, runner: Runner) -> Record:
    """The record of a runner of which nothing is known but what was asked for."""
    op, layer = benchmark.op, benchmark.layer
    direction, dtype = benchmark.direction, benchmark.dtype
    return Record(
        suite=benchmark.suite, layer=layer.name, count=layer.count, op=op.name,
        direction=direction, shape=str(layer.case), dtype=dtype,
        layout=runner.layout, backend=runner.backend, algorithm=runner.algorithm,
        status=SKIPPED, reason=runner.reason, chosen=runner.chosen,
        precision=runner.precision, flops=op.flops(layer.case, direction),
        bytes=op.traffic(layer.case, direction, dtype), workspace_bytes=runner.workspace_bytes,
    )  # fmt: skip


def _one(
    benchmark: Benchmark,
    runner: Runner,
    problems: _Problems,
    budget: Budget,
    ceilings: Mapping[tuple[str, str], Ceiling],
) -> Record:
    """The record of one runner, whatever becomes of it; only an interrupt gets through."""
    record = begun(benchmark, runner)
    if runner.reason:
        return record
    try:
        problem = problems.of(runner)
        with runner.active():
            record = _check_then_time(record, benchmark, runner, problem, budget, ceilings)
        return replace(record, counters=runner.counters())
    except Unsupported as error:
        return replace(record, status=SKIPPED, reason=str(error))
    except Exception as error:  # one runner's failure must not end the run of the others
        lacks = record.is_peer and isinstance(error, NotImplementedError)
        status = SKIPPED if lacks else _status(error)
        return replace(record, status=status, reason=_one_line(error))


def _check_then_time(
    record: Record,
    benchmark: Benchmark,
    runner: Runner,
    problem: Problem,
    budget: Budget,
    ceilings: Mapping[tuple[str, str], Ceiling],
) -> Record:
    call = runner.prepare(benchmark.op, problem.case, benchmark.direction, problem.arrays)
    shapes = benchmark.op.output_shapes(problem.case, benchmark.direction)
    outputs = runner.numpy(call())
    lacking = [check.output for check in problem.checks if check.output not in outputs]
    if lacking and record.is_peer:
        raise Unsupported(f"{record.backend} gives no {', '.join(lacking)}")
    verdict = check(
        outputs, problem.checks, benchmark.dtype, shapes, runner.coarse(benchmark.dtype)
    )
    record = replace(
        record, max_abs_error=verdict.error, tolerance=verdict.tolerance,
        verified=verdict.right, compared=verdict.compared,
        ran_shape=None if problem.case == benchmark.layer.case else str(problem.case),
    )  # fmt: skip
    if not verdict.right:
        reason = f"off by {verdict.error:.3g}, allowed {verdict.tolerance:.3g}"
        return replace(record, status=WRONG, reason=reason)
    if runner.device is None:
        return replace(record, status=CHECKED)
    clock, flush = runner.clock(), runner.flush()
    timing = measure(call, clock, budget.seconds)
    if timing.spread > DISTURBED:  # once more: whatever disturbed it may be over
        timing = min(timing, measure(call, clock, budget.seconds), key=lambda t: t.spread)
    cold = measure(call, clock, budget.seconds, before=flush) if flush else None
    limits = ceilings.get((runner.device, runner.precision or benchmark.dtype))
    return _with_timing(record, timing, cold, limits)


def _with_timing(
    record: Record, timing: Timing, cold: Timing | None, ceiling: Ceiling | None
) -> Record:
    seconds = timing.median_ms * 1e-3
    record = replace(
        record, status=TIMED, time_ms=timing.median_ms, time_ms_min=timing.quantile(0),
        time_ms_max=timing.quantile(1), time_ms_p25=timing.quantile(0.25),
        time_ms_p75=timing.quantile(0.75), repeats=timing.repeats,
        time_cold_ms=cold.median_ms if cold else None, host_ms=timing.host_ms,
        queued=timing.queued and (cold is None or cold.queued),
        gflops=record.flops / seconds * 1e-9, gbytes_per_s=record.bytes / seconds * 1e-9,
    )  # fmt: skip
    if ceiling is None or not ceiling.known:
        return record
    return replace(
        record,
        ceiling_share=ceiling.share(record.flops, record.bytes, seconds),
        bound=ceiling.bound(record.flops / record.bytes),
    )


def _status(error: Exception) -> str:
    """What an exception makes of a runner."""
    if isinstance(error, KernelError):
        return WRONG  # the emulator found fault with the kernel itself
    if out_of_memory(error):
        return SKIPPED
    return FAILED


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
