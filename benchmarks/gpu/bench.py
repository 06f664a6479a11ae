"""Stage ``bench``: networks against cuDNN, where PyTorch with CUDA is installed."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.limited import INTERRUPTED, limited
from benchmarks.gpu.measure import BENCHES, LOST, stored
from benchmarks.gpu.result import Result, verdict
from pycnn.bench import record
from pycnn.bench.peers import PEERS, missing

#: Seconds that the stage may last, and those it then has to write what it has.
LIMIT, GRACE = 150, 10

#: Failures that are shown one by one.
SHOWN = 20


def bench(folder: Path) -> Result:
    """Measure what has not been measured yet; what was done counts."""
    if missing("cudnn"):
        print(f"without a comparison with cuDNN: {missing('cudnn')}")
    end, status = time.monotonic() + LIMIT, LOST
    while status == LOST and (left := end - time.monotonic()) > 0:
        command = [sys.executable, "-m", "benchmarks.gpu.measure", str(folder), f"{left:.0f}"]
        status = limited(command, left + GRACE)
    return result_of(runs(folder), status)


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file of the stage, by the name of its bench, in the order of `BENCHES`."""
    return {name: stored(folder / f"{name}.json") for name, _ in BENCHES
            if (folder / f"{name}.json").exists()}  # fmt: skip


def result_of(files: Mapping[str, Mapping[str, Any]], status: int = 0) -> Result:
    """The result that files amount to; `status` is that of the process that wrote them."""
    results = [each for run in files.values() for each in run["results"]]
    statuses = Counter(each["status"] for each in results)
    wrong = [
        each
        for each in results  # a peer that is wrong is shown on the page, and is not our failure
        if each["backend"] not in PEERS and each["status"] in (record.WRONG, record.FAILED)
    ]
    measured = [name for name, run in files.items() if run["complete"] and run["results"]]
    impossible = {name: run["unfinished"] for name, run in files.items()
                  if run["complete"] and not run["results"]}  # fmt: skip
    left = len(BENCHES) - len(measured) - len(impossible)
    parts = [f"{len(measured)} of {len(BENCHES)} benches complete"]
    parts += [f"{statuses[record.TIMED]} algorithms on layers timed"]
    parts += [f"{count} {word}" for word, count in (
        ("WRONG", statuses[record.WRONG]), ("FAILED", statuses[record.FAILED]),
        ("not possible", len(impossible)),
    ) if count]  # fmt: skip
    details = [
        f"{each['status']}: {each['op']} {each['direction']} {each['shape']} {each['dtype']} "
        f"{each['backend']} {each['algorithm']}: {each['reason']}"
        for each in wrong
    ]
    more = [f"and {len(details) - SHOWN} more"] if len(details) > SHOWN else []
    details = (
        details[:SHOWN] + more + [f"not possible: {n}: {why}" for n, why in impossible.items()]
    )
    crashed = status not in (0, INTERRUPTED, LOST)
    if crashed:
        details.append(f"the measuring process ended with status {status}")
    outcome = verdict(wrong=len(wrong) + crashed, left=left, done=statuses[record.TIMED])
    return Result(outcome, ", ".join(parts), details, finished=not left)
