"""What this machine can do at most, measured in the run that is compared with it.

Compute: the best matrix product of the library at hand (NumPy's BLAS, cuBLAS through CuPy).
Memory: a copy of arrays far larger than the caches, read and write counted. A datasheet is never
used. Where memory is short, both are measured on smaller arrays; where the library fails, the limit
is None. `note` says either.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pycnn.bench.measure import Clock, CpuClock, cupy_clock, measure
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.predict.gpus import Gpu

#: Rows and columns of the product, and bytes of the array that is copied.
CPU_ORDER, CPU_COPY = 2048, 1 << 28
CUDA_ORDER, CUDA_COPY = 8192, 1 << 31

#: The smallest of either that still says something: a copy must not fit into a cache.
LEAST_ORDER, LEAST_COPY = 1024, 1 << 28

#: Precisions of a product that are no dtype, with the dtype of its matrices.
PRECISIONS = {"tf32": "float32"}


@dataclass(frozen=True)
class Ceiling:
    """Limits of one device for one dtype."""

    device: str
    dtype: str
    gflops: float | None
    gbytes_per_s: float | None
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether both limits could be measured."""
        return self.gflops is not None and self.gbytes_per_s is not None

    def attainable_gflops(self, intensity: float) -> float:
        """The roofline: the lower of the two limits at `intensity` flops a byte."""
        gflops, gbytes_per_s = self.limits()
        return min(gflops, intensity * gbytes_per_s)

    def bound(self, intensity: float) -> str:
        """Which limit binds at `intensity`: ``"compute"`` or ``"memory"``."""
        gflops, gbytes_per_s = self.limits()
        return "compute" if intensity * gbytes_per_s > gflops else "memory"

    def share(self, flops: float, nbytes: float, seconds: float) -> float:
        """Time that the binding limit allows, as a share of the time that was taken."""
        gflops, gbytes_per_s = self.limits()
        return max(flops / gflops, nbytes / gbytes_per_s) * 1e-9 / seconds

    def limits(self) -> tuple[float, float]:
        """GFLOP/s and GB/s; raises ValueError where one of them is unknown."""
        if self.gflops is None or self.gbytes_per_s is None:
            raise ValueError(f"the ceilings of {self.device}, {self.dtype}: {self.note}")
        return self.gflops, self.gbytes_per_s

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_ceiling(device: str, dtype: str, budget: float = 0.3) -> Ceiling:
    """Measure the limits of `device` (``"cpu"`` or ``"cuda"``) for `dtype`, or for ``"tf32"``.

    The best of the samples counts, for a limit is what can be reached. A 16-bit computation on the
    CPU is one in float32. The memory is free again afterwards.
    """
    xp, clock, order, _, free = _device(device)

    def product(order: int) -> float:
        return 2 * order**3 / _product_seconds(xp, clock, dtype, order, budget) * 1e-9

    gflops, of_product = _largest("product", product, order, LEAST_ORDER, free)
    gbytes_per_s, of_copy = copy_speed(device, budget)
    note = "; ".join(filter(None, (of_product, of_copy)))
    return Ceiling(device, dtype, gflops, gbytes_per_s, note)


def copy_speed(device: str, budget: float) -> tuple[float | None, str]:
    """GB/s of a copy, read and write counted; and a note, where not all went well."""
    xp, clock, _, copied, free = _device(device)

    def copy(nbytes: int) -> float:
        return 2 * nbytes / _copy_seconds(xp, clock, nbytes, budget) * 1e-9

    return _largest("copy", copy, copied, LEAST_COPY, free)


def at_hand(gpu: Gpu, here: Mapping[str, Any] | None) -> tuple[Gpu, list[str]]:
    """A GPU of the data file with the copy speed that is measured, where it is the one at hand.

    Parameters
    ----------
    gpu : Gpu
    here : mapping or None
        The GPU at hand, as `pycnn.bench.environment.gpu` has it.

    Returns
    -------
    gpu : Gpu
    said : list of str
        What was measured; empty where the GPU is not here.
    """
    name = here["name"].lower().replace(" ", "") if here else ""
    model = gpu.key.partition("_")[0]
    if here is None or model not in name or here["multiprocessors"] != gpu.sms:
        return gpu, []
    reached, note = copy_speed("cuda", 0.1)
    if reached is None:
        return gpu, [f"the memory is that of the data file: {note}"]
    return gpu.with_copies_at(reached), [
        f"copies of {reached:.0f} GB/s, measured here; all else of this GPU is the data file's"
    ]


def _product_seconds(xp: Any, clock: Clock, dtype: str, order: int, budget: float) -> float:
    dtype_of = PRECISIONS.get(dtype, dtype)
    computed = numpy_dtype(FLOATS[dtype_of].accumulate if xp is np else dtype_of)
    few = np.random.default_rng(0).standard_normal((min(order, 256), order), dtype=np.float32)
    a = xp.tile(xp.asarray(few.astype(computed)), (order // len(few), 1))
    b, c = a.T.copy(), xp.empty_like(a)
    with _precision(dtype):
        return _best(lambda: xp.matmul(a, b, out=c), clock, budget)


def _copy_seconds(xp: Any, clock: Clock, nbytes: int, budget: float) -> float:
    source = xp.ones(nbytes, xp.uint8)
    target = xp.zeros_like(source)
    return _best(lambda: xp.copyto(target, source), clock, budget)


def _largest(
    what: str,
    speed: Callable[[int], float],
    size: int,
    least: int,
    free: Callable[[], object],
) -> tuple[float | None, str]:
    """Speed at the largest size that there is memory for, and a note on what was in the way."""
    full = size
    while True:
        try:
            limit = speed(size)
        except Exception as error:  # whatever is missing, the run goes on without this limit
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            if not out_of_memory(error) or size // 2 < least:
                return None, f"no limit by a {what} ({reason})"
        else:
            return limit, "" if size == full else f"{what} of {size}, no memory for {full}"
        finally:
            free()
        size //= 2


def out_of_memory(error: Exception) -> bool:
    """Whether an array library says that there is not enough memory."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


@contextlib.contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """Products of CuPy in TF32, where that is asked for; else in float32 proper."""
    if dtype not in PRECISIONS:
        yield
        return
    from cupy._core import _routines_linalg as linalg

    matrices = np.dtype(PRECISIONS[dtype])
    before = linalg.get_compute_type(matrices)
    linalg.set_compute_type(matrices, linalg.COMPUTE_TYPE_TF32)
    try:
        if linalg.get_compute_type(matrices) != linalg.COMPUTE_TYPE_TF32:
            raise RuntimeError("this GPU has no TF32")
        yield
    finally:
        linalg.set_compute_type(matrices, before)


def _device(device: str) -> tuple[Any, Clock, int, int, Callable[[], object]]:
    if device == "cpu":
        return np, CpuClock(), CPU_ORDER, CPU_COPY, lambda: None
    import cupy

    free = cupy.get_default_memory_pool().free_all_blocks
    return cupy, cupy_clock(), CUDA_ORDER, CUDA_COPY, free


def _best(call: Callable[[], object], clock: Clock, budget: float) -> float:
    """Seconds of the fastest sample."""
    return measure(call, clock, budget).samples_ms[0] * 1e-3
