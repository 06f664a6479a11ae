"""An operation and runners that need no kernels: y = 2 x, done right, wrong or not at all."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.bench.cases import MapCase
from pycnn.bench.measure import Sample
from pycnn.bench.operations.base import Check, Operation, Unsupported
from pycnn.bench.run import Benchmark
from pycnn.bench.runners import Runner
from pycnn.bench.suites import Layer


class Double(Operation):
    """y = 2 x over a feature map."""

    name, case, directions = "double", MapCase, ("forward",)

    def input_specs(self, case, direction):
        return {"x": (case.x_shape, None)}

    def output_shapes(self, case, direction):
        return {"y": case.x_shape}

    def flops(self, case, direction):
        return case.n * case.c * case.h * case.w

    def run(self, case, direction, arrays, algo):
        return {"y": arrays["x"] * 2}

    def checks(self, case, direction, arrays):
        return [Check("y", np.add(arrays["x"], arrays["x"], dtype=np.float64), 1)]

    def torch(self, case, direction, tensors):
        raise Unsupported("nothing here is PyTorch's")


class CountingClock:
    """Says that every call takes a millisecond, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def sample(self, call, times, before=None):
        self.asked += 1
        for _ in range(times):
            call()
        return Sample(1e-3 * times, 1e-3 * times)


class Fake(Runner):
    """Runs `compute` on the inputs, and remembers how often it ran and was timed."""

    def __init__(
        self,
        compute: Callable[[np.ndarray], np.ndarray],
        algorithm: str = "right",
        backend: str = "reference",
        device: str | None = "cpu",
        reason: str = "",
    ) -> None:
        self.compute, self.algorithm, self.backend = compute, algorithm, backend
        self.device, self.reason = device, reason
        self.calls, self.the_clock, self.shapes = 0, CountingClock(), []

    def prepare(self, op, case, direction, arrays) -> Callable[[], dict[str, Any]]:
        def call() -> dict[str, Any]:
            self.calls += 1
            self.shapes.append(arrays["x"].shape)
            return {"y": self.compute(arrays["x"])}

        return call

    def clock(self):
        return self.the_clock


def right(x: np.ndarray) -> np.ndarray:
    return x + x


def wrong_in_one_place(x: np.ndarray) -> np.ndarray:
    y = x + x
    y[-1, -1, -1, -1] += 1e-3
    return y


def a_benchmark(*runners: Runner, word: MapCase | None = None, name: str = "one") -> Benchmark:
    layer = Layer(name, word or MapCase(2, 3, 5, 7), count=2)
    return Benchmark("fake", Double(), layer, "forward", "float32", runners)
