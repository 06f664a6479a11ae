"""Logic, shifts, and bits of integers."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]


def plain(operation: str) -> Any:
    """An instruction that LLVM has under that name."""

    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        return e.op(f"{operation} i{m['T'].bits} {a}, {b}")

    return run


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


# ---- Bit fields ---------------------------------------------------------------------------------


def _ones(e: Emitter, bits: int, count: str) -> str:
    """So many ones, of up to `bits`, in twice as many: a shift by the whole width is then one."""
    wide = f"i{2 * bits}"
    return e.op(f"sub {wide} {_shifted(e, bits, '1', count)}, 1")


def _shifted(e: Emitter, bits: int, value: str, amount: str, operation: str = "shl") -> str:
    """A value of twice `bits`, shifted by an amount that counts as `bits` at most."""
    wide = f"i{2 * bits}"
    amount = e.intrinsic("llvm.umin.i32", "i32", f"i32 {amount}", f"i32 {bits}")
    return e.op(f"{operation} {wide} {value}, {e.op(f'zext i32 {amount} to {wide}')}")


def extract(e: Emitter, m: Modifiers, a: str, position: str, length: str) -> str:
    """``bfe``: bits beyond the top are the sign for signed types, and zero else."""
    position, length = (e.op(f"and i32 {x}, 255") for x in (position, length))
    return _field(e, m["T"], a, position, length)


def sign_extend(e: Emitter, m: Modifiers, a: str, n: str) -> str:
    """``szext``: the low bits of a, extended."""
    return _field(e, m["T"], a, "0", e.op(f"and i32 {n}, 31") if m["mode"] == "wrap" else n)


def _field(e: Emitter, type: Type, a: str, position: str, length: str) -> str:
    t, wide = f"i{type.bits}", f"i{2 * type.bits}"
    extended = e.op(f"{'sext' if type.kind == 's' else 'zext'} {t} {a} to {wide}")
    ones = _ones(e, type.bits, length)
    field = e.op(f"and {wide} {_shifted(e, type.bits, extended, position, 'ashr')}, {ones}")
    if type.kind == "s":  # x ^ s - s repeats the bit s of x upwards; no bit, no sign
        sign = e.op(f"sub {wide} {ones}, {e.op(f'lshr {wide} {ones}, 1')}")
        field = e.op(f"sub {wide} {e.op(f'xor {wide} {field}, {sign}')}, {sign}")
    return e.op(f"trunc {wide} {field} to {t}")


def insert(e: Emitter, m: Modifiers, a: str, b: str, position: str, length: str) -> str:
    """``bfi``: the low bits of a into b."""
    bits = m["T"].bits
    t, wide = f"i{bits}", f"i{2 * bits}"
    position, length = (e.op(f"and i32 {x}, 255") for x in (position, length))
    ones = _ones(e, bits, length)
    field = e.op(f"and {wide} {e.op(f'zext {t} {a} to {wide}')}, {ones}")
    inside, mask = (
        e.op(f"trunc {wide} {_shifted(e, bits, x, position)} to {t}") for x in (field, ones)
    )
    outside = e.op(f"xor {t} {mask}, -1")
    return e.op(f"or {t} {inside}, {e.op(f'and {t} {b}, {outside}')}")


def bit_mask(e: Emitter, m: Modifiers, a: str, b: str) -> str:
    """``bmsk``: b ones from bit a on."""
    if m["mode"] == "wrap":
        a, b = e.op(f"and i32 {a}, 31"), e.op(f"and i32 {b}, 31")
    return e.op(f"trunc i64 {_shifted(e, 32, _ones(e, 32, b), a)} to i32")
