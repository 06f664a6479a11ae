"""A launch whose kernel has a mistake in it, run in a checked build."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from pycnn.emulator import AsyncCopyError, KernelError, RaceError, RawKernel
from pycnn.runtime import sources
from pycnn.runtime.emulator import host_argument
from pycnn.runtime.plan import Launch

#: What may be wrong with stages that are copied ahead: what stands in whose place, and the error.
MISTAKES_OF_STAGES = [
    pytest.param(old, new, error, id=name)
    for name, (old, new, error) in {
        "no barrier": ("        __syncthreads();  // this tile has", "// this tile has", RaceError),
        "waits for too few": (
            "copy_async_wait<STAGES - 2>()", "copy_async_wait<STAGES - 1>()", AsyncCopyError),
        "overwrites the tile in use": ("stage ? stage - 1 : STAGES - 1", "stage", KernelError),
        "no wait": ("    copy_async_wait<0>();\n", "", KernelError),
        "too early": (
            "    __syncthreads();  // nothing arrives", "// nothing arrives", KernelError),
    }.items()
]  # fmt: skip


def run_broken(
    step: Launch, arrays: Mapping[str, np.ndarray], old: str, new: str, **how: Any
) -> None:
    """Run it with `new` in place of `old`, in its file or a header, where that stands once."""
    root = sources.kernel_dir() / "include"
    file = sources.kernel_path(step.kernel.file)
    texts = {path: path.read_text() for path in sources.closure(file)}
    assert sum(text.count(old) for text in texts.values()) == 1
    with TemporaryDirectory() as folder:
        for path in texts.keys() - {file}:
            changed = Path(folder) / path.relative_to(root)
            changed.parent.mkdir(exist_ok=True)
            changed.write_text(texts[path].replace(old, new))
        options = [f"-I{folder}", f"-I{root}"]
        options += [f"-D{name}={value}" for name, value in step.kernel.defines]
        code = texts[file].replace(old, new)
        broken = RawKernel(code, step.kernel.entry, tuple(options), checked=True, **how)
        broken.max_dynamic_shared_size_bytes = step.shared
        given = [host_argument(argument, arrays) for argument in step.args]
        broken(step.grid, step.block, given, shared_mem=step.shared)
