"""``cvt``: between integers, floating-point formats and each other."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.floating import narrowed, saturated, widened
from pycnn.emulator.ptx.integer import packed
from pycnn.emulator.ptx.lines import llvm_type
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]

F32, F64 = TYPES["f32"], TYPES["f64"]
_TO_INTEGER = {"rni": "roundeven", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
_MODES = {"rn": 0, "rz": 1, "rm": 2, "rp": 3}


def convert(e: Emitter, i: Instruction, m: Modifiers) -> None:
    to, of = m["D"], m["S"]
    value = e.read(i.operands[1], of)
    if _is_float(of) and _is_float(to):
        value = _float_to_float(e, m, to, of, value)
    elif _is_float(of):
        value = _float_to_integer(e, m, to, of, value)
    elif _is_float(to):
        value = _integer_to_float(e, m, to, of, value)
    else:
        value = _integer_to_integer(e, m, to, of, value)
    e.write(i.operands[0], to, value)


def _is_float(type: Type) -> bool:
    return type.kind in ("f", "bf")


def _integer_to_integer(e: Emitter, m: Modifiers, to: Type, of: Type, value: str) -> str:
    if m.get("sat"):
        value = _clamped(e, to, of, value)
    if to.bits == of.bits:
        return value
    word = "trunc" if to.bits < of.bits else "sext" if of.kind == "s" else "zext"
    return e.op(f"{word} i{of.bits} {value} to i{to.bits}")


def _clamped(e: Emitter, to: Type, of: Type, value: str) -> str:
    """Within the range of `to`, as far as a value of `of` can lie outside it."""
    t = f"i{of.bits}"
    high = (1 << to.bits - 1) - 1 if to.kind == "s" else (1 << to.bits) - 1
    low = -(1 << to.bits - 1) if to.kind == "s" else 0
    if of.kind == "s":
        if low > -(1 << of.bits - 1):
            value = e.intrinsic(f"llvm.smax.{t}", t, f"{t} {value}", f"{t} {low}")
        if high < (1 << of.bits - 1) - 1:
            value = e.intrinsic(f"llvm.smin.{t}", t, f"{t} {value}", f"{t} {high}")
    elif high < (1 << of.bits) - 1:
        value = e.intrinsic(f"llvm.umin.{t}", t, f"{t} {value}", f"{t} {high}")
    return value


def _float_to_integer(e: Emitter, m: Modifiers, to: Type, of: Type, value: str) -> str:
    mode = m.get("rnd") or "rzi"
    if mode not in _TO_INTEGER:
        e.fail(f".{mode}: a conversion to an integer rounds by .rni, .rzi, .rmi or .rpi")
    if of.bits == 16:
        value = widened(e, of, value)
    held = F64 if of.bits == 64 else F32
    t = llvm_type(held)
    if m.get("ftz") and held is F32:
        value = e.helper("px_ftz", "float", f"float {value}")
    if mode != "rzi":
        value = e.intrinsic(f"llvm.{_TO_INTEGER[mode]}.f{held.bits}", t, f"{t} {value}")
    sign = "s" if to.kind == "s" else "u"
    name = f"llvm.fpto{sign}i.sat.i{to.bits}.f{held.bits}"
    whole = e.intrinsic(name, f"i{to.bits}", f"{t} {value}")
    if of.bits == 64 or to.bits == 64:  # of a NaN: the highest bit alone, else 0
        nan = e.op(f"fcmp uno {t} {value}, 0.0")
        whole = e.op(f"select i1 {nan}, i{to.bits} {-(1 << to.bits - 1)}, i{to.bits} {whole}")
    return whole


def _integer_to_float(e: Emitter, m: Modifiers, to: Type, of: Type, value: str) -> str:
    mode = m.get("rnd") or "rn"
    word = "sitofp" if of.kind == "s" else "uitofp"
    if to.bits >= 32 and mode == "rn":
        return _saturated(e, m, to, e.op(f"{word} i{of.bits} {value} to {llvm_type(to)}"))
    # By float64, made such that it rounds further as the integer itself would.
    if of.bits == 64:
        if to.bits == 64:
            code = _MODES[mode] | (4 if of.kind == "s" else 0)
            return _saturated(
                e, m, to, e.runtime("f64_of_i64", "double", f"i32 {code}", f"i64 {value}")
            )
        if of.kind == "u":  # the sign bit is needed for the value: halve it, and keep what is lost
            half = e.op(f"lshr i64 {value}, 1")
            half = e.op(f"or i64 {half}, {e.op(f'and i64 {value}, 1')}")
            big = e.op(f"icmp slt i64 {value}, 0")
            value = e.op(f"select i1 {big}, i64 {half}, i64 {value}")
        value = e.helper("px_sticky", "i64", f"i64 {value}")
        wide = e.op(f"sitofp i64 {value} to double")
        if of.kind == "u":
            double = e.op(f"fadd double {wide}, {wide}")
            wide = e.op(f"select i1 {big}, double {double}, double {wide}")
    else:
        wide = e.op(f"{word} i{of.bits} {value} to double")
    if to.bits == 64:
        return _saturated(e, m, to, wide)
    if to.bits == 32:
        return _saturated(e, m, to, e.helper(f"px_f32_of_f64_{mode}", "float", f"double {wide}"))
    odd = e.helper("px_f32_of_f64_odd", "float", f"double {wide}")
    return narrowed(e, to, _saturated(e, m, F32, odd), mode)


def _saturated(e: Emitter, m: Modifiers, type: Type, value: str) -> str:
    return saturated(e, type, value) if m.get("sat") else value


def _float_to_float(e: Emitter, m: Modifiers, to: Type, of: Type, value: str) -> str:
    mode = m.get("rnd") or ""
    if (
        of.bits == to.bits
        and of.kind == to.kind
        and not mode
        and not m.get("sat")
        and not m.get("ftz")
    ):
        return value
    held = of
    if of.bits == 16:
        value, held = widened(e, of, value), F32
    if m.get("ftz") and held is F32:
        value = e.helper("px_ftz", "float", f"float {value}")
    t = llvm_type(held)
    if mode in _TO_INTEGER:
        value = e.intrinsic(f"llvm.{_TO_INTEGER[mode]}.f{held.bits}", t, f"{t} {value}")
        mode = ""
    if to.bits == 64:
        wide = e.op(f"fpext float {value} to double") if held is F32 else value
        return _saturated(e, m, to, wide)
    if to.bits == 32:
        if held is F64:
            value = e.helper(f"px_f32_of_f64_{mode or 'rn'}", "float", f"double {value}")
            if m.get("ftz"):
                value = e.helper("px_ftz", "float", f"float {value}")
        return _saturated(e, m, to, value)
    if held is F64:
        value = e.helper("px_f32_of_f64_odd", "float", f"double {value}")
    value = _saturated(e, m, F32, value)
    return _relu(e, m, value, narrowed(e, to, value, mode or "rn"), to)


def _relu(e: Emitter, m: Modifiers, value: str, result: str, to: Type) -> str:
    if m.get("satfinite"):
        largest = 0x7BFF if to.kind == "f" else 0x7F7F
        size = e.op(f"and i16 {result}, 32767")
        infinite = e.op(f"icmp eq i16 {size}, {0x7C00 if to.kind == 'f' else 0x7F80}")
        finite = e.op(f"or i16 {e.op(f'and i16 {result}, -32768')}, {largest}")
        result = e.op(f"select i1 {infinite}, i16 {finite}, i16 {result}")
    if m.get("relu"):
        negative = e.op(f"icmp slt i16 {result}, 0")
        nan = e.op(f"fcmp uno float {value}, 0.0")
        positive = e.op(f"select i1 {negative}, i16 0, i16 {result}")
        result = e.op(f"select i1 {nan}, i16 32767, i16 {positive}")
    return result


def convert_pair(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvt.rn.f16x2.f32 d, a, b``: a becomes the upper half."""
    to = TYPES[m["D"].name[:-2]]
    halves = []
    for operand in (i.operands[2], i.operands[1]):
        value = e.read(operand, F32)
        halves.append(_relu(e, m, value, narrowed(e, to, value, m["rnd"]), to))
    e.write(i.operands[0], m["D"], packed(e, *halves))


def convert_tf32(e: Emitter, i: Instruction, m: Modifiers) -> None:
    value = e.read(i.operands[1], F32)
    bits = e.helper(f"px_tf32_{m['rnd']}", "i32", f"float {value}")
    if m.get("satfinite"):
        size = e.op(f"and i32 {bits}, 2147483647")
        infinite = e.op(f"icmp eq i32 {size}, 2139095040")
        finite = e.op(f"or i32 {e.op(f'and i32 {bits}, -2147483648')}, {0x7F7FE000}")
        bits = e.op(f"select i1 {infinite}, i32 {finite}, i32 {bits}")
    if m.get("relu"):
        negative = e.op(f"icmp slt i32 {bits}, 0")
        bits = e.op(f"select i1 {negative}, i32 0, i32 {bits}")
    e.write(i.operands[0], TYPES["b32"], bits)


def convert_pack(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvt.pack.sat``: two s32, saturated, beside what c holds."""
    to, of = m["D"], TYPES["s32"]
    a, b = (e.read(i.operands[k], of) for k in (1, 2))
    small = []
    for value in (b, a):
        clamped = e.op(f"trunc i32 {_clamped(e, to, of, value)} to i{to.bits}")
        small.append(e.op(f"zext i{to.bits} {clamped} to i32"))
    result = e.op(f"or i32 {small[0]}, {e.op(f'shl i32 {small[1]}, {to.bits}')}")
    if len(i.operands) > 3:
        rest = e.read(i.operands[3], TYPES["b32"])
        result = e.op(f"or i32 {result}, {e.op(f'shl i32 {rest}, {2 * to.bits}')}")
    e.write(i.operands[0], TYPES["b32"], result)
