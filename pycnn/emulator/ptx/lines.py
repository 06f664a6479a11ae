"""Lines of LLVM's language."""

import struct
from collections.abc import Callable

from pycnn.emulator.ptx.syntax import Type


def llvm_type(type: Type) -> str:
    """How a value of a type is held: 16-bit floats as the integers they are made of."""
    if type.kind == "f" and type.bits > 16:
        return "float" if type.bits == 32 else "double"
    return f"i{type.bits}"


def float_constant(bits: int, width: int) -> str:
    """A floating-point constant as LLVM writes it: always the bits of a float64."""
    if width == 64:
        return f"0x{bits:016X}"
    sign, exponent, mantissa = bits >> 31, bits >> 23 & 255, bits & 0x7FFFFF
    if exponent == 255:
        return f"0x{sign << 63 | 0x7FF << 52 | mantissa << 29:016X}"
    value = struct.unpack("<f", struct.pack("<I", bits))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def float_value(text: str) -> float | None:
    """The number that a constant of `float_constant` is, if the text is one."""
    if not text.startswith("0x"):
        return None
    return float(struct.unpack("<d", struct.pack("<Q", int(text, 16)))[0])


class Lines:
    """The lines of one function, and what of LLVM and of `helpers` they use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.entry_lines: list[str] = []
        self.helpers: set[str] = set()
        self.intrinsics: set[str] = set()
        self._count = 0
        self._once: dict[str, str] = {}
        self.saturated: set[str] = set()  # values that are known to be from 0 to 1

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def new(self, prefix: str = "t") -> str:
        self._count += 1
        return f"%{prefix}{self._count}"

    def op(self, text: str) -> str:
        """A new value."""
        self._count += 1
        name = f"%t{self._count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def once(self, text: str) -> str:
        """A value that is the same throughout, made at the beginning of the function."""
        known = self._once.get(text)
        if known is None:
            known = self._once[text] = self.new("c")
            self.entry_lines.append(f"  {known} = {text}")
        return known

    def start_block(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def helper(self, name: str, result: str, *arguments: str) -> str:
        """A call of one of `helpers`."""
        self.helpers.add(name)
        return self.op(f"call {result} @{name}({', '.join(arguments)})")

    def intrinsic(self, name: str, result: str, *arguments: str) -> str:
        """A call of an intrinsic of LLVM."""
        types = ", ".join(a.split(" ", 1)[0] for a in arguments)
        self.intrinsics.add(f"declare {result} @{name}({types})")
        return self.op(f"call {result} @{name}({', '.join(arguments)})")

    def when(self, condition: str) -> Callable[[], None]:
        """Begin lines that run under a condition; the function returned ends them."""
        then, after = self.new("g")[1:], self.new("a")[1:]
        self.line(f"br i1 {condition}, label %{then}, label %{after}")
        self.start_block(then)

        def end() -> None:
            self.line(f"br label %{after}")
            self.start_block(after)

        return end
