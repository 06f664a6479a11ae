"""Which line of the source an instruction stands for."""

import ctypes
import functools
from pathlib import Path
from typing import Any

from pycnn.emulator.ptx.syntax import Module, Place


def place_of(module: Module, place: Place | None, ptx_line: int) -> tuple[str, int]:
    """File and line that an instruction stands for: of the source, else of the PTX.

    What was inlined from a header of the compiler's stands for the line that it was inlined into.
    """
    while place is not None:
        file = module.files.get(place.file, "")
        if place.inlined_at is None or not _is_system(file):
            return file or module.name, place.line
        place = place.inlined_at
    return module.name, ptx_line


@functools.cache
def _is_system(file: str) -> bool:
    """Whether a file is of CUDA's headers or Triton's library, or built into the compiler."""
    parts = Path(file).parts
    if parts[-3:-1] == ("triton", "language"):
        return True
    return not parts or parts[-1].startswith(("__nv", "cuda_", "crt")) or "nvidia" in parts


def inlined(module: Module, place: Place | None) -> list[str]:
    """Where an instruction was inlined to, outwards."""
    lines = []
    while place is not None and place.inlined_at is not None:
        outer = place.inlined_at
        name = demangled(place.function) or "a function"
        lines.append(f"{name}, inlined at {module.files.get(outer.file, module.name)}:{outer.line}")
        place = outer
    return lines


@functools.lru_cache
def demangled(name: str) -> str:
    """A function's name as C++ writes it."""
    if not name.startswith("_Z"):
        return name
    demangle = _demangler()
    return demangle(name) if demangle else name


@functools.cache
def _demangler() -> Any:
    try:
        library = ctypes.CDLL("libstdc++.so.6")
        function = library.__cxa_demangle
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]

    def demangle(name: str) -> str:
        status = ctypes.c_int()
        demangled = function(name.encode(), None, None, ctypes.byref(status))
        if not demangled:
            return name
        text = ctypes.string_at(demangled).decode(errors="replace")
        free(demangled)
        return text

    return demangle
