"""Compile kernels with NVRTC: for any architecture, with no GPU and no driver."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycnn.runtime import cache, sources
from pycnn.runtime.errors import CompileError
from pycnn.runtime.extras import MissingExtra, import_extra, install
from pycnn.runtime.flags import NVRTC_FLAGS

Defines = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Compiled:
    """What NVRTC returned: machine code, what the compiler said of it, and names of templates."""

    cubin: bytes
    log: str
    names: dict[str, str] = field(default_factory=dict)


def compile_kernel(
    file: str, arch: str, defines: Defines = (), options: Sequence[str] = ()
) -> Path:
    """Compile a kernel file to a cubin, through the disk cache.

    Parameters
    ----------
    file : str
        Relative to ``kernels/``, such as ``"pool/max_pool2d.cu"``.
    arch : str
        ``"sm_80"``, ``"sm_90a"`` ...; one of :func:`supported_archs`.
    defines : iterable of (str, str), optional
        Macros and their values.
    options : sequence of str, optional
        Further NVRTC options, after :data:`pycnn.runtime.flags.NVRTC_FLAGS`.

    Returns
    -------
    Path
        The cubin in the cache.

    Raises
    ------
    CompileError
        With the compiler's log, which names the ``.cu`` or ``.cuh`` file and line.
    MissingExtra
        If cuda-bindings or NVRTC are not installed.
    """
    path = sources.kernel_path(file)
    flags = _flags(arch, defines, options)
    key = cache.key("nvrtc", version(), source_hash(path), path.name, *flags)

    def build(target: Path) -> None:
        target.write_bytes(compile_text(path.read_text(), path, arch, defines, options).cubin)

    return cache.get_or_build(key, ".cubin", build)


def source_hash(path: Path) -> str:
    """Hash over a kernel file and all it includes, CUDA's own headers too."""
    return sources.source_hash(path, (*sources.include_dirs(), *cuda_include_dirs()))


def compile_text(
    text: str,
    name: Path | str,
    arch: str,
    defines: Defines = (),
    options: Sequence[str] = (),
    expressions: Sequence[str] = (),
) -> Compiled:
    """Compile source code, without the cache.

    Parameters
    ----------
    text : str
        CUDA C++ source.
    name : Path or str
        What the compiler calls it in its messages. A quoted include is also searched beside it.
    arch, defines, options
        As for :func:`compile_kernel`; of the flags in :data:`pycnn.runtime.flags.NVRTC_FLAGS`
        those in `options` win.
    expressions : sequence of str, optional
        Instantiations of templated kernels to make, such as ``"scale<float>"``.

    Returns
    -------
    Compiled
        Cubin and log. With the option ``--ptxas-options=-v`` the log has registers, shared
        memory and spills of each entry.

    Raises
    ------
    CompileError, MissingExtra
        As :func:`compile_kernel`.
    ValueError
        If `options` ask for device debugging, see :data:`REFUSED`.
    """
    with _program(text, name, _flags(arch, defines, options), expressions) as (program, log):
        cubin = _text(_nvrtc().nvrtcGetCUBINSize, _nvrtc().nvrtcGetCUBIN, program)
        return Compiled(cubin, log, {e: _lowered(program, e) for e in expressions})


@contextlib.contextmanager
def _program(
    text: str, name: Path | str, flags: Sequence[str], expressions: Sequence[str]
) -> Iterator[tuple[Any, str]]:
    """A program of NVRTC that has been compiled, and what the compiler said of it."""
    refuse_debugging(flags)
    nvrtc = _nvrtc()
    searched = [f"-I{folder}" for folder in (*sources.include_dirs(), *cuda_include_dirs())]
    arguments = [word.encode() for word in (*flags, *searched)]
    program = _call(nvrtc.nvrtcCreateProgram, text.encode(), str(name).encode(), 0, [], [])
    try:
        for expression in expressions:
            _call(nvrtc.nvrtcAddNameExpression, program, expression.encode())
        (status,) = nvrtc.nvrtcCompileProgram(program, len(arguments), arguments)
        log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        message = log.rstrip(b"\0").decode(errors="replace")
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            arch = flags[0].partition("=")[2]
            raise CompileError(name, arch, message.strip() or f"NVRTC: {status.name}")
        yield program, message
    finally:
        nvrtc.nvrtcDestroyProgram(program)


@dataclass(frozen=True)
class Ptx:
    """PTX of a source, and the names that its templated kernels have there."""

    text: str
    names: dict[str, str]


def compile_ptx(
    text: str,
    name: Path | str,
    arch: str,
    options: Sequence[str] = (),
    expressions: Sequence[str] = (),
) -> Ptx:
    """Compile source code to PTX, with lines, without the cache.

    Parameters
    ----------
    text, name
        As for :func:`compile_text`.
    arch : str
        ``"sm_80"``, ``"sm_90a"`` ...; one of :func:`supported_archs`.
    options, expressions
        As for :func:`compile_text`.

    Raises
    ------
    CompileError, MissingExtra, ValueError
        As :func:`compile_text`.
    """
    flags = list(_flags(arch, (), ("-lineinfo", *options)))
    flags[0] = flags[0].replace("sm_", "compute_")  # PTX alone, no machine code
    with _program(text, name, flags, expressions) as (program, _):
        return _ptx(program, expressions)


@dataclass(frozen=True)
class Both:
    """Machine code and the PTX that it was made of; their lines are the same."""

    cubin: bytes
    ptx: Ptx


def compile_both(
    text: str,
    name: Path | str,
    arch: str,
    options: Sequence[str] = (),
    expressions: Sequence[str] = (),
) -> Both:
    """Compile source code to machine code with lines, and keep the PTX on the way.

    Parameters
    ----------
    text, name, arch, options, expressions
        As for :func:`compile_ptx`.

    Raises
    ------
    CompileError, MissingExtra, ValueError
        As :func:`compile_text`.
    """
    flags = _flags(arch, (), ("-lineinfo", *options))
    with _program(text, name, flags, expressions) as (program, _):
        cubin = _text(_nvrtc().nvrtcGetCUBINSize, _nvrtc().nvrtcGetCUBIN, program)
        return Both(cubin, _ptx(program, expressions))


def _ptx(program: Any, expressions: Sequence[str]) -> Ptx:
    text = _text(_nvrtc().nvrtcGetPTXSize, _nvrtc().nvrtcGetPTX, program)
    return Ptx(text.rstrip(b"\0").decode(), {e: _lowered(program, e) for e in expressions})


def _lowered(program: Any, expression: str) -> str:
    name = _call(_nvrtc().nvrtcGetLoweredName, program, expression.encode())
    return name.decode() if isinstance(name, bytes) else str(name)


def _meant(option: str) -> str:
    """What an option sets: two of the same meaning are not both allowed."""
    name = option.partition("=")[0].lstrip("-")
    return {"gpu-architecture": "arch"}.get(name, name)


def refuse_debugging(options: Sequence[str]) -> None:
    """Raise `ValueError` where `options` ask for device debugging, see :data:`REFUSED`."""
    for option in options:
        if option in REFUSED:
            raise ValueError(
                f"option {option}: it would slow down whatever this process compiles later; "
                "allowed: -lineinfo, or cuobjdump and a debugger on a cubin that nvcc compiled"
            )


def _flags(arch: str, defines: Defines, options: Sequence[str]) -> tuple[str, ...]:
    if arch not in supported_archs():
        raise ValueError(
            f"arch={arch!r}: NVRTC {version()} compiles for {', '.join(supported_archs())}"
        )
    # Sorted: the order of macros is no matter, and must not be one in the cache.
    macros = (f"-D{name}={value}" for name, value in sorted(defines))
    own = {_meant(option) for option in options}
    flags = (flag for flag in NVRTC_FLAGS if _meant(flag) not in own)
    return (f"-arch={arch}", *flags, *macros, *options)


#: NVRTC 13.5 remembers device debugging: after one program compiled with it, all later ones of the
#: process came out unoptimised in part (54 registers of a kernel became 128, and it spilled).
REFUSED = ("--device-debug", "-G")


def version() -> str:
    """Version of the NVRTC in use, such as ``"13.5"``."""
    major, minor = _call(_nvrtc().nvrtcVersion)
    return f"{major}.{minor}"


@functools.cache
def supported_archs() -> tuple[str, ...]:
    """Architectures that this NVRTC compiles for, with their variants ``a`` from sm_90 on."""
    archs: list[str] = []
    for number in sorted(_call(_nvrtc().nvrtcGetSupportedArchs)):
        archs += [f"sm_{number}"] if number < 90 else [f"sm_{number}", f"sm_{number}a"]
    return tuple(archs)


@functools.cache
def cuda_include_dirs() -> tuple[Path, ...]:
    """Folders of CUDA's own headers (``cuda_fp16.h`` ...): of the wheels, or of a toolkit.

    Empty where there are none; a kernel that needs no such header compiles all the same.
    """
    pathfinder = import_extra("cuda.pathfinder", "compile", "finding the CUDA headers")
    folders: list[Path] = []
    # Headers of the runtime; "nvcc": crt/, apart in CUDA 12; "cccl": nv/, cuda/ and cub/; cuRAND's
    # device API where it is installed.
    for component in ("cudart", "nvcc", "cccl", "curand"):
        folder = pathfinder.find_nvidia_header_directory(component)
        there = component == "nvcc" and folders and (folders[0] / "crt").is_dir()
        if folder and not there and Path(folder) not in folders:
            folders.append(Path(folder))
    return tuple(folders)


@functools.cache
def _nvrtc() -> Any:
    module = import_extra("cuda.bindings.nvrtc", "compile", "compiling for a GPU")
    try:
        module.nvrtcVersion()  # the bindings load NVRTC itself at the first call
    except RuntimeError as error:
        raise MissingExtra(
            f"compiling for a GPU needs NVRTC, which cannot be loaded ({error}); "
            f"install it with: {install('compile')}"
        ) from error
    return module


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call into NVRTC, whose functions return their status first."""
    status, *results = function(*arguments)
    if status != _nvrtc().nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"{function.__name__}: {status.name}")
    return results if len(results) > 1 else results[0] if results else None


def _text(size: Callable[..., Any], fill: Callable[..., Any], program: Any) -> bytes:
    buffer = bytearray(_call(size, program))
    _call(fill, program, buffer)
    return bytes(buffer)
