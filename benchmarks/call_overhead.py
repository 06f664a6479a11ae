"""What a repeated call costs before the first launch: validation, look-up of the plan, packing.

    python benchmarks/call_overhead.py [--json FILE]

The executor is one that does nothing, so that what remains is pycnn's own part of a call. Counted
is processor time, so that other programs on the machine do not add to it. Prints JSON: microseconds
for each call, and the limit that they are meant to stay under.
"""

import argparse
import json
import statistics
import time
import timeit
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.environment import environment
from pycnn.runtime.backends import stand_in_executor
from pycnn.runtime.files import write_json
from pycnn.runtime.plan import Plan

COMMAND = "python benchmarks/call_overhead.py"
LIMIT_US = 10.0
CALLS, ROUNDS = 2000, 15


class Idle:
    """Runs plans by doing nothing."""

    name = "idle"

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return dict.fromkeys(plan.outputs)


def calls() -> dict[str, Callable[[], Any]]:
    """Calls as users write them, on arrays of a ResNet-50 layer."""
    x = np.zeros((1, 64, 56, 56), np.float32)
    weight, bias = np.zeros((64, 64, 3, 3), np.float32), np.zeros(64, np.float32)
    out = np.zeros_like(x)
    return {
        "conv2d": lambda: pycnn.conv2d(x, weight, padding=1),
        "conv2d_bias_out": lambda: pycnn.conv2d(
            x, weight, bias, (1, 1), ((1, 1), (1, 1)), algo="direct", out=out
        ),
        "conv2d_list_arguments": lambda: pycnn.conv2d(x, weight, bias, [1, 1], [1, 1]),
        "conv2d_backward": lambda: pycnn.conv2d_backward(x, x, weight, padding=1),
    }


def measure(call: Callable[[], Any]) -> dict[str, float]:
    """Microseconds a call: median, least and most of several rounds, the first call left out."""
    call()
    taken = timeit.repeat(call, number=CALLS, repeat=ROUNDS, timer=time.thread_time)
    rounds = [1e6 * seconds / CALLS for seconds in taken]
    return {
        "time_us": round(statistics.median(rounds), 3),
        "time_us_min": round(min(rounds), 3),
        "time_us_max": round(max(rounds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    file = parser.parse_args().json
    with pycnn.use_backend("emulator"), stand_in_executor("emulator", Idle()):
        results = [{"call": name, **measure(call)} for name, call in calls().items()]
    report = {
        "environment": environment(COMMAND),
        "limit_us": LIMIT_US,
        "rounds": ROUNDS,
        "calls_a_round": CALLS,
        "results": results,
    }
    print(json.dumps(report, indent=2))
    if file:
        write_json(file, report)


if __name__ == "__main__":
    main()
