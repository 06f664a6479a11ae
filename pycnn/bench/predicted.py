"""What layers would take on a GPU that is not here, beside what was measured here.

Every figure for that GPU is predicted by :mod:`pycnn.predict`, and the table says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from math import prod
from typing import Any

from pycnn.bench.brief import aligned, wrapped
from pycnn.bench.operations.base import Operation
from pycnn.bench.record import Record
from pycnn.bench.run import Benchmark
from pycnn.bench.table import in_full, time_text, winners
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.emulator.errors import KernelError
from pycnn.plan.estimate import Estimate
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
    found : mapping of str to OfPlan or Estimate
        By algorithm, the fastest first.
    refused : mapping of str to str
        Why others have none.
    auto : str
        What pycnn's own choice comes to.
    limit_us : float
        Least time by peak and copy speed.
    """

    benchmark: Benchmark
    found: Mapping[str, OfPlan | Estimate]
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
        except (CompileError, KernelError, ValueError) as error:
            refused[algo] = str(error).partition("\n")[0]
            continue
        if one.skipped:
            refused[algo] = one.skipped[0]
        else:
            found[auto if algo == "auto" else algo] = one
    ordered = dict(sorted(found.items(), key=lambda pair: pair[1].time_us))
    return Guess(benchmark, ordered, refused, auto, limit_us(op, benchmark, gpu))


def limit_us(op: Operation, benchmark: Benchmark, gpu: Gpu) -> float:
    """Least time of a layer: by the tensor cores where the dtype has them."""
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


def lines(
    title: str, gpu: Gpu, made: Sequence[Guess], records: Sequence[Record], every: bool = False
) -> list[str]:
    """The table, what its columns stand for, and the sum over the layers; `every` algorithm."""
    measured = _measured(records)
    rows = [row for g in made for row in _rows(g, measured.get(g.problem), every)]
    said = [
        f"{title}: {gpu.name} PREDICTED, nothing of it measured; here measured",
        *aligned(COLUMNS, rows),
        "limit: share of what peak and copy speed would allow; next: predicted time of the next "
        f"over that of the best{', of others their own' * every}; *: auto takes another; here: the "
        "best method of this machine",
        *totals(gpu, wholes(gpu, made, records)),
        *_others(made),
        *_advice(made),
    ]
    return [line for text in said for line in wrapped(text)]


def _measured(records: Sequence[Record]) -> dict[tuple[str, str, str], Record]:
    best = winners(in_full(records)).values()
    return {(r.layer, r.direction, r.dtype): r for r in best}


def _rows(g: Guess, record: Record | None, every: bool) -> list[list[str]]:
    layer = g.benchmark.layer
    name = layer.name + (f" x{layer.count}" if layer.count > 1 else "")
    measured = time_text(record.time_ms) if record else ""
    if not g.found:
        return [[name, "none", "", "", "", "", measured]]
    times = [one.time_us for one in g.found.values()]
    ratios = [f"{us / times[0]:.2f}x" for us in times[1:]] or [""]
    rows = [
        ["", algo, time_text(one.time_us / 1e3), f"{g.limit_us / one.time_us:.0%}", one.bound,
         ratio, ""]
        for (algo, one), ratio in zip(g.found.items(), [ratios[0], *ratios], strict=False)
    ]  # fmt: skip
    rows[0][0], rows[0][-1] = name, measured
    rows[0][1] += "*" * (rows[0][1] != g.auto)
    return rows if every else rows[:1]


@dataclass(frozen=True)
class Whole:
    """All layers at one batch, in microseconds.

    Attributes
    ----------
    batch : int
    best : float
        Predicted, by the best choices.
    auto : float or None
        By those of `auto`, where they were predicted.
    transfer : float
        Of the first layer's input to the GPU and the last one's result back.
    here : float or None
        The best of this machine, where all was measured.
    """

    batch: int
    best: float
    auto: float | None
    transfer: float
    here: float | None

    @property
    def with_transfer(self) -> float:
        return self.best + self.transfer


def wholes(gpu: Gpu, made: Sequence[Guess], records: Sequence[Record]) -> list[Whole]:
    """The sums of each batch all of whose layers have a prediction, if there are several."""
    measured = _measured(records)
    found = []
    for batch in dict.fromkeys(g.benchmark.layer.case.batch for g in made):
        of = [g for g in made if g.benchmark.layer.case.batch == batch]
        if len(of) < 2 or not all(g.found for g in of):
            continue
        counts = [g.benchmark.layer.count for g in of]
        own = [g.found[g.auto].time_us if g.auto in g.found else None for g in of]
        here = [1e3 * r.time_ms if (r := measured.get(g.problem)) and r.time_ms else None
                for g in of]  # fmt: skip
        found.append(
            Whole(
                batch,
                _sum(counts, [next(iter(g.found.values())).time_us for g in of]) or 0.0,
                _sum(counts, own),
                gpu.transfer_us(_bytes(of[0])[0], _bytes(of[-1])[1]),
                _sum(counts, here),
            )
        )
    return found


def _sum(counts: Sequence[int], times: Sequence[float | None]) -> float | None:
    known = [n * t for n, t in zip(counts, times, strict=True) if t is not None]
    return sum(known) if len(known) == len(counts) else None


def _bytes(g: Guess) -> tuple[int, int]:
    """Of the array that a layer is about, and of all that comes out."""
    op, benchmark = g.benchmark.op, g.benchmark
    case, direction, size = (
        benchmark.layer.case,
        benchmark.direction,
        FLOATS[benchmark.dtype].itemsize,
    )
    first = next(iter(op.input_specs(case, direction).values()))[0]
    results = op.output_shapes(case, direction).values()
    return size * prod(first), size * sum(map(prod, results))


def totals(gpu: Gpu, found: Sequence[Whole]) -> list[str]:
    lines = []
    for whole in found:
        parts = [f"all layers at batch {whole.batch}, predicted on {gpu.name}: "
                 f"{time_text(whole.best / 1e3)}"]  # fmt: skip
        if whole.auto is not None:
            more = whole.auto / whole.best - 1
            parts.append(f"by auto's choices {time_text(whole.auto / 1e3)}, {more:.0%} more")
        parts.append(f"with input and result copied {time_text(whole.with_transfer / 1e3)}")
        if whole.here is not None:
            parts.append(
                f"measured here {time_text(whole.here / 1e3)}: {whole.here / whole.best:.3g} times "
                f"as long, {whole.here / whole.with_transfer:.3g} times with the copies"
            )
        lines.append("; ".join(parts))
    return [*lines, *_turns(found)]


def _turns(found: Sequence[Whole]) -> list[str]:
    """From which of the batches on the GPU is predicted to be the faster one."""
    known = [w for w in found if w.here is not None]
    if not known:
        return []
    said = []
    for words, times in (("without the copies", [w.best for w in known]),
                         ("with the copies", [w.with_transfer for w in known])):  # fmt: skip
        slower = [w.batch for w, t in zip(known, times, strict=True) if t >= (w.here or 0.0)]
        later = sorted(w.batch for w in known if w.batch > max(slower, default=0))
        said.append(f"{words} from batch {later[0]} on" if later else f"{words} at none")
    batches = ", ".join(str(w.batch) for w in known)
    batches = f"of the batches {batches}" if len(known) > 1 else f"judged by batch {batches},"
    return [f"{batches} the GPU is the faster one {', '.join(said)}"]


def as_json(
    gpu: Gpu, made: Sequence[Guess], records: Sequence[Record], by: str = "runs"
) -> dict[str, Any]:
    """What a file of results holds as ``predicted`` (docs/results.md)."""
    return {
        "gpu": gpu.key,
        "by": by,
        "layers": [
            {
                "layer": g.benchmark.layer.name, "count": g.benchmark.layer.count,
                "op": g.benchmark.op.name, "direction": g.benchmark.direction,
                "shape": str(g.benchmark.layer.case), "dtype": g.benchmark.dtype,
                "auto": g.auto, "limit_us": g.limit_us,
                "algorithms": [_algorithm(name, of) for name, of in g.found.items()],
                "refused": dict(g.refused),
            }
            for g in made
        ],
        "whole": [asdict(w) for w in wholes(gpu, made, records)],
    }  # fmt: skip


def _algorithm(name: str, of: OfPlan | Estimate) -> dict[str, Any]:
    if isinstance(of, Estimate):
        return {"algorithm": name, **of._asdict()}
    kept = ("entry", "time_us", "launch_us", "bound", "busy", "registers", "shared", "grid",
            "block", "waves")  # fmt: skip
    launches = [{field: getattr(p, field) for field in kept} for p in of.launches]
    return {"algorithm": name, "time_us": of.time_us, "bound": of.bound, "launches": launches}


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
    best = next(iter(slowest.found.values()))
    longest = best.longest if isinstance(best, OfPlan) else None
    if longest is None:
        return []
    return [f"what would pay most in {slowest.benchmark.layer.name}: " + "; ".join(longest.advice)]
