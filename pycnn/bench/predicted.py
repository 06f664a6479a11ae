"""What layers would take on a GPU that is not here, beside what was measured here.

Every figure for that GPU is predicted by :mod:`pycnn.predict`, and the table says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod

from pycnn.bench.brief import aligned, wrapped
from pycnn.bench.operations.base import Operation
from pycnn.bench.record import Record
from pycnn.bench.run import Benchmark
from pycnn.bench.table import in_full, time_text, winners
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.predict import plans, sample
from pycnn.predict.gpus import Gpu
from pycnn.predict.plans import OfPlan
from pycnn.runtime.errors import CompileError

COLUMNS = ("layer", "predicted best", ">time", ">limit", "bound by", ">next", ">here")


@dataclass(frozen=True)
class Guess:
    """Predictions of one layer.

    Attributes
    ----------
    benchmark : Benchmark
    found : mapping of str to OfPlan
        By algorithm, the fastest first.
    refused : mapping of str to str
        Why others have none.
    auto : str
        What pycnn's own choice comes to.
    limit_us : float
        Least time by peak and copy speed.
    """

    benchmark: Benchmark
    found: Mapping[str, OfPlan]
    refused: Mapping[str, str] = field(default_factory=dict)
    auto: str = ""
    limit_us: float = 0.0

    @property
    def problem(self) -> tuple[str, str, str]:
        """What its records have in common."""
        return self.benchmark.layer.name, self.benchmark.direction, self.benchmark.dtype


def guess(benchmark: Benchmark, algos: Sequence[str] | None, gpu: Gpu) -> Guess:
    """Predict every algorithm of the kernels that can run a layer.

    Parameters
    ----------
    benchmark : Benchmark
    algos : sequence of str or None
        Those that are asked for.
    gpu : Gpu
    """
    op, case, direction = benchmark.op, benchmark.layer.case, benchmark.direction
    with plans.planned_on(gpu):
        offered = [
            a.name
            for a in op.algorithms(case, direction, benchmark.dtype)
            if a.fits and (algos is None or a.name in algos)
        ]
    arrays = {
        name: sample.aligned(shape, numpy_dtype(dtype or benchmark.dtype))
        for name, (shape, dtype) in op.input_specs(case, direction).items()
    }
    with plans.planned_on(gpu):
        auto = plans.planned(partial(op.run, case, direction, arrays, "auto"))[0][0].algo
    found, refused = {}, {}
    for algo in offered:
        try:
            one = plans.of_call(partial(op.run, case, direction, arrays, algo), gpu)
        except (CompileError, ValueError) as error:
            refused[algo] = str(error).partition("\n")[0]
            continue
        if one.skipped:
            refused[algo] = one.skipped[0]
        else:
            found[auto if algo == "auto" else algo] = one
    ordered = dict(sorted(found.items(), key=lambda pair: pair[1].time_us))
    return Guess(benchmark, ordered, refused, auto, _limit(op, benchmark, gpu))


def _limit(op: Operation, benchmark: Benchmark, gpu: Gpu) -> float:
    """By the tensor cores where the dtype has them, as that is what the GPU could do."""
    case, direction, dtype = benchmark.layer.case, benchmark.direction, benchmark.dtype
    size = FLOATS[dtype].itemsize
    shapes = [
        *(shape for shape, _ in op.input_specs(case, direction).values()),
        *op.output_shapes(case, direction).values(),
    ]
    moved = size * sum(map(prod, shapes))
    kind = dtype if dtype in gpu.tensor_tflops or FLOATS[dtype].itemsize >= 4 else "float32"
    return gpu.limit_us(op.flops(case, direction), moved, kind)


def guesses(
    benchmarks: Sequence[Benchmark],
    algos: Sequence[str] | None,
    gpu: Gpu,
    announce: Callable[[str], object] = lambda doing: None,
    advance: Callable[[], object] = lambda: None,
) -> list[Guess]:
    """Predictions of all layers, in order."""
    made = []
    for benchmark in benchmarks:
        announce(f"{benchmark.layer.name} {benchmark.direction} on {gpu.name}, predicted")
        made.append(guess(benchmark, algos, gpu))
        advance()
    return made


def lines(title: str, gpu: Gpu, made: Sequence[Guess], records: Sequence[Record]) -> list[str]:
    """The table, what its columns stand for, and the sum over the layers."""
    best = winners(in_full(records)).values()
    measured = {(r.layer, r.direction, r.dtype): r for r in best}
    rows = [_row(g, measured.get(g.problem)) for g in made]
    said = [
        f"{title}: {gpu.name} PREDICTED, nothing of it measured; here measured",
        *aligned(COLUMNS, rows),
        "limit: share of what peak and copy speed would allow; next: predicted time of the next "
        "over that of the best; *: auto takes another; here: the best method of this machine",
        *_totals(gpu, made, measured),
        *_others(made),
        *_advice(made),
    ]
    return [line for text in said for line in wrapped(text)]


def _row(g: Guess, record: Record | None) -> list[str]:
    layer = g.benchmark.layer
    name = layer.name + (f" x{layer.count}" if layer.count > 1 else "")
    measured = time_text(record.time_ms) if record else ""
    if not g.found:
        return [name, "none", "", "", "", "", measured]
    (algo, best), *others = g.found.items()
    following = f"{others[0][1].time_us / best.time_us:.2f}x" if others else ""
    return [
        name, algo + "*" * (algo != g.auto), time_text(best.time_us / 1e3),
        f"{g.limit_us / best.time_us:.0%}", best.bound, following,
        measured,
    ]  # fmt: skip


def _totals(
    gpu: Gpu, made: Sequence[Guess], measured: Mapping[tuple[str, str, str], Record]
) -> list[str]:
    if len(made) < 2 or not all(g.found for g in made):
        return []
    best = sum(g.benchmark.layer.count * next(iter(g.found.values())).time_us for g in made)
    own = [g.found.get(g.auto) for g in made]
    auto = sum(g.benchmark.layer.count * o.time_us for g, o in zip(made, own, strict=True) if o)
    parts = [f"all layers, predicted on {gpu.name}: {time_text(best / 1e3)}"]
    if all(own):
        parts.append(f"by auto's choices {time_text(auto / 1e3)}, {auto / best - 1:.0%} more")
    times = [measured.get(g.problem) for g in made]
    if all(times):
        total = sum(
            g.benchmark.layer.count * (r.time_ms or 0.0)
            for g, r in zip(made, times, strict=True)
            if r
        )
        parts.append(
            f"measured here: {time_text(total)}, {total * 1e3 / best:.3g} times as long; no "
            "transfers counted"
        )
    return ["; ".join(parts)]


def _others(made: Sequence[Guess]) -> list[str]:
    reasons: dict[str, str] = {}
    for g in made:
        for algo, why in g.refused.items():
            reasons.setdefault(algo, why)
    return [f"not predicted: {algo} ({why})" for algo, why in reasons.items()]


def _advice(made: Sequence[Guess]) -> list[str]:
    """What would pay most, for the layer that takes longest."""
    if not any(g.found for g in made):
        return []
    slowest = max(
        (g for g in made if g.found),
        key=lambda g: g.benchmark.layer.count * next(iter(g.found.values())).time_us,
    )
    longest = next(iter(slowest.found.values())).longest
    if longest is None:
        return []
    return [f"what would pay most in {slowest.benchmark.layer.name}: " + "; ".join(longest.advice)]
