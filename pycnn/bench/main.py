"""What ``pycnn bench`` does: run, show, write."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pycnn.bench import brief, clocks, estimated, options, predicted, summary, table
from pycnn.bench.ceilings import Ceiling, at_hand, measure_ceiling
from pycnn.bench.environment import busy, environment, gpu as gpu_here, load
from pycnn.bench.record import FAILED, WRONG, Record, Run, content
from pycnn.bench.run import FULL, QUICK, Benchmark, run
from pycnn.reference.cpu._blas import considerate
from pycnn.runtime import terminal
from pycnn.runtime.extras import install
from pycnn.runtime.files import complete, in_progress, write_json
from pycnn.runtime.options import check_output
from pycnn.runtime.route import route


def bench(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; returns the exit status.

    Raises
    ------
    ValueError
        For an option that cannot be met; lists what exists.
    """
    if arguments.gpu is not None and route()[0] == "ptx":
        return _predicted(arguments)
    gpu = estimated.known(estimated.DEFAULT if arguments.gpu is None else arguments.gpu)
    benchmarks = options.benchmarks(arguments)
    if arguments.prepare:
        from pycnn.bench.prepare import prepare

        if arguments.json or arguments.plot or arguments.gpu:
            raise ValueError("--prepare runs nothing; allowed: without --json, --plot and --gpu")
        print(prepare(benchmarks))
        return 0
    require_outputs(arguments)
    made = estimated.guesses(benchmarks, gpu)
    if arguments.gpu and not made:
        raise ValueError(
            "--gpu estimates conv2d forward in 16 and 32 bits; for more: " + install("emulator")
        )

    def beside(records: Sequence[Record]) -> dict[str, Any]:
        return {"predicted": predicted.as_json(gpu, made, records, "estimates")} if made else {}

    return reported(
        arguments, benchmarks, lambda path: _run(benchmarks, arguments, path, beside),
        lambda records: estimated.lines(gpu, made, records),
    )  # fmt: skip


def require_outputs(arguments: argparse.Namespace) -> None:
    """Raise where what is asked for could not be written."""
    if arguments.json:
        check_output(arguments.json, "--json", force=arguments.force)
    if arguments.plot:
        from pycnn.bench import plot

        check_output(arguments.plot, "--plot", plot.SUFFIXES)
        plot.require()


def reported(
    arguments: argparse.Namespace,
    benchmarks: Sequence[Benchmark],
    measured: Callable[[Path | None], Run],
    below: Callable[[Sequence[Record]], list[str]] = lambda records: [],
) -> int:
    """Show and write what is measured; returns the exit status.

    Parameters
    ----------
    arguments : Namespace
    benchmarks : sequence of Benchmark
    measured : callable
        Gives the results, and keeps what it has in the file that it is given, if any.
    below : callable
        Lines that stand below those of the records.
    """
    written_to = in_progress(arguments.json) if arguments.json else None
    results = measured(written_to)
    if written_to and not results.unfinished:
        complete(written_to, arguments.json)
    title = _title(arguments, benchmarks)
    if arguments.all:
        terminal.show(table.results(title, results.records))
        print("\n".join(summary.of_run(results)))
    else:
        print("\n".join(brief.lines(title, results)))
    for line in below(results.records):
        print(line)
    if arguments.json:
        print(f"results: {written_to if results.unfinished else arguments.json}")
    if arguments.plot:
        from pycnn.bench import plot

        drawn = plot.draw(results, title, arguments.plot)
        print(f"picture: {arguments.plot}" if drawn else "no picture: nothing was timed")
    if results.unfinished:
        kept = f" and kept in {written_to}" if written_to and results.records else ""
        print(f"{results.unfinished}{kept}", file=sys.stderr)
        return 130
    return 1 if any(r.status in (WRONG, FAILED) and not r.is_peer for r in results.records) else 0


def _predicted(arguments: argparse.Namespace) -> int:
    """Predictions for a GPU that is not here, beside what is measured here."""
    from pycnn.predict import gpus

    gpu = gpus.gpu(arguments.gpu)
    others = [n for n in ("plot", "prepare") if getattr(arguments, n)]
    if others:
        raise ValueError(f"--gpu prints one table; allowed: without --{', --'.join(others)}")
    if arguments.case:
        raise ValueError("--gpu predicts layers; allowed: without --case")
    if "emulator" in (arguments.backend or ""):
        raise ValueError(
            "--gpu stands beside what is timed here; allowed: --backend reference, or without it"
        )
    beside = {"backend": arguments.backend or "reference", "against": arguments.against or "none"}
    kernels = arguments.algo  # of the GPU; the CPU path takes its own choice
    benchmarks = options.benchmarks(
        argparse.Namespace(**{**vars(arguments), **beside, "algo": None})
    )
    asked = sorted({f"--direction {b.direction} --dtype {b.dtype}" for b in benchmarks})
    if len(asked) > 1:
        raise ValueError(f"--gpu predicts one direction and dtype; allowed: {' or '.join(asked)}")
    algos = options.kernels(kernels, benchmarks)
    require_outputs(arguments)
    gpu, of_memory = at_hand(gpu, gpu_here())
    with terminal.progress(len(benchmarks)) as (announce, advance):
        made = predicted.guesses(benchmarks, algos, gpu, announce, advance)
    written_to = in_progress(arguments.json) if arguments.json else None
    results = _run(
        benchmarks, arguments, written_to,
        lambda records: {"predicted": predicted.as_json(gpu, made, records)},
    )  # fmt: skip
    if written_to and not results.unfinished:
        complete(written_to, arguments.json)
    title = _title(arguments, benchmarks)
    print(
        "\n".join([*predicted.lines(title, gpu, made, results.records, arguments.all), *of_memory])
    )
    if written_to:
        print(f"results: {written_to if results.unfinished else arguments.json}")
    if results.unfinished:
        print(results.unfinished, file=sys.stderr)
        return 130
    return 0


def _title(arguments: argparse.Namespace, benchmarks: Sequence[Benchmark]) -> str:
    if arguments.case:
        return str(arguments.case)
    directions, dtypes = (
        " and ".join(dict.fromkeys(names))
        for names in (
            [b.direction for b in benchmarks],
            [b.dtype for b in benchmarks if any(r.device for r in b.runners)]
            or [b.dtype for b in benchmarks],
        )
    )
    op = arguments.op or options.DEFAULTS["op"]
    return f"{op} {directions}, {dtypes}, on {arguments.suite or arguments.shape}"


def _run(
    benchmarks: Sequence[Benchmark],
    arguments: argparse.Namespace,
    path: Path | None,
    beside: Callable[[Sequence[Record]], dict[str, Any]] = lambda records: {},
) -> Run:
    """Every record there is by the end or by an interrupt, written to `path` as they come.

    The file is written before anything is measured: from then on it holds this run or parts of it.
    """
    about = environment(options.command_line(arguments))
    results = Run(about, [], [])
    written: list[dict[str, Any]] = []
    budget = QUICK if arguments.quick else FULL
    planned = sum(len(benchmark.runners) for benchmark in benchmarks)

    def keep(unfinished: str) -> None:
        if path:
            limits = [ceiling.as_json() for ceiling in results.ceilings]
            whole = content(about, limits, written, unfinished)
            write_json(path, whole | beside(results.records))

    def done() -> str:
        return f"{len(written)} of {planned} done"

    keep(f"{done()} when this was written")
    with clocks.sampling(_bus(about, benchmarks)) as sampler:
        try:
            ceilings = _ceilings(benchmarks, arguments.quick)
            results.ceilings.extend(ceilings.values())
            with terminal.progress(planned) as (announce, advance):
                for record, case in run(benchmarks, budget, ceilings, announce):
                    about["cpu"]["load"] = max(about["cpu"]["load"], load())
                    if sampler:
                        about["gpu"]["sampled"] = sampler.as_json()
                    results.records.append(record)
                    written.append(record.as_json(case))
                    keep(f"{done()} when this was written")
                    advance()
        except KeyboardInterrupt:
            results = replace(results, unfinished=f"interrupted: {done()}")
    keep(results.unfinished)
    if busy(about) and arguments.all:  # else it stands above the table
        print(f"this machine is busy ({busy(about)}): times on the CPU are too long",
              file=sys.stderr)  # fmt: skip
    return results


def _bus(about: Mapping[str, Any], benchmarks: Sequence[Benchmark]) -> str | None:
    """Address of the GPU, if anything is timed on it."""
    used = any(c.device == "cuda" for benchmark in benchmarks for c in benchmark.runners)
    return about["gpu"]["pci_bus"] if used and about["gpu"] else None


def _ceilings(benchmarks: Sequence[Benchmark], quick: bool) -> dict[tuple[str, str], Ceiling]:
    """The limits of every device that is timed."""
    return {pair: ceiling(*pair, quick) for pair in limits(benchmarks)}


def limits(benchmarks: Sequence[Benchmark]) -> list[tuple[str, str]]:
    """Devices that are timed, each with every precision."""
    return list(
        dict.fromkeys(
            (c.device, c.precision or benchmark.dtype)
            for benchmark in benchmarks
            for c in benchmark.runners
            if c.device
        )
    )


def ceiling(device: str, dtype: str, quick: bool) -> Ceiling:
    """What a device can do at most, on the cores that the CPU path has."""
    with considerate():
        return measure_ceiling(device, dtype, 0.1 if quick else 0.5)
