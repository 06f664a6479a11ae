"""Compile a translated kernel with the host's C++ compiler, through the disk cache."""

import functools
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
    "-fsanitize=bounds",
    "-fno-omit-frame-pointer",
    "-DPYCNN_EMU_CHECKED",
)
GCC_CHECKED = ("-fno-tree-sra", "-fno-store-merging", "-fno-tree-vectorize")
#: Linked apart: -fsanitize would bring the sanitizers' own libraries. Names of kernels must not
#: meet those of other libraries, and those of the runtime are found when loaded.
LINK = ("-shared", "-Wl,-Bsymbolic")


@dataclass(frozen=True)
class Compiler:
    """The host compiler: its command and what it says of itself."""

    command: tuple[str, ...]
    version: str
    is_clang: bool


@functools.lru_cache
def _compiler(command: str) -> Compiler:
    words = tuple(shlex.split(command))
    if shutil.which(words[0]) is None:
        raise FileNotFoundError(
            f"no C++ compiler: PYCNN_CXX={command!r} is not on the PATH; install one "
            f"(g++ or clang++) or set PYCNN_CXX"
        )
    said = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True).stdout
    return Compiler(words, said.splitlines()[0], "clang" in said)


def compiler() -> Compiler:
    """The compiler that ``PYCNN_CXX`` names; `FileNotFoundError` says what to install."""
    return _compiler(config.get("PYCNN_CXX"))


@dataclass(frozen=True)
class Source:
    """A kernel source: a file, or text with the name it goes by."""

    name: str
    text: str | None = None

    def read(self) -> str:
        return Path(self.name).read_text() if self.text is None else self.text


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
    flags = _flags(host, checked)
    passed = host_options(options)
    folders = sources.include_dirs(emulator=True)
    searched = [*folders, *(Path(o[2:]) for o in passed if o.startswith("-I"))]
    closure = (
        sources.source_hash(Path(source.name), searched)
        if source.text is None
        else sources.text_hash(source.text, searched)
    )
    key = cache.key(
        "emulator", closure, _runtime_headers(), source.name if source.text is None else "",
        *flags, *passed, "entries", *expressions, host.version, _processor(),
    )  # fmt: skip
    return cache.get_or_build(
        key, ".so", lambda path: _compile(host, source, [*flags, *passed], expressions, path)
    )


@functools.cache
def _runtime_headers() -> str:
    """Hash of the headers between kernel and runtime, which every kernel includes."""
    return sources.source_hash(
        sources.emulator_include_dir() / "pycnn_emulator" / "prelude.h",
        sources.include_dirs(emulator=True),
    )


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
    elif not host.is_clang:
        flags += GCC_CHECKED
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


def _compile(
    host: Compiler, source: Source, flags: list[str], expressions: Sequence[str], path: Path
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        main = work / "main.cpp"
        name = _escape(source.name)
        main.write_text(
            f'#include "pycnn_emulator/prelude.h"\n{USER_CODE}\n'
            + (
                f'#include "{name}"\n'
                if source.text is None
                else f'#line 1 "{name}"\n{source.text}\n'
            )
        )
        includes = [f"-I{d}" for d in sources.include_dirs(emulator=True)]
        preprocessed = _run(
            host, [*flags, *includes, "-E", "-x", "c++", str(main)], source, capture=True
        )
        translation = translate(preprocessed)
        translated = work / "kernel.cpp"
        translated.write_text(translation.text + _entries(translation, expressions))
        compiled = work / "kernel.o"
        _run(host, [*flags, "-x", "c++", "-c", str(translated), "-o", str(compiled)], source)
        _refuse_constructors(compiled, source, host)
        _run(host, [*LINK, str(compiled), "-o", str(path)], source)


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
    return "\n".join(lines) + "\n"


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _run(host: Compiler, arguments: list[str], source: Source, capture: bool = False) -> str:
    done = subprocess.run([*host.command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompileError(source.name, host.version, done.stderr)
    return done.stdout if capture else ""


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
