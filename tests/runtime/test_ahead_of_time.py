"""The target kernels_aot of CMakeLists.txt compiles what the gate compiles, with the same flags."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pycnn.runtime import catalogue, sources
from pycnn.runtime.flags import DEVICE_FLAGS

ROOT = Path(__file__).resolve().parents[2]

#: Stands in for nvcc: notes its arguments, one file a process, and makes an empty output.
NVCC = """#!/bin/sh
printf '%s|' "$@" >>"$0.log.$$"
echo >>"$0.log.$$"
while [ "$1" != -o ]; do shift; done
: >"$2"
"""


@pytest.mark.slow
def test_cmake_compiles_every_variant_with_the_flags_of_nvrtc(tmp_path: Path) -> None:
    for tool in ("cmake", "make", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on the PATH")
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(NVCC)
    nvcc.chmod(0o755)
    definitions = (
        f"-DNVCC={nvcc}", f"-DPython_EXECUTABLE={sys.executable}", "-DKERNEL_ARCHS=75;90a"
    )  # fmt: skip
    build = str(tmp_path / "build")
    for command in (
        ["cmake", "-S", str(ROOT), "-B", build, "-G", "Unix Makefiles", *definitions],
        ["cmake", "--build", build, "--target", "kernels_aot", "-j2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    compiled = []
    lines = [x for log in tmp_path.glob("nvcc.log.*") for x in log.read_text().splitlines()]
    for line in lines:
        start, options, include, _, source = re.fullmatch(
            r"(-fatbin(?:\|-gencode=[^|]*)*)\|(.*)\|-I\|([^|]*)\|-o\|([^|]*)\|([^|]*)\|", line
        ).groups()  # type: ignore[union-attr]
        assert start.count("-gencode=arch=") == (0 if "-gencode" in options else 2)
        assert (Path(include),) == sources.include_dirs()
        compiled.append((Path(source), *options.split("|")))
    assert sorted(compiled) == sorted(
        (
            sources.kernel_path(kernel.file),
            *DEVICE_FLAGS,
            *(
                [f"-gencode=arch=compute_{kernel.arch[3:]},code={kernel.arch}"]
                if kernel.arch
                else []
            ),
            *(f"-D{x}={y}" for x, y in variant),
        )
        for kernel in catalogue.load()
        for variant in kernel.variants
    )
