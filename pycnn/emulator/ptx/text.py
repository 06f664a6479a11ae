"""The text of a PTX module: places in it, names, and numbers as they are written."""

import bisect
import re
import struct
from typing import NoReturn

from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.syntax import Float, Type

NAME = r"[A-Za-z_$%][\w$]*"
INTEGER = re.compile(r"[-+]?\s*(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?")
DECIMAL = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?")
HEXADECIMAL = re.compile(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}")


class Source:
    """A text with its name, and messages about places in it."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self._newlines: list[int] | None = None

    def line(self, at: int) -> int:
        if self._newlines is None:
            self._newlines = [m.start() for m in re.finditer("\n", self.text)]
        return bisect.bisect_left(self._newlines, at) + 1

    def fail(self, at: int, message: str) -> NoReturn:
        raise self.error(at, message)

    def error(self, at: int, message: str) -> PtxError:
        return PtxError(message, name=self.name, line=self.line(at))

    def here(self, at: int) -> str:
        """What stands at a place, for a message."""
        rest = self.text[at : at + 200].strip()
        return repr(rest.split("\n", 1)[0][:60]) if rest else "the end of the text"


def integer(text: str) -> int:
    """A whole number as PTX writes it: a leading zero makes it octal."""
    digits = text.rstrip("U").replace(" ", "")
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    if digits[:1] == "0" and digits.isdigit():
        if not set(digits) <= set("01234567"):
            return sign * int(digits)
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def float_of(value: float) -> Float:
    return Float(int.from_bytes(struct.pack("<d", value), "little"), False)


def literal(text: str) -> Float:
    if text[:2].lower() == "0d" and len(text) == 18:
        return Float(int(text[2:], 16), False)
    if text[:2].lower() == "0f" and len(text) == 10:
        return Float(int(text[2:], 16), True)
    return float_of(float(text))


def literal_bits(literal: Float, type: Type) -> int:
    """A literal as the bits of a type: exact between like types, else converted."""
    if literal.single == (type.bits == 32) and type.bits in (32, 64):
        return literal.bits
    if literal.single:
        value = struct.unpack("<f", struct.pack("<I", literal.bits))[0]
    else:
        value = struct.unpack("<d", struct.pack("<Q", literal.bits))[0]
    form = {16: "<e", 32: "<f", 64: "<d"}[type.bits]
    try:
        data = struct.pack(form, value)
    except OverflowError:
        data = struct.pack(form, float("inf") if value > 0 else float("-inf"))
    return int.from_bytes(data, "little")
