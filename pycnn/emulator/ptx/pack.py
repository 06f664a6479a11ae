"""The arguments of a launch as the block of parameters that an entry reads.

PTX knows of a parameter its size and little more, so what is checked is that: numbers must fit
their bytes, structs must have them all.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycnn.emulator.guarded import Pointer
from pycnn.emulator.ptx.syntax import Function, Variable

Packer = Callable[[Sequence[Any]], np.ndarray]


def packer(function: Function) -> Packer:
    """What turns arguments of `function` into bytes."""
    parameters = function.parameters
    size = function.parameter_bytes
    fields = [_field(function.name, i, p) for i, p in enumerate(parameters)]

    def pack(arguments: Sequence[Any]) -> np.ndarray:
        if len(arguments) != len(fields):
            raise TypeError(
                f"{function.name} takes {len(fields)} arguments, {len(arguments)} were given"
            )
        storage = np.zeros(size + 64, np.uint8)
        start = -int(storage.__array_interface__["data"][0]) % 64
        block = storage[start : start + size]
        view = memoryview(block.data)
        for parameter, field, argument in zip(parameters, fields, arguments, strict=True):
            data = field(argument)
            view[parameter.offset : parameter.offset + len(data)] = data
        return block

    return pack


def _field(kernel: str, index: int, parameter: Variable) -> Callable[[Any], bytes]:
    size, is_float = parameter.size, parameter.type.kind == "f" and not parameter.is_array
    kind = f"{'struct' if parameter.is_array else '.' + parameter.type.name} of {size} bytes"

    def refuse(argument: Any) -> TypeError:
        return TypeError(
            f"{kernel}: argument {index} is a {type(argument).__name__}, the kernel takes a {kind}"
        )

    def integer(value: int) -> bytes:
        if not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
            raise ValueError(f"{kernel}: argument {index} is {value}, which does not fit a {kind}")
        return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def field(argument: Any) -> bytes:
        if isinstance(argument, (np.ndarray, Pointer)):
            if size != 8 or is_float or parameter.is_array:
                raise refuse(argument)
            at = argument.address if isinstance(argument, Pointer) else _address(argument)
            return at.to_bytes(8, "little")
        if argument is None:
            if size != 8 or is_float:
                raise refuse(argument)
            return bytes(8)
        if isinstance(argument, bool):
            if size != 1:
                raise refuse(argument)
            return bytes([argument])
        if isinstance(argument, int):
            if is_float or size > 8:
                raise refuse(argument)
            return integer(argument)
        if type(argument) is float:
            # CuPy passes a Python float as eight bytes; a float parameter would read half of them.
            if size != 8 or not (is_float or parameter.is_array):
                raise refuse(argument)
            return struct.pack("<d", argument)
        if isinstance(argument, np.generic) and argument.dtype.itemsize == size:
            if is_float and argument.dtype.kind in "iub":
                raise refuse(argument)
            if parameter.type.kind in ("u", "s") and argument.dtype.kind == "f" and size >= 4:
                raise refuse(argument)
            return argument.tobytes()
        raise refuse(argument)

    return field


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
