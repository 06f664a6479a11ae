"""pytest on another build of an extension: run.py EXTENSION LIBRARY [arguments of pytest]."""

import importlib.util
import os
import sys

import pytest


def main(name: str, library: str, arguments: list[str]) -> int:
    os.environ.pop("LD_PRELOAD", None)  # compilers and other children need no sanitizer
    spec = importlib.util.spec_from_file_location(name, library)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    status = pytest.main(arguments)
    assert importlib.import_module(name).__file__ == library
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
