"""Hand-written CUDA kernels for convolutional networks.

One kernel source, three ways to run it: on a GPU through CuPy, compiled for every architecture as
a check, and executed on a CPU by an emulator that finds races and out-of-bounds accesses.
"""

from pycnn.ops import *  # noqa: F403
from pycnn.ops import __all__ as _ops
from pycnn.runtime.backends import (
    BackendStatus,
    BackendUnavailable,
    active_backend,
    backends,
    use_backend,
)
from pycnn.runtime.faults import synchronize

__version__ = "0.1.0"

__all__ = [
    "BackendStatus",
    "BackendUnavailable",
    "active_backend",
    "backends",
    "synchronize",
    "use_backend",
    *_ops,
]
