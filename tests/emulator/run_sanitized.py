"""pytest on another build of the runtime: python run_sanitized.py RUNTIME [arguments of pytest]."""

import importlib.util
import os
import sys

import pytest

import pycnn.emulator

NAME = "pycnn.emulator._runtime"


def main(library: str, arguments: list[str]) -> int:
    os.environ.pop("LD_PRELOAD", None)  # compilers and other children need no sanitizer
    spec = importlib.util.spec_from_file_location(NAME, library)
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
    status = pytest.main(arguments)
    assert pycnn.emulator.launching.runtime().__file__ == library
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
