"""What ``pycnn bench`` does: read the wishes, run, show, write."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pycnn
from pycnn.bench import grammar, summary, table
from pycnn.bench.cases import Case
from pycnn.bench.ceilings import Ceiling, measure_ceiling
from pycnn.bench.contestants import Contestant, of_pycnn
from pycnn.bench.environment import environment
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import DIRECTIONS, Operation
from pycnn.bench.peers import PEERS, missing, of_peer
from pycnn.bench.record import FAILED, WRONG, Record, content
from pycnn.bench.run import FULL, QUICK, Round, plan_rounds, run
from pycnn.bench.suites import SUITES, Layer
from pycnn.runtime.files import write_json

DTYPES = ("float32", "float64")


def bench(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; returns the exit status.

    Raises
    ------
    ValueError
        For a wish that cannot be met; lists what exists.
    """
    rounds = _rounds(arguments)
    _require_writable(arguments.json, "--json")
    _require_writable(arguments.plot, "--plot")
    if arguments.plot:
        from pycnn.bench import plot

        plot.require()
    ceilings = _ceilings(rounds, arguments.quick)
    records, interrupted = _run(rounds, ceilings, arguments)
    title = _title(arguments, rounds)
    table.show(table.results(title, records))
    print("\n".join(summary.summarise(records, list(ceilings.values()), not interrupted)))
    if arguments.json:
        print(f"results: {arguments.json}")
    if arguments.plot and plot.draw(records, list(ceilings.values()), title, arguments.plot):
        print(f"picture: {arguments.plot}")
    if interrupted:
        planned = sum(len(each.contestants) for each in rounds)
        kept = f" and kept in {arguments.json}" if arguments.json else ""
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
    about = environment(command_line(arguments))
    limits = [ceiling.as_json() for ceiling in ceilings.values()]
    records: list[Record] = []
    written: list[dict[str, Any]] = []
    budget = QUICK if arguments.quick else FULL
    total = sum(len(each.contestants) for each in rounds)
    try:
        with table.progress(total) as (announce, advance):
            for record, case in run(rounds, budget, ceilings, announce):
                records.append(record)
                written.append(record.as_json(case))
                if arguments.json:
                    write_json(arguments.json, content(about, limits, written))
                advance()
    except KeyboardInterrupt:
        return records, True
    finally:
        _warn_if_busy()
    return records, False


def _warn_if_busy() -> None:
    """More runnable threads than cores, our own included, make every time on the CPU too long."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores + 0.5:
        print(
            f"this machine is busy (load {load:.1f} on {cores} cores): times on the CPU are not "
            "to be relied on",
            file=sys.stderr,
        )


def command_line(arguments: argparse.Namespace) -> str:
    """The command that asks for the same again; where it writes to is left out."""
    words = ["pycnn bench", *filter(None, (arguments.suite,))]
    for name in ("shape", "op", "direction", "algo", "dtype", "batch", "backend", "against"):
        if getattr(arguments, name):
            words.append(f"--{name} {getattr(arguments, name)}")
    return " ".join(words + ["--quick"] * arguments.quick)


def _rounds(arguments: argparse.Namespace) -> list[Round]:
    op = OPERATIONS[_one_of("--op", arguments.op, OPERATIONS)]
    directions = _directions(op, arguments.direction)
    dtypes = _listed("--dtype", arguments.dtype, DTYPES)
    backends = _backends(arguments.backend)
    peers = _listed("--against", arguments.against, PEERS) if arguments.against else []
    for peer in peers:
        if missing(peer):
            raise ValueError(f"--against {peer}: {missing(peer)}")
    suite, layers = _layers(arguments, op)
    chosen = _chosen_algorithms(arguments.algo, op, layers, directions, dtypes)

    def contestants(case: Case, direction: str, dtype: str) -> list[Contestant]:
        found = [c for name in backends for c in of_pycnn(name, op, case, direction, dtype)]
        if chosen is not None:  # the reference backend has no choice, and stays to compare with
            found = [c for c in found if c.algorithm in chosen or c.backend == "reference"]
        return found + [c for peer in peers for c in of_peer(peer, op)]

    return plan_rounds(suite, op, layers, directions, dtypes, contestants)


def _layers(arguments: argparse.Namespace, op: Operation) -> tuple[str, list[Layer]]:
    if (arguments.suite is None) == (arguments.shape is None):
        raise ValueError(
            f"name a suite ({', '.join(SUITES)}) or one layer by --shape, such as "
            "n1c64h56w56k64r3s3p1; not both"
        )
    batches = [_positive("--batch", b) for b in (arguments.batch or "").split(",") if b]
    if arguments.shape:
        case = grammar.parse(op.case, arguments.shape)
        cases = [case.with_batch(b) for b in batches] or [case]
        return "shape", [Layer(_name("layer", c, batches), c) for c in cases]
    suite = SUITES[_one_of("suite", arguments.suite, SUITES)]
    layers = [
        Layer(_name(layer.name, layer.case, batches), layer.case, layer.count)
        for batch in batches or [suite.batch]
        for layer in suite.layers(op.name, batch)
    ]
    if not layers:
        having = ", ".join(s.name for s in SUITES.values() if s.layers(op.name))
        raise ValueError(f"suite {suite.name} has no layer of {op.name}; these have: {having}")
    return suite.name, layers


def _name(name: str, case: Case, batches: Sequence[int]) -> str:
    """Of a layer; with its batch where a run has several."""
    return f"{name} x{case.batch}" if len(batches) > 1 else name


def _directions(op: Operation, asked: str) -> list[str]:
    _one_of("--direction", asked, (*DIRECTIONS, "all"))
    wanted = DIRECTIONS if asked == "all" else (asked,)
    offered = [direction for direction in wanted if direction in op.directions]
    if not offered:
        raise ValueError(f"--direction {asked}: {op.name} has only {', '.join(op.directions)}")
    return offered


def _backends(asked: str | None) -> list[str]:
    present = {b.name: b for b in pycnn.backends()}
    order = ("reference", "emulator", "cuda")
    if asked is None:
        return [name for name in order if present[name].available]
    names = _listed("--backend", asked, order)
    for name in names:
        if not present[name].available:
            raise ValueError(f"--backend {name} is not available here: {present[name].detail}")
    return names


def _chosen_algorithms(
    asked: str | None,
    op: Operation,
    layers: Sequence[Layer],
    directions: Sequence[str],
    dtypes: Sequence[str],
) -> list[str] | None:
    if asked is None:
        return None
    offered = dict.fromkeys(
        a.name
        for direction in directions
        for a in op.algorithms(layers[0].case, direction, dtypes[0])
    )
    return _listed("--algo", asked, tuple(offered))


def _ceilings(rounds: Sequence[Round], quick: bool) -> dict[tuple[str, str], Ceiling]:
    """The limits of every device that is timed."""
    wanted = dict.fromkeys(
        (c.device, each.dtype) for each in rounds for c in each.contestants if c.device
    )
    budget = 0.1 if quick else 0.5
    return {(device, dtype): measure_ceiling(device, dtype, budget) for device, dtype in wanted}


def _one_of(name: str, value: str, allowed: Any) -> str:
    if value not in allowed:
        raise ValueError(f"{name} {value!r}; allowed: {', '.join(allowed)}")
    return value


def _listed(name: str, text: str, allowed: Any) -> list[str]:
    return [_one_of(name, part.strip(), allowed) for part in text.split(",")]


def _positive(name: str, text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{name} {text!r}; allowed: whole numbers from 1 on, by commas")
    return int(text)


def _require_writable(path: Path | None, option: str) -> None:
    """Say so now, not after the run, if `path` cannot be written."""
    if path is not None and not path.resolve().parent.is_dir():
        raise ValueError(f"{option} {path}: the folder {path.resolve().parent} does not exist")
