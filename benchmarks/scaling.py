"""Images a second of training on 1, 2 and 4 processes, strong and weak, in turns.

    python benchmarks/scaling.py [--processes 1 2 4] [--json FILE [--force]]

Each process has one thread of BLAS. Strong: a batch of 64 shared out; weak: 64 images each. Every
number of processes runs in turns, several times. Prints JSON: images a second by the median, that
over one process, and the share of a step in which gradients are added up.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pycnn import models, nn, train
from pycnn.bench.environment import environment
from pycnn.runtime.options import positive, print_and_write_json, with_json
from pycnn.train.gradients import gradients
from pycnn.train.parallel.sums import Sums

COMMAND = "python benchmarks/scaling.py"
MODELS = {"lenet5": (1, 28, 28), "cifar_resnet20": (3, 32, 32)}
BATCH, STEPS, ROUNDS = 64, 20, 3


def measure(name: str, each: int) -> None:
    """Print, as JSON, seconds of a step and of adding gradients up, of one process of several."""
    comm = train.processes()
    model = models.create(name, seed=0)
    optimizer, loss = nn.SGD(model, 0.01, momentum=0.9), nn.CrossEntropyLoss()
    rng = np.random.default_rng(comm.rank)
    x = rng.standard_normal((each, *MODELS[name]), np.float32)
    labels = rng.integers(0, 10, each)
    spent = 0.0
    add, finish = Sums.add, Sums.finish

    def timed(method):  # type: ignore[no-untyped-def]
        def run(*arguments):  # type: ignore[no-untyped-def]
            nonlocal spent
            begin = time.perf_counter()
            method(*arguments)
            spent += time.perf_counter() - begin

        return run

    Sums.add, Sums.finish = timed(add), timed(finish)  # type: ignore[method-assign]
    for step in range(STEPS + 3):
        if step == 3:
            comm.everyones(None)
            spent, begin = 0.0, time.perf_counter()
        gradients(model, loss, [((x,), labels)], metrics={}, comm=comm)
        optimizer.step()
    comm.everyones(None)
    if comm.rank == 0:
        seconds = (time.perf_counter() - begin) / STEPS
        print(json.dumps({"seconds": seconds, "adding": spent / STEPS}))


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
                share = statistics.median(t["adding"] / t["seconds"] for t in times)
                rows.append({
                    "model": name, "scaling": way, "processes": n, "images_per_process": each[n],
                    "images_per_s": round(speed[n], 1), "speedup": round(speed[n] / speed[1], 3),
                    "adding_share": round(share, 4),
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
