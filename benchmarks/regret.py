"""What `auto` loses against the best predicted choice, over the convolutions of whole networks.

    python benchmarks/regret.py --gpu h200 --dtype float32 --batch 1 32 --json FILE [--jobs 2]

Every algorithm that fits a layer is predicted (`pycnn.predict`) unless a rule puts it far behind
(`pycnn.plan.conv_order`), layers that occur in several networks or more than once only once;
float32 with channels first, 16-bit types with channels last, as their fast kernels want. Algorithms
that are taken by their name alone (TF32) and those by a library are no choice of `auto`'s. Left
out, for predictions cost time, is what is estimated to take 1.5 times what `auto`'s choice is
predicted to, for estimates err by less, and at batch 256 what was 1.5 times behind the best at
batch 32, where the GPU is already full. Nothing is measured, and no GPU is needed. Predictions are
kept in the kernel cache, so another run after a change to the choice alone takes seconds.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pycnn
from pycnn.bench import grammar, networks
from pycnn.bench.cases import ConvCase
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.emulator import KernelError
from pycnn.plan.conv_order import CONTENDS
from pycnn.predict import gpus, plans, sample
from pycnn.runtime.errors import CompileError
from pycnn.runtime.files import write_json
from pycnn.runtime.options import positive, with_json

#: Times as long as another that an algorithm may be thought to take and still be the faster one.
APART = 1.5

NETWORKS = ("resnet50", "vgg16", "mobilenet", "googlenet")
BATCHES = (1, 32, 256)


class Problem(NamedTuple):
    """A layer on a GPU."""

    gpu: str
    dtype: str
    case: str

    @property
    def layout(self) -> str:
        return "NHWC" if FLOATS[self.dtype].is_half else "NCHW"


def layers(network: str, batch: int) -> dict[str, int]:
    """Words of the convolutions of a network, and how often each occurs."""
    return {str(layer.case): layer.count for layer in networks.layers(network, "conv2d", batch)}


def solve(
    problem: Problem,
    only: Sequence[str] = (),
    known: Mapping[str, float] | None = None,
    runs: plans.Runs | None = None,
) -> dict[str, Any]:
    """Predicted times of a layer in microseconds, by algorithm, and what `auto` takes.

    Parameters
    ----------
    problem : Problem
    only : sequence of str
        Algorithms to predict beside `auto`'s own; by default all that no rule puts far behind.
    known : mapping of str to float, optional
        Times that were predicted before, of which none is predicted again.
    runs : dict, optional
        Of the layer on another GPU, as `plans.of_call` takes them.
    """
    case, gpu, layout = grammar.parse(ConvCase, problem.case), gpus.gpu(problem.gpu), problem.layout
    shape = (case.n, case.h, case.w, case.c) if layout == "NHWC" else case.x_shape
    x, w = (sample.aligned(s, numpy_dtype(problem.dtype)) for s in (shape, case.w_shape))
    geometry = (case.stride, case.padding, case.dilation, case.groups)

    def run(algo: str) -> np.ndarray:
        return pycnn.conv2d(x, w, None, *geometry, layout=layout, algo=algo)

    with plans.planned_on(gpu):
        auto = plans.planned(lambda: run("auto"))[0][0].algo
        fits = pycnn.conv2d_algorithms(
            shape, case.w_shape, *geometry, layout=layout, dtype=problem.dtype
        )
    times: dict[str, float] = dict(known or {})
    near = [
        a.name for a in fits
        if a.fits and not a.by_name and (a.name in only if only else (a.score or 0) >= CONTENDS)
    ]  # fmt: skip
    estimated = {a.name: a.estimated_us or 0.0 for a in fits}
    for algo in dict.fromkeys((auto, *near)):
        if algo in times or (known and algo != auto):
            continue
        if estimated[algo] > APART * times.get(auto, float("inf")):
            continue
        try:
            found = plans.of_call(lambda algo=algo: run(algo), gpu, runs=runs)  # type: ignore[misc]
        except (CompileError, ValueError):  # local memory, or it does not fit on a multiprocessor
            continue
        except KernelError as error:  # a few blocks took longer than a minute, say
            print(f"{problem.case} by {algo}: {str(error).partition(chr(10))[0]}", flush=True)
            continue
        if not found.skipped:
            times[algo] = round(found.time_us, 3)
    return {**problem._asdict(), "auto": auto, "times": times}


def _several(asked: Sequence[tuple[Problem, Sequence[str], Mapping[str, float] | None]]) -> Any:
    """A layer on several GPUs."""
    runs: plans.Runs = {}
    return [solve(*each, runs) for each in asked]


def regrets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each network, batch, dtype and GPU whose layers are all there."""
    by_problem = {Problem(r["gpu"], r["dtype"], r["case"]): r for r in rows}
    found = []
    for gpu, dtype in dict.fromkeys((r["gpu"], r["dtype"]) for r in rows):
        for network in NETWORKS:
            for batch in BATCHES:
                counts = layers(network, batch)
                of = [by_problem.get(Problem(gpu, dtype, case)) for case in counts]
                if not all(r and r["auto"] in r["times"] for r in of):
                    continue
                pairs = [(n, r) for n, r in zip(counts.values(), of, strict=True) if r]
                best = sum(n * min(r["times"].values()) for n, r in pairs)
                auto = sum(n * r["times"][r["auto"]] for n, r in pairs)
                found.append(
                    {"gpu": gpu, "dtype": dtype, "network": network, "batch": batch,
                     "best_us": round(best, 1), "auto_us": round(auto, 1),
                     "regret": round(auto / best - 1, 4)}
                )  # fmt: skip
    return found


def _near(problem: Problem, rows: Mapping[Problem, dict[str, Any]]) -> list[str]:
    """At the largest batch: those that were near the best at the one before, if that is known."""
    case = grammar.parse(ConvCase, problem.case)
    if case.n != BATCHES[-1]:
        return []
    before = rows.get(problem._replace(case=str(case.with_batch(BATCHES[-2]))))
    times = before["times"] if before else {}
    return [algo for algo, us in times.items() if us < APART * min(times.values())]


def _say(row: dict[str, Any]) -> None:
    """A line where `auto` takes what is not the best."""
    best = min(row["times"], key=row["times"].get, default="")
    own, least = (row["times"].get(a, float("nan")) for a in (row["auto"], best))
    if not own <= 1.02 * least:
        print(f"{row['gpu']} {row['dtype']} {row['case']}: {row['auto']} {own:.1f} us, "
              f"{best} {least:.1f} us", flush=True)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", nargs="+", default=["h200"])
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES, choices=BATCHES)
    parser.add_argument("--network", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--jobs", type=positive, default=1)
    parser.add_argument("--onto", type=Path, metavar="FILE", help="keeps its rows beside new ones")
    parser.add_argument(
        "--again", action="store_true",
        help="of the rows of --onto find what auto takes by now; predict only what has no time",
    )  # fmt: skip
    options = with_json(parser, arguments)
    wanted = dict.fromkeys(
        Problem(gpu, dtype, case)
        for gpu in options.gpu
        for dtype in options.dtype
        for batch in options.batch
        for network in options.network
        for case in layers(network, batch)
    )
    kept = json.loads(options.onto.read_text())["rows"] if options.onto else []
    rows = {Problem(r["gpu"], r["dtype"], r["case"]): r for r in kept}
    with ProcessPoolExecutor(options.jobs) as pool:
        for batch in sorted(options.batch):
            of_batch = [p for p in wanted if grammar.parse(ConvCase, p.case).n == batch]
            known = {p: rows[p]["times"] if options.again and p in rows else None for p in of_batch}
            alike: dict[Problem, list[Problem]] = {}  # on several GPUs
            for p in of_batch:
                alike.setdefault(p._replace(gpu=""), []).append(p)
            running = [
                pool.submit(_several, [(p, _near(p, rows), known[p]) for p in group])
                for group in alike.values()
            ]
            for done in as_completed(running):
                for row in done.result():
                    rows[Problem(row["gpu"], row["dtype"], row["case"])] = row
                    _say(row)
            found = _write(rows, options.json)
    for r in found:
        print(f"{r['gpu']:8}{r['dtype']:10}{r['network']:10}{r['batch']:4}"
              f"{r['auto_us']:12.1f} us{r['regret']:8.1%}")  # fmt: skip


def _write(rows: Mapping[Problem, dict[str, Any]], file: Path | None) -> list[dict[str, Any]]:
    """What is known by now, also into the file."""
    ordered = [rows[problem] for problem in sorted(rows)]
    found = regrets(ordered)
    if file:
        write_json(file, {"regrets": found, "rows": ordered})
    return found


if __name__ == "__main__":
    main()
