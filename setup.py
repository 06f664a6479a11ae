"""Build steps that pyproject.toml cannot express: where the kernels go, and the C++ runtime.

* ``kernels/`` and ``emulator/include/`` lie beside the package, and are installed inside it
  (``pycnn/kernels``, ``pycnn/emulator/include``). `pycnn.runtime.sources` looks in both places.
* ``emulator/*.cpp`` becomes the extension ``pycnn.emulator._runtime``, and ``cpu/*.cpp`` the loops
  of the CPU path, ``pycnn.reference.cpu._compiled``. Both are optional: with no C++ compiler the
  install succeeds without, says so, and so does ``pycnn info``.
"""

from __future__ import annotations

import os
import shlex
import sys
from glob import glob

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

DATA = {"pycnn.kernels": "kernels", "pycnn.emulator.include": "emulator/include"}
#: What is compiled: the extension, where its sources are, and what there is not without it.
COMPILED = (
    ("pycnn.emulator._runtime", "emulator", "the emulator"),
    ("pycnn.reference.cpu._compiled", "cpu", "the compiled loops of the CPU path"),
)


def data_packages() -> dict[str, str]:
    """Every folder of device code as ``{package: folder}``, so that each is installed."""
    packages = {}
    for package, root in DATA.items():
        for folder, _, files in os.walk(root):
            if files or folder == root:
                inner = os.path.relpath(folder, root)
                suffix = "" if inner == "." else "." + inner.replace(os.sep, ".")
                packages[package + suffix] = folder
    return packages


class BuildRuntime(build_ext):
    """`build_ext` that reports a missing compiler in one line."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            (what,) = (what for name, _, what in COMPILED if name == ext.name)
            print(f"pycnn: built WITHOUT {what} ({error}); needs a C++17 compiler", file=sys.stderr)
            raise  # `optional=True`: setuptools turns it into a warning


def extensions() -> list[Extension]:
    """Those whose sources are there; nothing where pybind11 is missing."""
    try:
        from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
    except ImportError:
        for _, _, what in COMPILED:
            print(f"pycnn: built WITHOUT {what}: pybind11 is not installed", file=sys.stderr)
        return []
    ParallelCompile("PYCNN_BUILD_JOBS").install()  # one process a core
    return [
        Pybind11Extension(  # adds -fvisibility=hidden
            name,
            sources,
            include_dirs=[folder, f"{folder}/include"],
            depends=glob(f"{folder}/**/*.h", recursive=True),
            cxx_std=17,
            extra_compile_args=["-O3", *shlex.split(os.environ.get("CFLAGS", ""))],  # the last wins
            libraries=["dl", "pthread"],
            optional=True,
        )
        for name, folder, _ in COMPILED
        if (sources := sorted(glob(f"{folder}/*.cpp")))
    ]


packages = data_packages()
setup(
    packages=find_packages(include=["pycnn", "pycnn.*"]) + sorted(packages),
    package_dir=packages,
    package_data={
        "pycnn": ["py.typed", "*.pyi"],
        "pycnn.live": ["page/*"],
        "pycnn.ops": ["*.pyi"],
        "pycnn.plan": ["*.json"],
        "pycnn.predict": ["*.json"],
        **{name: ["*"] for name in packages},
    },
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildRuntime},
)
