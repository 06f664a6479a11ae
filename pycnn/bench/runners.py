"""Who takes part: pycnn's algorithms on the backends of this machine.

A runner takes the inputs of a case, gives a call to be timed, and brings its outputs back as
NumPy arrays. The peers (:mod:`pycnn.bench.peers`) do the same.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.cases import Case
from pycnn.bench.measure import Clock, CpuClock, cupy_clock
from pycnn.bench.operations.base import Algorithm, Operation
from pycnn.emulator import Counters, counting
from pycnn.plan.coarse import COARSE

#: Written between two calls to empty the caches of a GPU; more than any L2 holds.
FLUSH_BYTES = 1 << 28

Call = Callable[[], Mapping[str, Any]]


class Runner(ABC):
    """One backend with one algorithm."""

    backend: str
    algorithm: str
    device: str | None = "cpu"  # whose ceilings it is held against; None: not timed
    layout = "NCHW"
    precision = ""  # of the products, where it is below that of the dtype
    workspace_bytes = 0
    reason = ""  # why it cannot take part, where it cannot
    chosen = ""  # what an automatic choice came to, where it says so

    @abstractmethod
    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        """The call to be timed, its inputs in place."""

    def numpy(self, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Outputs of a call, brought back."""
        return dict(outputs)

    def clock(self) -> Clock:
        return CpuClock()

    def coarse(self, dtype: str) -> float:
        """Spacing at 1 of what it rounds factors or partial sums to, if that is beyond `dtype`."""
        return 0.0

    def flush(self) -> Callable[[], object] | None:
        """A call that empties the caches; None where there is no cold figure."""
        return None

    def active(self) -> contextlib.AbstractContextManager[object]:
        """What must hold while the call runs."""
        return contextlib.nullcontext()

    def release(self) -> None:  # noqa: B027 (most keep none)
        """Give back the memory that its library keeps, which others could not use."""

    def counters(self) -> dict[str, int]:
        """Memory traffic of the calls since the last `active`, where it is counted."""
        return {}


class Pycnn(Runner):
    """An algorithm of pycnn on NumPy arrays."""

    def __init__(self, backend: str, algorithm: Algorithm) -> None:
        self.backend, self.algorithm = backend, algorithm.name
        self.workspace_bytes = algorithm.workspace_bytes
        self.reason = "" if algorithm.fits else algorithm.reason
        self.chosen = algorithm.chosen
        self.precision = "tf32" if self.algorithm in COARSE else ""

    def coarse(self, dtype: str) -> float:
        return COARSE.get(self.algorithm, 0.0)

    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        return lambda: op.run(case, direction, arrays, self.algorithm)

    def active(self) -> contextlib.AbstractContextManager[object]:
        return pycnn.use_backend(self.backend)


class Reference(Pycnn):
    """A method of the CPU path."""

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__("reference", algorithm)

    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        return lambda: op.run_cpu(case, direction, arrays, self.algorithm)


class Emulated(Pycnn):
    """The kernels in the emulator's checked build: a verdict and the memory traffic, no time."""

    device = None

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__("emulator", algorithm)
        self._traffic: Counters | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        with pycnn.use_backend("emulator", checked=True), counting() as counted:
            yield
        self._traffic = counted.total if counted.launches else None

    def counters(self) -> dict[str, int]:
        return asdict(self._traffic) if self._traffic else {}


class Cuda(Pycnn):
    """The kernels on the GPU, on CuPy arrays."""

    device = "cuda"

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__("cuda", algorithm)

    def prepare(
        self, op: Operation, case: Case, direction: str, arrays: Mapping[str, np.ndarray]
    ) -> Call:
        import cupy

        there = {name: cupy.asarray(array) for name, array in arrays.items()}
        return super().prepare(op, case, direction, there)

    def numpy(self, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        import cupy

        return {name: cupy.asnumpy(array) for name, array in outputs.items()}

    def clock(self) -> Clock:
        return cupy_clock()

    def flush(self) -> Callable[[], object] | None:
        import cupy

        buffer = cupy.empty(FLUSH_BYTES, cupy.uint8)
        return lambda: buffer.fill(0)

    def release(self) -> None:
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()

    def active(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()  # CuPy arrays go to `cuda` by themselves


def of_pycnn(backend: str, op: Operation, case: Case, direction: str, dtype: str) -> list[Runner]:
    """Every way in which `backend` computes `op`."""
    kind = {"reference": Reference, "emulator": Emulated, "cuda": Cuda}[backend]
    offered = op.cpu_algorithms if backend == "reference" else op.algorithms
    return [kind(algorithm) for algorithm in offered(case, direction, dtype)]
