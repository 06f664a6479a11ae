"""Arguments of a kernel from the command line: ``x=float32:64x64:random``, ``n=1024``."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.emulator.guarded import empty
from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.runtime.files import in_words, read_npy

SPECS = """\
arguments:
  float32:64x64        an array of zeros, of shape 64x64
  float32:4096:random  filled: zeros, ones, arange, random or random:SEED
                       (normal for floats, 0 to 99 for integers), or empty,
                       which the kernel must write before it reads it
  data.npy             an array from a file
  1024                 an integer, as wide as the kernel's parameter
  float32=0.5          a number of a type
  null                 no array
  x=..., n=...         any of these with a name, for --save and in the outcome
"""

_NAME = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ARRAY = re.compile(r"(\w+):([\dx]+)(?::(\w+)(?::(\d+))?)?", re.ASCII)
#: Bytes of one array at most: more is a slip of the hand.
_MOST = 1 << 36


@dataclass(frozen=True)
class Argument:
    """One argument and its name, empty if it has none."""

    name: str
    value: Any


def argument(text: str) -> Argument:
    """An argument from its specification.

    Raises
    ------
    ValueError
        If it is none, or its file cannot be read; says what is allowed.

    Examples
    --------
    >>> argument("x=int32:2x3:arange").value
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int32)
    >>> argument("float32=0.5")
    Argument(name='', value=np.float32(0.5))
    """
    try:
        named = _NAME.fullmatch(text)
        if named and _dtype(named[1]) is None:
            return Argument(named[1], _value(named[2]))
        return Argument("", _value(text))
    except OSError as error:
        raise ValueError(f"--arg {text}: {in_words(error)}") from error
    except (ValueError, MissingExtra) as error:
        raise ValueError(f"--arg {text}: {error}") from error


def _value(text: str) -> Any:
    array = _ARRAY.fullmatch(text)
    if array is not None:
        return _array(array[1], array[2], array[3] or "zeros", array[4])
    if text == "null":
        return None
    typed = _NAME.fullmatch(text)
    if typed is not None:
        return _number(_known(typed[1]), typed[2])
    if text.endswith(".npy"):
        return np.ascontiguousarray(read_npy(Path(text)))
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        float(text)
    except ValueError:
        allowed = "DTYPE:SHAPE[:FILL], FILE.npy, DTYPE=NUMBER, an integer, null"
        raise ValueError(f"allowed: {allowed}") from None
    raise ValueError(f"a number with a fraction needs its type: float32={text} or float64={text}")


def _array(dtype: str, shape: str, fill: str, seed: str | None) -> np.ndarray:
    type = _known(dtype)
    extents = [int(extent) for extent in shape.split("x") if extent]
    if shape.count("x") != len(extents) - 1:
        raise ValueError(f"shape {shape}; allowed: extents with x between them, 64x64")
    if prod(extents) * type.itemsize > _MOST:
        raise ValueError(f"it would have {prod(extents) * type.itemsize} bytes; allowed: {_MOST}")
    if fill not in _FILLS:
        raise ValueError(f"fill {fill}; allowed: {', '.join(_FILLS)}")
    if seed is not None and fill != "random":
        raise ValueError(f"{fill}:{seed}; allowed: a seed with random only")
    return _FILLS[fill](tuple(extents), type, int(seed or 0))


def _random(shape: tuple[int, ...], type: np.dtype, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if type.kind in "iu":
        return rng.integers(0, 100, shape).astype(type)
    if type.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(type)
    return rng.standard_normal(shape).astype(type)


_FILLS: dict[str, Callable[[tuple[int, ...], np.dtype, int], np.ndarray]] = {
    "zeros": lambda shape, type, _: np.zeros(shape, type),
    "ones": lambda shape, type, _: np.ones(shape, type),
    "arange": lambda shape, type, _: np.arange(prod(shape)).astype(type).reshape(shape),
    "empty": lambda shape, type, _: empty(shape, type),
    "random": _random,
}


def _number(type: np.dtype, text: str) -> Any:
    try:
        number = float(text) if type.kind in "fcV" else int(text, 0)
        with np.errstate(over="ignore"):
            return np.asarray(number).astype(type)[()] if type.kind in "fcV" else type.type(number)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no {type.name}") from error


def _known(name: str) -> np.dtype:
    type = _dtype(name)
    if type is None:
        raise ValueError(f"{name} is no type; allowed: float32, int64, uint8, bfloat16 ...")
    return type


def _dtype(name: str) -> np.dtype | None:
    """NumPy's type of that full name, such as float32; None if there is none."""
    if name == "bfloat16":
        return np.dtype(import_extra("ml_dtypes", "bf16", "bfloat16").bfloat16)
    if re.fullmatch(r"u?int(8|16|32|64)|float(16|32|64)|complex(64|128)|bool", name) is None:
        return None
    return np.dtype(name)
