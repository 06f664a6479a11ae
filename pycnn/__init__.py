"""Hand-written CUDA kernels for convolutional networks.

One kernel source, three ways to run it: on a GPU through CuPy, compiled for every architecture as
a check, and executed on a CPU by an emulator that finds races and out-of-bounds accesses.
"""

from importlib import import_module
from typing import Any

from pycnn import ops
from pycnn.runtime.active import active_backend
from pycnn.runtime.backends import (
    BackendStatus,
    BackendUnavailable,
    backends,
    use_backend,
)
from pycnn.runtime.faults import synchronize
from pycnn.runtime.random import manual_seed

__version__ = "0.1.0"

#: What is loaded with the tape, when it is first asked for.
_TAPE = ("Variable", "custom_gradient", "grad")

__all__ = [
    "BackendStatus",
    "BackendUnavailable",
    "active_backend",
    "backends",
    "manual_seed",
    "synchronize",
    "use_backend",
    *_TAPE,
    *ops.__all__,
]


def __getattr__(name: str) -> Any:
    """A public function, whose module is loaded now (`pycnn.ops`)."""
    if name in _TAPE:
        globals()[name] = value = getattr(import_module("pycnn.tape"), name)
        return value
    if name not in ops.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = ops.__getattr__(name)  # not getattr: a module may have that name
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
