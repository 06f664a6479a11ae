"""Write ``data/``, the PTX that Triton and Numba make of our kernels: ``python make_ptx.py``.

Each case is launched on the emulator as a user would, and what was compiled is kept beside what it
was launched with, so that the tests need neither. Folders and most of what is there for debuggers
are left out.
"""

import json
import re
from pathlib import Path
from typing import Any

import numba_cuda
import numba_kernels
import numpy as np
import triton
import triton_kernels
from compiled_cases import CASES, Case

from pycnn.emulator import Pointer
from pycnn.emulator.numba import jit
from pycnn.emulator.ptx import PtxKernel
from pycnn.emulator.triton import use
from pycnn.emulator.triton.launcher import Aligned

DATA = Path(__file__).parent / "data"


def plain(ptx: str) -> str:
    """PTX without most debugging sections, trailing blanks and folders of this machine."""
    ptx = re.sub(r"\t\.section\s+\.debug_(?!str)\w+\s*\{.*?\}\n", "", ptx, flags=re.DOTALL)
    ptx = re.sub(r'(\.file\s+\d+ )"[^"]*?(triton/language/)?([^"/]+)"', r'\1"\2\3"', ptx)
    return re.sub(r"[ \t]+$", "", ptx, flags=re.MULTILINE)


class Recorded:
    """Launches of the emulator's kernels, kept while they are made."""

    def __enter__(self) -> list[tuple[Any, ...]]:
        self._own = PtxKernel.__call__
        launches: list[tuple[Any, ...]] = []

        def launch(kernel, grid, block, values, **settings):
            launches.append((kernel, grid, block, values, settings))
            self._own(kernel, grid, block, values, **settings)

        PtxKernel.__call__ = launch
        return launches

    def __exit__(self, *exception: object) -> None:
        PtxKernel.__call__ = self._own


def by_triton(case: Case, arguments: dict[str, Any]) -> str:
    with use(case.arch):
        kernel = getattr(triton_kernels, case.kernel)
        return kernel[case.grid](*arguments.values(), **case.options).asm["ptx"]


def by_numba(case: Case, arguments: dict[str, Any]) -> str:
    kernel = jit(getattr(numba_kernels, case.kernel), arch=f"sm_{case.arch}")
    kernel[case.grid, case.options["block"]](*arguments.values())
    return kernel.ptx(*arguments.values())


def made(case: Case) -> dict[str, Any]:
    """Launch a case, keep its PTX, and say how it was launched."""
    arguments = case.arguments()
    with Recorded() as launches:
        text = {"triton": by_triton, "numba": by_numba}[case.maker](case, arguments)
    case.check(arguments)
    [(kernel, grid, block, values, settings)] = launches
    text = text.replace(kernel._function.name, case.kernel)  # Numba's are long
    (DATA / f"{case.name}.ptx").write_text(plain(text))
    passed = [_passed(value, arguments) for value in values]
    return {
        "entry": case.kernel, "grid": grid, "block": block, "arguments": passed,
        "shared": settings["shared_mem"],
    }  # fmt: skip


def _passed(value: Any, arguments: dict[str, Any]) -> Any:
    """An array by its name, a number with its type."""
    if value is None:
        return None
    if isinstance(value, Aligned):
        return {"scratch": value.array.nbytes}
    if isinstance(value, Pointer):
        at = value.array.ctypes.data
        return next(n for n, a in arguments.items() if getattr(a, "ctypes", a) is not a
                    and a.ctypes.data == at)  # fmt: skip
    number = value if isinstance(value, np.generic) else np.int64(value)
    return {number.dtype.name: number.item()}


def main() -> None:
    DATA.mkdir(exist_ok=True)
    triton.set_allocator(lambda size, alignment, stream: np.zeros(size, np.int8))
    launches = {case.name: made(case) for case in CASES}
    lines = ",\n".join(f'"{name}": {json.dumps(how)}' for name, how in launches.items())
    versions = json.dumps({"triton": triton.__version__, "numba-cuda": numba_cuda.__version__})
    (DATA / "launches.json").write_text(f'{{\n"made by": {versions},\n{lines}\n}}\n')


if __name__ == "__main__":
    main()
