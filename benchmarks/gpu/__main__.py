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
    arguments = parser.parse_args(argv)
    status = {b.name: b for b in pycnn.backends()}["cuda"]
    if not status.available:
        print(f"make gpu needs a GPU that CuPy can use: {status.detail}", file=sys.stderr)
        return 1
    if arguments.stage == "once":
        return once()
    gpu = device.describe()
    session = Session(f"{gpu['name']}, driver {gpu.get('driver_version')}, {status.detail}")
    if arguments.fresh:
        session.clear()
    names = {"all": list(STAGES), "page": []}.get(arguments.stage, [arguments.stage])
    for name in _to_run(session, names):
        _run(session, name, gpu["pci_bus"])
    results = {name: session.result(name) for name in STAGES}
    _show(session, gpu, status.detail, results)
    shown = [results[name] for name in names or STAGES]
    return 1 if any(result is None or result.outcome == FAILED for result in shown) else 0


def _to_run(session: Session, names: Sequence[str]) -> list[str]:
    """All that was asked for; of several, if some are left, only those that are not finished."""
    left = [name for name in names if not (r := session.result(name)) or not r.finished]
    if not left or len(names) == 1:
        return list(names)
    for name in names:
        if name not in left:
            print(f"== {name}: finished already ({session.result(name).date})")  # type: ignore[union-attr]
    return left


def _run(session: Session, name: str, bus: str) -> None:
    """Run a stage; whatever it raises is its failure, and the others' turn comes."""
    print(f"== {name}", flush=True)
    folder, begin = session.start(name), time.monotonic()
    try:
        with device.watched(bus, folder / "gpu.csv"):
            result = Result.of(STAGES[name](folder))
    except Exception as error:
        result = Result(FAILED, f"{type(error).__name__}: {error}".splitlines()[0])
    result = replace(result, seconds=time.monotonic() - begin, date=now())
    session.end(name, result)
    print(f"== {name}: {result.outcome} after {result.seconds:.0f} s: {result.what}", flush=True)


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
    clocks = device.clocks(session.folder / "bench" / "gpu.csv")
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
