"""Stage ``test``: the tests that run on ``cuda``, and no others, on all cores."""

import importlib.util
import sys
import time
from pathlib import Path

from benchmarks.gpu import ledger
from benchmarks.gpu.limited import limited
from benchmarks.gpu.result import FAILED, PARTIAL, Result, verdict
from pycnn.reference.cpu._blas import cores

#: Seconds that the stage may last.
LIMIT = 90

#: Failures that are shown one by one.
SHOWN = 20


def test(folder: Path) -> Result:
    """Run what has not passed yet; what was done counts, whether there was time for all or not."""
    file, before = folder / "tests.jsonl", folder / "passed.txt"
    known = ledger.read(file)
    passed = [name for name, outcome in known.outcomes.items() if outcome == "passed"]
    before.write_text("\n".join(passed))
    begin = time.monotonic()
    status = limited(command(file, before), LIMIT, PYCNN_TEST_BACKENDS="cuda", **ONE_THREAD)
    after, in_time = ledger.read(file), time.monotonic() - begin < LIMIT
    if after.selected or after.broken:
        return result_of(after)
    if in_time:
        return Result(FAILED, f"pytest collected no test, and ended with status {status}")
    return Result(PARTIAL, "stopped before the tests were collected", finished=False)


#: A process for each core: more threads of BLAS than cores spin.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def command(file: Path, before: Path) -> list[str]:
    """How pytest is called; with pytest-xdist, several processes share the GPU."""
    parallel = ["-n", str(cores()), "--dist", "worksteal"]
    return [
        sys.executable, "-m", "pytest", "tests", "--only-backends", "-q", "--tb=short", "-r", "",
        "--continue-on-collection-errors", "-p", "no:cacheprovider", "-p", "benchmarks.gpu.ledger",
        "--ledger", str(file), "--passed-before", str(before),
        *(parallel if importlib.util.find_spec("xdist") else ["-p", "no:xdist"]),
    ]  # fmt: skip


def result_of(tests: ledger.Ledger) -> Result:
    """The result that a ledger amounts to."""
    counts = tests.counts
    wrong = counts["failed"] + len(tests.broken)
    done = counts["passed"] + counts["failed"]
    parts = [f"{counts['passed']} of {len(tests.selected)} tests passed"]
    parts += [f"{counts['failed']} FAILED"] if counts["failed"] else []
    parts += [f"{len(tests.broken)} files CANNOT BE COLLECTED"] if tests.broken else []
    parts += [f"{counts[name]} {name}" for name in ("skipped", "not run") if counts[name]]
    details = [f"{name}: {why}" for name, why in tests.why.items()
               if name in tests.broken or tests.outcomes.get(name) == "failed"]  # fmt: skip
    more = [f"and {len(details) - SHOWN} more"] if len(details) > SHOWN else []
    outcome = verdict(wrong=wrong, left=counts["not run"], done=done)
    finished = not counts["not run"]
    return Result(outcome, ", ".join(parts), details[:SHOWN] + more, finished=finished)
