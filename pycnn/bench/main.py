"""What ``pycnn bench`` does: run, show, write."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycnn.bench import summary, table, wishes
from pycnn.bench.ceilings import Ceiling, measure_ceiling
from pycnn.bench.environment import busy, environment, load
from pycnn.bench.record import FAILED, WRONG, Record, content
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
    _require_writable(arguments.json, "--json")
    _require_writable(arguments.plot, "--plot")
    if arguments.plot:
        from pycnn.bench import plot

        plot.require()
    ceilings = _ceilings(rounds, arguments.quick)
    records, interrupted = _run(rounds, ceilings, arguments)
    title = _title(arguments, rounds)
    terminal.show(table.results(title, records))
    print("\n".join(summary.summarise(records, list(ceilings.values()), not interrupted)))
    if arguments.json:
        print(f"results: {arguments.json}")
    if arguments.plot:
        drawn = plot.draw(records, list(ceilings.values()), title, arguments.plot)
        print(f"picture: {arguments.plot}" if drawn else "no picture: nothing was timed")
    if interrupted:
        planned = sum(len(each.contestants) for each in rounds)
        kept = f" and kept in {arguments.json}" if arguments.json and records else ""
        print(f"interrupted: {len(records)} of {planned} done{kept}", file=sys.stderr)
        return 130
    return 1 if any(record.status in (WRONG, FAILED) for record in records) else 0


def _title(arguments: argparse.Namespace, rounds: Sequence[Round]) -> str:
    directions, dtypes = (
        " and ".join(dict.fromkeys(wished))
        for wished in ([each.direction for each in rounds], [each.dtype for each in rounds])
    )
    return f"{arguments.op} {directions}, {dtypes}, on {arguments.suite or arguments.shape}"


def _run(
    rounds: Sequence[Round], ceilings: dict[tuple[str, str], Ceiling], arguments: argparse.Namespace
) -> tuple[list[Record], bool]:
    """Every record there is by the end or by an interrupt, written as they come."""
    about = environment(wishes.command_line(arguments))
    limits = [ceiling.as_json() for ceiling in ceilings.values()]
    records: list[Record] = []
    written: list[dict[str, Any]] = []
    budget = QUICK if arguments.quick else FULL
    total = sum(len(each.contestants) for each in rounds)
    try:
        with terminal.progress(total) as (announce, advance):
            for record, case in run(rounds, budget, ceilings, announce):
                about["cpu"]["load"] = max(about["cpu"]["load"], load())
                records.append(record)
                written.append(record.as_json(case))
                if arguments.json:
                    write_json(arguments.json, content(about, limits, written))
                advance()
    except KeyboardInterrupt:
        return records, True
    finally:
        if busy(about):
            print(f"this machine is busy ({busy(about)}): times on the CPU are too long",
                  file=sys.stderr)  # fmt: skip
    return records, False


def _ceilings(rounds: Sequence[Round], quick: bool) -> dict[tuple[str, str], Ceiling]:
    """The limits of every device that is timed."""
    wanted = dict.fromkeys(
        (c.device, each.dtype) for each in rounds for c in each.contestants if c.device
    )
    budget = 0.1 if quick else 0.5
    return {(device, dtype): measure_ceiling(device, dtype, budget) for device, dtype in wanted}


def _require_writable(path: Path | None, option: str) -> None:
    """Say so now, not after the run, if `path` cannot be written."""
    if path is not None and not path.resolve().parent.is_dir():
        raise ValueError(f"{option} {path}: the folder {path.resolve().parent} does not exist")
