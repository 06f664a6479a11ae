"""The real CuPy on a machine without a GPU: its wheel, on libraries that stand in for the driver.

``build/standin/bin/python`` starts with it (``tests/standin/build.py`` makes that environment).
Nothing of CuPy or pycnn is patched. What stands in are shared libraries, found before NVIDIA's
because they are loaded first, and CuPy's one module that has the CUDA runtime linked into it, built
again from CuPy's own source. Device memory is memory of the process; a kernel is compiled by the
real NVRTC and run by `pycnn.emulator`, as its PTX.

``PYCNN_STANDIN=off`` starts without it, ``PYCNN_STANDIN_CHECKED=1`` has every kernel checked,
``PYCNN_STANDIN_DEVICES`` and ``PYCNN_STANDIN_MEMORY`` (in
bytes) are the devices there are and what each of them holds.
"""

import ctypes
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

from pycnn_standin import driver

#: CuPy's module with the CUDA runtime linked into it.
RUNTIME = "cupy_backends.cuda.api.runtime"

#: Where ``build.py`` puts what it compiled.
LIBRARIES = Path(sys.prefix) / "lib" / "standin"

_hooks: driver.Hooks | None = None


class _RuntimeFinder:
    """Finds our build of `RUNTIME` before the wheel's."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != RUNTIME:
            return None
        return spec_from_file_location(name, next(LIBRARIES.glob("runtime.*.so")))


def start() -> None:
    """Load the libraries and tell them what Python does for them."""
    nvidia = Path(sys.prefix).glob("lib/python*/site-packages/nvidia/cu*/lib/libnvrtc.so.*")
    os.environ["PYCNN_STANDIN_NVRTC"] = str(next(nvidia))
    for library in sorted(LIBRARIES.glob("lib*.so.*[0-9]"), key=lambda p: p.name != "libcuda.so.1"):
        ctypes.CDLL(str(library))
    # CUB comes compiled for GPUs only; without it CuPy reduces by kernels of its own.
    os.environ.setdefault("CUPY_ACCELERATORS", "")
    sys.meta_path.insert(0, _RuntimeFinder())  # type: ignore[arg-type]
    global _hooks
    _hooks = driver.install(ctypes.CDLL(str(LIBRARIES / "libcuda.so.1")))


def running() -> bool:
    """Whether this process is on the stand-in."""
    return _hooks is not None
