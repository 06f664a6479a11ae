"""Images a second of training on 1, 2 and 4 processes, strong and weak, in turns.

    python benchmarks/scaling.py [--processes 1 2 4] [--json FILE [--force]]

Each process has one thread of BLAS. Strong: a batch of 64 shared out; weak: 64 images each. Every
number of processes runs in turns, several times; all of it takes some three minutes. Prints JSON,
by the median: images a second, that over one process; of the first process the shares of a step in
which it sends gradients (while others are computed) and in which it waits for messages, the share
of gradients whose sums are there when the last one is computed, how often a step sends, and
milliseconds of the processor (waiting, which is busy, counted).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import models, nn, train
from pycnn.bench.environment import environment
from pycnn.runtime.options import positive, print_and_write_json, with_json
from pycnn.train.gradients import gradients
from pycnn.train.parallel import MpiCommunicator
from pycnn.train.parallel.sums import Sums

COMMAND = "python benchmarks/scaling.py"
MODELS = {"lenet5": (1, 28, 28), "cifar_resnet20": (3, 32, 32)}
STEPS = {"lenet5": 60, "cifar_resnet20": 8}
BATCH, ROUNDS = 64, 3


#: What is counted of a step: methods of a communicator that send, and all waiting.
SENDING = ("everyones", "rows", "exchanged", "joined")


def measure(name: str, each: int) -> None:
    """Print, as JSON, what a step took, of one process of several."""
    comm = train.processes()
    model = models.create(name, seed=0)
    optimizer, loss = nn.SGD(model, 0.01, momentum=0.9), nn.CrossEntropyLoss()
    rng = np.random.default_rng(comm.rank)
    x = rng.standard_normal((each, *MODELS[name]), np.float32)
    labels = rng.integers(0, 10, each)
    spent = dict.fromkeys(("sending", "waiting", "calls", "hidden"), 0.0)

    def timed(owner: Any, method: str, what: str) -> None:
        plain = getattr(owner, method)

        def run(*arguments: Any) -> Any:
            begin = time.perf_counter()
            result = plain(*arguments)
            spent[what] += time.perf_counter() - begin
            return result

        setattr(owner, method, run)

    def counted(method: str) -> None:
        plain = getattr(comm, method)

        def run(*arguments: Any) -> Any:
            spent["calls"] += 1
            return plain(*arguments)

        setattr(comm, method, run)

    end = Sums.end

    def ended(sums: Sums) -> None:
        end(sums)
        spent["hidden"] += sums.hidden()

    Sums.end = ended  # type: ignore[method-assign]
    timed(Sums, "ready", "sending")
    timed(Sums, "end", "sending")
    timed(MpiCommunicator, "_wait", "waiting")
    for step in range(STEPS[name] + 3):
        if step == 3:
            comm.everyones(None)
            for method in SENDING:
                counted(method)
            spent.update(dict.fromkeys(spent, 0.0))
            began, busy = time.perf_counter(), time.process_time()
        gradients(model, loss, [((x,), labels)], metrics={}, comm=comm)
        optimizer.step()
    found = {**spent, "cpu": time.process_time() - busy}
    comm.everyones(None)
    found["seconds"] = time.perf_counter() - began
    if comm.rank == 0:
        print(json.dumps({what: value / STEPS[name] for what, value in found.items()}))


def launched(processes: int, name: str, each: int) -> dict[str, float]:
    """Of so many processes, which were launched for it."""
    own = Path(sys.executable).parent / "mpiexec"
    command = [
        str(own) if own.exists() else "mpiexec", "-n", str(processes), sys.executable,
        __file__, "--measure", name, str(each),
    ]  # fmt: skip
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYCNN_CPU_THREADS": "1"}
    result: dict[str, float] = json.loads(
        subprocess.check_output(command, env={**os.environ, **one}, text=True)
    )
    return result


def compare(counts: list[int]) -> list[dict[str, object]]:
    """A row for each network, way of scaling and number of processes."""
    rows: list[dict[str, object]] = []
    for name in MODELS:
        for way in ("strong", "weak"):
            each = {n: BATCH // n if way == "strong" else BATCH for n in counts}
            taken: dict[int, list[dict[str, float]]] = {n: [] for n in counts}
            for _ in range(ROUNDS):
                for n in counts:
                    taken[n].append(launched(n, name, each[n]))
            speed = {
                n: n * each[n] / statistics.median(t["seconds"] for t in times)
                for n, times in taken.items()
            }
            for n, times in taken.items():
                middle = {what: statistics.median(t[what] for t in times) for what in times[0]}
                shares = {
                    f"{what}_share": round(
                        statistics.median(t[what] / t["seconds"] for t in times), 4
                    )
                    for what in ("sending", "waiting")
                }
                rows.append({
                    "model": name, "scaling": way, "processes": n, "images_per_process": each[n],
                    "images_per_s": round(speed[n], 1), "speedup": round(speed[n] / speed[1], 3),
                    **shares, "hidden": round(middle["hidden"], 3) if n > 1 else None,
                    "calls": round(middle["calls"], 1) if n > 1 else 0.0,
                    "cpu_ms": round(middle["cpu"] * 1e3, 3),
                })  # fmt: skip
    return rows


def main() -> int:
    """The command; its exit status."""
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=positive, nargs="+", default=[1, 2, 4])
    options = with_json(parser)
    counts = sorted({1, *options.processes})
    rows = compare(counts)
    print_and_write_json({"environment": environment(COMMAND), "rows": rows}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
