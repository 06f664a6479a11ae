"""Kernels that a script launches through Triton, as `pycnn profile` takes them apart."""

import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pycnn.emulator.guarded import Pointer
from pycnn.emulator.triton.launcher import Launcher
from pycnn.emulator.triton.switch import ARCHS, use
from pycnn.predict import code, sample
from pycnn.predict.gpus import Gpu
from pycnn.predict.profile import Profile, profile
from pycnn.runtime.plan import Dim3


class Launched(NamedTuple):
    """A launch, before the kernel has run: its arrays are copies."""

    ptx: str
    entry: str
    grid: Dim3
    block: Dim3
    args: list[Any]
    arrays: dict[str, np.ndarray]
    shared: int


def profiles(script: Path, gpu: Gpu, blocks: int) -> Iterator[Profile]:
    """Of the first launch of each kernel, in their order, once the script has run to its end.

    Parameters
    ----------
    script : Path
        Of Python; it runs on the emulator as by ``python -m pycnn.emulator.triton``.
    gpu : Gpu
    blocks : int
        Blocks that are run of each launch.
    """
    arch = int("".join(filter(str.isdigit, gpu.arch)))
    if arch not in ARCHS:
        allowed = ", ".join(map(str, ARCHS))
        raise ValueError(f"Triton compiles nothing for {gpu.arch} here; allowed: {allowed}")
    for launched in _launches(script, arch):
        compiled = code.of_ptx(launched.ptx, str(script), launched.entry, gpu.arch)
        run = sample.run(
            compiled.ptx, compiled.entry, launched.grid, launched.block, launched.args,
            launched.arrays, shared=launched.shared, most=blocks,
        )  # fmt: skip
        yield profile(compiled, run, gpu, launched.shared, str(script))


def _launches(script: Path, arch: int) -> list[Launched]:
    found: dict[str, Launched] = {}

    def watch(kernel: Any, grid: Dim3, block: Dim3, values: Sequence[Any], shared: int) -> None:
        if kernel.name not in found:
            args, arrays = _copied(kernel.name, values)
            found[kernel.name] = Launched(
                kernel.text, kernel.name, grid, block, args, arrays, shared
            )

    argv, path = sys.argv, list(sys.path)
    sys.argv = [str(script)]
    sys.path.insert(0, str(script.resolve().parent))
    Launcher.watch = watch
    try:
        with use(arch):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        Launcher.watch = None
        sys.argv, sys.path[:] = argv, path
    if not found:
        raise ValueError(f"{script} launches no kernel of Triton's")
    return list(found.values())


def _copied(kernel: str, values: Sequence[Any]) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Arguments that point into copies, so that the script's own arrays stay as they are."""
    args: list[Any] = []
    arrays: dict[str, np.ndarray] = {}
    copies: dict[tuple[int, int], np.ndarray] = {}
    for value in values:
        if not isinstance(value, Pointer):
            if value is not None and not isinstance(value, np.generic):
                raise ValueError(f"{kernel} takes a tensor descriptor; allowed: pointers, numbers")
            args.append(value)
            continue
        array = value.array
        if not array.flags.c_contiguous:
            raise ValueError(
                f"{kernel}, {value.name}: strides {array.strides}; allowed: contiguous arrays"
            )
        place = value.address - value.offset, array.nbytes
        if place not in copies:
            copies[place] = sample.guarded(array.shape, array.dtype)
            copies[place][...] = array
            arrays[value.name or str(len(arrays))] = copies[place]
        args.append(Pointer(copies[place], value.offset, value.name))
    return args, arrays
