"""Whether a function can be run, said before anything is: every instruction known, and of the
right form."""

from pycnn.emulator.ptx import special
from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.forms import Form, Modifiers
from pycnn.emulator.ptx.syntax import (
    Address,
    Arguments,
    Body,
    Function,
    Instruction,
    Label,
    Module,
    Negated,
    Operand,
    Pair,
    Register,
    Symbol,
    Type,
    Vector,
)
from pycnn.emulator.ptx.table import find, syntax, type_of
from pycnn.emulator.ptx.targets import lacks

#: Faults that one error lists.
MOST = 8


def verify(module: Module, function: Function, body: Body) -> None:
    """Look at every instruction of a function.

    Raises
    ------
    PtxError
        If one is not there or its operands do not fit; the first few, each with its line.
    """
    labels = {s.name for s in body.statements if isinstance(s, Label)}
    faults: dict[str, int] = {}
    for statement in body.statements:
        if isinstance(statement, Instruction):
            fault = _fault(module, statement, labels)
            if fault is not None:
                faults.setdefault(fault, statement.line)
    if faults:
        (first, line), *rest = faults.items()
        more = "".join(f"\n  line {n}: {fault}" for fault, n in rest[: MOST - 1])
        if len(rest) >= MOST:
            more += f"\n  and {len(rest) - MOST + 1} more"
        raise PtxError(f"{first}{more}\n  in {function.name}", name=module.name, line=line)


def _fault(module: Module, i: Instruction, labels: set[str]) -> str | None:
    row = find(i.opcode)
    if isinstance(row, str):
        return row
    missing = lacks(module.target, i.opcode)
    if missing is not None:
        return missing
    form, m = row
    least = sum("?" not in word for word in form.operands)
    if not least <= len(i.operands) <= len(form.operands):
        wanted = str(least) if least == len(form.operands) else f"{least} to {len(form.operands)}"
        return f"{i.opcode} has {len(i.operands)} operands, {syntax(form)} takes {wanted}"
    for word, operand in zip(form.operands, i.operands, strict=False):
        fault = _unknown(module, operand, labels) or _misfit(i, form, m, word, operand)
        if fault is not None:
            return fault
    return None


def _unknown(module: Module, operand: Operand, labels: set[str]) -> str | None:
    """A name that nothing declares."""
    if isinstance(operand, Symbol):
        name = operand.name
        known = (
            operand.variable is not None
            or name in module.variables
            or name in module.functions
            or name in labels
            or name in special.NAMES
        )
        return None if known else f"{name} is not declared"
    if isinstance(operand, (Vector, Arguments)):
        return next(filter(None, (_unknown(module, o, labels) for o in operand.items)), None)
    if isinstance(operand, Pair):
        return _unknown(module, operand.first, labels) or _unknown(module, operand.second, labels)
    if isinstance(operand, Negated):
        return _unknown(module, operand.of, labels)
    if isinstance(operand, Address) and isinstance(operand.base, Symbol):
        return _unknown(module, operand.base, set())
    return None


def _misfit(i: Instruction, form: Form, m: Modifiers, word: str, operand: Operand) -> str | None:
    """A register of another width than the instruction's type."""
    type = type_of(word, m)
    if type is None:
        return None
    if isinstance(operand, Register):
        return _width(i, word, operand, type)
    if word[0] == ">" and isinstance(operand, (Symbol, Address, Vector, Pair, Negated)):
        return f"{i.opcode}: the destination is no register"
    if isinstance(operand, (Address, Vector, Pair, Arguments)):
        return f"{i.opcode}: an operand of the form that {syntax(form)} takes is wanted"
    return None


def _width(i: Instruction, word: str, register: Register, type: Type) -> str | None:
    bits = register.type.bits
    if bits == type.bits or ("~" in word and bits > type.bits and register.type.kind != "pred"):
        return None
    return f"{i.opcode}: register {register.name} is .{register.type.name}, .{type.name} is wanted"
