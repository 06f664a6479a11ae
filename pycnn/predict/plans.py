"""Predictions of what a plan launches: an operation, by shapes alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.predict import code, sample
from pycnn.predict.gpus import Gpu
from pycnn.predict.model import Prediction, predict
from pycnn.runtime.emulator import host_argument
from pycnn.runtime.plan import Launch, Plan


@dataclass(frozen=True)
class OfPlan:
    """Predictions of the launches of one operation, in order.

    Attributes
    ----------
    algo : str
    launches : list of Prediction
    skipped : list of str
        Steps that are not kernels of the project's, whose time is not in the sum.
    """

    algo: str
    launches: list[Prediction]
    skipped: list[str]

    @property
    def time_us(self) -> float:
        """Predicted time of all launches and what lies between them."""
        return sum(p.time_us + p.launch_us for p in self.launches)

    @property
    def bound(self) -> str:
        """Of the longest launch."""
        longest = max(self.launches, key=lambda p: p.time_us, default=None)
        return longest.bound if longest else "nothing"


def of_plans(
    plans: Iterable[Plan], arrays: Mapping[str, np.ndarray], gpu: Gpu, most: int = 4
) -> OfPlan:
    """Predict every launch.

    Parameters
    ----------
    plans : iterable of Plan
    arrays : mapping of str to array
        The operands by name. Memory that nobody touches costs nothing: ``np.empty`` will do.
    gpu : Gpu
    most : int
        Blocks of each launch that are run.
    """
    bound: dict[str, Any] = {name: a for name, a in arrays.items() if a is not None}
    found, skipped, algo = [], [], ""
    for plan in plans:
        algo = algo or plan.algo
        for name, spec in {**plan.outputs, **plan.allocated}.items():
            bound[name] = np.empty(spec.shape, spec.dtype)
        for launch in plan.launches:
            if not isinstance(launch, Launch):
                skipped.append(f"{launch.kind} by the library")
                continue
            found.append(of_launch(launch, bound, gpu, most))
    return OfPlan(algo, found, skipped)


def of_launch(
    launch: Launch, arrays: Mapping[str, np.ndarray], gpu: Gpu, most: int = 4
) -> Prediction:
    """Predict one launch on arrays by name."""
    kernel = launch.kernel
    compiled = code.of_kernel(kernel.file, kernel.entry, kernel.defines, gpu.arch)
    args = [host_argument(a, arrays) for a in launch.args]
    used = {getattr(a, "name", "") for a in launch.args}
    own = {name: a for name, a in arrays.items() if name in used and a.nbytes}
    run = sample.run(compiled.ptx, compiled.entry, launch.grid, launch.block, args, own,
                     shared=launch.shared, most=most)  # fmt: skip
    return predict(compiled, run, gpu, launch.shared)
