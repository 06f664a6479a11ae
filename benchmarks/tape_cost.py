"""What the tape costs over a backward pass that is written by hand: LeNet-5, batch 8.

    python -m benchmarks.tape_cost [--json FILE [--force]]

Both compute the loss and all gradients of the same network by the same operations, in turns: layers
on a tape, and the functions of pycnn on plain arrays, called one after the other. Counted is the
processor time of this thread. Prints JSON: milliseconds of each, the median of repeats, and the
median of what they are over each other in the same turn.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn
from pycnn import nn
from pycnn.bench.environment import environment
from pycnn.runtime.options import print_and_write_json, with_json

COMMAND = "python -m benchmarks.tape_cost"
BATCH, STEPS, REPEATS = 8, 10, 31

#: What the tape may cost at most.
LIMIT = 1.10

Grads = dict[str, Any]


def network() -> nn.Sequential:
    """LeNet-5, without the partial connections of its second convolution."""
    with nn.seeded(0):
        return nn.Sequential(
            conv1=nn.Conv2d(1, 6, 5, padding=2), act1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5), act2=nn.ReLU(), pool2=nn.MaxPool2d(2), flat=nn.Flatten(),
            dense1=nn.Linear(400, 120), act3=nn.ReLU(), dense2=nn.Linear(120, 84), act4=nn.ReLU(),
            dense3=nn.Linear(84, 10),
        )  # fmt: skip


def by_tape(model: Any, x: Any, labels: Any) -> Callable[[], Any]:
    """Layers on a tape, which leaves the gradients in the layers."""
    loss = nn.CrossEntropyLoss()

    def step() -> None:
        model.zero_grad()
        with pycnn.grad() as tape:
            value = loss(model(x), labels)
        tape.backward(value)

    return step


def by_hand(model: Any, x: Any, labels: Any) -> Callable[[], Grads]:
    """The same operations and their gradients, called one after the other."""
    p = model.state_dict()

    def step() -> Grads:
        grads: Grads = {}
        kept, h = [], x
        for i, padding in ((1, 2), (2, 0)):
            w, b = p[f"conv{i}.weight"], p[f"conv{i}.bias"]
            a = pycnn.relu(pycnn.conv2d(h, w, b, padding=padding))
            y, places = pycnn.max_pool2d(a, 2, return_indices=True)
            kept.append((h, a, places))
            h = y
        shape = h.shape
        h = h.reshape(len(h), -1)
        dense = []
        for i in (1, 2, 3):
            dense.append(h)
            h = pycnn.linear(h, p[f"dense{i}.weight"], p[f"dense{i}.bias"])
            h = pycnn.relu(h) if i < 3 else h
        pycnn.cross_entropy(h, labels)
        d = pycnn.cross_entropy_backward(np.ones((), np.float32), h, labels)
        for i in (3, 2, 1):
            own = dense[i - 1]
            d, grads[f"dense{i}.weight"], grads[f"dense{i}.bias"] = pycnn.linear_backward(
                d, own, p[f"dense{i}.weight"]
            )
            d = pycnn.relu_backward(d, own) if i > 1 else d
        d = d.reshape(shape)
        for i, padding in ((2, 0), (1, 2)):
            own, a, places = kept[i - 1]
            d = pycnn.max_pool2d_backward(d, places, a.shape, 2)
            d = pycnn.relu_backward(d, a)
            needs = (i > 1, True, True)
            d, grads[f"conv{i}.weight"], grads[f"conv{i}.bias"] = pycnn.conv2d_backward(
                d, own, p[f"conv{i}.weight"], padding=padding, needs=needs
            )
        return grads

    return step


def measure() -> dict[str, float]:
    """Milliseconds of a step, and the ratio."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, 1, 28, 28)).astype(np.float32)
    labels = rng.integers(0, 10, BATCH)
    model = network()
    ways = {"tape": by_tape(model, x, labels), "hand": by_hand(model, x, labels)}
    _, grads = [way() for way in ways.values()]
    for p in model.parameters():  # the same gradients, or they are no steps to compare
        np.testing.assert_allclose(p.grad, grads[p.name], rtol=1e-5, atol=1e-6, err_msg=p.name)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            begin = time.thread_time()
            for _ in range(STEPS):
                way()
            taken[name].append((time.thread_time() - begin) / STEPS * 1e3)
    ratios = [t / h for t, h in zip(taken["tape"], taken["hand"], strict=True)]
    return {
        **{f"{name}_ms": round(statistics.median(each), 3) for name, each in taken.items()},
        "ratio": round(statistics.median(ratios), 3), "limit": LIMIT,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    file = with_json(parser).json
    print_and_write_json({"environment": environment(COMMAND), "batch": BATCH, **measure()}, file)


if __name__ == "__main__":
    main()
