"""The main job: every layer, direction and contestant: checked first, then timed.

:func:`plan_rounds` says what will be run, :func:`run` runs it and yields a record at a time, so
whoever consumes it can stop at any moment and keep what there is.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pycnn.bench import expected
from pycnn.bench.cases import Case
from pycnn.bench.ceilings import Ceiling, out_of_memory
from pycnn.bench.checking import judge
from pycnn.bench.contestants import Contestant
from pycnn.bench.measure import Timing, measure
from pycnn.bench.operations.base import Check, Operation, Unsupported
from pycnn.bench.record import CHECKED, FAILED, SKIPPED, TIMED, WRONG, Record
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
class Round:
    """One layer in one direction and precision, and all who take part in it."""

    suite: str
    op: Operation
    layer: Layer
    direction: str
    dtype: str
    contestants: tuple[Contestant, ...]


@dataclass(frozen=True)
class Problem:
    """Inputs of a case and what must come out of them; made once for a round."""

    case: Case
    arrays: Mapping[str, np.ndarray]
    checks: Sequence[Check]


def plan_rounds(
    suite: str,
    op: Operation,
    layers: Sequence[Layer],
    directions: Sequence[str],
    dtypes: Sequence[str],
    contestants: Callable[[Case, str, str], Sequence[Contestant]],
) -> list[Round]:
    """Every round of a run; `contestants` gives those of a case, direction and dtype."""
    return [
        Round(suite, op, layer, direction, dtype, tuple(contestants(layer.case, direction, dtype)))
        for dtype in dtypes
        for layer in layers
        for direction in directions
        if dtype in op.dtypes_of(direction)
    ]


def run(
    rounds: Sequence[Round],
    budget: Budget,
    ceilings: Mapping[tuple[str, str], Ceiling],
    announce: Callable[[str], object] = lambda doing: None,
) -> Iterator[tuple[Record, Case]]:
    """Run `rounds`.

    Parameters
    ----------
    rounds : sequence of Round
    budget : Budget
    ceilings : mapping of (device, dtype) to Ceiling
    announce : callable, optional
        Told what is being done, for a progress bar.

    Yields
    ------
    (Record, Case)
        One for each contestant of each round.
    """
    for each in rounds:
        problems = _Problems(each, budget.emulated_flops)
        for contestant in each.contestants:
            announce(f"{each.layer.name} {each.direction} {contestant.backend}")
            record = _one(each, contestant, problems, budget, ceilings)
            with contextlib.suppress(Exception):  # a broken device shows in the next record
                contestant.release()
            yield record, each.layer.case


class _Problems:
    """The problems of a round, made when they are first asked for: whole, and for the emulator."""

    def __init__(self, each: Round, emulated_flops: int) -> None:
        self._round, self._flops = each, emulated_flops
        self._made: dict[Case, Problem] = {}

    def of(self, contestant: Contestant) -> Problem:
        each, case = self._round, self._round.layer.case
        if contestant.device is None:
            case = scale_down(
                case, lambda c: each.op.emulated_flops(c, each.direction), self._flops
            )
        if case not in self._made:
            arrays = each.op.inputs(case, each.direction, each.dtype, expected.rng())
            known = expected.key(each.op.name, str(case), each.direction, each.dtype)
            with expected.recalling(known):
                checks = each.op.checks(case, each.direction, arrays)
            self._made[case] = Problem(case, arrays, checks)
        return self._made[case]


def _one(
    each: Round,
    contestant: Contestant,
    problems: _Problems,
    budget: Budget,
    ceilings: Mapping[tuple[str, str], Ceiling],
) -> Record:
    """The record of one contestant, whatever becomes of it; only an interrupt gets through."""
    record = Record(
        suite=each.suite, layer=each.layer.name, count=each.layer.count, op=each.op.name,
        direction=each.direction, shape=str(each.layer.case), dtype=each.dtype,
        layout=contestant.layout, backend=contestant.backend, algorithm=contestant.algorithm,
        status=SKIPPED, reason=contestant.reason, chosen=contestant.chosen,
        precision=contestant.precision, flops=each.op.flops(each.layer.case, each.direction),
        bytes=each.op.traffic(each.layer.case, each.direction, each.dtype),
        workspace_bytes=contestant.workspace_bytes,
    )  # fmt: skip
    if contestant.reason:
        return record
    try:
        problem = problems.of(contestant)
        with contestant.active():
            record = _check_then_time(record, each, contestant, problem, budget, ceilings)
        return replace(record, counters=contestant.counters())
    except Unsupported as error:
        return replace(record, status=SKIPPED, reason=str(error))
    except Exception as error:  # one contestant's failure must not end the run of the others
        lacks = record.is_peer and isinstance(error, NotImplementedError)
        status = SKIPPED if lacks else _status(error)
        return replace(record, status=status, reason=_one_line(error))


def _check_then_time(
    record: Record,
    each: Round,
    contestant: Contestant,
    problem: Problem,
    budget: Budget,
    ceilings: Mapping[tuple[str, str], Ceiling],
) -> Record:
    call = contestant.prepare(each.op, problem.case, each.direction, problem.arrays)
    shapes = each.op.output_shapes(problem.case, each.direction)
    outputs = contestant.numpy(call())
    lacking = [check.output for check in problem.checks if check.output not in outputs]
    if lacking and record.is_peer:
        raise Unsupported(f"{record.backend} gives no {', '.join(lacking)}")
    verdict = judge(outputs, problem.checks, each.dtype, shapes, contestant.coarse(each.dtype))
    record = replace(
        record, max_abs_error=verdict.error, tolerance=verdict.tolerance,
        verified=verdict.right, compared=verdict.compared,
        ran_shape=None if problem.case == each.layer.case else str(problem.case),
    )  # fmt: skip
    if not verdict.right:
        reason = f"off by {verdict.error:.3g}, allowed {verdict.tolerance:.3g}"
        return replace(record, status=WRONG, reason=reason)
    if contestant.device is None:
        return replace(record, status=CHECKED)
    clock, flush = contestant.clock(), contestant.flush()
    timing = measure(call, clock, budget.seconds)
    cold = measure(call, clock, budget.seconds, before=flush) if flush else None
    limits = ceilings.get((contestant.device, contestant.precision or each.dtype))
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
    """What an exception makes of a contestant."""
    if isinstance(error, KernelError):
        return WRONG  # the emulator found fault with the kernel itself
    if out_of_memory(error):
        return SKIPPED
    return FAILED


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
