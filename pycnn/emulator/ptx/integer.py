"""Integer arithmetic."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]


def lanes(e: Emitter, value: str) -> tuple[str, str]:
    """The low and high halves of an i32."""
    low = e.op(f"trunc i32 {value} to i16")
    return low, e.op(f"trunc i32 {e.op(f'lshr i32 {value}, 16')} to i16")


def packed(e: Emitter, low: str, high: str) -> str:
    """An i32 of two halves."""
    upper = e.op(f"shl i32 {e.op(f'zext i16 {high} to i32')}, 16")
    return e.op(f"or i32 {e.op(f'zext i16 {low} to i32')}, {upper}")


def each_half(operation: Any) -> Any:
    """An operation on 16 bits, on both halves of 32."""

    def run(e: Emitter, m: Modifiers, *values: str) -> str:
        halves = [lanes(e, v) for v in values]
        inner = {**m, "T": TYPES[m["T"].name[:-2]]}
        return packed(e, *(operation(e, inner, *(h[i] for h in halves)) for i in (0, 1)))

    return run


def add_sub(operation: str) -> Any:
    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        type = f"i{m['T'].bits}"
        if m.get("sat"):
            return e.intrinsic(f"llvm.s{operation}.sat.{type}", type, f"{type} {a}", f"{type} {b}")
        return e.op(f"{operation} {type} {a}, {b}")

    return run


def _wide(e: Emitter, type: Type, value: str, to: int) -> str:
    return e.op(f"{'sext' if type.kind == 's' else 'zext'} i{type.bits} {value} to i{to}")


def multiply(e: Emitter, m: Modifiers, a: str, b: str) -> str:
    type: Type = m["T"]
    if m["half"] == "lo":
        return e.op(f"mul i{type.bits} {a}, {b}")
    double = 2 * type.bits
    product = e.op(f"mul i{double} {_wide(e, type, a, double)}, {_wide(e, type, b, double)}")
    if m["half"] == "wide":
        return product
    high = e.op(f"lshr i{double} {product}, {type.bits}")
    return e.op(f"trunc i{double} {high} to i{type.bits}")


def multiply_add(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    type: Type = m["T"]
    product = multiply(e, m, a, b)
    bits = 2 * type.bits if m["half"] == "wide" else type.bits
    if m.get("sat"):
        return e.intrinsic("llvm.sadd.sat.i32", "i32", f"i32 {product}", f"i32 {c}")
    return e.op(f"add i{bits} {product}, {c}")


def multiply24(e: Emitter, m: Modifiers, a: str, b: str) -> str:
    wide = []
    for value in (a, b):
        up = e.op(f"shl i64 {e.op(f'zext i32 {value} to i64')}, 40")
        wide.append(e.op(f"{'ashr' if m['T'].kind == 's' else 'lshr'} i64 {up}, 40"))
    product = e.op(f"mul i64 {wide[0]}, {wide[1]}")
    if m["half"] == "hi":
        product = e.op(f"lshr i64 {product}, 16")
    return e.op(f"trunc i64 {product} to i32")


def multiply24_add(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    product = multiply24(e, m, a, b)
    if m.get("sat"):
        return e.intrinsic("llvm.sadd.sat.i32", "i32", f"i32 {product}", f"i32 {c}")
    return e.op(f"add i32 {product}, {c}")


def divide(operation: str) -> Any:
    """``div`` and ``rem``, with what the hardware gives for zero and for the one overflow."""

    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        type: Type = m["T"]
        t, signed = f"i{type.bits}", type.kind == "s"
        zero = e.op(f"icmp eq {t} {b}, 0")
        bad = zero
        if signed:
            minus = e.op(f"icmp eq {t} {b}, -1")
            bad = e.op(f"or i1 {zero}, {minus}")
        safe = e.op(f"select i1 {bad}, {t} 1, {t} {b}")
        result = e.op(f"{'s' if signed else 'u'}{operation} {t} {a}, {safe}")
        if signed:
            by_minus = e.op(f"sub {t} 0, {a}") if operation == "div" else "0"
            result = e.op(f"select i1 {minus}, {t} {by_minus}, {t} {result}")
        return e.op(f"select i1 {zero}, {t} {'-1' if operation == 'div' else a}, {t} {result}")

    return run


def absolute(e: Emitter, m: Modifiers, a: str) -> str:
    t = f"i{m['T'].bits}"
    return e.intrinsic(f"llvm.abs.{t}", t, f"{t} {a}", "i1 false")


def negate(e: Emitter, m: Modifiers, a: str) -> str:
    return e.op(f"sub i{m['T'].bits} 0, {a}")


def min_max(operation: str) -> Any:
    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        type: Type = m["T"]
        t, sign = f"i{type.bits}", "s" if type.kind == "s" else "u"
        result = e.intrinsic(f"llvm.{sign}{operation}.{t}", t, f"{t} {a}", f"{t} {b}")
        if m.get("relu"):
            result = e.intrinsic(f"llvm.smax.{t}", t, f"{t} {result}", f"{t} 0")
        return result

    return run


def sad(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    type: Type = m["T"]
    t, sign = f"i{type.bits}", "s" if type.kind == "s" else "u"
    high = e.intrinsic(f"llvm.{sign}max.{t}", t, f"{t} {a}", f"{t} {b}")
    low = e.intrinsic(f"llvm.{sign}min.{t}", t, f"{t} {a}", f"{t} {b}")
    return e.op(f"add {t} {c}, {e.op(f'sub {t} {high}, {low}')}")


def dot4(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    """``dp4a``: four products of bytes."""
    total = c
    for byte in range(4):
        product = e.op(f"mul i32 {_part(e, m['A'], a, byte, 8)}, {_part(e, m['B'], b, byte, 8)}")
        total = e.op(f"add i32 {total}, {product}")
    return total


def dot2(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    """``dp2a``: two products of 16 bits and of bytes, low or high ones."""
    total = c
    for k in range(2):
        byte = k + (2 if m["half"] == "hi" else 0)
        product = e.op(f"mul i32 {_part(e, m['A'], a, k, 16)}, {_part(e, m['B'], b, byte, 8)}")
        total = e.op(f"add i32 {total}, {product}")
    return total


def _part(e: Emitter, type: Type, value: str, index: int, bits: int) -> str:
    part = e.op(f"trunc i32 {e.op(f'lshr i32 {value}, {index * bits}')} to i{bits}")
    return e.op(f"{'sext' if type.kind == 's' else 'zext'} i{bits} {part} to i32")


def carrying(operation: str, takes: bool) -> Any:
    """``add.cc``, ``addc``, ``sub.cc``, ``subc``: the carry is a register of its own."""

    def run(e: Emitter, i: Instruction, m: Modifiers) -> None:
        type: Type = m["T"]
        a, b = (e.read(o, type) for o in i.operands[1:3])
        e.write(i.operands[0], type, _with_carry(e, m, operation, takes, type, a, b))

    return run


def _with_carry(
    e: Emitter, m: Modifiers, operation: str, takes: bool, type: Type, a: str, b: str
) -> str:
    wide = f"i{2 * type.bits}"
    slot = e.carry_slot()
    x = e.op(f"zext i{type.bits} {a} to {wide}")
    y = e.op(f"zext i{type.bits} {b} to {wide}")
    total = e.op(f"{operation} {wide} {x}, {y}")
    if takes:
        carry = e.op(f"zext i1 {e.op(f'load i1, ptr {slot}')} to {wide}")
        total = e.op(f"{operation} {wide} {total}, {carry}")
    if m.get("cc"):
        out = e.op(f"trunc {wide} {e.op(f'lshr {wide} {total}, {type.bits}')} to i1")
        e.line(f"store i1 {out}, ptr {slot}")
    return e.op(f"trunc {wide} {total} to i{type.bits}")


def multiply_carrying(takes: bool) -> Any:
    """``mad.cc`` and ``madc``."""

    def run(e: Emitter, i: Instruction, m: Modifiers) -> None:
        type: Type = m["T"]
        a, b, c = (e.read(o, type) for o in i.operands[1:4])
        product = multiply(e, m, a, b)
        e.write(i.operands[0], type, _with_carry(e, m, "add", takes, type, product, c))

    return run
