"""What a kernel's pointers point to, as its source has it; and a warning where an array does not
fit."""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
#: Words of a parameter that are no part of the type pointed to.
_QUALIFIERS = {"const", "volatile", "restrict", "__restrict__", "__restrict", "struct"}
_TYPES = {
    "float": "f4", "double": "f8", "half": "f2", "__half": "f2", "float16": "f2",
    "int": "i4", "unsigned": "u4", "short": "i2", "unsigned short": "u2",
    "long long": "i8", "unsigned long long": "u8", "long": "i8", "unsigned long": "u8",
    **{f"int{n}_t": f"i{n // 8}" for n in (16, 32, 64)},
    **{f"uint{n}_t": f"u{n // 8}" for n in (16, 32, 64)},
    **{f"float{n}": "f4" for n in (2, 3, 4)}, **{f"double{n}": "f8" for n in (2, 3, 4)},
    **{f"int{n}": "i4" for n in (2, 3, 4)}, **{f"uint{n}": "u4" for n in (2, 3, 4)},
    "complex<float>": "c8", "complex<double>": "c16", "cuFloatComplex": "c8",
    "cuComplex": "c8", "cuDoubleComplex": "c16",
}  # fmt: skip


def pointees(source: str, name: str) -> list[np.dtype | None]:
    """For each parameter of a kernel, the type that it points to; None where that is not plain.

    Only what the text says is known: no macros, type parameters or names for types. Bytes and
    ``void`` fit everything and are None.

    Examples
    --------
    >>> pointees('__global__ void k(const float* x, int n, half2* y, unsigned char* z) {}', "k")
    [dtype('float32'), None, None, None]
    """
    text = _COMMENT.sub(" ", source)
    if "<" in name:
        return []  # an instantiation: its types are parameters
    definition = rf"\b{re.escape(name)}\s*\(([^(){{}};]*)\)\s*\{{"
    declarations = [
        m[1]
        for m in re.finditer(definition, text)
        if "__global__" in text[max(0, m.start() - 200) : m.start()].rpartition("}")[2]
    ]
    if len(declarations) != 1:
        return []
    return [_pointee(parameter) for parameter in _split(declarations[0])]


def _split(parameters: str) -> list[str]:
    """Between the commas that are not in template arguments."""
    return re.split(r",(?![^<]*>)", parameters)


def _pointee(parameter: str) -> np.dtype | None:
    type, star, _ = parameter.partition("*")
    if not star or parameter.count("*") > 1:
        return None
    words = [
        word for word in re.sub(r"\s*([<>])\s*", r"\1", type).split() if word not in _QUALIFIERS
    ]
    if len(words) > 1 and words[-1] == "int":
        words.pop()  # unsigned int, long long int
    known = _TYPES.get(" ".join(words).rpartition("::")[2])
    return np.dtype(known) if known else None


class ArgumentWarning(UserWarning):
    """An array among a kernel's arguments does not fit the pointer that it is passed for."""


def warn_of(kernel: str, arguments: Sequence[Any], wanted: Sequence[np.dtype | None]) -> bool:
    """Warn of the first array that does not fit; whether there was one."""
    for i, (argument, type) in enumerate(zip(arguments, wanted, strict=False)):
        if type is None or not isinstance(argument, np.ndarray):
            continue
        fits = _fits(argument.dtype, type)
        if fits and not any(stride % type.itemsize for stride in argument.strides):
            continue
        strides = f" with strides {argument.strides} in bytes" if fits else ""
        warnings.warn(
            f"kernel {kernel}: argument {i} is {argument.dtype}{list(argument.shape)}{strides}, "
            f"where the kernel has a pointer to {type.name}",
            ArgumentWarning, stacklevel=3,
        )  # fmt: skip
        return True
    return False


def _fits(own: np.dtype, wanted: np.dtype) -> bool:
    """Whether an array's type is the pointer's, or the same bytes by another name."""
    if own == wanted or own.kind == "V":  # structs, and types that NumPy lacks
        return True
    if {own.kind, wanted.kind} == {"f", "c"}:  # a complex number is two others
        return 2 * min(own.itemsize, wanted.itemsize) == max(own.itemsize, wanted.itemsize)
    return own.itemsize == wanted.itemsize and {own.kind, wanted.kind} == {"i", "u"}
