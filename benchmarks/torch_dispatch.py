"""What PyTorch's door costs over our own call, where the work itself is empty.

    python -m benchmarks.torch_dispatch [--json FILE [--force]]

The executor does nothing, so that what remains is the way of a call: ours on NumPy arrays, and
`pycnn.torch` on tensors, with and without a gradient, by a replaced layer, and by the dispatcher.
Beside them, in turns, stand floors of PyTorch's own: an operation in Python that does nothing, by
`torch.library` and by `torch.autograd.Function`, and our own call between a tensor's ``numpy()``
and ``from_numpy``, which is the least that a call on the memory of a tensor can be.

Counted is processor time. Prints JSON: microseconds a call, and what they are over our own call.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

import pycnn
import pycnn.torch
from pycnn.bench.environment import environment
from pycnn.runtime.backends import stand_in_executor
from pycnn.runtime.options import print_and_write_json, with_json
from pycnn.runtime.plan import Plan

COMMAND = "python -m benchmarks.torch_dispatch"
CALLS, REPEATS = 1000, 15

#: What the door is asked to cost at most over our own call.
LIMIT_US = 6.3


class Idle:
    """Runs plans by giving arrays that are there already."""

    name = "idle"

    def __init__(self) -> None:
        self.made: dict[int, dict[str, Any]] = {}

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        made = self.made.get(id(plan))
        if made is None:
            made = {n: np.zeros(spec.shape, spec.dtype) for n, spec in plan.outputs.items()}
            self.made[id(plan)] = made
        return made


class Nothing(torch.autograd.Function):
    """A gradient of nothing."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


def floors(x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """Operations of PyTorch's that do nothing."""
    library = torch.library.Library("floor", "DEF")
    library.define("plain(Tensor x) -> Tensor")
    library.define("graded(Tensor x) -> Tensor")
    for name in ("plain", "graded"):
        library.impl(name, lambda x: y, "CPU")
    torch.library.register_autograd(
        "floor::graded",
        lambda ctx, dy: dy,
        setup_context=lambda ctx, inputs, output: None,
        lib=library,
    )
    plain, graded = torch.ops.floor.plain.default, torch.ops.floor.graded.default
    asking = x.clone().requires_grad_()
    return {
        "floor_library": lambda: (plain(x), library)[0],
        "floor_library_autograd": lambda: graded(x),
        "floor_library_gradient": lambda: graded(asking),
        "floor_autograd_function": lambda: Nothing.apply(asking, y),
    }


def ways(name: str, layer: Any, x: Any, *others: Any, **settings: Any) -> dict[str, Any]:
    """One operation by every way."""
    ours, door = getattr(pycnn, name), getattr(pycnn.torch, name)
    arrays = [tensor.numpy() for tensor in (x, *others)]
    asking = x.clone().requires_grad_()
    pycnn.torch.replace(layer)

    def between() -> Any:
        seen = [tensor.numpy() for tensor in (x, *others)]
        return torch.from_numpy(ours(*seen, **settings))

    def layered() -> Any:
        with torch.no_grad():
            return layer(x)

    return {
        "own": lambda: ours(*arrays, **settings),
        "between_numpy_and_from_numpy": between,
        "door": lambda: door(x, *others, **settings),
        "door_gradient": lambda: door(asking, *others, **settings),
        "layer": layered,
    }


def measure(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Microseconds of each, in turns: the median of repeats."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            call()
            begin = time.thread_time()
            for _ in range(CALLS):
                call()
            taken[name].append(1e6 * (time.thread_time() - begin) / CALLS)
    return {name: round(statistics.median(times), 2) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    file = with_json(parser).json
    torch.set_num_threads(1)
    x, weight = torch.zeros(1, 16, 8, 8), torch.zeros(16, 16, 3, 3)
    bias = torch.zeros(16)
    through = torch.ops.pycnn.relu.default
    results = []
    with pycnn.use_backend("emulator"), stand_in_executor("emulator", Idle()):
        operations = {
            "relu": {
                **ways("relu", torch.nn.ReLU(), x),
                "dispatcher": lambda: through(x),
                **floors(x, torch.zeros_like(x)),
            },
            "conv2d": ways(
                "conv2d", torch.nn.Conv2d(16, 16, 3, padding=1), x, weight, bias, padding=1
            ),
        }
        for name, calls in operations.items():
            times = measure(calls)
            over = {
                way: round(times[way] - times["own"], 2)
                for way in times
                if way != "own" and not way.startswith("floor")
            }
            results.append({"operation": name, "time_us": times, "over_own_us": over})
    report = {
        "environment": environment(COMMAND),
        "torch": torch.__version__,
        "limit_us": LIMIT_US,
        "repeats": REPEATS,
        "calls_a_repeat": CALLS,
        "results": results,
    }
    print_and_write_json(report, file)


if __name__ == "__main__":
    main()
