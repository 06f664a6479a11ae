"""What a row of the table of instructions is, and how an instruction finds its own."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pycnn.emulator.ptx import accumulators, memory
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]


class Group(NamedTuple):
    """A modifier: its name, what it may be, and whether it must be there."""

    name: str
    allowed: tuple[str, ...]
    required: bool


@dataclass(frozen=True)
class Form:
    """One row of the table.

    Attributes
    ----------
    kind : str
        ``pure`` (no effect but its results), ``memory``, ``control`` or ``warp``.
    run : callable
        Writes the instruction; of a ``value`` row from the values of its operands.
    result : str
        Of a ``value`` row, the type of the result.
    """

    stem: str
    groups: tuple[Group, ...]
    operands: tuple[str, ...]
    kind: str
    run: Callable[..., Any]
    result: str = ""

    def match(self, modifiers: list[str]) -> Modifiers | None:
        """The modifiers by name, or None where they are not those of this row."""
        words: Modifiers = {}
        for modifier in modifiers:
            for group in self.groups:
                if group.name not in words and modifier in group.allowed:
                    words[group.name] = modifier
                    break
            else:
                return None
        if any(group.required and group.name not in words for group in self.groups):
            return None
        return {
            n: TYPES.get(v, v) if n in ("T", "D", "S", "A", "B") else v for n, v in words.items()
        }


FORMS: dict[str, list[Form]] = {}


def _groups(pattern: str) -> tuple[Group, ...]:
    groups = []
    for word in pattern.split():
        name, _, allowed = word.removeprefix("?").partition("=")
        groups.append(Group(name, tuple((allowed or name).split("|")), word[0] != "?"))
    return tuple(groups)


def _row(stem: str, pattern: str, operands: str, kind: str, run: Any, result: str = "") -> None:
    form = Form(stem, _groups(pattern), tuple(operands.split()), kind, run, result)
    FORMS.setdefault(stem, []).append(form)


def value(stem: str, pattern: str, operands: str, run: Any, result: str = "T") -> None:
    """A row whose result is a function of its operands' values."""
    _row(stem, pattern, f">{result} {operands}", "pure", run, result)


def full(stem: str, pattern: str, operands: str, kind: str, run: Any) -> None:
    """A row that is written as a whole."""
    _row(stem, pattern, operands, kind, run)


@functools.lru_cache(maxsize=4096)
def find(opcode: str) -> tuple[Form, Modifiers] | str:
    """The row of an opcode and its modifiers by name, or what is wrong with it."""
    stem, *modifiers = opcode.split(".")
    forms = FORMS.get(stem)
    if forms is None:
        return f"instruction {stem} is not there"
    for form in forms:
        modifiers_of = form.match(modifiers)
        if modifiers_of is not None:
            return form, modifiers_of
    return f"{opcode} is not there; of {stem} there are: {'; '.join(map(syntax, forms))}"


def syntax(form: Form) -> str:
    """A row as the ISA writes it."""
    parts = []
    for group in form.groups:
        words = "|".join("." + word for word in group.allowed)
        parts.append(words if group.required and len(group.allowed) == 1 else
                     f"{{{words}}}" if group.required else f"[{words}]")  # fmt: skip
    return form.stem + "".join(parts)


def write(e: Emitter, i: Instruction) -> None:
    """Write one instruction."""
    row = find(i.opcode)
    if isinstance(row, str):
        e.fail(row)
    form, m = row
    memory.settle_uses(e, i)
    accumulators.before(e, i, form.operands)
    _run(e, i, form, m)
    accumulators.after(e, i, form.operands)


def _run(e: Emitter, i: Instruction, form: Form, m: Modifiers) -> None:
    if not form.result:
        form.run(e, i, m)
        return
    types = [type_of(o, m) for o in form.operands]
    values = [e.read(o, t) for o, t in zip(i.operands[1:], types[1:], strict=False)]  # type: ignore[arg-type]
    result = types[0]
    assert result is not None
    e.write(i.operands[0], result, form.run(e, m, *values))


def type_of(operand: str, m: Modifiers) -> Type | None:
    """The type that an operand of a row has; None where the instruction says itself."""
    word = operand.strip(">~?*")
    if not word:
        return None
    if word == "W":  # twice as wide as T, for .wide
        type: Type = m["T"]
        return TYPES[f"{type.kind}{2 * type.bits}"] if m["half"] == "wide" else type
    if word in ("T", "D", "S", "A", "B"):
        return m[word] if isinstance(m[word], Type) else None
    return TYPES[word]
