"""Tests of what is compiled once more, on a build that sanitizers watch."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pycnn.emulator import host

ROOT = Path(__file__).parents[2]

#: Extension -> (where its sources are, the tests that it runs).
EXTENSIONS = {
    "pycnn.emulator._runtime": ("emulator", "tests/emulator"),
    "pycnn.reference.cpu._compiled": ("cpu", "tests/reference/test_compiled_loops.py"),
}

#: Name -> (flags of the compiler, libraries to load before Python, options of the sanitizer).
#: Faults are the runtime's own to handle.
SANITIZERS = {
    "address": (
        ["-fsanitize=address"],
        ["libasan.so", "libstdc++.so"],
        "detect_leaks=0:allow_user_segv_handler=1:use_sigaltstack=0:"
        + ":".join(f"handle_{s}=0" for s in ("segv", "sigbus", "sigfpe", "sigill", "abort")),
    ),
    "undefined": (
        ["-fsanitize=undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"],
        ["libubsan.so", "libstdc++.so"],
        "print_stacktrace=1",
    ),
}


def build(folder: Path, sources: str, flags: list[str]) -> Path:
    """An extension, compiled with `flags`."""
    pybind11 = pytest.importorskip("pybind11")
    library = folder / "extension.so"
    includes = [ROOT / sources, ROOT / sources / "include", pybind11.get_include(),
                sysconfig.get_paths()["include"]]  # fmt: skip
    subprocess.run(
        [
            *host.compiler().command, "-shared", "-fPIC", "-std=c++17", "-O1", "-g",
            "-fvisibility=hidden", *flags, *(f"-I{path}" for path in includes),
            *sorted((ROOT / sources).glob("*.cpp")), "-o", library, "-ldl", "-lpthread",
        ],
        check=True,
    )  # fmt: skip
    return library


def found(name: str) -> str:
    """Where the compiler has the library of that name."""
    said = subprocess.run(
        [*host.compiler().command, f"-print-file-name={name}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path = said.stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"the compiler has no {name}")
    return path


def beside_nvrtc() -> dict[str, str]:
    """Where NVRTC's parts lie: AddressSanitizer opens libraries for others, but not as them."""
    pathfinder = pytest.importorskip("cuda.pathfinder")
    folders = [str(Path(pathfinder.load_nvidia_dynamic_lib("nvrtc").abs_path).parent)]
    folders += filter(None, [os.environ.get("LD_LIBRARY_PATH")])
    return {"LD_LIBRARY_PATH": os.pathsep.join(folders)}


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="preloads the sanitizers as Linux does")
@pytest.mark.parametrize("name", SANITIZERS)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_sanitizers_have_nothing_to_report(extension, name, tmp_path):
    sources, tests = EXTENSIONS[extension]
    flags, libraries, options = SANITIZERS[name]
    environment = {
        **os.environ,
        **(beside_nvrtc() | {"PYCNN_EMULATOR_VIA": "source"} if sources == "emulator" else {}),
        "LD_PRELOAD": " ".join(map(found, libraries)),
        "ASAN_OPTIONS": options,
        "UBSAN_OPTIONS": options,
    }
    library = build(tmp_path, sources, flags)
    done = subprocess.run(
        [
            sys.executable, Path(__file__).with_name("run.py"), extension, library,
            "-q", "-p", "no:cacheprovider", "--capture=sys", "-m", "not exhaustive", tests,
        ],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-20000:]
    assert "runtime error" not in said
    assert "AddressSanitizer" not in said
    assert " passed" in said
