"""What convolutions would take on a GPU that is not here, by arithmetic: nothing is compiled.

Estimates are those by which ``auto`` chooses (:mod:`pycnn.plan.estimate`), so this needs no more
than NumPy. `pycnn.bench.predicted` runs kernels by a few blocks instead, and needs their compiler.
"""

from collections.abc import Sequence
from dataclasses import replace

from pycnn.bench.brief import WIDTH, aligned, wrapped
from pycnn.bench.calls import described
from pycnn.bench.operations.base import FORWARD
from pycnn.bench.predicted import Guess, limit_us, totals, wholes
from pycnn.bench.record import Record
from pycnn.bench.run import Benchmark
from pycnn.bench.table import time_text
from pycnn.dtypes import FLOATS
from pycnn.plan.conv_order import CONTENDS
from pycnn.plan.conv_problem import bytes_of
from pycnn.plan.estimate import WHY, estimate, known_archs
from pycnn.predict import gpus
from pycnn.predict.gpus import Gpu
from pycnn.runtime.target import Target, planned_for

#: Of which make bench speaks where no other is named.
DEFAULT = "h200"

COLUMNS = ("layer", "predicted best", ">time", ">limit", "bound by", "over the next")

#: Where channels lie: 16-bit kernels are made for channels last.
LAYOUTS = {False: "NCHW", True: "NHWC"}


def known(key: str) -> Gpu:
    """A GPU that there are estimates for.

    Raises
    ------
    ValueError
        If there is none of that name, or none with costs for its architecture.
    """
    gpu = gpus.gpu(key)
    if gpu.arch not in known_archs():
        allowed = [name for name in gpus.names() if gpus.gpu(name).arch in known_archs()]
        raise ValueError(
            f"gpu={key!r} has no estimates; allowed: {', '.join(allowed)}, or any with the extra "
            "`emulator`, by which kernels are predicted one by one"
        )
    return gpu


def guess(benchmark: Benchmark, gpu: Gpu) -> Guess | None:
    """Estimate the kernels that no rule puts far behind; None where none has an estimate.

    Costs of the others are those of the few layers that they are for.
    """
    op, case, direction = benchmark.op, benchmark.layer.case, benchmark.direction
    if op.name != "conv2d" or direction != FORWARD:
        return None
    dtype = benchmark.dtype
    definition, call = described(op, case, direction, dtype, LAYOUTS[FLOATS[dtype].is_half])
    with planned_for(Target(gpu.arch, gpu.sms)):
        (choice,) = definition.choices(call)
        candidates = [c for c in choice.candidates() if c.fits and not c.by_name]
        offered = [c.name for c in candidates if (c.score or 0) >= CONTENDS]
        bytes_ = bytes_of(choice.problem)
        by_name = {name: estimate(choice.plan(name), bytes_) for name in offered}
    times = {name: found for name, found in by_name.items() if found}
    if not times:
        return None
    ordered = dict(sorted(times.items(), key=lambda pair: pair[1].time_us))
    return Guess(benchmark, ordered, {}, candidates[0].name, limit_us(op, benchmark, gpu))


def guesses(benchmarks: Sequence[Benchmark], gpu: Gpu) -> list[Guess]:
    """Of the layers that are timed on the CPU, and of none where a GPU is timed."""
    devices = {runner.device for b in benchmarks for runner in b.runners}
    if "cuda" in devices:
        return []
    timed = [b for b in benchmarks if any(runner.device for runner in b.runners)]
    return [found for b in timed if (found := guess(b, gpu))]


def lines(gpu: Gpu, made: Sequence[Guess], records: Sequence[Record]) -> list[str]:
    """A table in 80 columns, why, and the whole network against this machine."""
    if not made:
        return []
    dtypes = dict.fromkeys(g.benchmark.dtype for g in made)
    kinds = [d + " with channels last" * FLOATS[d].is_half for d in dtypes]
    bounds = {next(iter(g.found.values())).bound for g in made}
    others = any(g.auto not in g.found for g in made)
    said = [
        f"{gpu.name}, {' and '.join(kinds)}: PREDICTED by arithmetic, nothing measured "
        "(docs/model.md)",
        *_table(made),
        "limit: share of what peak and copy speed would allow; bound by, of the longest launch: "
        + "; ".join(f"{bound}: {why}" for bound, why in WHY.items() if bound in bounds)
        + "; *: auto takes another, which has no estimate, by a rule" * others,
        # auto goes by these estimates: what it takes is the best by them
        *totals(gpu, [replace(w, auto=None) for w in wholes(gpu, made, records)]),
    ]
    return ["", *(line for text in said for line in wrapped(text))]


def _table(made: Sequence[Guess]) -> list[str]:
    """Without the name of the next algorithm where that makes it too wide."""
    table = aligned(COLUMNS, [_row(g) for g in made])
    if max(map(len, table)) > WIDTH:
        table = aligned(
            COLUMNS, [[*row, following.partition(" ")[0]] for *row, following in map(_row, made)]
        )
    return table


def _row(g: Guess) -> list[str]:
    layer = g.benchmark.layer
    (algo, best), *others = g.found.items()
    following = f"{others[0][1].time_us / best.time_us:.2f}x {others[0][0]}" if others else ""
    return [
        layer.name + (f" x{layer.count}" if layer.count > 1 else ""),
        algo + "*" * (algo != g.auto), time_text(best.time_us / 1e3),
        f"{g.limit_us / best.time_us:.0%}", best.bound, following,
    ]  # fmt: skip
