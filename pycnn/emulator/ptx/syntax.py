"""The typed form of a PTX module: what the parser makes and the code generator reads."""

import functools
import re
from dataclasses import dataclass, field
from typing import NamedTuple


class Type(NamedTuple):
    """A fundamental type: kind (``b``, ``u``, ``s``, ``f``, ``bf``, ``pred``) and width in bits."""

    name: str
    kind: str
    bits: int

    @property
    def bytes(self) -> int:
        return (self.bits + 7) // 8


def _types() -> dict[str, Type]:
    table = {}
    for kind, widths in {
        "b": (8, 16, 32, 64, 128),
        "u": (8, 16, 32, 64),
        "s": (8, 16, 32, 64),
        "f": (16, 32, 64),
    }.items():
        for bits in widths:
            table[f"{kind}{bits}"] = Type(f"{kind}{bits}", kind, bits)
    table["pred"] = Type("pred", "pred", 1)
    table["bf16"] = Type("bf16", "bf", 16)
    for name in ("f16x2", "bf16x2", "u16x2", "s16x2", "tf32"):
        table[name] = Type(name, "b", 32)
    for name in ("e4m3x2", "e5m2x2", "e3m2x2", "e2m3x2", "ue8m0x2"):
        table[name] = Type(name, "b", 16)
    table["e2m1x2"] = Type("e2m1x2", "b", 8)
    return table


TYPES = _types()


@dataclass(eq=False, slots=True)
class Register:
    """A register of one function. Two of one name in different scopes are two objects."""

    name: str
    type: Type
    index: int  # among the registers of the function


@dataclass(eq=False, slots=True)
class Variable:
    """A variable in memory; of a function's parameters the offset within the block of them."""

    name: str
    space: str  # param, shared, local, const, global
    type: Type
    align: int
    size: int  # bytes; 0 where `extern`, its extent is known at the launch
    line: int
    extern: bool = False
    is_array: bool = False
    data: bytes = b""
    #: Addresses within the initial value: (offset, bytes, name, addend).
    relocations: tuple[tuple[int, int, str, int], ...] = ()
    offset: int = 0
    pointer: bool = False  # a parameter declared `.ptr`


class Symbol(NamedTuple):
    """A name that is no register: a variable, a label, a function or a special register.

    `variable` is what the function itself declares by that name.
    """

    name: str
    addend: int = 0
    variable: Variable | None = None


class Integer(NamedTuple):
    value: int


class Float(NamedTuple):
    """A floating-point literal, kept as the bits of its float64."""

    bits: int
    single: bool  # written as 0fXXXXXXXX


class Negated(NamedTuple):
    """``!%p``: the opposite of a predicate."""

    of: "Operand"


class Address(NamedTuple):
    """``[base + offset]``, with coordinates where the instruction has some."""

    base: "Register | Symbol | None"
    offset: int
    more: "tuple[Operand, ...]" = ()


class Vector(NamedTuple):
    items: "tuple[Operand, ...]"


class Pair(NamedTuple):
    """``d|p``: two destinations."""

    first: "Operand"
    second: "Operand"


class Arguments(NamedTuple):
    """``(a, b)`` of a call."""

    items: "tuple[Operand, ...]"


class Sink(NamedTuple):
    """``_``: a destination that is not wanted."""


Operand = Register | Symbol | Integer | Float | Negated | Address | Vector | Pair | Arguments | Sink


class Place(NamedTuple):
    """A `.loc`: file and line, and where the function it belongs to was inlined, if it was."""

    file: int
    line: int
    column: int
    function: str
    inlined_at: "Place | None"


@dataclass(eq=False, slots=True)
class Instruction:
    """One instruction. `number` counts those of the module and stands for it in reports."""

    opcode: str
    operands: tuple[Operand, ...]
    guard: Register | None
    guard_negated: bool
    line: int
    place: Place | None
    number: int = 0


class Label(NamedTuple):
    name: str
    line: int


Statement = Instruction | Label


@dataclass(eq=False)
class Body:
    """What is between the braces of a function."""

    registers: list[Register] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    targets: dict[str, tuple[str, ...]] = field(default_factory=dict)  # .branchtargets
    prototypes: dict[str, str] = field(default_factory=dict)  # .callprototype


@dataclass(eq=False)
class Function:
    """An entry or a `.func`; its body is parsed when it is asked for."""

    name: str
    is_entry: bool
    parameters: list[Variable]
    results: list[Variable]
    line: int
    begin: int  # of the body in the module's text; -1 for a prototype
    end: int
    noreturn: bool = False
    max_threads: tuple[int, int, int] | None = None  # .maxntid
    required_threads: tuple[int, int, int] | None = None  # .reqntid
    required_cluster: tuple[int, int, int] | None = None  # .reqnctapercluster

    @property
    def parameter_bytes(self) -> int:
        return max((p.offset + p.size for p in self.parameters), default=0)


@dataclass(eq=False)
class Module:
    """A PTX text, read as far as its declarations."""

    name: str
    text: str  # without comments, lines kept
    version: tuple[int, int] = (0, 0)
    target: str = ""
    address_size: int = 64
    files: dict[int, str] = field(default_factory=dict)
    strings: dict[str, str] = field(default_factory=dict)  # names of inlined functions
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)

    @functools.cached_property
    def calls_may_exit(self) -> bool:
        """Whether a function, not only an entry, has an ``exit``: it then ends its thread."""
        return any(
            re.search(r"\bexit\s*;", self.text[f.begin : f.end]) is not None
            for f in self.functions.values()
            if not f.is_entry and f.begin >= 0
        )
