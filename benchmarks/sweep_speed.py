"""A sweep of 200 cases over two workers beside one, and over two of which one is killed.

    python benchmarks/sweep_speed.py [--cases 200] [--seconds 0.05] [--json FILE [--force]]

What is measured is the sharing alone: a case waits for a fixed time, so that a busy machine is none
the slower, and the start of the workers, which a long sweep does not notice, is counted apart.
"""

import argparse
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from pycnn.bench.environment import environment
from pycnn.runtime import workers
from pycnn.runtime.files import write_json
from pycnn.runtime.options import positive, with_json


class Case:
    """Waits; on one worker, at the case `deadly`, it kills that."""

    def __init__(self, seconds: float, deadly: int, mark: str) -> None:
        self.seconds, self.deadly, self.mark = seconds, deadly, mark

    def __call__(self, i: int) -> int:
        if i == self.deadly and not os.path.exists(self.mark):
            with open(self.mark, "x"):
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return i


def measured(count: int, options: argparse.Namespace, deadly: int = -1) -> dict[str, Any]:
    """Seconds of a sweep, of its workers' start, and how many cases have a result."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        case = Case(options.seconds, deadly, os.path.join(folder, "killed"))
        begin = time.perf_counter()
        with workers.local(workers.of_workers(count, [], count)) as client:
            started = time.perf_counter()
            parts = dict(workers.shared(client, case, options.cases))
            ended = time.perf_counter()
        killed = os.path.exists(case.mark)
    right = sum(part == i for i, part in parts.items())
    return {"workers": count, "killed": int(killed), "start_s": round(started - begin, 2),
            "sweep_s": round(ended - started, 2), "results": right}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=positive, default=200)
    parser.add_argument("--seconds", type=float, default=0.05, help="of a case (default: 0.05)")
    options = with_json(parser, arguments)
    one, two = measured(1, options), measured(2, options)
    killed = measured(2, options, deadly=options.cases // 3)
    for run in (one, two, killed):
        print(
            f"{run['workers']} workers, {run['killed']} killed: {run['sweep_s']:.2f} s, and "
            f"{run['start_s']:.2f} s to start; {run['results']} of {options.cases} results"
        )
    share = two["sweep_s"] / one["sweep_s"]
    print(f"two workers take {share:.2f} of one's time")
    if options.json:
        about = environment("python benchmarks/sweep_speed.py")
        about["variables"] = {}
        found = {"environment": about, "cases": options.cases, "seconds": options.seconds,
                 "share": round(share, 3), "runs": [one, two, killed]}  # fmt: skip
        write_json(options.json, found)


if __name__ == "__main__":
    main()
