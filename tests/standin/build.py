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
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

CUPY = "cupy-cuda13x[ctk]>=14"

#: Headers that those of the CUDA runtime include, and that pip does not bring along with it.
HEADERS = "nvidia-cuda-crt"
CXX = shlex.split(os.environ.get("CXX", "c++"))
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra")

#: Of each library, its sources under ``cuda/``.
SOURCES = {
    "libcuda.so.1": (
        *("counters", "memory", "device", "stream"),
        *("graph", "driver", "tensor_map"),
    ),
    "libnvrtc.so.13": ("nvrtc",),
    "libcufft.so.12": ("cufft",),
    "libcublas.so.13": ("cublas",),
}

#: What a function that is not there returns: cudaErrorNotSupported and the like.
NOT_SUPPORTED = {"cuda": 801, "cufft": 16, "cublas": 15}

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
        pip(folder, "install", "--quiet", "--editable", f"{ROOT}[test,cuda13]", CUPY, HEADERS)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # Of CUDA's wheels, and what those headers include of a further one that CuPy brings along.
    headers = [
        next(site.glob("nvidia/cu*/include")),
        next(site.glob("cupy/_core/include/cupy/_cccl/libcudacxx")),
        HERE / "cuda",
    ]
    final = folder / "lib" / "standin"
    libraries = final.with_name("standin.new")  # a library that someone runs must not change
    shutil.rmtree(libraries, ignore_errors=True)
    libraries.mkdir()
    build_library("libcuda.so.1", headers, libraries)
    build_library("libnvrtc.so.13", headers, libraries)
    build_library("libcufft.so.12", headers, libraries, next(site.glob("cupy/cuda/cufft.*.so")))
    cublas = next(site.glob("cupy_backends/cuda/libs/cublas.*.so"))
    build_library("libcublas.so.13", headers, libraries, cublas)
    build_runtime(folder, cupy_source(folder, site), headers, libraries)
    shutil.rmtree(final, ignore_errors=True)
    libraries.rename(final)
    # Read by Python as it starts: the package, from this checkout, and its start.
    package = site / HERE.joinpath("pycnn_standin").name
    package.unlink(missing_ok=True)
    package.symlink_to(HERE / "pycnn_standin")
    (site / "pycnn_standin.pth").write_text(
        "import os; "
        "os.environ.get('PYCNN_STANDIN') == 'off' or __import__('pycnn_standin').start()\n"
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
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from 3.11.4 on
            archive.extractall(source.parent, **safe)  # type: ignore[arg-type]
    return source


def build_library(
    name: str, headers: list[Path], libraries: Path, user: Path | None = None
) -> None:
    """One of our libraries, with a refusal for each function more that `user` needs of it."""
    target = libraries / name
    command = [*CXX, *FLAGS, *includes(headers), f"-Wl,-soname,{name}"]
    command += [str(HERE / "cuda" / f"{source}.cpp") for source in SOURCES[name]]
    command += ["-ldl", "-o", str(target)]
    # The others use the memory and the hooks of this one.
    if name != "libcuda.so.1":
        command += link_cuda(libraries)
    run(*command)
    if user is not None:
        # The user asks for symbols of NVIDIA's version of this name.
        versions = libraries / f"{name}.versions"
        versions.write_text(f"{name} {{ *; }};\n")
        command += [f"-Wl,--version-script={versions}"]
        run(*command, refusals(user, target, name.removeprefix("lib").partition(".")[0]))


def includes(headers: list[Path]) -> list[str]:
    """Options for the folders of headers."""
    return [f"-I{folder}" for folder in headers]


def link_cuda(libraries: Path) -> list[str]:
    """Options that link with our libcuda, which lies beside what is linked."""
    return [f"-L{libraries}", "-l:libcuda.so.1", "-Wl,-rpath,$ORIGIN"]


def build_runtime(folder: Path, source: Path, headers: list[Path], libraries: Path) -> None:
    """CuPy's module ``cupy_backends.cuda.api.runtime`` against our libcuda."""
    wanted = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    pip(folder, "install", "--quiet", *(w for w in wanted if w.lower().startswith("cython")))
    module = source / "cupy_backends" / "cuda" / "api" / "runtime.pyx"
    cpp = module.with_suffix(".cpp")
    constants = {
        "CUPY_CUDA_VERSION": defined(headers[0] / "cuda_runtime_api.h", "CUDART_VERSION"),
        "CUPY_HIP_VERSION": "0",
        "CUPY_USE_CUDA_PYTHON": "False",
    }
    directives = [f"--directive={directive}" for directive in DIRECTIVES]
    environment = [f"--compile-time-env={name}={value}" for name, value in constants.items()]
    run(str(folder / "bin" / "cython"), "-3", "--cplus", *directives, *environment,
        f"--working={source}", str(module), "-o", str(cpp), PYCNN_STANDIN="off")  # fmt: skip
    target = libraries / f"runtime{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = [*CXX, *FLAGS, "-w", f"-I{sysconfig.get_path('include')}", *includes(headers)]
    command += [str(cpp), *link_cuda(libraries), "-o", str(target)]
    run(*command)
    run(*command, refusals(target, libraries / "libcuda.so.1", "cuda"))


def refusals(user: Path, library: Path, prefix: str) -> str:
    """A source with every function that `user` needs and `library` lacks: not supported."""
    needed, there = (
        {
            line.split()[-1].partition("@")[0]
            for line in run("nm", "-D", which, str(file)).splitlines()
        }
        for which, file in (("--undefined-only", user), ("--defined-only", library))
    )
    names = sorted(name for name in needed - there if name.startswith(prefix))
    file = library.parent / f"{prefix}_refusals.cpp"
    body = f"() {{ return {NOT_SUPPORTED[prefix]}; }}"
    file.write_text("".join(f'extern "C" int {name}{body}\n' for name in names))
    return str(file)


def defined(header: Path, macro: str) -> str:
    """Value of a macro in a header."""
    found = re.search(rf"^#define {macro}\s+(\S+)", header.read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"{header} does not define {macro}")
    return found[1]


if __name__ == "__main__":
    main()
