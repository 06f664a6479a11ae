"""The target kernels_aot of CMakeLists.txt compiles what the gate compiles, with the same flags."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
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


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Configures with the given definitions, into a folder elsewhere."""
    if shutil.which("cmake") is None or shutil.which("make") is None:
        pytest.skip("cmake or make is not on the PATH")

    def configure(*definitions: str) -> subprocess.CompletedProcess[str]:
        command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "build"), "-G", "Unix Makefiles"]
        command += [f"-D{one}" for one in definitions]
        return subprocess.run(command, capture_output=True, text=True)

    return configure


@pytest.mark.parametrize(
    ("definitions", "need", "install"),
    [
        (["RUNTIME=OFF", "NVCC="], "kernels_aot needs nvcc", "install the CUDA toolkit"),
        (["KERNELS_AOT=OFF", "Python_EXECUTABLE={bare}"], "_runtime needs pybind11", "pip install"),
        (["RUNTIME=OFF", "NVCC=nvcc", "Python_EXECUTABLE={bare}"], "run pycnn", "pip install -e ."),
        (["Python_EXECUTABLE=/absent"], "Python 3.11 or later is missing", "install it"),
    ],
)
def test_configuring_says_what_to_install(configured, tmp_path, definitions, need, install):
    bare = tmp_path / "python"  # without the packages that are installed
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    done = configured(*(one.format(bare=bare) for one in definitions))
    said = " ".join(done.stderr.split())
    assert done.returncode != 0
    assert need in said
    assert install in said


def test_configuring_says_that_there_is_no_compiler(configured, monkeypatch):
    monkeypatch.setenv("CXX", "absent")
    done = configured("KERNELS_AOT=OFF")
    assert done.returncode != 0
    assert "_runtime needs a C++17 compiler: install one" in " ".join(done.stderr.split())


def test_what_is_built_is_in_the_folder_of_b_alone(configured, tmp_path):
    """The runtime would go beside its target; nothing is compiled to see that."""
    if shutil.which("c++") is None:
        pytest.skip("c++ is not on the PATH")
    done = configured("KERNELS_AOT=OFF", f"Python_EXECUTABLE={sys.executable}")
    assert done.returncode == 0, done.stderr
    link = next((tmp_path / "build").rglob("_runtime.dir/link.txt")).read_text()
    (target,) = re.findall(r" -o (\S+)", link)
    assert not Path(target).is_absolute()  # from the folder of -B


@pytest.mark.slow
def test_cmake_compiles_every_variant_with_the_flags_of_nvrtc(tmp_path: Path) -> None:
    for tool in ("cmake", "make", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on the PATH")
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(NVCC)
    nvcc.chmod(0o755)
    definitions = (  # a message would be another process
        f"-DNVCC={nvcc}", f"-DPython_EXECUTABLE={sys.executable}", "-DKERNEL_ARCHS=75;90a",
        "-DCMAKE_RULE_MESSAGES=OFF",
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
