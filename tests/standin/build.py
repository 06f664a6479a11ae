"""Build the environment in which the real CuPy runs on the stand-in driver.

    python3 tests/standin/build.py build/standin

makes a virtual environment there with this checkout, CuPy's wheel and our libraries, whose
``bin/python`` runs any command on the stand-in. It needs pip's index and a C++ compiler; CuPy's
source release is downloaded for the one module that is built again (see ``pycnn_standin``).
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

CUPY = "cupy-cuda13x[ctk]>=14"
CXX = shlex.split(os.environ.get("CXX", "c++"))
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra")

#: Each library: its file, and the sources under ``cuda/``.
LIBRARIES = {
    "libcuda.so.1": ("counters", "memory", "device", "stream", "driver"),
    "libnvrtc.so.13": ("nvrtc",),
}

#: As CuPy's own build has them.
DIRECTIVES = ("embedsignature=True", "binding=False", "c_api_binop_methods=True")


def main() -> None:
    """Make the environment, or bring it up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to make the environment")
    parser.add_argument("--only-libraries", action="store_true", help="install no packages")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not arguments.only_libraries:
        venv.create(folder, with_pip=True)
        pip(folder, "install", "--quiet", "--editable", f"{ROOT}[test,cuda13]", CUPY)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    libraries = folder / "lib" / "standin"
    shutil.rmtree(libraries, ignore_errors=True)
    libraries.mkdir()
    headers = next(site.glob("nvidia/cu*/include"))
    for name, sources in LIBRARIES.items():
        files = [str(HERE / "cuda" / f"{source}.cpp") for source in sources]
        run(*CXX, *FLAGS, f"-I{headers}", f"-Wl,-soname,{name}", *files,
            "-ldl", "-o", str(libraries / name))  # fmt: skip
    build_runtime(folder, cupy_source(folder, site), headers, libraries)
    # Read by Python as it starts: the package, from this checkout, and its start.
    package = site / HERE.joinpath("pycnn_standin").name
    package.unlink(missing_ok=True)
    package.symlink_to(HERE / "pycnn_standin")
    (site / "pycnn_standin.pth").write_text(
        "import os; os.environ.get('PYCNN_STANDIN') == 'off' or __import__('pycnn_standin').start()\n"
    )


def run(*command: str, **variables: str) -> str:
    """Run a command; what it printed. Ends with its messages if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    if done.returncode:
        sys.exit(f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def pip(folder: Path, *arguments: str, **variables: str) -> None:
    """Pip of the environment."""
    run(str(folder / "bin" / "python"), "-m", "pip", *arguments, PYCNN_STANDIN="off", **variables)


def cupy_source(folder: Path, site: Path) -> Path:
    """The source release of the CuPy that is installed."""
    [info] = site.glob("cupy_cuda*.dist-info")
    version = info.name.removesuffix(".dist-info").partition("-")[2]
    source = folder / "src" / f"cupy-{version}"
    if not source.exists():
        # pip asks the package for its metadata, which CuPy gives without CUDA only as a stub.
        pip(folder, "download", "--quiet", "--no-deps", "--no-binary=cupy", f"cupy=={version}",
            f"--dest={source.parent}", CUPY_INSTALL_USE_STUB="1")  # fmt: skip
        with tarfile.open(source.parent / f"{source.name}.tar.gz") as archive:
            archive.extractall(source.parent, filter="data")
    return source


def build_runtime(folder: Path, source: Path, headers: Path, libraries: Path) -> None:
    """CuPy's module ``cupy_backends.cuda.api.runtime`` against our libcuda."""
    wanted = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    pip(folder, "install", "--quiet", *(w for w in wanted if w.lower().startswith("cython")))
    module = source / "cupy_backends" / "cuda" / "api" / "runtime.pyx"
    cpp = module.with_suffix(".cpp")
    constants = {
        "CUPY_CUDA_VERSION": defined(headers / "cuda_runtime_api.h", "CUDART_VERSION"),
        "CUPY_HIP_VERSION": "0",
        "CUPY_USE_CUDA_PYTHON": "False",
    }
    directives = [f"--directive={directive}" for directive in DIRECTIVES]
    environment = [f"--compile-time-env={name}={value}" for name, value in constants.items()]
    run(str(folder / "bin" / "cython"), "-3", "--cplus", *directives, *environment,
        f"--working={source}", str(module), "-o", str(cpp), PYCNN_STANDIN="off")  # fmt: skip
    target = libraries / f"runtime{sysconfig.get_config_var('EXT_SUFFIX')}"
    compile_line = (
        *CXX, *FLAGS, "-w",
        f"-I{sysconfig.get_path('include')}", f"-I{headers}", f"-I{HERE / 'cuda'}", str(cpp),
    )  # fmt: skip
    link = (f"-L{libraries}", "-l:libcuda.so.1", "-Wl,-rpath,$ORIGIN", "-o", str(target))
    run(*compile_line, *link)
    missing = unsupported(target, libraries / "libcuda.so.1")
    stubs = libraries / "unsupported.cpp"
    stubs.write_text(
        "// Runtime functions that CuPy links and the stand-in lacks: cudaErrorNotSupported.\n"
        + "".join(f'extern "C" int {name}() {{ return 801; }}\n' for name in missing)
    )
    run(*compile_line, str(stubs), *link)


def defined(header: Path, macro: str) -> str:
    """Value of a macro in a header."""
    found = re.search(rf"^#define {macro}\s+(\S+)", header.read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"{header} does not define {macro}")
    return found[1]


def unsupported(user: Path, library: Path) -> Sequence[str]:
    """CUDA functions that `user` needs and `library` does not have."""
    needed = run("nm", "-D", "--undefined-only", str(user))
    there = run("nm", "-D", "--defined-only", str(library))
    names = {line.split()[-1] for line in needed.splitlines()}
    names -= {line.split()[-1] for line in there.splitlines()}
    return sorted(name for name in names if name.startswith("cuda"))


if __name__ == "__main__":
    main()
