"""Training steps of LeNet-5 on the CPU path beside PyTorch's, in turns.

    python benchmarks/train_speed.py [--json FILE [--force]]

The same network, batch and number of threads for both; a step is forward, loss, backward and Adam.
The numbers of threads are 1 and one for each core, each in a process of its own, as BLAS reads its
own once. Prints JSON: images a second by the median step, and the ratio of ours to theirs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from pycnn import models, nn
from pycnn.bench.environment import environment
from pycnn.runtime.extras import import_extra
from pycnn.runtime.options import print_and_write_json, with_json

COMMAND = "python benchmarks/train_speed.py"
BATCH, STEPS = 64, 60


def ours(images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """A training step of pycnn."""
    model, loss = models.create("lenet5"), nn.CrossEntropyLoss()
    optimizer = nn.Adam(model, lr=1e-3)

    def step() -> None:
        model.zero_grad()
        loss.forward(model.forward(images), labels)
        model.backward(loss.backward(), needs_dx=False)
        optimizer.step()

    return step


def theirs(images: np.ndarray, labels: np.ndarray, threads: int) -> Callable[[], None]:
    """The same step of PyTorch."""
    torch = import_extra("torch", "torch", "the comparison")
    torch.set_num_threads(threads)
    layers = torch.nn
    model = layers.Sequential(
        layers.Conv2d(1, 6, 5, padding=2, padding_mode="replicate"), layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Conv2d(6, 16, 5), layers.ReLU(), layers.MaxPool2d(2), layers.Flatten(),
        layers.Linear(400, 120), layers.ReLU(), layers.Linear(120, 84), layers.ReLU(),
        layers.Linear(84, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> None:
        optimizer.zero_grad()
        layers.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def measure(threads: int) -> dict[str, float]:
    """Images a second of both, their steps in turns."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, 1, 28, 28), np.float32)
    labels = rng.integers(0, 10, BATCH)
    steps = {"pycnn": ours(images, labels), "torch": theirs(images, labels, threads)}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(STEPS + 5):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if number >= 5:
                taken[name].append(time.perf_counter() - begin)
    speed = {name: BATCH / statistics.median(times) for name, times in taken.items()}
    ratio = statistics.median(t / p for p, t in zip(taken["pycnn"], taken["torch"], strict=True))
    return {
        "threads": threads,
        "images_per_s": round(speed["pycnn"], 1),
        "torch_images_per_s": round(speed["torch"], 1),
        "ratio": round(ratio, 3),
    }


def in_process(threads: int) -> dict[str, float]:
    """`measure` in a process in which BLAS has that many threads."""
    number = str(threads)
    limits = {"OMP_NUM_THREADS": number, "OPENBLAS_NUM_THREADS": number}
    done = subprocess.run(
        [sys.executable, __file__, "--threads", number],
        env=os.environ | limits, capture_output=True, text=True, check=True,
    )  # fmt: skip
    speed: dict[str, float] = json.loads(done.stdout)
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = with_json(parser)
    if arguments.threads:
        print(json.dumps(measure(arguments.threads)))
        return
    report = {
        "environment": environment(COMMAND),
        "network": "lenet5",
        "batch": BATCH,
        "steps": STEPS,
        "results": [in_process(threads) for threads in sorted({1, os.cpu_count() or 1})],
    }
    print_and_write_json(report, arguments.json)


if __name__ == "__main__":
    main()
