"""Kernels compiled before they are needed, by all cores, into the disk cache."""

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

from pycnn.runtime import nvrtc
from pycnn.runtime.errors import CompileError
from pycnn.runtime.plan import Kernel

Defines = tuple[tuple[str, str], ...]


def compile_ahead(kernels: Iterable[Kernel], arch: str, jobs: int | None = None) -> list[str]:
    """Compile what `kernels` need, which takes no GPU.

    Parameters
    ----------
    kernels : iterable of Kernel
    arch : str
        Such as ``"sm_90a"``.
    jobs : int, optional
        Processes; by default as many as there are cores.

    Returns
    -------
    list of str
        What did not compile, and why.
    """
    wanted = list(dict.fromkeys((kernel.file, kernel.defines) for kernel in kernels))
    # spawn: a fork would copy whatever state CUDA, NVRTC and BLAS threads have in this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=context) as pool:
        pending = [pool.submit(_compile, file, arch, defines) for file, defines in wanted]
        try:
            found = [future.result() for future in as_completed(pending)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [problem for problem in found if problem]


def _compile(file: str, arch: str, defines: Defines) -> str:
    try:
        nvrtc.compile_kernel(file, arch, defines)
    except CompileError as error:
        return str(error)
    return ""
