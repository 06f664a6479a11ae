"""NumPy arrays out of a pickle file that is not trusted."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np


class PickleRefused(ValueError):
    """A pickle is damaged, or holds something other than arrays of numbers."""


def read_arrays(path: Path | str) -> Any:
    """Arrays of numbers from a pickle file, in the lists and dictionaries that hold them.

    A pickle names functions and classes, which are called as it is read. Here the three names in a
    pickled array stand for code of this module, and whatever else is named is refused before it
    is imported.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    object
        As it was pickled; the arrays are read-only.

    Raises
    ------
    PickleRefused
        If the file names anything else, or is damaged.
    OSError
        If it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return _unwrapped(_ArraysOnly(file).load())
        except PickleRefused as error:
            raise PickleRefused(f"{path}: {error}") from None
        except Exception as error:  # a damaged pickle can raise nearly anything
            raise PickleRefused(f"{path}: damaged, {type(error).__name__}: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise PickleRefused(f"holds {module}.{name}; allowed are NumPy arrays only")
        return _KNOWN[module, name]


class _Dtype:
    """Stands for ``numpy.dtype``, of numbers only."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype:
        found = np.dtype(self.order + self.code)
        if found.kind not in "biuf":
            raise PickleRefused(f"holds an array of dtype {found}; allowed are numbers")
        return found


class _Array:
    """Stands for ``numpy.ndarray``: empty at first, then filled by its state."""

    value = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, by_columns, data = state
        flat = np.frombuffer(data, dtype.dtype())
        self.value = flat.reshape(shape, order="F" if by_columns else "C")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    """What a pickled array begins with; shape and contents follow."""
    return _Array()


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # written by NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # written by NumPy 2
}


def _unwrapped(found: Any) -> Any:
    """With arrays in the places of their stand-ins."""
    if isinstance(found, _Array):
        return found.value
    if isinstance(found, dict):
        return {key: _unwrapped(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_unwrapped(value) for value in found)
    return found
