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
    offsets = [parameter.offset for parameter in parameters]
    fields = [_field(function.name, i, p) for i, p in enumerate(parameters)]

    def pack(arguments: Sequence[Any]) -> np.ndarray:
        if len(arguments) != len(fields):
            raise TypeError(
                f"{function.name} takes {len(fields)} arguments, {len(arguments)} were given"
            )
        storage = np.zeros(size + 64, np.uint8)
        start = -address_of(storage) % 64
        view = memoryview(storage)  # type: ignore[arg-type]
        for offset, field, argument in zip(offsets, fields, arguments, strict=True):
            data = field(argument)
            view[start + offset : start + offset + len(data)] = data
        return storage[start : start + size]

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

    is_address = size == 8 and not is_float and not parameter.is_array

    def field(argument: Any) -> bytes:
        if isinstance(argument, (np.ndarray, Pointer)):
            if not is_address:
                raise refuse(argument)
            at = argument.address if isinstance(argument, Pointer) else address_of(argument)
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


def address_of(array: np.ndarray) -> int:
    """Where an array lies in memory."""
    address: int = array.__array_interface__["data"][0]
    return address
