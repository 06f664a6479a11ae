"""Measure which algorithm of a convolution is fastest here, for `auto` to take.

Every candidate is compared with the float64 oracle before it is timed, as in `pycnn bench`. What is
measured is one result at a time, as `auto` chooses: the gradients of a layer apart.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pycnn.bench import expected
from pycnn.bench.calls import described
from pycnn.bench.checking import check
from pycnn.bench.environment import now
from pycnn.bench.measure import Clock, CpuClock, cupy_clock, measure
from pycnn.bench.operations.base import Check
from pycnn.bench.operations.conv import Conv2d
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.reference.cpu import conv as cpu
from pycnn.reference.cpu._blas import considerate
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.cpu._threads import thread_count
from pycnn.runtime.backends import executor
from pycnn.runtime.measured import Base, Measured, cpu_machine, gpu_machine
from pycnn.runtime.plan import Plan
from pycnn.runtime.target import Target, planned_for

OPERATION = Conv2d()

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """A layer to be tuned.

    Attributes
    ----------
    name : str
    case : ConvCase
    direction, dtype, layout : str
    """

    name: str
    case: Any
    direction: str
    dtype: str
    layout: str

    def __str__(self) -> str:
        return f"{self.name} {self.case} {self.direction} {self.dtype} {self.layout}"


@dataclass(frozen=True)
class Tuned:
    """What was found for one result of a layer.

    Attributes
    ----------
    task : Task
    result : str
    key : str
        Of the problem, in the data base.
    before : str
        What `auto` takes without measurements.
    times_us : mapping of str to float
        Of the algorithms that were right.
    failed : mapping of str to str
        Those that were wrong or failed, and how.
    known : bool
        Whether the data base had it already, so that nothing was run.
    """

    task: Task
    result: str
    key: str
    before: str
    times_us: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    known: bool = False

    def as_base(self, machine: str) -> Base:
        """As the data base holds it; nothing of it where no algorithm was right."""
        if not self.times_us:
            return {}
        return {machine: {self.key: Measured(self.times_us, now())}}


@dataclass(frozen=True)
class _Candidates:
    """One result with what computes it, ready to run."""

    result: str
    key: str
    before: str
    runs: Mapping[str, Callable[[], Any]]


class Tuner:
    """Kernels on a GPU, or the methods of the CPU path.

    Parameters
    ----------
    backend : {"cuda", "reference"}
    target : Target
        The GPU; of no matter for the CPU path.
    clock : Clock, optional
        By default that of the backend.
    """

    def __init__(self, backend: str, target: Target, clock: Clock | None = None) -> None:
        self.backend, self.target = backend, target
        on_cpu = backend == "reference"
        self.machine = cpu_machine(thread_count()) if on_cpu else gpu_machine(target)
        self.clock = clock or (CpuClock() if on_cpu else cupy_clock())

    def tune(self, task: Task, known: Mapping[str, Measured], seconds: float) -> Iterator[Tuned]:
        """Check, then time every candidate for every result of a layer.

        Parameters
        ----------
        task : Task
        known : mapping of str to Measured
            Problems that are not measured again.
        seconds : float
            Spent on a timing.
        """
        offered = self._on_cpu if self.backend == "reference" else self._kernels
        arrays: dict[str, np.ndarray] = {}
        checks: list[Check] = []
        with planned_for(self.target._replace(gpu="")):  # what auto takes with nothing measured
            found = list(offered(task, arrays))
        for of in found:
            if of.key in known:
                yield Tuned(task, of.result, of.key, of.before, known=True)
                continue
            if not arrays:
                arrays |= _inputs(task)
                checks += OPERATION.checks(task.case, task.direction, arrays)
            own = [c for c in checks if c.output == of.result]
            yield self._measured(task, of, own, seconds)

    def _measured(
        self, task: Task, of: _Candidates, checks: Sequence[Check], seconds: float
    ) -> Tuned:
        times, failed = {}, {}
        for algo, run in of.runs.items():
            try:
                wrong = self._wrong(task, of.result, run(), checks)
                if wrong:
                    failed[algo] = wrong
                    continue
                with considerate():
                    times[algo] = 1e3 * measure(run, self.clock, seconds).median_ms
            except Exception as error:  # one that fails must not end the others
                failed[algo] = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Tuned(task, of.result, of.key, of.before, times, failed)

    def _wrong(self, task: Task, result: str, value: Any, checks: Sequence[Check]) -> str:
        """How far a result is off; empty if it is right."""
        array = value if isinstance(value, np.ndarray) else value.get()
        if task.layout == "NHWC" and result != "dweight":
            array = array.transpose(0, 3, 1, 2)
        shape = OPERATION.output_shapes(task.case, task.direction)[result]
        verdict = check({result: array}, checks, task.dtype, {result: shape})
        return (
            "" if verdict.right else f"off by {verdict.error:.3g}, allowed {verdict.tolerance:.3g}"
        )

    def _kernels(self, task: Task, arrays: Arrays) -> Iterator[_Candidates]:
        definition, call = described(OPERATION, task.case, task.direction, task.dtype, task.layout)
        for choice in definition.choices(call):
            names = [c.name for c in choice.candidates() if c.fits and not c.by_name]
            runs = {
                name: self._by(choice.result, choice.plan(name), task, arrays) for name in names
            }
            yield _Candidates(choice.result, choice.key, choice.plan("auto").algo, runs)

    def _by(self, result: str, plan: Plan, task: Task, arrays: Arrays) -> Callable[[], Any]:
        placed: dict[str, Any] = {}

        def run() -> Any:
            if not placed:
                placed.update({name: self.put(_laid(a, name, task)) for name, a in arrays.items()})
            return executor(self.backend).run(plan, placed)[result]

        return run

    def put(self, array: np.ndarray) -> Any:
        """The array where kernels find it."""
        if self.backend != "cuda":
            return array
        import cupy

        return cupy.asarray(array)

    def _on_cpu(self, task: Task, arrays: Arrays) -> Iterator[_Candidates]:
        """Forward alone: the gradients of the CPU path have no methods to choose from."""
        case, computed = task.case, FLOATS[task.dtype].accumulate
        geometry = (case.stride, case.padding, case.dilation, case.groups)
        conv = Conv(case.x_shape, case.w_shape, *geometry)
        before = cpu.by_shape(conv, computed)[0]
        names = [a.chosen or a.name for a in OPERATION.cpu_algorithms(case, "forward", task.dtype)]

        def by(name: str) -> Callable[[], Any]:
            return lambda: OPERATION.run_cpu(case, "forward", arrays, name)["y"]

        runs = {name: by(name) for name in dict.fromkeys([before, *names])}
        yield _Candidates("y", cpu.key_of(conv, computed), before, runs)


def _laid(array: np.ndarray, name: str, task: Task) -> np.ndarray:
    """An input as the layout wants it."""
    last = task.layout == "NHWC" and name != "weight"
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if last else array


def _inputs(task: Task) -> dict[str, np.ndarray]:
    drawn = OPERATION.inputs(task.case, task.direction, task.dtype, expected.rng())
    return {
        name: array.astype(numpy_dtype(task.dtype), copy=False) for name, array in drawn.items()
    }


def refused(backend: str, direction: str, layout: str) -> str:
    """Why there is nothing to tune; empty if there is."""
    if backend == "cuda" or (direction, layout) == ("forward", "NCHW"):
        return ""
    return (
        f"the CPU path chooses among methods forward, NCHW, alone, not {direction}, {layout}; "
        "kernels are tuned on a machine with a GPU"
    )
