"""Run CUDA kernels on this machine's processor, and find what is wrong with them.

`RawKernel` and `RawModule` take the place of CuPy's, on NumPy arrays and with no GPU. With
``checked=True`` every memory access is watched: races, accesses out of bounds, uninitialised
reads, divergent barriers and more become Python exceptions that name the line, and memory traffic
is counted as the hardware would group it.
"""

from pycnn.emulator.counting import Counters, Counting, counting
from pycnn.emulator.errors import (
    AsyncCopyError,
    DeadlockError,
    DivergentBarrierError,
    DivergentCollectiveError,
    KernelAssertionError,
    KernelError,
    KernelFault,
    KernelForkedError,
    KernelLimitError,
    KernelTimeoutError,
    MbarrierError,
    MisalignedAccessError,
    OutOfBoundsError,
    ProxyFenceError,
    RaceError,
    SharedMemoryError,
    UninitialisedReadError,
    WgmmaError,
)
from pycnn.emulator.guarded import Pointer, empty
from pycnn.emulator.ptx import PtxError, PtxModule
from pycnn.emulator.raw import RawKernel, RawModule
from pycnn.emulator.signature import ArgumentWarning
from pycnn.emulator.tensor_map import TensorMap, tensor_map, tensor_map_im2col
from pycnn.emulator.translate import TranslationError

__all__ = [
    "ArgumentWarning",
    "AsyncCopyError",
    "Counters",
    "Counting",
    "DeadlockError",
    "DivergentBarrierError",
    "DivergentCollectiveError",
    "KernelAssertionError",
    "KernelError",
    "KernelFault",
    "KernelForkedError",
    "KernelLimitError",
    "KernelTimeoutError",
    "MbarrierError",
    "MisalignedAccessError",
    "OutOfBoundsError",
    "Pointer",
    "ProxyFenceError",
    "PtxError",
    "PtxModule",
    "RaceError",
    "RawKernel",
    "RawModule",
    "SharedMemoryError",
    "TensorMap",
    "TranslationError",
    "UninitialisedReadError",
    "WgmmaError",
    "counting",
    "empty",
    "tensor_map",
    "tensor_map_im2col",
]
