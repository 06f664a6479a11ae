"""Run a script, its Triton kernels on the emulator: ``python -m pycnn.emulator.triton FILE``."""

import argparse
import runpy
import sys
from pathlib import Path

from pycnn.emulator.errors import KernelError
from pycnn.emulator.triton.switch import ARCHS, use
from pycnn.runtime.extras import MissingExtra


def main(argv: list[str] | None = None) -> int:
    """Run one script; 1 if a kernel of it has a defect, 2 if it cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m pycnn.emulator.triton", description=__doc__)
    parser.add_argument("--checked", action="store_true", help="watch every memory access")
    parser.add_argument("--arch", type=int, choices=ARCHS, default=80,
                        help="what Triton compiles for; 90 is sm_90a (default 80)")  # fmt: skip
    parser.add_argument("script", metavar="FILE", help="a script of Python")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    arguments = parser.parse_args(argv)
    path = Path(arguments.script)
    if not path.is_file():
        print(f"pycnn: error: {path}: no such file", file=sys.stderr)
        return 2
    sys.argv = [str(path), *arguments.arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with use(arguments.arch, checked=arguments.checked):
            runpy.run_path(str(path), run_name="__main__")
    except MissingExtra as error:
        print(f"pycnn: error: {error}", file=sys.stderr)
        return 2
    except KernelError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
