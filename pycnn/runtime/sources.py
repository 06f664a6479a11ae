"""Where the kernels are, what they include, and a hash over all of it.

The device code lies inside the installed package (``pycnn/kernels``) or, in a checkout, beside it
(``kernels/``); the emulator's headers likewise. A file's *closure* is the file and everything it
includes from these folders. Headers found nowhere (those of CUDA) are left to the compiler, whose
version is part of every cache key.
"""

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
# A line feed is found much faster than the start of a line.
_INCLUDE = re.compile(r'\n[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]')
#: Whatever can make a compiler read another file, or the clock, in any spelling.
_READS = re.compile(
    r"(?:#|%:)[^\n]*\b(?:include|include_next|import|embed)\b"
    r"|(?:#|%:)[ \t]*/\*|__has_(?:include|embed)|__DATE__|__TIME"
)
_CONTINUED = re.compile(r"\\[ \t\r\f\v]*\n")


@functools.cache
def kernel_dir() -> Path:
    """Folder of the ``.cu`` files, by family.

    Raises
    ------
    FileNotFoundError
        If the installation lacks them; names the places that were searched.

    Examples
    --------
    >>> (kernel_dir() / "include" / "pycnn" / "kernel.cuh").is_file()
    True
    """
    return _locate("kernels", _PACKAGE / "kernels", _PACKAGE.parent / "kernels")


@functools.cache
def emulator_include_dir() -> Path:
    """Folder of the headers with which the host compiler sees a kernel."""
    return _locate(
        "emulator headers",
        _PACKAGE / "emulator" / "include",
        _PACKAGE.parent / "emulator" / "include",
    )


def _locate(what: str, *places: Path) -> Path:
    for place in places:
        if place.is_dir():
            return place
    searched = " or ".join(map(str, places))
    raise FileNotFoundError(f"the {what} of pycnn are in neither {searched}; reinstall pycnn")


def include_dirs(*, emulator: bool = False) -> tuple[Path, ...]:
    """Folders searched for headers, in order; with those of the emulator if asked for."""
    kernels = kernel_dir() / "include"
    return (emulator_include_dir(), kernels) if emulator else (kernels,)


def kernel_files() -> tuple[str, ...]:
    """Every kernel file, relative to :func:`kernel_dir`, sorted.

    Examples
    --------
    >>> all(name.endswith(".cu") for name in kernel_files())
    True
    """
    root = kernel_dir()
    return tuple(sorted(path.relative_to(root).as_posix() for path in root.rglob("*.cu")))


def kernel_path(file: str) -> Path:
    """Full path of a kernel file named relative to :func:`kernel_dir`.

    Raises
    ------
    FileNotFoundError
        If there is none of that name; lists those that exist.
    """
    path = kernel_dir() / file
    if not path.is_file():
        raise FileNotFoundError(
            f"no kernel file {file!r} in {kernel_dir()}; there are: {', '.join(kernel_files())}"
        )
    return path


def closure(path: Path, folders: Sequence[Path] | None = None) -> tuple[Path, ...]:
    """`path` and every file it includes, directly or not, in the order of first inclusion.

    Parameters
    ----------
    path : Path
        A source file.
    folders : sequence of Path, optional
        Where headers are searched; :func:`include_dirs` by default. A quoted include is searched
        beside the including file first. Conditional includes are all followed.
    """
    folders = include_dirs() if folders is None else folders
    files: dict[Path, None] = {}
    _follow([Path(path)], tuple(folders), files)
    return tuple(files)


def source_hash(path: Path, folders: Sequence[Path] | None = None) -> str:
    """SHA-256 over the names and contents of :func:`closure`, as 64 hexadecimal digits.

    Examples
    --------
    >>> len(source_hash(kernel_dir() / "include" / "pycnn" / "kernel.cuh"))
    64
    """
    return _combined(closure(path, folders))


def plain_hash(
    text: str,
    beside: Path | None = None,
    folders: Sequence[Path] | None = None,
    compilers: Sequence[Path] = (),
) -> str | None:
    """Hash over `text` and all it includes, or None where only a compiler knows what that is.

    It is known where every include stands alone on its line, names its file as it is, and that
    file is found. Computed, commented and continued names and headers of the system are not.

    Parameters
    ----------
    text : str
        Source code.
    beside : Path, optional
        Folder in which quoted includes are searched first.
    folders : sequence of Path, optional
        All that the compiler searches otherwise, in its order; :func:`include_dirs` by default.
    compilers : sequence of Path, optional
        Those of `folders` that come with the compiler, whose version the caller knows: what their
        headers include for other systems and other compilers need not be known.

    Examples
    --------
    >>> plain_hash("#define WHICH <pycnn/map.cuh>\\n#include WHICH") is None
    True
    """
    folders = tuple(include_dirs() if folders is None else folders)
    files: dict[Path, None] = {}
    direct = _resolve(text, beside, folders)
    if len(direct) != _reads(text):
        return None
    _follow(direct, folders, files)
    for path in files:
        if any(path.is_relative_to(folder) for folder in compilers):
            continue
        inner = read(path)
        if len(_resolve(inner, path.parent, folders)) != _reads(inner):
            return None
    return hashlib.sha256((_combined(files) + text).encode("utf-8", "surrogateescape")).hexdigest()


def read(path: Path) -> str:
    """Text of a file, read again only when its size or time of change differs.

    Bytes that are not UTF-8 are kept as lone surrogates (``errors="surrogateescape"``).
    """
    return _read(path)[0]


def _follow(pending: Iterable[Path], folders: tuple[Path, ...], files: dict[Path, None]) -> None:
    for path in pending:
        if path not in files:
            files[path] = None
            _follow(_resolve(read(path), path.parent, folders), folders, files)


def _resolve(text: str, beside: Path | None, folders: tuple[Path, ...]) -> list[Path]:
    """The files that `text` includes, as far as they lie in `folders` or `beside`."""
    files = []
    for quote, name in _includes(text):
        first = (beside,) if quote == '"' and beside is not None else ()
        places = (folder / name for folder in (*first, *folders))
        files += [path for path in places if path.is_file()][:1]
    return files


@functools.lru_cache(maxsize=1024)
def _includes(text: str) -> list[tuple[str, str]]:
    return _INCLUDE.findall("\n" + text)


@functools.lru_cache(maxsize=1024)
def _reads(text: str) -> int:
    """How many times `text` may make a compiler read something."""
    return len(_READS.findall(_CONTINUED.sub("", text)))


def _combined(paths: Iterable[Path]) -> str:
    # Names as well as contents, but no folders: a checkout may move without recompiling.
    lines = "".join(f"{path.name} {_read(path)[1]}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


def _read(path: Path) -> tuple[str, str]:
    """Text and hash of a file."""
    status = os.stat(path)
    return _read_version(path, status.st_ino, status.st_ctime_ns, status.st_size)


@functools.lru_cache(maxsize=1024)
def _read_version(path: Path, file: int, changed: int, size: int) -> tuple[str, str]:
    data = path.read_bytes()
    # Whatever a compiler takes in a comment is no matter here.
    return data.decode("utf-8", "surrogateescape"), hashlib.sha256(data).hexdigest()
