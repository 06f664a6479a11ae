"""Integer arithmetic, logic, shifts and bits."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]

_U32 = TYPES["u32"]


def _limits(bits: int, signed: bool) -> tuple[int, int]:
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


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


def plain(operation: str) -> Any:
    """An instruction that LLVM has under that name."""

    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        return e.op(f"{operation} i{m['T'].bits} {a}, {b}")

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
        found = e.op(f"{'s' if signed else 'u'}{operation} {t} {a}, {safe}")
        if signed:
            by_minus = e.op(f"sub {t} 0, {a}") if operation == "div" else "0"
            found = e.op(f"select i1 {minus}, {t} {by_minus}, {t} {found}")
        return e.op(f"select i1 {zero}, {t} {'-1' if operation == 'div' else a}, {t} {found}")

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
        found = e.intrinsic(f"llvm.{sign}{operation}.{t}", t, f"{t} {a}", f"{t} {b}")
        if m.get("relu"):
            found = e.intrinsic(f"llvm.smax.{t}", t, f"{t} {found}", f"{t} 0")
        return found

    return run


def sad(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    type: Type = m["T"]
    t, sign = f"i{type.bits}", "s" if type.kind == "s" else "u"
    high = e.intrinsic(f"llvm.{sign}max.{t}", t, f"{t} {a}", f"{t} {b}")
    low = e.intrinsic(f"llvm.{sign}min.{t}", t, f"{t} {a}", f"{t} {b}")
    return e.op(f"add {t} {c}, {e.op(f'sub {t} {high}, {low}')}")


def not_(e: Emitter, m: Modifiers, a: str) -> str:
    return e.op(f"xor i{m['T'].bits} {a}, -1")


def cnot(e: Emitter, m: Modifiers, a: str) -> str:
    t = f"i{m['T'].bits}"
    return e.op(f"zext i1 {e.op(f'icmp eq {t} {a}, 0')} to {t}")


def lop3(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """Any function of three bits, as the sum of the products that its table names."""
    b32 = TYPES["b32"]
    a, b, c = (e.read(o, b32) for o in i.operands[1:4])
    table = immediate(e, i, 4, 0, 255)
    terms = []
    for index in range(8):
        if not table >> index & 1:
            continue
        parts = []
        for value, bit in ((a, 4), (b, 2), (c, 1)):
            parts.append(value if index & bit else e.op(f"xor i32 {value}, -1"))
        terms.append(e.op(f"and i32 {e.op(f'and i32 {parts[0]}, {parts[1]}')}, {parts[2]}"))
    result = "0"
    for term in terms:
        result = e.op(f"or i32 {result}, {term}")
    e.write(i.operands[0], b32, result)


def immediate(e: Emitter, i: Instruction, index: int, low: int, high: int) -> int:
    """The value of an operand that must be a number."""
    value = getattr(i.operands[index], "value", None)
    if value is None or not low <= value <= high:
        e.fail(f"operand {index + 1} must be a number from {low} to {high}")
    return int(value)


def shift(operation: str) -> Any:
    """``shl`` and ``shr``: amounts beyond the width count as the width."""

    def run(e: Emitter, m: Modifiers, a: str, amount: str) -> str:
        type: Type = m["T"]
        t, bits = f"i{type.bits}", type.bits
        kind = operation if operation == "shl" else "ashr" if type.kind == "s" else "lshr"
        if amount.isdigit():
            n = int(amount)
            if n >= bits:
                return (
                    e.op(f"ashr {t} {a}, {bits - 1}") if kind == "ashr" else e.op(f"and {t} {a}, 0")
                )
            return e.op(f"{kind} {t} {a}, {n}")
        by = e.intrinsic("llvm.umin.i32", "i32", f"i32 {amount}", f"i32 {bits - 1}")
        if bits != 32:
            by = e.op(f"{'zext' if bits > 32 else 'trunc'} i32 {by} to {t}")
        moved = e.op(f"{kind} {t} {a}, {by}")
        if kind == "ashr":
            return moved
        inside = e.op(f"icmp ult i32 {amount}, {bits}")
        return e.op(f"select i1 {inside}, {t} {moved}, {t} 0")

    return run


def funnel(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    """``shf``: 32 of the 64 bits b:a."""
    if m["mode"] == "wrap":
        name = "llvm.fshl.i32" if m["way"] == "l" else "llvm.fshr.i32"
        return e.intrinsic(name, "i32", f"i32 {b}", f"i32 {a}", f"i32 {c}")
    by = e.op(f"zext i32 {e.intrinsic('llvm.umin.i32', 'i32', f'i32 {c}', 'i32 32')} to i64")
    high = e.op(f"shl i64 {e.op(f'zext i32 {b} to i64')}, 32")
    both = e.op(f"or i64 {high}, {e.op(f'zext i32 {a} to i64')}")
    if m["way"] == "r":
        return e.op(f"trunc i64 {e.op(f'lshr i64 {both}, {by}')} to i32")
    moved = e.op(f"shl i64 {both}, {by}")
    return e.op(f"trunc i64 {e.op(f'lshr i64 {moved}, 32')} to i32")


def population(e: Emitter, m: Modifiers, a: str) -> str:
    return _to_u32(
        e, m, e.intrinsic(f"llvm.ctpop.i{m['T'].bits}", f"i{m['T'].bits}", f"i{m['T'].bits} {a}")
    )


def leading_zeros(e: Emitter, m: Modifiers, a: str) -> str:
    t = f"i{m['T'].bits}"
    return _to_u32(e, m, e.intrinsic(f"llvm.ctlz.{t}", t, f"{t} {a}", "i1 false"))


def _to_u32(e: Emitter, m: Modifiers, value: str) -> str:
    return value if m["T"].bits == 32 else e.op(f"trunc i64 {value} to i32")


def find_bit(e: Emitter, m: Modifiers, a: str) -> str:
    """``bfind``: the highest bit, for signed types the highest that differs from the sign."""
    type: Type = m["T"]
    t = f"i{type.bits}"
    if type.kind == "s":
        a = e.op(f"xor {t} {a}, {e.op(f'ashr {t} {a}, {type.bits - 1}')}")
    zeros = e.intrinsic(f"llvm.ctlz.{t}", t, f"{t} {a}", "i1 false")
    place = zeros if m.get("shiftamt") else e.op(f"sub {t} {type.bits - 1}, {zeros}")
    none = e.op(f"icmp eq {t} {a}, 0")
    return _to_u32(e, m, e.op(f"select i1 {none}, {t} -1, {t} {place}"))


def reverse_bits(e: Emitter, m: Modifiers, a: str) -> str:
    t = f"i{m['T'].bits}"
    return e.intrinsic(f"llvm.bitreverse.{t}", t, f"{t} {a}")


def extract(e: Emitter, m: Modifiers, a: str, position: str, length: str) -> str:
    """``bfe``: bits beyond the top are the sign for signed types, and zero else."""
    type: Type = m["T"]
    bits, t = type.bits, f"i{type.bits}"
    pos = e.op(f"and i32 {position}, 255")
    n = e.op(f"and i32 {length}, 255")
    n = e.intrinsic("llvm.umin.i32", "i32", f"i32 {n}", f"i32 {bits}")
    # In 128 bits a shift by up to 255 clamped to 127 leaves nothing but the filling.
    wide = e.op(f"{'sext' if type.kind == 's' else 'zext'} {t} {a} to i128")
    by = e.op(f"zext i32 {e.intrinsic('llvm.umin.i32', 'i32', f'i32 {pos}', 'i32 127')} to i128")
    moved = e.op(f"ashr i128 {wide}, {by}")
    left = e.op(f"zext i32 {e.op(f'sub i32 128, {n}')} to i128")
    empty = e.op(f"icmp eq i32 {n}, 0")
    safe = e.op(f"select i1 {empty}, i128 0, i128 {left}")
    up = e.op(f"shl i128 {moved}, {safe}")
    down = e.op(f"{'ashr' if type.kind == 's' else 'lshr'} i128 {up}, {safe}")
    field = e.op(f"trunc i128 {down} to {t}")
    return e.op(f"select i1 {empty}, {t} 0, {t} {field}")


def insert(e: Emitter, m: Modifiers, a: str, b: str, position: str, length: str) -> str:
    """``bfi``: the low bits of a into b."""
    bits = m["T"].bits
    t = f"i{bits}"
    pos = e.op(f"and i32 {position}, 255")
    n = e.op(f"and i32 {length}, 255")
    pos = e.intrinsic("llvm.umin.i32", "i32", f"i32 {pos}", f"i32 {bits}")
    n = e.intrinsic("llvm.umin.i32", "i32", f"i32 {n}", f"i32 {bits}")
    double = 2 * bits  # so that a shift by the whole width is one
    w = f"i{double}"
    by = e.op(f"zext i32 {pos} to {w}")
    ones = e.op(f"shl {w} 1, {e.op(f'zext i32 {n} to {w}')}")
    mask = e.op(f"shl {w} {e.op(f'sub {w} {ones}, 1')}, {by}")
    mask = e.op(f"trunc {w} {mask} to {t}")
    wide = e.op(f"zext {t} {a} to {w}")
    moved = e.op(f"trunc {w} {e.op(f'shl {w} {wide}, {by}')} to {t}")
    inside = e.op(f"and {t} {moved}, {mask}")
    outside = e.op(f"and {t} {b}, {e.op(f'xor {t} {mask}, -1')}")
    return e.op(f"or {t} {inside}, {outside}")


def sign_extend(e: Emitter, m: Modifiers, a: str, n: str) -> str:
    """``szext``: the low bits of a, extended."""
    by = e.op(f"and i32 {n}, 31") if m["mode"] == "wrap" else n
    inside = e.op(f"icmp ult i32 {by}, 32")
    empty = e.op(f"icmp eq i32 {by}, 0")
    change = e.op(f"and i1 {inside}, {e.op(f'xor i1 {empty}, true')}")
    left = e.op(f"select i1 {change}, i32 {e.op(f'sub i32 32, {by}')}, i32 0")
    up = e.op(f"shl i32 {a}, {left}")
    down = e.op(f"{'ashr' if m['T'].kind == 's' else 'lshr'} i32 {up}, {left}")
    return e.op(f"select i1 {empty}, i32 0, i32 {down}")


def bit_mask(e: Emitter, m: Modifiers, a: str, b: str) -> str:
    """``bmsk``: b ones from bit a on."""
    if m["mode"] == "wrap":
        a, b = e.op(f"and i32 {a}, 31"), e.op(f"and i32 {b}, 31")
    a = e.intrinsic("llvm.umin.i32", "i32", f"i32 {a}", "i32 32")
    b = e.intrinsic("llvm.umin.i32", "i32", f"i32 {b}", "i32 32")
    count, place = e.op(f"zext i32 {b} to i64"), e.op(f"zext i32 {a} to i64")
    ones = e.op(f"sub i64 {e.op(f'shl i64 1, {count}')}, 1")
    return e.op(f"trunc i64 {e.op(f'shl i64 {ones}, {place}')} to i32")


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


def permute(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    """``prmt``: four of the eight bytes of b:a, or their signs."""
    high = e.op(f"shl i64 {e.op(f'zext i32 {b} to i64')}, 32")
    both = e.op(f"or i64 {high}, {e.op(f'zext i32 {a} to i64')}")
    mode = m.get("mode", "")
    result = "0"
    low = e.op(f"and i32 {c}, 3") if mode else ""
    for k in range(4):
        if not mode:
            nibble = e.op(f"lshr i32 {c}, {4 * k}")
        elif mode == "f4e":
            nibble = e.op(f"add i32 {low}, {k}")
        elif mode == "b4e":
            nibble = e.op(f"sub i32 {low}, {k}")
        elif mode == "rc8":
            nibble = low
        elif mode == "rc16":
            pair = e.op(f"and i32 {low}, 2")
            nibble = e.op(f"or i32 {pair}, {k & 1}")
        else:  # ecl, ecr: bytes up to or from the selected one keep their place
            clamp = "umax" if mode == "ecl" else "umin"
            nibble = e.intrinsic(f"llvm.{clamp}.i32", "i32", f"i32 {low}", f"i32 {k}")
        place = e.op(f"zext i32 {e.op(f'and i32 {nibble}, 7')} to i64")
        moved = e.op(f"lshr i64 {both}, {e.op(f'shl i64 {place}, 3')}")
        byte = e.op(f"trunc i64 {moved} to i8")
        if not mode:
            sign = e.op(f"icmp ne i32 {e.op(f'and i32 {nibble}, 8')}, 0")
            byte = e.op(f"select i1 {sign}, i8 {e.op(f'ashr i8 {byte}, 7')}, i8 {byte}")
        wide = e.op(f"shl i32 {e.op(f'zext i8 {byte} to i32')}, {8 * k}")
        result = e.op(f"or i32 {result}, {wide}")
    return result


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
