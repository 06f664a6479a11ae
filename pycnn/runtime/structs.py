"""Structs that kernels take by value: their layout is read from where the kernels define them.

What is understood is what such structs need: members that are numbers, structs, or arrays of
these, with extents that are numbers, ``constexpr int`` or parameters of a template, beside
``__device__`` functions. Anything else is an error, never a guess.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pycnn.runtime import sources

_NUMBERS = {
    "int": np.int32,
    "unsigned": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
}

# A line feed is found much faster than the start of a line; every file begins with a comment.
_HEAD = re.compile(r"\n(?:template\s*<([^<>]*)>\s*)?struct\b([^;{}]*)\{")
_NAMES = re.compile(r"\n(?:using (\w+ = [\w ]+)|constexpr int ([^;]*));")
_WORD = re.compile(r"\w+")
_CONSTANT = re.compile(r"(\w+) = (\w+)(?=\s*,|$)")
_NUMBER = re.compile(r"[1-9][0-9]*")
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])'|\w+|\S)""", re.DOTALL
)
_TYPE = re.compile(r"(\w+)(?:<(\w+(?:, ?\w+)*)>)?")
_MEMBERS = re.compile(
    r"(\w+ < [\w ,]+ >|\w+(?: \w+)*) (\w+(?: \[ \w+ \])*(?: , \w+(?: \[ \w+ \])*)*)"
)


def struct(file: str, name: str, /, **fields: Any) -> np.void:
    """A struct by value, in the form in which executors pass one.

    Parameters
    ----------
    file, name : str
        As for `layout`.
    **fields
        The value of every member: a number, another struct, or a sequence for an array.

    Raises
    ------
    TypeError
        If a member is missing, or there is none of a name.

    Examples
    --------
    >>> struct("conv/sums.cu", "PartsParams", parts=3, size=5).item()
    (3, 5)
    """
    dtype = layout(file, name)
    names = dtype.names or ()
    if fields.keys() != (dtype.fields or {}).keys():
        missing = [field for field in names if field not in fields]
        unknown = [field for field in fields if field not in names]
        raise TypeError(f"struct {name} of {file}: missing {missing}, unknown {unknown}")
    records = np.zeros(1, dtype)  # what lies between members too: two that say the same are equal
    records[0] = tuple(map(fields.__getitem__, names))
    record: np.void = records[0]
    return record


@functools.cache
def layout(file: str, name: str) -> np.dtype:
    """The dtype of a struct, laid out as compilers do.

    Parameters
    ----------
    file : str
        Of those under ``kernels/``, or a header as kernels include it, that defines the struct or
        includes what does.
    name : str
        Of the struct, with template arguments if it takes some.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no such struct, or it holds what is not understood; names file and line.

    Examples
    --------
    >>> layout("pycnn/strided.cuh", "Strided<2>")["stride"].shape
    (2, 8)
    """
    folders = (sources.kernel_dir(), *sources.include_dirs())
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"no file {file!r} in {folders[0]} or its include folder")
    kind = _TYPE.fullmatch(name)
    definer = None if kind is None else _find(path, kind[1])
    if kind is None or definer is None:
        raise ValueError(f"{path}: neither it nor what it includes defines a struct {name!r}")
    extents = [_extent(_file(path), 0, word, {}) for word in _WORD.findall(kind[2] or "")]
    return _laid_out(definer, kind[1], tuple(extents))


@functools.cache
def _laid_out(path: Path, name: str, extents: tuple[int, ...]) -> np.dtype:
    """The dtype of a struct that the file defines itself."""
    file = _file(path)
    head, *others = file.heads[name]
    if others:
        _fail(file, others[0].end(), f"struct {name} is defined again")
    if head[2].strip() != name:  # a base, or an alignment
        _fail(file, head.end(), f"struct {head[2].strip()!r}; understood: the name alone")
    template = head[1] or ""
    if template and not re.fullmatch(r"int \w+(, int \w+)*", template):
        _fail(file, head.end(), f"template <{template}>; understood: parameters of type int")
    parameters = _WORD.findall(template)[1::2]
    if len(parameters) != len(extents):
        _fail(file, head.end(), f"{name} takes {len(parameters)} arguments, not {len(extents)}")
    values = dict(zip(parameters, map(str, extents), strict=True))
    fields: list[tuple[Any, ...]] = []
    for at, text in _statements(file, head.end()):
        members = _MEMBERS.fullmatch(text)
        if members is None:
            _fail(file, at, f"{text!r}; understood: numbers, structs and arrays of them")
        of = _type(file, at, members[1], values)
        for member in members[2].split(" , "):
            words = member.split()  # a [ 2 ] [ 3 ]
            shape = tuple([_extent(file, at, word, values) for word in words[2::3]])
            fields.append((words[0], of, shape))
    if not fields:
        _fail(file, head.end(), f"struct {name} has no members")
    return np.dtype(fields, align=True)


@dataclass(frozen=True)
class _File:
    """What a file declares: where structs begin, and what aliases and constants stand for."""

    path: Path
    text: str
    heads: dict[str, list[re.Match[str]]]
    meanings: dict[str, set[str]]


@functools.cache
def _file(path: Path) -> _File:
    file = _File(path, sources.read(path), {}, {})
    if "pragma pack" in file.text:
        _fail(file, file.text.index("pragma pack"), "'pragma pack' is not understood")
    for head in _HEAD.finditer(file.text):
        for word in head[2].partition(":")[0].split():
            file.heads.setdefault(word, []).append(head)
    for alias, constants in _NAMES.findall(file.text):
        pairs = [alias.split(" = ")] if alias else _CONSTANT.findall(constants)
        for name, meaning in pairs:
            file.meanings.setdefault(name, set()).add(meaning)
    return file


def _scope(path: Path) -> Iterator[_File]:
    """The files in which the names of a file are looked up, in order; few are, beyond two."""
    yield _file(path)
    yield _first()
    yield from map(_file, _included(path))


@functools.cache
def _first() -> _File:
    """What every kernel includes first, so that other headers need not."""
    return _file(sources.kernel_dir() / "include" / "pycnn" / "kernel.cuh")


@functools.cache
def _included(path: Path) -> tuple[Path, ...]:
    return sources.closure(path)[1:]


def _find(path: Path, name: str) -> Path | None:
    """The file that defines a struct."""
    return next((file.path for file in _scope(path) if name in file.heads), None)


def _type(file: _File, at: int, name: str, values: dict[str, str]) -> Any:
    """The dtype of a member's type."""
    meant = _meaning(file, at, name)
    if meant in _NUMBERS:
        return _NUMBERS[meant]
    bare, *arguments = _WORD.findall(meant)
    definer = _find(file.path, bare)
    if definer is None:
        _fail(file, at, f"type {name!r}; understood: {', '.join(_NUMBERS)}, and structs")
    return _laid_out(definer, bare, tuple(_extent(file, at, a, values) for a in arguments))


def _extent(file: _File, at: int, name: str, values: dict[str, str]) -> int:
    """A number, or the value of a template parameter or constant."""
    value = values.get(name) or _meaning(file, at, name)
    if not _NUMBER.fullmatch(value):
        _fail(file, at, f"extent {name!r}; understood: numbers from 1 on, and constexpr int")
    return int(value)


def _meaning(file: _File, at: int, name: str) -> str:
    """What an alias or a constant stands for; any other name for itself."""
    if name in _NUMBERS or _NUMBER.fullmatch(name):
        return name
    meanings = next((f.meanings[name] for f in _scope(file.path) if name in f.meanings), {name})
    if len(meanings) > 1:
        _fail(file, at, f"{name!r} may be {' or '.join(sorted(meanings))}")
    return min(meanings)


def _statements(file: _File, begin: int) -> Iterator[tuple[int, str]]:
    """The members of a struct whose body begins there, each with its place; functions left out."""
    text = file.text
    words: list[str] = []
    start, depth = begin, 0
    for token in _TOKEN.finditer(text, begin):
        word = token[1]
        if word is None:  # a comment
            continue
        if not words and not depth:
            start = token.start()
        if word == "{":
            if not depth and ("__device__" not in words or "virtual" in words):
                _fail(file, start, f"{' '.join(words)!r} {{; understood: __device__ functions")
            depth += 1
        elif word == "}" and depth:
            depth -= 1
            words = []
        elif word == "}":
            if words:
                _fail(file, start, f"{' '.join(words)!r} before the end of the struct")
            if not text[token.end() :].lstrip().startswith(";"):
                _fail(file, token.start(), "no ';' behind the struct")
            return
        elif word == ";" and not depth:
            yield start, " ".join(words)
            words = []
        elif not depth:
            words.append(word)
    _fail(file, begin, "the struct does not end")


def _fail(file: _File, at: int, what: str) -> NoReturn:
    line = file.text.count("\n", 0, at) + 1
    raise ValueError(f"{file.path}:{line}: {what}")
