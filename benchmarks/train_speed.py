"""Training steps of small-channel networks on the CPU path beside PyTorch's, in turns.

    python3 -m benchmarks.train_speed [NETWORK ...] [--json FILE [--force]]

The same network, batch and one thread for both; a step is forward, loss, backward and Adam. Each
network has a process of its own, in which the two take turns, step by step; a step's time is the
processor time of the process, so that other programs do not count. The peaks of memory are of two
more processes, above what there was after a first small step. Prints JSON.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pycnn import models, nn
from pycnn.bench.environment import environment
from pycnn.runtime.extras import import_extra
from pycnn.runtime.options import print_and_write_json, with_json

COMMAND = "python3 -m benchmarks.train_speed"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYCNN_CPU_THREADS"), "1"
)
ROOT = Path(__file__).resolve().parents[1]
#: Steps before any is counted, and in a process that looks at memory.
WARM_UP = 2


class Case(NamedTuple):
    """A network: examples of a batch, extents of an image, classes, steps."""

    batch: int
    image: tuple[int, ...]
    classes: int
    steps: int


CASES = {
    "lenet5": Case(64, (1, 28, 28), 10, 60),
    "cifar_resnet20": Case(64, (3, 32, 32), 10, 12),
    "mobilenet": Case(4, (3, 224, 224), 1000, 10),
    "densenet121": Case(4, (3, 224, 224), 1000, 6),
}


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """A training step of pycnn."""
    model, loss = models.create(name), nn.CrossEntropyLoss()
    optimizer = nn.Adam(model, lr=1e-3)

    def step() -> None:
        model.zero_grad()
        loss.forward(model.forward(images), labels)
        model.backward(loss.backward(), needs_dx=False)
        optimizer.step()

    return step


def theirs(name: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """The same step of PyTorch."""
    torch = import_extra("torch", "torch", "the comparison")
    torch.set_num_threads(1)
    model = getattr(importlib.import_module("benchmarks.train.networks"), name)()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


SIDES = {"pycnn": ours, "torch": theirs}


def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    case, rng = CASES[name], np.random.default_rng(0)
    images = rng.random((case.batch, *case.image), np.float32)
    return images, rng.integers(0, case.classes, case.batch)


def speed(name: str) -> dict[str, float]:
    """Milliseconds of a step of both, and the ratio of the speeds."""
    steps = {side: make(name, *batch(name)) for side, make in SIDES.items()}
    taken: dict[str, list[float]] = {side: [] for side in steps}
    for number in range(WARM_UP + CASES[name].steps):
        for side, step in steps.items():
            begin = time.process_time()
            step()
            if number >= WARM_UP:
                taken[side].append(time.process_time() - begin)
    ratios = [t / p for p, t in zip(taken["pycnn"], taken["torch"], strict=True)]
    return {
        "pycnn_ms": round(1e3 * statistics.median(taken["pycnn"]), 2),
        "torch_ms": round(1e3 * statistics.median(taken["torch"]), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def peak(name: str, side: str) -> float:
    """MiB that steps take at most, beside images, libraries, and what one small step leaves."""
    given = batch(name)
    SIDES[side]("lenet5", *(a[:1] for a in batch("lenet5")))()  # loads what is loaded late
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = resident("VmRSS")
    step = SIDES[side](name, *given)
    for _ in range(WARM_UP + 1):
        step()
    return round(resident("VmHWM") - before, 1)


def resident(what: str) -> float:
    """MiB of this process's memory, now (VmRSS) or at most (VmHWM), as Linux has it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if what in line)
    return int(line.split()[1]) / 1024


def in_process(*words: str) -> Any:
    """What this script says with `words`, on one thread."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_speed", *words], cwd=ROOT,
        env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def measure(name: str) -> dict[str, Any]:
    """Speed and memory of one network."""
    case = CASES[name]
    memory = {f"{side}_peak_mib": in_process("--peak", side, name) for side in SIDES}
    found = {"network": name, "batch": case.batch, "steps": case.steps}
    found |= in_process("--speed", name) | memory
    print(
        "{network:16} batch {batch:2}: {ratio:.2f} of PyTorch's speed ({pycnn_ms} and {torch_ms} "
        "ms), peak {pycnn_peak_mib} and {torch_peak_mib} MiB".format(**found),
        file=sys.stderr,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(CASES))
    parser.add_argument("--speed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    arguments = with_json(parser)
    if unknown := [name for name in arguments.networks if name not in CASES]:
        parser.error(f"no network {unknown[0]!r}; allowed: {', '.join(CASES)}")
    names = arguments.networks or list(CASES)
    if arguments.speed or arguments.peak:
        (name,) = names
        print(json.dumps(peak(name, arguments.peak) if arguments.peak else speed(name)))
        return
    report = {
        "environment": environment(COMMAND),
        "threads": 1,
        "clock": "processor time",
        "results": [measure(name) for name in names],
    }
    print_and_write_json(report, arguments.json)


if __name__ == "__main__":
    main()
