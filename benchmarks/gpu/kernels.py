"""Stage ``compile``: every kernel in every variant into the disk cache, on all cores.

Whatever comes after it finds its kernels compiled. NVRTC compiles in parallel only across
processes.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.result import Result, verdict
from pycnn.reference.cpu._blas import cores
from pycnn.runtime import catalogue, nvrtc
from pycnn.runtime.catalogue import KernelFile, Variant
from pycnn.runtime.errors import CompileError
from pycnn.runtime.target import arch_of

#: Seconds that the stage may last.
LIMIT = 60


def compile_kernels(folder: Path) -> Result:
    """Compile the whole catalogue for the current GPU."""
    import cupy

    return compile_for(arch_of(cupy.cuda.Device().compute_capability))


def compile_for(
    arch: str, kernels: Sequence[KernelFile] | None = None, limit: float = LIMIT
) -> Result:
    """Compile `kernels`, by default the whole catalogue, for `arch`."""
    kernels = catalogue.load() if kernels is None else kernels
    there = [kernel for kernel in kernels if kernel.runs_on(arch)]
    units = [(kernel.file, variant) for kernel in there for variant in kernel.variants]
    begin, problems, done = time.monotonic(), [], 0
    # spawn: a fork would copy whatever state CUDA and BLAS threads have in this process.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(cores(), len(units))) as pool:  # its end ends the processes at once
        results = pool.imap_unordered(_compile, [(*unit, arch) for unit in units])
        with contextlib.suppress(multiprocessing.TimeoutError):
            for _ in units:
                problem = results.next(timeout=max(0.0, begin + limit - time.monotonic()))
                done += 1
                problems += [problem] if problem else []
    left = len(units) - done
    counts = [f"{done} of {len(units)} variants of kernels for {arch} in the cache"]
    counts += [f"{len(problems)} DO NOT COMPILE"] if problems else []
    print(f"{', '.join(counts)} after {time.monotonic() - begin:.0f} s", flush=True)
    outcome = verdict(wrong=len(problems), left=left, done=done)
    return Result(outcome, ", ".join(counts), problems, finished=not left)


def _compile(unit: tuple[str, Variant, str]) -> str:
    """The first line of what the compiler objects to; empty if it does not."""
    file, variant, arch = unit
    try:
        nvrtc.compile_kernel(file, arch, variant)
    except CompileError as error:
        macros = ", ".join(f"{name}={value}" for name, value in variant)
        return f"{file}[{macros}]: {error.log.strip().splitlines()[0]}"
    return ""
