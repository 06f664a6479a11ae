"""Predictions of what a plan launches: an operation, by shapes alone."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from pycnn.plan._chunks import in_brief
from pycnn.plan.estimate import blocks_of
from pycnn.predict import code, keep, sample
from pycnn.predict.gpus import Gpu
from pycnn.predict.model import Prediction, predict
from pycnn.runtime.backends import stand_in_executor, use_backend
from pycnn.runtime.emulator import host_argument
from pycnn.runtime.plan import Buffer, Launch, Plan
from pycnn.runtime.target import Target, emulating

#: A plan, and the arrays that it was to run on.
Bound = tuple[Plan, Mapping[str, Any]]

#: Sampled runs by launch and PTX: GPUs that differ in neither share them.
Runs = dict[tuple[object, ...], sample.Run]


@dataclass(frozen=True)
class OfPlan:
    """Predictions of the launches of one operation, in order.

    Attributes
    ----------
    algo : str
    launches : list of Prediction
    skipped : list of str
        Steps that are not kernels of the project's; a plan that has any is not in the sum.
    """

    algo: str
    launches: list[Prediction]
    skipped: list[str]

    @property
    def time_us(self) -> float:
        """Predicted time of all launches and what lies between them."""
        return sum(p.time_us + p.launch_us for p in self.launches)

    @property
    def longest(self) -> Prediction | None:
        """The launch that takes most of the time."""
        return max(self.launches, key=lambda p: p.time_us, default=None)

    @property
    def bound(self) -> str:
        """Of the longest launch; ``launch`` where what lies between takes longer than all."""
        longest = self.longest
        if longest is None:
            return "nothing"
        between = sum(p.launch_us for p in self.launches)
        return "launch" if between > sum(p.time_us for p in self.launches) else longest.bound


class _Seen:
    """In place of the emulator: keeps the plans, runs none."""

    name = "emulator"

    def __init__(self) -> None:
        self.plans: list[Bound] = []

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        self.plans.append((plan, dict(arrays)))
        given = out or {}
        return {
            name: given[name] if name in given else sample.aligned(spec.shape, spec.dtype)
            for name, spec in plan.outputs.items()
        }


@contextlib.contextmanager
def planned_on(gpu: Gpu) -> Iterator[None]:
    """What is planned inside is for this GPU: architecture and multiprocessors decide ``auto``."""
    with use_backend("emulator"), emulating(Target(gpu.arch, gpu.sms)):
        yield


def planned(call: Callable[[], object]) -> list[Bound]:
    """What a call on NumPy arrays would launch by kernels, in brief; its result is not computed.

    Parameters
    ----------
    call : callable
        Such as ``lambda: pycnn.relu(x)``.
    """
    seen = _Seen()
    with use_backend("emulator"), stand_in_executor("emulator", seen), in_brief():
        call()
    return seen.plans


def of_call(
    call: Callable[[], object], gpu: Gpu, most: int = 4, runs: Runs | None = None
) -> OfPlan:
    """Predict what a call on NumPy arrays would launch.

    Parameters
    ----------
    call : callable
    gpu : Gpu
    most : int
        Blocks of each launch that are run.
    runs : dict, optional
        Runs that were made before of the same operation; new ones are put in.
    """
    with planned_on(gpu):
        calls = planned(call)
    parts = [of_plans([plan], arrays, gpu, most, runs) for plan, arrays in calls]
    return OfPlan(
        parts[0].algo if parts else "",
        [launch for part in parts for launch in part.launches],
        [step for part in parts for step in part.skipped],
    )


def of_plans(
    plans: Iterable[Plan],
    arrays: Mapping[str, Any],
    gpu: Gpu,
    most: int = 4,
    runs: Runs | None = None,
) -> OfPlan:
    """Predict every launch.

    Parameters
    ----------
    plans : iterable of Plan
    arrays : mapping of str to array
        The operands by name, such as `sample.aligned` makes: sectors count from where they begin.
    gpu : Gpu
    most : int
        Blocks of each launch that are run.
    runs : dict, optional
        As for `of_call`.
    """
    found, skipped, algo = [], [], ""
    for plan in plans:
        algo = algo or plan.algo
        library = [f"{s.kind} by the library" for s in plan.launches if not isinstance(s, Launch)]
        skipped += library
        if not library:  # what that makes is no array of the plan's
            known: dict[tuple[object, ...], Prediction] = {}
            for launch, bound in launches(plan, arrays):
                same = alike(launch)
                if same not in known:  # image after image, say
                    known[same] = of_launch(launch, bound, gpu, most, runs)
                found += [known[same]] * launch.times
    return OfPlan(algo, found, skipped)


def alike(launch: Launch) -> tuple[object, ...]:
    """What launches have in common that differ in where in an array their part of it begins."""
    args = [
        replace(a, offset=a.offset % sample.ALIGNMENT) if isinstance(a, Buffer) else a
        for a in launch.args
    ]
    return launch.kernel, launch.grid, launch.block, launch.shared, *map(keep.said, args)


def launches(plan: Plan, arrays: Mapping[str, Any]) -> Iterator[tuple[Launch, dict[str, Any]]]:
    """Each kernel of a plan with all arrays that there are by name."""
    bound = {name: a for name, a in arrays.items() if a is not None}
    for name, spec in {**plan.outputs, **plan.allocated}.items():
        bound[name] = sample.aligned(spec.shape, spec.dtype)
    for launch in plan.launches:
        if isinstance(launch, Launch):
            yield launch, bound


def sampled(
    compiled: code.Code,
    launch: Launch,
    arrays: Mapping[str, np.ndarray],
    most: int,
    runs: Runs | None = None,
) -> sample.Run:
    """Run a few blocks of a launch, unless `runs` has it."""
    key = (*alike(launch), most, hash(body(compiled)))
    if runs is not None and key in runs:
        return runs[key]
    args = [host_argument(a, arrays) for a in launch.args]
    own = _used(launch, arrays)
    tiles = blocks_of(launch) // prod(launch.grid[1:])
    found = sample.run(compiled.ptx, compiled.entry, launch.grid, launch.block, args, own,
                       shared=launch.shared, most=most, tiles=tiles)  # fmt: skip
    if runs is not None:
        runs[key] = found
    return found


def body(compiled: code.Code) -> str:
    """PTX without what names the architecture."""
    return "\n".join(
        line for line in compiled.ptx.splitlines() if not line.startswith((".target", ".version"))
    )


def _used(launch: Launch, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: a for name, a in arrays.items() if name in launch.names and a.nbytes}


def of_launch(
    launch: Launch,
    arrays: Mapping[str, np.ndarray],
    gpu: Gpu,
    most: int = 4,
    runs: Runs | None = None,
) -> Prediction:
    """Predict one launch on arrays by name; from the disk cache if it was predicted before."""
    own, kernel = _used(launch, arrays), launch.kernel
    compiled = code.of_kernel(kernel, gpu.arch)

    def make() -> Prediction:
        return predict(compiled, sampled(compiled, launch, arrays, most, runs), gpu, launch.shared)

    shapes = [
        f"{name} {a.dtype} {a.shape} {a.strides} {a.ctypes.data % sample.ALIGNMENT}"
        for name, a in sorted(own.items())
    ]
    return keep.kept(launch, compiled.digest, shapes, gpu, most, make)
