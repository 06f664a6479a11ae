"""Compile a translated kernel with the host's C++ compiler, through the disk cache."""

import errno
import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pycnn import config
from pycnn.emulator.translate import USER_CODE, Translation, translate
from pycnn.runtime import cache, sources
from pycnn.runtime.errors import CompileError
from pycnn.runtime.flags import HOST_FLAGS

COMMON = (
    *HOST_FLAGS,
    "-fPIC",
    "-fno-strict-aliasing",  # device code reinterprets memory freely
    "-fno-exceptions",
    "-fasynchronous-unwind-tables",  # the runtime's own pass through
    "-fstack-clash-protection",  # a large frame meets the guard page instead of jumping it
    "-w",
)
FAST = ("-O3", "-g1")  # lines, for where it stopped
#: Instrumented for every access, and kept from merging or splitting them.
CHECKED = (
    "-O1",
    "-g1",
    "-fsanitize=thread",
    "-fsanitize=bounds,object-size",
    "-DPYCNN_EMU_CHECKED",
)
#: Calls are inlined, as on a GPU: GCC does not instrument a struct that a call takes or returns.
GCC_CHECKED = (
    "-fno-tree-sra",
    "-fno-store-merging",
    "-fno-tree-vectorize",
    "-fno-semantic-interposition",
    "-finline-functions",
    "-finline-small-functions",
    "-finline-limit=1000",
)
#: Volatile accesses by hooks of their own.
GCC_VOLATILE = ("--param=tsan-distinguish-volatile=1",)  # from 11 on
CLANG_CHECKED = ("-mllvm", "-tsan-distinguish-volatile=1")
#: Linked apart: -fsanitize would bring the sanitizers' own libraries. Names of kernels must not
#: meet those of other libraries, and those of the runtime are found when loaded.
LINK = ("-shared", "-Wl,-Bsymbolic")


#: In the environment, what a compiler takes for options and places of its own.
SETTINGS = ("CCC_OVERRIDE_OPTIONS", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LIBRARY_PATH")
#: Folders that a compiler searches for headers without being told so on its command line.
SEARCHED = ("CPATH", "CPLUS_INCLUDE_PATH")

_ANSWERS_WITHIN = 60.0  # seconds, to --version
_FULL_DISK = "No space left on device"


@dataclass(frozen=True)
class Compiler:
    """The host compiler: its command, what it says of itself, and which file that is."""

    command: tuple[str, ...]
    version: str
    is_clang: bool
    identity: str

    @property
    def major(self) -> int:
        """The first number of its version, which is the last thing it says of itself."""
        versions = re.findall(r"\b(\d+)\.\d+\.\d+\b", self.version)
        return int(versions[-1]) if versions else 0


@functools.lru_cache
def _compiler(command: str, path: str | None) -> Compiler:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"PYCNN_CXX={command!r} is no command: {error}") from None
    compiler = shutil.which(words[0], path=path)
    if compiler is None:
        raise FileNotFoundError(
            f"no C++ compiler: PYCNN_CXX={command!r} is not on the PATH; install one "
            f"(g++ or clang++) or set PYCNN_CXX"
        )
    said = _version(command, words)
    status = os.stat(compiler)
    identity = f"{said}{os.path.realpath(compiler)} {status.st_size} {status.st_mtime_ns}"
    return Compiler(words, said.splitlines()[0], "clang" in said, identity)


def _version(command: str, words: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            [*words, "--version"], capture_output=True, check=False, timeout=_ANSWERS_WITHIN,
            encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
        why = "" if done.returncode == 0 else _ended(done.returncode)
        if not why and not done.stdout.strip():
            why = "says nothing"
    except subprocess.TimeoutExpired:
        why = f"does not answer within {_ANSWERS_WITHIN:.0f} s"
    except OSError as error:
        why = f"cannot be run ({error.strerror})"
    if why:
        raise OSError(
            f"no C++ compiler: PYCNN_CXX={command!r} {why} when asked for its --version; "
            "set it to g++ or clang++"
        )
    return done.stdout


def _ended(status: int) -> str:
    return f"exits with {status}" if status > 0 else f"ends by signal {-status}"


def compiler() -> Compiler:
    """The compiler that ``PYCNN_CXX`` names; `OSError` or `ValueError` says what to do if none."""
    return _compiler(config.get("PYCNN_CXX"), os.environ.get("PATH"))


def _environment() -> dict[str, str]:
    """Messages in English: a full disk is recognised by them."""
    return os.environ | {"LC_ALL": "C"}


@dataclass(frozen=True)
class Source:
    """A kernel source: a file, or text with the name it goes by."""

    name: str
    text: str | None = None

    def plain_hash(self) -> str | None:
        """Of all that is read for it, if that can be known without a compiler."""
        folders = sources.include_dirs(emulator=True)
        if self.text is not None:
            return sources.plain_hash(self.text, None, folders)
        path = Path(self.name)
        return sources.plain_hash(sources.read(path), path.parent, folders)


def build(
    source: Source, options: Sequence[str], expressions: Sequence[str], checked: bool
) -> Path:
    """Library of all kernels in `source`.

    Parameters
    ----------
    source : Source
        The CUDA C++.
    options : sequence of str
        Options of NVRTC; macros and include folders are used, the rest does not apply here.
    expressions : sequence of str
        Instantiations of templated kernels to make callable, such as ``"scale<float>"``.
    checked : bool
        The checked build.

    Returns
    -------
    Path
        A shared library in the cache.

    Raises
    ------
    CompileError
        If the source does not compile; lines are those of the source.
    TranslationError
        If it uses what the emulator does not have.
    """
    host = compiler()
    flags, passed = _flags(host, checked), host_options(options)
    alone = not any(os.environ.get(name) for name in SEARCHED)
    read = source.plain_hash() if alone and not any(o.startswith("-I") for o in passed) else None
    text = None if read else _preprocessed(host, [*flags, *passed], source)
    key = cache.key(
        "emulator", read or hashlib.sha256(_encoded(text or "")).hexdigest(),
        _prelude(host, tuple(flags), *_set(SEARCHED)), source.name if source.text is None else "",
        *flags, *passed, "entries", *expressions, "compiler", *host.command, host.identity,
        *_set(SETTINGS), _processor(),
    )  # fmt: skip

    def compile_to(path: Path) -> None:
        whole = _preprocessed(host, [*flags, *passed], source) if text is None else text
        if read and read != source.plain_hash():
            raise CompileError(source.name, host.version, "changed while it was read; try again")
        _compile(host, source, whole, flags, expressions, path)

    return cache.get_or_build(key, ".so", compile_to)


def _set(names: Sequence[str]) -> list[str]:
    """The variables of `names` in the environment, with their values."""
    return [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@functools.cache
def _prelude(host: Compiler, flags: tuple[str, ...], *searched: str) -> str:
    """Hash of what every kernel begins with, headers of the system included."""
    text = _preprocessed(host, flags, Source("the emulator's headers", ""))
    return hashlib.sha256(_encoded(text)).hexdigest()


@functools.cache
def _processor() -> str:
    """What -march=native means here: a cache on a shared disk may serve several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(line for line in lines if line.startswith(("model name", "flags")))[:4096]


def _flags(host: Compiler, checked: bool) -> list[str]:
    flags = [*COMMON, *(CHECKED if checked else FAST)]
    if not checked:
        flags.append("-march=native")
    elif host.is_clang:
        flags += CLANG_CHECKED
    else:
        flags += GCC_CHECKED
        if host.major >= 11:
            flags += GCC_VOLATILE
    if not host.is_clang:
        flags += ["-fno-gnu-unique"]  # as for LINK
    return flags


def host_options(options: Sequence[str]) -> list[str]:
    """The options of NVRTC that mean something to a host compiler: ``-D``, ``-U``, ``-I``."""
    kept = []
    words = iter(options)
    for option in words:
        for long, short in (
            ("--define-macro", "-D"),
            ("--undefine-macro", "-U"),
            ("--include-path", "-I"),
        ):
            if option in (long, short):
                kept.append(short + next(words))
                break
            if option.startswith(long + "="):
                kept.append(short + option[len(long) + 1 :])
                break
            if option.startswith(short):
                kept.append(option)
                break
    return kept


def _preprocessed(host: Compiler, flags: Sequence[str], source: Source) -> str:
    """All that the compiler reads for `source`, after the prelude."""
    name = _escape(source.name)
    text = f'#include "{name}"' if source.text is None else f'#line 1 "{name}"\n{source.text}'
    with tempfile.TemporaryDirectory(prefix="pycnn-") as folder:
        main = Path(folder) / "main.cpp"
        main.write_bytes(_encoded(f'#include "pycnn_emulator/prelude.h"\n{USER_CODE}\n{text}\n'))
        includes = [f"-I{d}" for d in sources.include_dirs(emulator=True)]
        text = _run(host, [*flags, *includes, "-E", "-x", "c++", str(main)], source)
        return text.replace(str(main), "main.cpp")  # which folder it was is no matter


def _compile(
    host: Compiler, source: Source, preprocessed: str, flags: list[str],
    expressions: Sequence[str], path: Path,
) -> None:  # fmt: skip
    """Write the library to `path`, and what comes before it beside."""
    translation = translate(preprocessed)
    translated, compiled = path.with_suffix(".cpp"), path.with_suffix(".o")
    translated.write_bytes(_encoded(translation.text + _entries(translation, expressions)))
    _run(host, [*flags, "-x", "c++", "-c", str(translated), "-o", str(compiled)], source)
    _require_written(compiled, source, host)
    _refuse_constructors(compiled, source, host)
    _run(host, [*LINK, str(compiled), "-o", str(path)], source)
    _require_written(path, source, host)


def _require_written(path: Path, source: Source, host: Compiler) -> None:
    if not path.is_file():
        raise CompileError(source.name, host.version, "the compiler wrote no file")


#: Code that runs when the library is loaded: sections of that name, but for the one in which
#: -fsanitize=thread greets its library.
_CONSTRUCTORS = re.compile(rb"\.init_array(?!\.0+(99)?\0)[.\d]*\0|__mod_init_func\0")


def _refuse_constructors(compiled: Path, source: Source, host: Compiler) -> None:
    """CUDA does not initialise ``__device__`` variables by running code, and nor do we."""
    if _CONSTRUCTORS.search(compiled.read_bytes()):
        raise CompileError(
            source.name,
            host.version,
            "dynamic initialization is not supported for a __device__, __constant__ or static "
            "variable: its value must be a constant expression, and its type without a destructor",
        )


def _entries(translation: Translation, expressions: Sequence[str]) -> str:
    """The table of entries, appended to the source."""
    names = [*translation.kernels, *(e for e in expressions if e not in translation.kernels)]
    lines = ['\n# 1 "entries of the kernel source"']
    for i, name in enumerate(names):
        entry = f"pycnn_emu_Entry{i}"
        lines.append(f"using {entry} = pycnn_emu::EntryOf<decltype({name}), &{name}>;")
        lines.append(
            f"static const pycnn_emu::Entry pycnn_emu_entry{i} = "
            f'{{"{_escape(name)}", &{entry}::invoke, {entry}::count, {entry}::arguments}};'
        )
    table = ", ".join(f"&pycnn_emu_entry{i}" for i in range(len(names)))
    lines.append(
        'extern "C" __attribute__((visibility("default"))) '
        "const pycnn_emu::Entry* const pycnn_emu_entries[] = "
        f"{{{table}{', ' if table else ''}nullptr}};"
    )
    lines.append(
        'extern "C" __attribute__((visibility("default"))) '
        f'const char pycnn_emu_constants[] = " {" ".join(translation.constants)} ";'
    )
    return "\n".join(lines) + "\n"


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _run(host: Compiler, arguments: list[str], source: Source) -> str:
    """What the compiler writes to its standard output."""
    done = subprocess.run(
        [*host.command, *arguments], capture_output=True, check=False,
        encoding="utf-8", errors="surrogateescape", stdin=subprocess.DEVNULL, env=_environment(),
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    if _FULL_DISK in done.stderr:
        raise OSError(errno.ENOSPC, _FULL_DISK)
    said = done.stderr.encode("utf-8", "surrogateescape").decode(errors="replace")
    raise CompileError(
        source.name, host.version, said.strip() or f"the compiler {_ended(done.returncode)}"
    )


def locate(library: Path, offset: int) -> tuple[str, int]:
    """Source file and line of a code address in a checked library; ("", 0) if unknown."""
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    if tool is None:
        return "", 0
    # The address is where the call returns to, one past the access; innermost line first.
    done = subprocess.run(
        [tool, "-e", str(library), "-i", hex(offset - 1)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        file, _, number = line.partition(" ")[0].rpartition(":")
        if number.isdigit() and file != "??" and "/emulator/include/" not in file:
            return file, int(number)
    return "", 0
