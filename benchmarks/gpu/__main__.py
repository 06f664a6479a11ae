"""The command line of ``python3 -m benchmarks.gpu``."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmarks.gpu
import pycnn
from benchmarks.gpu import bench, device, kernels, page, sanitize, test
from benchmarks.gpu.limited import ROOT
from benchmarks.gpu.once import once
from benchmarks.gpu.result import FAILED, Result
from benchmarks.gpu.session import Session, now, slug
from pycnn.bench.environment import commit
from pycnn.runtime.files import write_json

#: In the order of ``all``. Each gets a folder of its own and says what became of it.
STAGES: dict[str, Callable[[Path], Any]] = {
    "compile": kernels.compile_kernels,
    "test": test.test,
    "sanitize": sanitize.sanitize,
    "bench": bench.bench,
}

RESULTS = ROOT / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run stages and write the page; the exit status is 0 only if nothing failed."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu", description=benchmarks.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("stage", choices=(*STAGES, "all", "page", "once"))
    parser.add_argument("--fresh", action="store_true", help="forget what a stopped run has done")
    given = parser.parse_args(argv)
    status = {b.name: b for b in pycnn.backends()}["cuda"]
    if not status.available:
        print(f"make gpu needs a GPU that CuPy can use: {status.detail}", file=sys.stderr)
        return 1
    if given.stage == "once":
        return once()
    gpu = device.describe()
    session = Session(f"{gpu['name']}, driver {gpu.get('driver_version')}, {status.detail}")
    if given.fresh:
        session.clear()
    wanted = {"all": list(STAGES), "page": []}.get(given.stage, [given.stage])
    for name in _to_run(session, wanted):
        _run(session, name, gpu["pci_bus"])
    results = {name: session.result(name) for name in STAGES}
    _show(session, gpu, status.detail, results)
    asked = [results[name] for name in wanted or STAGES]
    return 1 if any(found is None or found.outcome == FAILED for found in asked) else 0


def _to_run(session: Session, wanted: Sequence[str]) -> list[str]:
    """All that was asked for; of several, if some are left, only those that are not finished."""
    left = [name for name in wanted if not (r := session.result(name)) or not r.finished]
    if not left or len(wanted) == 1:
        return list(wanted)
    for name in wanted:
        if name not in left:
            print(f"== {name}: finished already ({session.result(name).date})")  # type: ignore[union-attr]
    return left


def _run(session: Session, name: str, bus: str) -> None:
    """Run a stage; whatever it raises is its failure, and the others' turn comes."""
    print(f"== {name}", flush=True)
    folder, begin = session.start(name), time.monotonic()
    try:
        with device.watched(bus, folder / "gpu.csv"):
            found = Result.of(STAGES[name](folder))
    except Exception as error:
        found = Result(FAILED, f"{type(error).__name__}: {error}".splitlines()[0])
    found = replace(found, seconds=time.monotonic() - begin, date=now())
    session.end(name, found)
    print(f"== {name}: {found.outcome} after {found.seconds:.0f} s: {found.what}", flush=True)


def _show(
    session: Session, gpu: dict[str, Any], libraries: str, results: dict[str, Result | None]
) -> None:
    """Print the page, and write it beside the results of this session."""
    about = {
        "gpu": f"{gpu['name']}, driver {gpu.get('driver_version', 'unknown')}, "
        f"clocks up to {gpu.get('clocks.max.sm', '?')} MHz",
        "libraries": libraries, "commit": (commit() or "unknown")[:12], "date": now(),
    }  # fmt: skip
    runs = bench.runs(session.folder / "bench")
    clocks = device.seen(session.folder / "bench" / "gpu.csv")
    lines = page.page(about, clocks, results, runs)
    folder = RESULTS / slug(gpu["name"])
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "gpu.json", json.loads(json.dumps(page.merged(runs, results, about))))
    text = "\n".join(lines)
    title = f"# {gpu['name']}\n\nWritten by `make gpu`.\n\n"
    (folder / "gpu.md").write_text(f"{title}```\n{text}\n```\n")
    print(f"\n{text}\n\nwritten to {folder.relative_to(ROOT)}/gpu.md and gpu.json")


if __name__ == "__main__":
    sys.exit(main())
