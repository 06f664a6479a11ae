"""Write the PTX of `triton_kernels` to ``data/``: ``python make_triton_ptx.py`` (needs Triton).

Each case is launched on the emulator as a user would, and what Triton compiled is kept beside what
it launched that with, so that the tests need no Triton. Folders and most of what is there for
debuggers are left out.
"""

import json
import re
from pathlib import Path

import triton
import triton_kernels
from triton_cases import CASES, Case

from pycnn.emulator.triton import use
from pycnn.emulator.triton.launcher import Launcher

DATA = Path(__file__).parent / "data"


def plain(ptx: str) -> str:
    """PTX without most debugging sections, trailing blanks and folders of this machine."""
    ptx = re.sub(r"\t\.section\s+\.debug_(?!str)\w+\s*\{.*?\}\n", "", ptx, flags=re.DOTALL)
    ptx = re.sub(r'(\.file\s+\d+ )"[^"]*?(triton/language/)?([^"/]+)"', r'\1"\2\3"', ptx)
    return re.sub(r"[ \t]+$", "", ptx, flags=re.MULTILINE)


def made(case: Case) -> dict[str, object]:
    """Launch a case, keep its PTX, and say how it was launched."""
    launched: list[tuple[tuple, dict]] = []

    class Recorded(Launcher):
        def __call__(self, *args):
            kernel = args[4]

            def record(grid, block, values, **settings):
                launched.append((grid, block, values, settings))
                kernel(grid, block, values, **settings)

            record.parameter_count = kernel.parameter_count
            super().__call__(*args[:4], record, *args[5:])

    arguments = case.arguments()
    with use(case.arch):
        triton.runtime.driver.active.launcher_cls = Recorded
        compiled = getattr(triton_kernels, case.kernel)[case.grid](
            *arguments.values(), **case.options
        )
        triton.runtime.driver.active.launcher_cls = Launcher
    case.check(arguments)
    (DATA / f"{case.name}.ptx").write_text(plain(compiled.asm["ptx"]))
    [(grid, block, values, settings)] = launched
    passed: list[object] = []
    for value in values:  # an array by its name, a number with its type
        names = [name for name, argument in arguments.items() if argument is value]
        number = None if value is None or names else {value.dtype.name: value.item()}
        passed.append(names[0] if names else number)
    return {
        "entry": compiled.name, "grid": grid, "block": block, "arguments": passed,
        "shared": settings["shared_mem"],
    }  # fmt: skip


def main() -> None:
    DATA.mkdir(exist_ok=True)
    launches = {case.name: made(case) for case in CASES}
    lines = ",\n".join(f'"{name}": {json.dumps(how)}' for name, how in launches.items())
    version = json.dumps(triton.__version__)
    (DATA / "launches.json").write_text(f'{{\n"triton": {version},\n{lines}\n}}\n')


if __name__ == "__main__":
    main()
