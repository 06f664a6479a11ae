"""PTX text to its typed form.

A module's declarations are read at once, the body of a function only when it is asked for: of a
file with twenty entries one is launched.
"""

import bisect
import re
import struct
from collections.abc import Iterator
from typing import NoReturn

from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.syntax import (
    TYPES,
    Address,
    Arguments,
    Body,
    Float,
    Function,
    Instruction,
    Integer,
    Label,
    Module,
    Negated,
    Operand,
    Pair,
    Place,
    Register,
    Sink,
    Symbol,
    Type,
    Variable,
    Vector,
)

#: Registers of one function and bytes of one variable beyond which a text is taken as damaged.
MOST_REGISTERS = 1 << 20
MOST_BYTES = 1 << 30

_NAME = r"[A-Za-z_$%][\w$]*"
_COMMENT = re.compile(r'"[^"\n]*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_SPACE = re.compile(r"\s*")
_BRACE = re.compile(r'[{}]|"[^"\n]*"')

# ---- Declarations of a module -------------------------------------------------------------------

_LINKAGE = r"((?:\.(?:extern|visible|weak|common)\s+)*)"
_HEAD = re.compile(
    rf"""
      \.version\s+(?P<major>\d+)\.(?P<minor>\d+)
    | \.target\s+(?P<target>[\w]+(?:\s*,\s*\w+)*)
    | \.address_size\s+(?P<address_size>\d+)
    | \.file\s+(?P<file>\d+)\s+"(?P<path>[^"\n]*)"(?:\s*,\s*\d+\s*,\s*\d+)?
    | \.section\s+(?P<section>[\w.]+)\s*(?=\{{)
    | \.pragma\s+"[^"\n]*"\s*;
    | \.loc\s[^\n]*
    | {_LINKAGE}\.(?P<function>entry|func)\b
    | (?P<linkage>{_LINKAGE})\.(?P<space>global|const|shared)\b
    """,
    re.VERBOSE,
)
_FUNCTION = re.compile(
    rf"""\s*(?P<noreturn>\.noreturn\s+)?(?:\((?P<results>[^()]*)\)\s*)?
    (?P<name>{_NAME})\s*(?:\((?P<parameters>[^()]*)\))?\s*(?P<attributes>[^;{{]*)(?P<end>[;{{])""",
    re.VERBOSE,
)
_SHAPE = re.compile(r"\.(maxntid|reqntid)\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?")
_VARIABLE = re.compile(
    rf"""\s*(?P<attributes>(?:\.(?:align\s+\d+|attribute\s*\([^)]*\)|ptr|global|shared|const|local|
    managed|unified)\s+)*)
    (?:\.(?P<vector>v2|v4)\s+)?\.(?P<type>\w+)\s+
    (?P<attributes2>(?:\.(?:align\s+\d+|ptr|global|shared|const|local)\s+)*)
    (?P<name>{_NAME})\s*(?P<extents>(?:\[[^\]]*\]\s*)*)(?P<value>=[^;]*)?""",
    re.VERBOSE,
)
_ALIGN = re.compile(r"\.align\s+(\d+)")
_STRING_LABEL = re.compile(rf"({_NAME})\s*:((?:\s*\.b8[^:$]*)*)")

# ---- Statements of a body -----------------------------------------------------------------------

_STATEMENT = re.compile(
    rf"""
      (?P<brace>[{{}}])
    | \.loc\s+(?P<loc>[^\n;]*);?
    | (?P<label>{_NAME})\s*:(?!:)
    | \.reg\s+(?:\.(?P<reg_vector>v2|v4)\s+)?\.(?P<reg_type>\w+)\s+(?P<regs>[^;]*);
    | \.(?P<space>param|shared|local|const|global)\b(?P<variable>[^;]*);
    | \.pragma\s+"[^"\n]*"\s*;
    | \.(?P<table>branchtargets|calltargets|callprototype)\b(?P<entries>[^;]*);
    | (?:@\s*(?P<not>!?)\s*(?P<guard>{_NAME})\s+)?
      (?P<opcode>[a-z]\w*(?:(?:\.|::)\w+)*)(?P<operands>[^;{{}}]*(?:\{{[^;{{}}]*\}}[^;{{}}]*)*);
    """,
    re.VERBOSE,
)
_LOC = re.compile(
    rf"(\d+)\s+(\d+)\s+(\d+)"
    rf"(?:\s*,\s*function_name\s+({_NAME})(?:\s*\+\s*\d+)?\s*,\s*inlined_at\s+(\d+)\s+(\d+)\s+(\d+))?"
)
_REGS = re.compile(rf"({_NAME})\s*(?:<\s*(\d+)\s*>)?")
_FAMILY = re.compile(r"(.*?)(0|[1-9]\d*)")
_INTEGER = re.compile(r"[-+]?\s*(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?")
_DECIMAL = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?")
_SUM = re.compile(r"(.*?[\w$\]])\s*([-+])\s*(\d\w*|-\d\w*)")
_WORD = re.compile(rf"{_NAME}(?:\.[xyzwrgba])?")


def parse(text: str, name: str = "kernel.ptx") -> Module:
    """Read the declarations of a PTX text.

    Parameters
    ----------
    text : str
        The PTX.
    name : str
        What messages call it.

    Raises
    ------
    PtxError
        If it is malformed; names the line.

    Examples
    --------
    >>> parse('''.version 8.0
    ... .target sm_80
    ... .address_size 64
    ... .visible .entry nothing() { ret; }''').target
    'sm_80'
    """
    return _ModuleParser(text, name).parse()


class _Source:
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


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else "\n" * m[0].count("\n") or " ", text)


class _ModuleParser(_Source):
    def __init__(self, text: str, name: str) -> None:
        super().__init__(_without_comments(text), name)
        self.module = Module(name, self.text)

    def parse(self) -> Module:
        text, module = self.text, self.module
        at = self._skip(0)
        while at < len(text):
            head = _HEAD.match(text, at)
            if head is None:
                self.fail(at, f"{self.here(at)} is no declaration of PTX")
            if not module.version[0] and head["major"] is None:
                self.fail(at, "a PTX text begins with .version")
            at = self._skip(self._declaration(head))
        if not module.version[0]:
            self.fail(0, "the text is empty; a PTX text begins with .version")
        if not module.target:
            self.fail(0, "the text has no .target")
        if module.address_size != 64:
            self.fail(0, f".address_size {module.address_size}; allowed: 64")
        return module

    def _skip(self, at: int) -> int:
        return _SPACE.match(self.text, at).end()  # type: ignore[union-attr]

    def _declaration(self, head: re.Match[str]) -> int:
        """Take in one declaration; returns where it ends."""
        module = self.module
        if head["major"]:
            module.version = int(head["major"]), int(head["minor"])
        elif head["target"]:
            module.target = head["target"].split(",")[0]
        elif head["address_size"]:
            module.address_size = int(head["address_size"])
        elif head["file"]:
            module.files[int(head["file"])] = head["path"]
        elif head["section"]:
            return self._section(head)
        elif head["function"]:
            return self._function(head)
        elif head["space"]:
            return self._variable(head)
        return head.end()

    def _section(self, head: re.Match[str]) -> int:
        end = self._closing(head.end())
        if head["section"] == ".debug_str":
            for label, data in _STRING_LABEL.findall(self.text[head.end() + 1 : end]):
                numbers = bytes(
                    int(n) & 255 for n in re.findall(r"\b\d+\b", data.replace(".b8", ""))
                )
                self.module.strings[label] = numbers.split(b"\0")[0].decode(errors="replace")
        return end + 1

    def _closing(self, opening: int) -> int:
        """Where the brace that opens there closes."""
        depth = 0
        for brace in _BRACE.finditer(self.text, opening):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                return brace.start()
        raise self.error(opening, "the brace that opens here is never closed")

    def _function(self, head: re.Match[str]) -> int:
        found = _FUNCTION.match(self.text, head.end())
        if found is None:
            self.fail(head.start(), f"malformed .{head['function']}: {self.here(head.start())}")
        begin = end = -1
        after = found.end()
        if found["end"] == "{":
            begin = found.end()
            end = self._closing(begin - 1)
            after = end + 1
        function = Function(
            name=found["name"],
            is_entry=head["function"] == "entry",
            parameters=self._parameters(found, "parameters"),
            results=self._parameters(found, "results"),
            line=self.line(head.start()),
            begin=begin,
            end=end,
            noreturn=".noreturn" in (found["noreturn"] or "") + found["attributes"],
        )
        for kind, *extents in _SHAPE.findall(found["attributes"]):
            x, y, z = (int(e or 1) for e in extents)
            if kind == "maxntid":
                function.max_threads = x, y, z
            else:
                function.required_threads = x, y, z
        known = self.module.functions.get(function.name)
        if known is not None and known.begin >= 0 and begin >= 0:
            self.fail(head.start(), f"{function.name} is defined again")
        if known is None or begin >= 0:
            self.module.functions[function.name] = function
        return after

    def _parameters(self, found: re.Match[str], group: str) -> list[Variable]:
        text = found[group]
        if not text or not text.strip():
            return []
        made: list[Variable] = []
        end = 0
        at = found.start(group)
        for part in text.split(","):
            space = re.match(r"\s*\.(param|reg)\b", part)
            if space is None:
                self.fail(at, f"{part.strip()!r} is no parameter")
            variable = variable_of(self, at + space.end(), part[space.end() :], space[1])
            variable.offset = end = -(-end // variable.align) * variable.align
            end += variable.size
            made.append(variable)
            at += len(part) + 1
        return made

    def _variable(self, head: re.Match[str]) -> int:
        end = self.text.find(";", head.end())
        if end < 0:
            self.fail(head.start(), f"no ';' behind {self.here(head.start())}")
        variable = variable_of(self, head.end(), self.text[head.end() : end], head["space"])
        variable.extern = "extern" in head["linkage"]
        known = self.module.variables.get(variable.name)
        if known is not None and not (known.extern or variable.extern):
            self.fail(head.start(), f"{variable.name} is defined again")
        if known is None or known.extern:
            self.module.variables[variable.name] = variable
        return end + 1


def variable_of(source: _Source, at: int, text: str, space: str) -> Variable:
    """A variable from its declaration, behind the state space."""
    found = _VARIABLE.fullmatch(text.rstrip())
    if found is None:
        source.fail(at, f"malformed declaration of a .{space} variable: {text.strip()[:60]!r}")
    type = _type(source, at, found["type"])
    count = int(found["vector"][1]) if found["vector"] else 1
    element = type.bytes * count
    attributes = found["attributes"] + found["attributes2"]
    aligned = None if ".ptr" in attributes else _ALIGN.search(attributes)
    align = int(aligned[1]) if aligned else element
    if align & (align - 1) or not 1 <= align <= 4096:
        source.fail(at, f".align {align}; allowed: powers of two up to 4096")
    extents = re.findall(r"\[\s*(\d*)\s*\]", found["extents"])
    size = element
    for extent in extents:
        size *= int(extent) if extent else 0
    if size > MOST_BYTES:
        source.fail(at, f"{found['name']} has {size} bytes; allowed: {MOST_BYTES}")
    variable = Variable(
        found["name"], space, type, align, size, source.line(at),
        is_array=bool(extents), pointer=".ptr" in attributes,
    )  # fmt: skip
    if found["value"]:
        _initialise(source, at, variable, found["value"][1:].strip())
    return variable


def _type(source: _Source, at: int, name: str) -> Type:
    if name not in TYPES:
        source.fail(at, f"type .{name} is not known")
    return TYPES[name]


_VALUE = re.compile(
    rf"\s*(?:(?P<float>0[fF][0-9a-fA-F]{{8}}|0[dD][0-9a-fA-F]{{16}}|{_DECIMAL.pattern})"
    rf"|(?P<integer>{_INTEGER.pattern})"
    rf"|(?P<mask>0[xX][0-9a-fA-F]+)?(?P<generic>generic\s*\()?\s*(?P<name>{_NAME})\s*\)?"
    rf"(?:\s*(?P<addend>[-+]\s*\d+))?)\s*"
)


def _initialise(source: _Source, at: int, variable: Variable, text: str) -> None:
    """The bytes of an initial value, whose braces do not matter: values are in row order."""
    flat = text.replace("{", " ").replace("}", " ").strip()
    values = [v for v in flat.split(",") if v.strip()] if flat else []
    type, width = variable.type, variable.type.bytes
    if variable.is_array and variable.size == 0:
        variable.size = width * len(values)
    data = bytearray()
    relocations = []
    for value in values:
        found = _VALUE.fullmatch(value)
        if found is None:
            source.fail(at, f"{value.strip()[:40]!r} is no initial value")
        if found["float"]:
            literal = _literal(found["float"])
            bits = _float_bits(literal, type)
        elif found["integer"]:
            integer = _integer(found["integer"])
            bits = _float_bits(_float(float(integer)), type) if type.kind == "f" else integer
        else:
            addend = int((found["addend"] or "0").replace(" ", ""))
            relocations.append((len(data), width, found["name"], addend))
            bits = 0
        data += (bits & ((1 << type.bits) - 1)).to_bytes(width, "little")
    if len(data) > variable.size:
        source.fail(at, f"{variable.name} has {variable.size} bytes, its initial value {len(data)}")
    variable.data = bytes(data)
    variable.relocations = tuple(relocations)


def _integer(text: str) -> int:
    """A whole number as PTX writes it: a leading zero makes it octal."""
    digits = text.rstrip("U").replace(" ", "")
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    if digits[:1] == "0" and digits.isdigit():
        if not set(digits) <= set("01234567"):
            return sign * int(digits)
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _float(value: float) -> Float:
    return Float(int.from_bytes(struct.pack("<d", value), "little"), False)


def _literal(text: str) -> Float:
    if text[:2].lower() == "0d" and len(text) == 18:
        return Float(int(text[2:], 16), False)
    if text[:2].lower() == "0f" and len(text) == 10:
        return Float(int(text[2:], 16), True)
    return _float(float(text))


def _float_bits(literal: Float, type: Type) -> int:
    """A literal as the bits of a type: exact between like types, else converted."""
    if literal.single == (type.bits == 32) and type.bits in (32, 64):
        return literal.bits
    if literal.single:
        value = struct.unpack("<f", literal.bits.to_bytes(4, "little"))[0]
    else:
        value = struct.unpack("<d", literal.bits.to_bytes(8, "little"))[0]
    form = {16: "<e", 32: "<f", 64: "<d"}[type.bits]
    return int.from_bytes(struct.pack(form, value), "little")


# ---- Bodies -------------------------------------------------------------------------------------


class _Scope:
    """Names between two braces, and the operands that were read with them."""

    def __init__(self, outer: "_Scope | None") -> None:
        self.outer = outer
        self.names: dict[str, Register | Variable] = {}
        self.families: dict[str, tuple[int, Type]] = {}
        self.operands: dict[str, tuple[Operand, ...]] = {} if outer is None else outer.operands

    def declared(self) -> None:
        """From here on what was read outside need not hold."""
        self.operands = {}


def body(module: Module, function: Function) -> Body:
    """Parse the body of a function of `module`.

    Raises
    ------
    PtxError
        If it is malformed; names the line.
    """
    return _BodyParser(module, function).parse()


class _BodyParser(_Source):
    def __init__(self, module: Module, function: Function) -> None:
        super().__init__(module.text, module.name)
        self.module, self.function = module, function
        self.body = Body()
        self.scope = _Scope(None)
        self.places: dict[tuple[int, int, int], Place] = {}
        self.place: Place | None = None
        self.labels: set[str] = set()
        for parameter in (*function.parameters, *function.results):
            if parameter.space == "reg":
                self._register(parameter.name, parameter.type)
            else:
                self.scope.names[parameter.name] = parameter

    def parse(self) -> Body:
        at, end = self.function.begin, self.function.end
        text, depth = self.text, 0
        while True:
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if at >= end:
                break
            found = _STATEMENT.match(text, at, end)
            if found is None:
                self.fail(at, f"{self.here(at)} is no statement of PTX")
            kind = found.lastgroup
            if kind == "operands":
                self._instruction(found)
            elif kind == "loc":
                self._loc(found)
            elif kind == "label":
                if found["label"] in self.labels:
                    self.fail(at, f"label {found['label']} is defined again")
                self.labels.add(found["label"])
                self.body.statements.append(Label(found["label"], self.line(at)))
            elif kind == "brace" and found["brace"] == "{":
                self.scope = _Scope(self.scope)
                depth += 1
            elif kind == "brace":
                assert self.scope.outer is not None
                self.scope = self.scope.outer
                depth -= 1
            elif kind == "regs":
                self._registers(found)
            elif kind == "variable":
                self.scope.declared()
                variable = variable_of(self, at, found["variable"], found["space"])
                self.scope.names[variable.name] = variable
                self.body.variables.append(variable)
            elif kind == "entries":
                self._table(at, found)
            at = found.end()
        return self.body

    def _registers(self, found: re.Match[str]) -> None:
        at = found.start()
        type = _type(self, at, found["reg_type"])
        if found["reg_vector"]:
            self.fail(at, f".reg .{found['reg_vector']}: vector registers are not there")
        self.scope.declared()
        for part in found["regs"].split(","):
            register = _REGS.fullmatch(part.strip())
            if register is None:
                self.fail(at, f"{part.strip()[:40]!r} is no register")
            if register[2] is None:
                self._register(register[1], type)
            elif int(register[2]) > MOST_REGISTERS:
                self.fail(at, f"{register[2]} registers {register[1]}; allowed: {MOST_REGISTERS}")
            else:
                self.scope.families[register[1]] = int(register[2]), type

    def _register(self, name: str, type: Type) -> Register:
        register = Register(name, type, len(self.body.registers))
        self.body.registers.append(register)
        self.scope.names[name] = register
        return register

    def _table(self, at: int, found: re.Match[str]) -> None:
        last = self.body.statements[-1] if self.body.statements else None
        if not isinstance(last, Label):
            self.fail(at, f".{found['table']} needs a label before it")
        if found["table"] == "callprototype":
            self.body.prototypes[last.name] = found["entries"].strip()
        else:
            names = tuple(n.strip() for n in found["entries"].split(","))
            self.body.targets[last.name] = names

    def _loc(self, found: re.Match[str]) -> None:
        loc = _LOC.match(found["loc"])
        if loc is None:
            self.fail(found.start(), f"malformed .loc {found['loc'][:40]!r}")
        file, line, column = (int(loc[i]) for i in (1, 2, 3))
        outer = None
        if loc[4]:
            at = int(loc[5]), int(loc[6]), int(loc[7])
            outer = self.places.get(at) or Place(*at, "", None)
        function = self.module.strings.get(loc[4] or "", loc[4] or "")
        place = Place(file, line, column, function, outer)
        self.places[file, line, column] = place
        if line:  # line 0: code that no line stands for belongs to what was before
            self.place = place

    def _instruction(self, found: re.Match[str]) -> None:
        at = found.start()
        guard = None
        if found["guard"]:
            register = self._named(found["guard"])
            if not isinstance(register, Register) or register.type.kind != "pred":
                self.fail(at, f"@{found['guard']}: no predicate register of that name")
            guard = register
        text = found["operands"]
        operands = self.scope.operands.get(text)
        if operands is None:
            operands = tuple(self._operand(at, part) for part in _split(text.strip()))
            self.scope.operands[text] = operands
        self.body.statements.append(
            Instruction(
                found["opcode"],
                operands,
                guard,
                found["not"] == "!",
                self.line(at),
                self.place,
                len(self.body.statements),
            )
        )

    def _named(self, name: str) -> Register | Variable | None:
        scope: _Scope | None = self.scope
        while scope is not None:
            known = scope.names.get(name)
            if known is not None:
                return known
            if scope.families:
                family = _FAMILY.fullmatch(name)
                if family is not None and family[1] in scope.families:
                    count, type = scope.families[family[1]]
                    if int(family[2]) < count:
                        register = Register(name, type, len(self.body.registers))
                        self.body.registers.append(register)
                        scope.names[name] = register
                        return register
            scope = scope.outer
        return None

    def _operand(self, at: int, text: str) -> Operand:
        if _WORD.fullmatch(text):
            if text == "_":
                return Sink()
            return self._value(self._named(text), text)
        if not text:
            self.fail(at, "an operand is missing")
        first = text[0]
        if first == "[" and text[-1] == "]":
            return self._address(at, text[1:-1].strip())
        if first == "{" and text[-1] == "}":
            return Vector(tuple(self._operand(at, p) for p in _split(text[1:-1].strip())))
        if first == "(" and text[-1] == ")":
            return Arguments(tuple(self._operand(at, p) for p in _split(text[1:-1].strip())))
        if first == "!":
            return Negated(self._operand(at, text[1:].strip()))
        if _INTEGER.fullmatch(text):
            return Integer(_integer(text))
        if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", text) or _DECIMAL.fullmatch(
            text
        ):
            return _literal(text)
        if "|" in text:
            first, _, second = text.partition("|")
            return Pair(self._operand(at, first.strip()), self._operand(at, second.strip()))
        sum = _SUM.fullmatch(text)
        if sum is not None and _WORD.fullmatch(sum[1]):
            base = self._value(self._named(sum[1]), sum[1])
            if isinstance(base, Symbol) and _INTEGER.fullmatch(sum[3]):
                return base._replace(addend=_integer(sum[3]) * (-1 if sum[2] == "-" else 1))
        raise self.error(at, f"{text[:40]!r} is no operand")

    def _address(self, at: int, text: str) -> Address:
        parts = _split(text)
        if not parts:
            self.fail(at, "an address is missing")
        more = tuple(self._operand(at, part) for part in parts[1:])
        text = parts[0]
        offset = 0
        sum = _SUM.fullmatch(text)
        if sum is not None and _INTEGER.fullmatch(sum[3]):
            text = sum[1].strip()
            offset = _integer(sum[3]) * (-1 if sum[2] == "-" else 1)
        if _INTEGER.fullmatch(text):
            return Address(None, _integer(text) + offset, more)
        if not _WORD.fullmatch(text):
            self.fail(at, f"[{text[:40]}] is no address")
        return Address(self._value(self._named(text), text), offset, more)

    @staticmethod
    def _value(named: Register | Variable | None, text: str) -> Register | Symbol:
        return named if isinstance(named, Register) else Symbol(text, 0, named)


def _split(text: str) -> list[str]:
    """Parts between commas, those within brackets left together."""
    if not text:
        return []
    if not any(b in text for b in "[({"):
        return [part.strip() for part in text.split(",")]
    return list(_split_nested(text))


def _split_nested(text: str) -> Iterator[str]:
    depth = start = 0
    for i, c in enumerate(text):
        if c in "[({":
            depth += 1
        elif c in "])}":
            depth -= 1
        elif c == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    yield text[start:].strip()
