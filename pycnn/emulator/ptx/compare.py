"""Comparisons, and selection by their outcome."""

from typing import Any

from pycnn.emulator.ptx.emit import PRED, Emitter
from pycnn.emulator.ptx.floating import flushed, widened
from pycnn.emulator.ptx.integer import lanes, packed
from pycnn.emulator.ptx.lines import llvm_type
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Pair, Sink, Type

Modifiers = dict[str, Any]

ORDERED = ("eq", "ne", "lt", "le", "gt", "ge")
UNORDERED = ("equ", "neu", "ltu", "leu", "gtu", "geu")
UNSIGNED = ("lo", "ls", "hi", "hs")
FLOAT_ONLY = (*UNORDERED, "num", "nan")
_UNSIGNED = {"lo": "ult", "ls": "ule", "hi": "ugt", "hs": "uge"}


def _condition(e: Emitter, m: Modifiers, type: Type, a: str, b: str) -> str:
    """Whether a compares to b as asked: an i1."""
    compare = m["cmp"]
    if type.kind in ("f", "bf"):
        if type.bits == 16:
            a, b = widened(e, type, a), widened(e, type, b)
            type = TYPES["f32"]
        a, b = flushed(e, {**m, "T": type}, a), flushed(e, {**m, "T": type}, b)
        if compare in ORDERED:
            word = "o" + compare if compare != "ne" else "one"
        elif compare in UNORDERED:
            word = "u" + compare[:2]
        elif compare in ("num", "nan"):
            word = {"num": "ord", "nan": "uno"}[compare]
        else:
            e.fail(f".{compare} compares unsigned integers")
        return e.op(f"fcmp {word} {llvm_type(type)} {a}, {b}")
    if compare in _UNSIGNED:
        word = _UNSIGNED[compare]
    elif compare in ("eq", "ne"):
        word = compare
    elif compare in ORDERED:
        word = ("s" if type.kind == "s" else "u") + compare
    else:
        e.fail(f".{compare} compares floating-point numbers")
    return e.op(f"icmp {word} i{type.bits} {a}, {b}")


def _combined(e: Emitter, m: Modifiers, value: str, other: str | None) -> str:
    if other is None:
        return value
    return e.op(f"{m['bool']} i1 {value}, {other}")


def _third(e: Emitter, i: Instruction, m: Modifiers) -> str | None:
    if bool(m.get("bool")) != (len(i.operands) == 4):
        e.fail("a predicate to combine with goes with .and, .or or .xor")
    return e.read(i.operands[3], PRED) if m.get("bool") else None


def set_predicate(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``setp``: a second destination gets the opposite."""
    type: Type = m["T"]
    other = _third(e, i, m)
    a, b = e.read(i.operands[1], type), e.read(i.operands[2], type)
    value = _condition(e, m, type, a, b)
    target = i.operands[0]
    if isinstance(target, Pair):
        opposite = e.op(f"xor i1 {value}, true")
        e.write(target.first, PRED, _combined(e, m, value, other))
        e.write(target.second, PRED, _combined(e, m, opposite, other))
    else:
        e.write(target, PRED, _combined(e, m, value, other))


def set_predicates(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``setp`` of packed halves: a predicate of each."""
    inner = TYPES[m["T"].name[:-2]]
    other = _third(e, i, m)
    a, b = (lanes(e, e.read(i.operands[k], m["T"])) for k in (1, 2))
    values = [_condition(e, m, inner, a[k], b[k]) for k in (0, 1)]
    target = i.operands[0]
    targets = (target.first, target.second) if isinstance(target, Pair) else (target, Sink())
    for operand, value in zip(targets, values, strict=True):
        e.write(operand, PRED, _combined(e, m, value, other))


def set_value(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``set``: all ones, or 1.0, where the comparison holds."""
    type, to = m["T"], m["D"]
    other = _third(e, i, m)
    value = _condition(e, m, type, e.read(i.operands[1], type), e.read(i.operands[2], type))
    value = _combined(e, m, value, other)
    if to.kind in ("f", "bf"):
        one = {"f32": "1.0", "f16": "15360", "bf16": "16256"}[to.name]
        zero = "0.0" if to.name == "f32" else "0"
        result = e.op(f"select i1 {value}, {llvm_type(to)} {one}, {llvm_type(to)} {zero}")
    else:
        result = e.op(f"sext i1 {value} to i{to.bits}")
    e.write(i.operands[0], to, result)


def set_values(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``set`` of packed halves."""
    inner, to = TYPES[m["T"].name[:-2]], m["D"]
    a, b = (lanes(e, e.read(i.operands[k], m["T"])) for k in (1, 2))
    halves = []
    for k in (0, 1):
        value = _condition(e, m, inner, a[k], b[k])
        one = {"f16x2": "15360", "bf16x2": "16256"}.get(to.name, "-1")
        halves.append(e.op(f"select i1 {value}, i16 {one}, i16 0"))
    e.write(i.operands[0], to, packed(e, *halves))


def select_by_sign(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``slct``: a where c is not negative; -0 is not, a NaN is."""
    type, by = m["T"], m["S"]
    t = llvm_type(type)
    a, b, c = e.read(i.operands[1], type), e.read(i.operands[2], type), e.read(i.operands[3], by)
    if by.kind == "f":
        c = flushed(e, {**m, "T": by}, c)
        condition = e.op(f"fcmp oge float {c}, 0.0")
    else:
        condition = e.op(f"icmp sge i32 {c}, 0")
    e.write(i.operands[0], type, e.op(f"select i1 {condition}, {t} {a}, {t} {b}"))
