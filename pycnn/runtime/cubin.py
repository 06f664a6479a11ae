"""What a compiled kernel uses of the machine, read from the cubin and from ptxas.

Registers, stack, shared memory and the largest block come from the cubin through ``cuobjdump``
(a wheel; needs no driver). The bytes of spills are in no cubin: ptxas reports them while it
compiles, when asked with ``--ptxas-options=-v``.
"""

import functools
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pycnn.runtime.extras import MissingExtra, import_extra, install

VERBOSE = "--ptxas-options=-v"  # option of NVRTC that makes ptxas report

_USAGE = re.compile(r" Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_SECTION = re.compile(r"^\.nv\.info\.(\w+)$(.*?)(?=^\.nv\.info\.|\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"EIATTR_MAX_THREADS\s+Format:\s*\w+\s+Value:((?:\s+0x[0-9a-f]+){3})")
_SPILLS = re.compile(
    r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
)

#: From sm_90 on, ptxas counts the 1 KiB that the system reserves in a block that has shared memory.
_RESERVED = 1024


@dataclass(frozen=True)
class Resources:
    """Use of one entry; all but registers and threads in bytes.

    Attributes
    ----------
    threads : int or None
        Largest block, from ``__launch_bounds__``; None where the kernel does not say.
    registers, local : int
        Of a thread. ``local`` is the stack frame: local arrays, and spills.
    shared : int
        Static shared memory of a block.
    spill_stores, spill_loads : int
        Traffic of a thread that exists only because registers ran out.
    """

    threads: int | None
    registers: int
    shared: int
    local: int
    spill_stores: int
    spill_loads: int


def resources(cubin: bytes, log: str, arch: str) -> dict[str, Resources]:
    """Resources of every entry of a cubin.

    Parameters
    ----------
    cubin : bytes
        The machine code.
    log : str
        What NVRTC said with :data:`VERBOSE`.
    arch : str
        The architecture it was compiled for.

    Raises
    ------
    MissingExtra
        If ``cuobjdump`` is not installed.
    RuntimeError
        If the tool's output or the log lacks an entry.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _cuobjdump("--dump-resource-usage", file.name)
        attributes = _cuobjdump("--dump-elf", file.name)
    blocks = {}
    for name, section in _SECTION.findall(attributes):
        if block := _BLOCK.search(section):
            x, y, z = (int(extent, 16) for extent in block[1].split())
            blocks[name] = x * y * z
    spills = {name: (int(s), int(n)) for name, s, n in _SPILLS.findall(log)}
    by_kernel = {}
    for name, registers, stack, shared, local in _USAGE.findall(usage):
        if name not in spills:
            raise RuntimeError(f"ptxas reported no spills for {name} on {arch}:\n{log}")
        static = int(shared)
        if static and int(arch.removeprefix("sm_").rstrip("a")) >= 90:
            static -= _RESERVED
        by_kernel[name] = Resources(
            blocks.get(name), int(registers), static, int(stack) + int(local), *spills[name]
        )
    return by_kernel


def disassembly(cubin: bytes) -> str:
    """SASS of every entry of a cubin, with branch targets as addresses.

    Raises
    ------
    MissingExtra
        If ``cuobjdump`` is not installed.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return _cuobjdump("--dump-sass", file.name)


def _cuobjdump(*arguments: str) -> str:
    done = subprocess.run([_tool(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"cuobjdump {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def _tool() -> str:
    pathfinder = import_extra("cuda.pathfinder", "compile", "finding cuobjdump")
    cuobjdump = pathfinder.find_nvidia_binary_utility("cuobjdump") or shutil.which("cuobjdump")
    if cuobjdump is None:
        raise MissingExtra(
            f"reading a cubin needs cuobjdump; install it with: {install('compile')}"
        )
    return str(Path(cuobjdump))
