"""The command line of ``python3 -m benchmarks.gpu``."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import benchmarks.gpu
import pycnn
from benchmarks.gpu import bench, sanitize, test
from benchmarks.gpu.once import once
from benchmarks.gpu.outcome import Outcome

STAGES: dict[str, Callable[[], bool | Outcome]] = {
    "test": test.test,
    "sanitize": sanitize.sanitize,
    "bench": bench.bench,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stage; the exit status is 0 only if nothing failed."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu", description=benchmarks.gpu.__doc__
    )
    parser.add_argument("stage", choices=(*STAGES, "all", "once"))
    stage = parser.parse_args(argv).stage
    status = {b.name: b for b in pycnn.backends()}["cuda"]
    if not status.available:
        print(f"make gpu needs a GPU that CuPy can use: {status.detail}", file=sys.stderr)
        return 1
    if stage == "once":
        return once()
    begin = time.monotonic()
    outcomes = {}
    for name in STAGES if stage == "all" else (stage,):
        print(f"== {name}", flush=True)
        outcomes[name] = STAGES[name]()
    words = {True: "passed", False: "FAILED"}
    passed = ", ".join(
        f"{name} {ok.value if isinstance(ok, Outcome) else words[ok]}"
        for name, ok in outcomes.items()
    )
    print(f"== {passed} in {time.monotonic() - begin:.0f} s")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
