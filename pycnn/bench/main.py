"""What ``pycnn bench`` does: run, show, write."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pycnn.bench import clocks, summary, table, wishes
from pycnn.bench.ceilings import Ceiling, measure_ceiling
from pycnn.bench.environment import busy, environment, load
from pycnn.bench.record import FAILED, WRONG, Run, content
from pycnn.bench.run import FULL, QUICK, Round, run
from pycnn.runtime import terminal
from pycnn.runtime.files import write_json


def bench(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; returns the exit status.

    Raises
    ------
    ValueError
        For a wish that cannot be met; lists what exists.
    """
    rounds = wishes.rounds(arguments)
    if arguments.prepare:
        from pycnn.bench.prepare import prepare

        if arguments.json or arguments.plot:
            raise ValueError("--prepare runs nothing; allowed: without --json and --plot")
        print(prepare(rounds))
        return 0
    _require_writable(arguments.json, "--json")
    _require_writable(arguments.plot, "--plot")
    if arguments.plot:
        from pycnn.bench import plot

        plot.require()
    found = _run(rounds, arguments)
    title = _title(arguments, rounds)
    terminal.show(table.results(title, found.records))
    print("\n".join(summary.of_run(found)))
    if arguments.json:
        print(f"results: {arguments.json}")
    if arguments.plot:
        drawn = plot.draw(found, title, arguments.plot)
        print(f"picture: {arguments.plot}" if drawn else "no picture: nothing was timed")
    if found.unfinished:
        kept = f" and kept in {arguments.json}" if arguments.json and found.records else ""
        print(f"{found.unfinished}{kept}", file=sys.stderr)
        return 130
    return 1 if any(r.status in (WRONG, FAILED) and not r.is_peer for r in found.records) else 0


def _title(arguments: argparse.Namespace, rounds: Sequence[Round]) -> str:
    if arguments.case:
        return str(arguments.case)
    directions, dtypes = (
        " and ".join(dict.fromkeys(wished))
        for wished in ([each.direction for each in rounds], [each.dtype for each in rounds])
    )
    op = arguments.op or wishes.DEFAULTS["op"]
    return f"{op} {directions}, {dtypes}, on {arguments.suite or arguments.shape}"


def _run(rounds: Sequence[Round], arguments: argparse.Namespace) -> Run:
    """Every record there is by the end or by an interrupt, written as they come.

    The file is written before anything is measured: from then on it holds this run or parts of it.
    """
    about = environment(wishes.command_line(arguments))
    found = Run(about, [], [])
    written: list[dict[str, Any]] = []
    budget = QUICK if arguments.quick else FULL
    planned = sum(len(each.contestants) for each in rounds)

    def keep(unfinished: str) -> None:
        if arguments.json:
            limits = [ceiling.as_json() for ceiling in found.ceilings]
            write_json(arguments.json, content(about, limits, written, unfinished))

    def done() -> str:
        return f"{len(written)} of {planned} done"

    keep(f"{done()} when this was written")
    with clocks.sampling(_bus(about, rounds)) as sampler:
        try:
            ceilings = _ceilings(rounds, arguments.quick)
            found.ceilings.extend(ceilings.values())
            with terminal.progress(planned) as (announce, advance):
                for record, case in run(rounds, budget, ceilings, announce):
                    about["cpu"]["load"] = max(about["cpu"]["load"], load())
                    if sampler:
                        about["gpu"]["sampled"] = sampler.as_json()
                    found.records.append(record)
                    written.append(record.as_json(case))
                    keep(f"{done()} when this was written")
                    advance()
        except KeyboardInterrupt:
            found = replace(found, unfinished=f"interrupted: {done()}")
    keep(found.unfinished)
    if busy(about):
        print(f"this machine is busy ({busy(about)}): times on the CPU are too long",
              file=sys.stderr)  # fmt: skip
    return found


def _bus(about: Mapping[str, Any], rounds: Sequence[Round]) -> str | None:
    """Address of the GPU, if anything is timed on it."""
    used = any(c.device == "cuda" for each in rounds for c in each.contestants)
    return about["gpu"]["pci_bus"] if used and about["gpu"] else None


def _ceilings(rounds: Sequence[Round], quick: bool) -> dict[tuple[str, str], Ceiling]:
    """The limits of every device that is timed."""
    wanted = dict.fromkeys(
        (c.device, c.precision or each.dtype)
        for each in rounds
        for c in each.contestants
        if c.device
    )
    budget = 0.1 if quick else 0.5
    return {(device, dtype): measure_ceiling(device, dtype, budget) for device, dtype in wanted}


def _require_writable(path: Path | None, option: str) -> None:
    """Say so now, not after the run, if `path` cannot be written."""
    if path is not None and not path.resolve().parent.is_dir():
        raise ValueError(f"{option} {path}: the folder {path.resolve().parent} does not exist")
