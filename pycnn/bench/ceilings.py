"""What this machine can do at most, measured in the run that is compared with it.

Compute: the best matrix product of the library at hand (NumPy's BLAS, cuBLAS through CuPy).
Memory: a copy of arrays far larger than the caches, read and write counted. A datasheet is never
used.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pycnn.bench.measure import Clock, CpuClock, cupy_clock, measure
from pycnn.dtypes import FLOATS

#: Rows and columns of the product, and bytes of the array that is copied.
CPU_ORDER, CPU_COPY = 2048, 1 << 28
CUDA_ORDER, CUDA_COPY = 8192, 1 << 31


@dataclass(frozen=True)
class Ceiling:
    """Limits of one device for one dtype."""

    device: str
    dtype: str
    gflops: float
    gbytes_per_s: float

    def attainable_gflops(self, intensity: float) -> float:
        """The roofline: the lower of the two limits at `intensity` flops a byte."""
        return min(self.gflops, intensity * self.gbytes_per_s)

    def bound(self, intensity: float) -> str:
        """Which limit binds at `intensity`: ``"compute"`` or ``"memory"``."""
        return "compute" if intensity * self.gbytes_per_s > self.gflops else "memory"

    def share(self, flops: float, nbytes: float, seconds: float) -> float:
        """Time that the binding limit allows, as a share of the time that was taken."""
        return max(flops / self.gflops, nbytes / self.gbytes_per_s) * 1e-9 / seconds

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_ceiling(device: str, dtype: str, budget: float = 0.3) -> Ceiling:
    """Measure the limits of `device` (``"cpu"`` or ``"cuda"``) for `dtype`.

    The best of the samples counts, for a limit is what can be reached. A 16-bit computation on the
    CPU is one in float32.
    """
    computed = FLOATS[dtype].accumulate if device == "cpu" else dtype
    xp, clock, order, copied = _device(device)
    a = xp.asarray(np.random.default_rng(0).standard_normal((order, order)), dtype=computed)
    b, c = a.T.copy(), xp.empty_like(a)
    product = _best(lambda: xp.matmul(a, b, out=c), clock, budget)
    source = xp.ones(copied, xp.uint8)
    target = xp.zeros_like(source)
    copy = _best(lambda: xp.copyto(target, source), clock, budget)
    return Ceiling(
        device, dtype, gflops=2 * order**3 / product * 1e-9, gbytes_per_s=2 * copied / copy * 1e-9
    )


def _device(device: str) -> tuple[Any, Clock, int, int]:
    if device == "cpu":
        return np, CpuClock(), CPU_ORDER, CPU_COPY
    import cupy

    return cupy, cupy_clock(), CUDA_ORDER, CUDA_COPY


def _best(call: Callable[[], object], clock: Clock, budget: float) -> float:
    """Seconds of the fastest sample."""
    return measure(call, clock, budget).samples_ms[0] * 1e-3
