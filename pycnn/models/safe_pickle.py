"""NumPy arrays out of a pickle file that is not trusted.

A pickle is a program for a machine with a stack, which may call any function that it names. The
machine here knows only what arrays of numbers are made of, in lists, tuples and dictionaries:
nothing is imported or called, whatever the file says.
"""

import io
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.runtime.text import printable

#: Far more than the arrays of any network take: a few instructions an array.
MOST_INSTRUCTIONS = 1_000_000
#: Lists within lists.
DEEPEST = 50

_NUMBERS = re.compile(r"b1|[iu][1248]|f(?:2|4|8|16)")
_ORDERS = ("<", ">", "=", "|")

_MARK = object()
_RECONSTRUCT, _NDARRAY, _DTYPE = object(), object(), object()

#: The three names in a pickled array, and what stands for them.
_KNOWN = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,  # written by NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # written by NumPy 2
}


class PickleRefused(ValueError):
    """A pickle is damaged, or holds something other than arrays of numbers."""


def read_arrays(path: Path | str) -> Any:
    """Arrays of numbers from a pickle file, in the lists and dictionaries that hold them.

    What is in several places there is one array, but a list or dictionary for each of them.

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
        If the file names anything else, is damaged, or holds far more than arrays need.
    OSError
        If it cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        return _unwrapped(_Machine().run(data), [len(data)], DEEPEST)
    except PickleRefused as error:
        raise PickleRefused(printable(f"{path}: {error}")) from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        damage = f"{path}: damaged, {type(error).__name__}: {error}"
        raise PickleRefused(printable(damage)) from error


class _Dtype:
    """Stands for ``numpy.dtype``, of numbers only."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def build(self, state: Any) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype:
        if not _NUMBERS.fullmatch(self.code) or self.order not in _ORDERS:
            raise PickleRefused(
                f"holds an array of dtype {self.order}{self.code}; allowed are numbers"
            )
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for an array, which its state fills."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        _version, shape, dtype, by_columns, data = state
        flat = np.frombuffer(data, dtype.dtype())
        self.value = flat.reshape(shape, order="F" if by_columns else "C")


class _Machine:
    """The stack, the memo, and the instructions that arrays are made of."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        instructions = pickletools.genops(io.BytesIO(data))
        for number, (instruction, argument, _) in enumerate(instructions):
            if number >= MOST_INSTRUCTIONS:
                raise PickleRefused(f"has over {MOST_INSTRUCTIONS} instructions")
            name = instruction.name
            if name == "STOP":
                break
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _LITERALS:
                self.stack.append(argument)
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise PickleRefused(f"holds {name}; allowed are NumPy arrays only")
        (result,) = self.stack
        return result

    def pop(self, kind: type | tuple[type, ...] = object) -> Any:
        item = self.stack.pop()
        if item is _MARK or not isinstance(item, kind):
            raise ValueError("instructions do not go together")
        return item

    def above_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def named(self, module: str, name: str) -> None:
        if (module, name) not in _KNOWN:
            raise PickleRefused(f"holds {module}.{name}; allowed are NumPy arrays only")
        self.stack.append(_KNOWN[module, name])

    def call(self, _: Any) -> None:
        arguments, function = self.pop(tuple), self.pop()
        if function is _DTYPE and isinstance(arguments[0], str):
            self.stack.append(_Dtype(arguments[0]))
        elif function is _RECONSTRUCT and arguments[0] is _NDARRAY:
            self.stack.append(_Array())
        else:
            raise PickleRefused("calls something; allowed are NumPy arrays only")

    def build(self, _: Any) -> None:
        state = self.pop(tuple)
        target = self.stack[-1]
        if not isinstance(target, _Array | _Dtype):
            raise PickleRefused("changes something; allowed are NumPy arrays only")
        target.build(state)

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def dict_above_mark(self, _: Any) -> None:
        items = self.above_mark()
        self.stack.append({})
        self.update(items)

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("instructions do not go together")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        names, values = items[::2], items[1::2]
        # Only names: numbers can be chosen so that a dictionary of them takes forever.
        if not all(isinstance(name, str) for name in names) or not isinstance(self.stack[-1], dict):
            raise PickleRefused("holds a dictionary without names; allowed are NumPy arrays only")
        self.stack[-1].update(zip(names, values, strict=True))


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "MARK": lambda: _MARK,
}  # fmt: skip

_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip

_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "GLOBAL": lambda machine, both: machine.named(*both.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.named(*[machine.pop(str), machine.pop(str)][::-1]),
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.above_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.above_mark()),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.above_mark()),
    "DICT": _Machine.dict_above_mark,
    "SETITEM": lambda machine, _: machine.update([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.update(machine.above_mark()),
}  # fmt: skip


def _unwrapped(node: Any, left: list[int], deep: int) -> Any:
    """With arrays in the places of their stand-ins.

    What is in several places is built in each: as many as the file has bytes, a bomb has more.
    """
    left[0] -= 1
    if left[0] < 0 or deep < 0:
        raise PickleRefused(f"holds more than its size, or lists nested over {DEEPEST} deep")
    if isinstance(node, _Array):
        if node.value is None:
            raise ValueError("an array has no contents")
        return node.value
    if isinstance(node, dict):
        return {name: _unwrapped(value, left, deep - 1) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_unwrapped(value, left, deep - 1) for value in node)
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise PickleRefused(f"holds {type(node).__name__}; allowed are NumPy arrays only")
