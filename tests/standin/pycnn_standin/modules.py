"""Modules and launches of the stand-in driver: what pycnn's emulator does for it.

A kernel of this checkout is known by its text, and then shares the emulator's compiled kernels with
the tests of the backend ``emulator``; any other source (CuPy's own kernels) is compiled from its
text.
"""

import ctypes
import functools
import re
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pycnn_standin.cubin import Cubin

SUCCESS, INVALID_VALUE, NOT_SUPPORTED = 0, 1, 801
ILLEGAL_ADDRESS, OUT_OF_RESOURCES, LAUNCH_FAILED = 700, 701, 719

#: Shared memory of a block: without asking for more, and at most.
DEFAULT_SHARED, LARGEST_SHARED = 48 * 1024, 227 * 1024
REGISTERS_OF_A_BLOCK = 65536

#: Headers of CuPy that the emulator has its own in place of.
SHIMS = Path(__file__).resolve().parents[1] / "include"


class _Argument(ctypes.Structure):
    """``pycnn_emu::Argument``."""

    _fields_ = (("kind", ctypes.c_int), ("size", ctypes.c_int))


class _Entry(ctypes.Structure):
    """``pycnn_emu::Entry``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("invoke", ctypes.c_void_p),
        ("count", ctypes.c_int),
        ("arguments", ctypes.POINTER(_Argument)),
    )


#: How a kernel reads the device's clock, which has no function: a clock of this processor will do.
_CLOCK = re.compile(r'asm volatile\("mov\.u64 %0, %globaltimer;" : "=l"\((\w+)\)\)')

#: By ``pycnn_emu::ArgumentKind``: what NumPy calls a number of that kind, without its size.
_POINTER = 0
_KINDS = {1: "i", 2: "u", 3: "f", 4: "?", 5: "V"}


class Module:
    """A loaded cubin: its source, compiled for this processor."""

    def __init__(self, cubin: Cubin) -> None:
        from pycnn.emulator import RawModule

        self.resources = cubin.resources()
        self.expressions = cubin.expressions
        expressions = tuple(self.expressions.values())
        defines = tuple(option for option in cubin.options if option.startswith(("-D", "-U")))
        ours = _kernels().get(cubin.source)
        self.raw = (
            RawModule(path=ours, options=defines, name_expressions=expressions)
            if ours
            else RawModule(
                code=_CLOCK.sub(r"\1 = __builtin_ia32_rdtsc()", cubin.source),
                options=(*defines, *_cupy_options()),
                name_expressions=expressions,
            )
        )


class Function:
    """A kernel of a module, and what its machine code takes of the device."""

    def __init__(self, module: Module, name: str) -> None:
        host_name = module.expressions.get(name, name)
        self.kernel = module.raw.get_function(host_name)
        index = module.raw.kernel_names.index(host_name)
        library = ctypes.CDLL(str(module.raw.library_path))
        entries = (ctypes.POINTER(_Entry) * (index + 1)).in_dll(library, "pycnn_emu_entries")
        entry = entries[index].contents
        self.arguments = [
            (entry.arguments[i].kind, entry.arguments[i].size) for i in range(entry.count)
        ]
        self.resources = module.resources[name]
        self.dynamic_limit = DEFAULT_SHARED - self.resources.shared

    def launch(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared: int,
        memory: Any,
        device_of: Callable[[int], int],
    ) -> int:
        threads = prod(block)
        if shared > self.dynamic_limit or threads > self.resources.threads:
            return INVALID_VALUE
        if self.resources.registers * threads > REGISTERS_OF_A_BLOCK:
            return OUT_OF_RESOURCES
        arguments: list[object] = []
        for i, (kind, size) in enumerate(self.arguments):
            raw = ctypes.string_at(memory[i], size)
            if kind == _POINTER:
                address = int.from_bytes(raw, "little")
                if address and device_of(address) < 0:
                    print(f"stand-in: argument {i} of {self.kernel.name} points to no memory of a "
                          f"device: {address:#x}", file=sys.stderr)  # fmt: skip
                    return ILLEGAL_ADDRESS
                arguments.append(address)
            else:
                arguments.append(np.frombuffer(raw, f"{_KINDS[kind]}{size}")[0])
        self.kernel.max_dynamic_shared_size_bytes = LARGEST_SHARED
        self.kernel(grid, block, arguments, shared_mem=shared)
        return SUCCESS


@functools.cache
def _kernels() -> dict[str, Path]:
    """Every kernel file of this checkout by its text."""
    from pycnn.runtime import sources

    return {path.read_text(): path for path in sources.kernel_dir().rglob("*.cu")}


@functools.cache
def _cupy_options() -> tuple[str, ...]:
    import cupy

    from pycnn.runtime import sources

    headers = Path(cupy.__file__).parent / "_core" / "include"
    folders = (SHIMS, sources.emulator_include_dir(), headers)
    return (*(f"-I{folder}" for folder in folders), "-D__CUDACC_VER_MAJOR__=13")
