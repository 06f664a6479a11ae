"""The body of a function: registers, variables, labels and instructions."""

import re
from collections.abc import Iterator

from pycnn.emulator.ptx.declare import type_named, variable_of
from pycnn.emulator.ptx.syntax import (
    Address,
    Arguments,
    Body,
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
from pycnn.emulator.ptx.text import DECIMAL, HEXADECIMAL, INTEGER, NAME, Source, integer, literal

#: Registers of one function beyond which a text is taken as damaged.
MOST_REGISTERS = 1 << 20
MOST_LINES = (1 << 31) - 1

_SPACE = re.compile(r"\s*")
_STATEMENT = re.compile(
    rf"""
      (?P<brace>[{{}}])
    | \.loc\s+(?P<loc>[^\n;]*);?
    | (?P<label>{NAME})\s*:(?!:)
    | \.reg\s*(?:\.(?P<reg_vector>v2|v4)\s*)?\.(?P<reg_type>\w+)\s+(?P<regs>[^;]*);
    | \.(?P<space>param|shared|local|const|global)\b(?P<variable>[^;]*);
    | \.pragma\s+"[^"\n]*"\s*;
    | \.(?P<table>branchtargets|calltargets|callprototype)\b(?P<entries>[^;]*);
    | (?:@\s*(?P<not>!?)\s*(?P<guard>{NAME})\s+)?
      (?P<opcode>[a-z]\w*(?:(?:\.|::)\w+)*)(?P<operands>[^;{{}}]*(?:\{{[^;{{}}]*\}}[^;{{}}]*)*);
    """,
    re.VERBOSE,
)
_LOC = re.compile(
    rf"(\d+)\s+(\d+)\s+(\d+)"
    rf"(?:\s*,\s*function_name\s+({NAME})(?:\s*\+\s*\d+)?\s*,\s*inlined_at\s+(\d+)\s+(\d+)\s+(\d+))?"
)
_REGS = re.compile(rf"({NAME})\s*(?:<\s*(\d+)\s*>)?")
_FAMILY = re.compile(r"(.*?)(0|[1-9]\d*)")
_SUM = re.compile(r"(.*?[\w$\]])\s*([-+])\s*(\d\w*|-\d\w*)")
_WORD = re.compile(rf"{NAME}(?:\.[xyzwrgba])?")


class _Scope:
    """Names between two braces, and the operands that were read with them."""

    def __init__(self, outer: "_Scope | None") -> None:
        self.outer = outer
        self.names: dict[str, Register | Variable] = {}
        self.families: dict[str, tuple[int, Type]] = {}
        self.labels: dict[str, str] = {}  # and what they are called in the function
        self.operands: dict[str, tuple[Operand, ...]] = {} if outer is None else outer.operands

    def label(self, name: str) -> str:
        """What a label seen from here is called; any other name stays."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.labels:
                return scope.labels[name]
            scope = scope.outer
        return name

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


class _BodyParser(Source):
    def __init__(self, module: Module, function: Function) -> None:
        super().__init__(module.text, module.name)
        self.module, self.function = module, function
        self.body = Body()
        self.scope = _Scope(None)
        self.places: dict[tuple[int, int, int], Place] = {}
        self.place: Place | None = None
        self.labels: set[str] = set()
        self.renamed = False
        self.jumps: list[tuple[Instruction, _Scope]] = []
        self.tables: list[tuple[str, _Scope]] = []
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
            match = _STATEMENT.match(text, at, end)
            if match is None:
                self.fail(at, f"{self.here(at)} is no statement of PTX")
            kind = match.lastgroup
            if kind == "operands":
                self._instruction(match)
            elif kind == "loc":
                self._loc(match)
            elif kind == "label":
                self._label(at, match["label"])
            elif kind == "brace" and match["brace"] == "{":
                self.scope = _Scope(self.scope)
                depth += 1
            elif kind == "brace":
                assert self.scope.outer is not None
                self.scope = self.scope.outer
                depth -= 1
            elif kind == "regs":
                self._registers(match)
            elif kind == "variable":
                self.scope.declared()
                variable = variable_of(self, at, match["variable"], match["space"])
                self.scope.names[variable.name] = variable
                self.body.variables.append(variable)
            elif kind == "entries":
                self._table(at, match)
            at = match.end()
        if self.renamed:
            self._resolve_jumps()
        return self.body

    def _label(self, at: int, name: str) -> None:
        """A label, which is known within its braces: elsewhere another may have its name."""
        if name in self.scope.labels:
            self.fail(at, f"label {name} is defined again")
        unique = name
        while unique in self.labels:
            self.renamed = True
            unique = f"{name}'{len(self.labels)}"
        self.labels.add(unique)
        self.scope.labels[name] = unique
        self.body.statements.append(Label(unique, self.line(at)))

    def _resolve_jumps(self) -> None:
        for i, scope in self.jumps:
            i.operands = tuple(
                o._replace(name=scope.label(o.name)) if isinstance(o, Symbol) else o
                for o in i.operands
            )
        for table, scope in self.tables:
            self.body.targets[table] = tuple(map(scope.label, self.body.targets[table]))

    def _registers(self, match: re.Match[str]) -> None:
        at = match.start()
        type = type_named(self, at, match["reg_type"])
        if match["reg_vector"]:
            self.fail(at, f".reg .{match['reg_vector']}: vector registers are not there")
        self.scope.declared()
        for part in match["regs"].split(","):
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

    def _table(self, at: int, match: re.Match[str]) -> None:
        last = self.body.statements[-1] if self.body.statements else None
        if not isinstance(last, Label):
            self.fail(at, f".{match['table']} needs a label before it")
        if match["table"] == "callprototype":
            self.body.prototypes[last.name] = match["entries"].strip()
        else:
            names = tuple(n.strip() for n in match["entries"].split(","))
            self.body.targets[last.name] = names
            self.tables.append((last.name, self.scope))

    def _loc(self, match: re.Match[str]) -> None:
        loc = _LOC.match(match["loc"])
        if loc is None:
            self.fail(match.start(), f"malformed .loc {match['loc'][:40]!r}")
        file, line, column = (int(loc[i]) for i in (1, 2, 3))
        if max(line, int(loc[6] or 0)) > MOST_LINES:
            self.fail(match.start(), f".loc {match['loc'][:60]!r}; allowed: lines to {MOST_LINES}")
        outer = None
        if loc[4]:
            at = int(loc[5]), int(loc[6]), int(loc[7])
            outer = self.places.get(at) or Place(*at, "", None)
        function = self.module.strings.get(loc[4] or "", loc[4] or "")
        place = Place(file, line, column, function, outer)
        self.places[file, line, column] = place
        if line:  # line 0: code that no line stands for belongs to what was before
            self.place = place

    def _instruction(self, match: re.Match[str]) -> None:
        at = match.start()
        guard = None
        if match["guard"]:
            register = self._named(match["guard"])
            if not isinstance(register, Register) or register.type.kind != "pred":
                self.fail(at, f"@{match['guard']}: no predicate register of that name")
            guard = register
        text = match["operands"]
        operands = self.scope.operands.get(text)
        if operands is None:
            operands = tuple(self._operand(at, part) for part in _split(text.strip()))
            self.scope.operands[text] = operands
        instruction = Instruction(
            match["opcode"],
            operands,
            guard,
            match["not"] == "!",
            self.line(at),
            self.place,
            len(self.body.statements),
        )
        self.body.statements.append(instruction)
        if match["opcode"].startswith("br"):
            self.jumps.append((instruction, self.scope))

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
        if INTEGER.fullmatch(text):
            return Integer(integer(text))
        if HEXADECIMAL.fullmatch(text) or DECIMAL.fullmatch(text):
            return literal(text)
        if "|" in text:
            first, _, second = text.partition("|")
            return Pair(self._operand(at, first.strip()), self._operand(at, second.strip()))
        sum = _SUM.fullmatch(text)
        if sum is not None and _WORD.fullmatch(sum[1]):
            base = self._value(self._named(sum[1]), sum[1])
            if isinstance(base, Symbol) and INTEGER.fullmatch(sum[3]):
                return base._replace(addend=integer(sum[3]) * (-1 if sum[2] == "-" else 1))
        raise self.error(at, f"{text[:40]!r} is no operand")

    def _address(self, at: int, text: str) -> Address:
        parts = _split(text)
        if not parts:
            self.fail(at, "an address is missing")
        more = tuple(self._operand(at, part) for part in parts[1:])
        text = parts[0]
        offset = 0
        sum = _SUM.fullmatch(text)
        if sum is not None and INTEGER.fullmatch(sum[3]):
            text = sum[1].strip()
            offset = integer(sum[3]) * (-1 if sum[2] == "-" else 1)
        if INTEGER.fullmatch(text):
            return Address(None, integer(text) + offset, more)
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
