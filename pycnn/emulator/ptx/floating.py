"""Floating-point arithmetic, with every rounding; what is approximate on a GPU is exact here."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.lines import float_value
from pycnn.emulator.ptx.syntax import TYPES, Type

Modifiers = dict[str, Any]

_MODES = {"rn": 0, "rz": 1, "rm": 2, "rp": 3}
_LLVM = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
#: Operations of the runtime that round in a given direction: `pycnn_emu_ptx_rounded`.
_ROUNDED = {"add": 0, "sub": 1, "mul": 2, "div": 3, "fma": 4, "sqrt": 5}


def _name(type: Type) -> str:
    return "float" if type.bits == 32 else "double"


def flushed(e: Emitter, m: Modifiers, value: str) -> str:
    """With ``.ftz`` a subnormal float32 counts as zero."""
    if not m.get("ftz") or m["T"].bits != 32:
        return value
    return e.helper("px_ftz", "float", f"float {value}")


def _finished(e: Emitter, m: Modifiers, value: str) -> str:
    value = flushed(e, m, value)
    if m.get("sat"):
        value = saturated(e, m["T"], value)
    return value


def saturated(e: Emitter, type: Type, value: str) -> str:
    """Between 0 and 1; 0 of a NaN."""
    t = _name(type)
    value = e.helper(f"px_sat_{t}", t, f"{t} {value}")
    e.saturated.add(value)
    return value


def _rounded(e: Emitter, m: Modifiers, operation: str, *values: str) -> str:
    """By the runtime, which sets the processor's rounding mode."""
    t = _name(m["T"])
    padded = [*values, *["0.0"] * (3 - len(values))]
    code = _ROUNDED[operation] << 2 | _MODES[m["rnd"]]
    name = "rounded32" if t == "float" else "rounded64"
    return e.runtime(name, t, f"i32 {code}", *(f"{t} {v}" for v in padded))


def arithmetic(operation: str) -> Any:
    """``add``, ``sub``, ``mul`` and ``div`` of float32 and float64."""

    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        t = _name(m["T"])
        a, b = flushed(e, m, a), flushed(e, m, b)
        mode = m.get("rnd") or "rn"
        if mode == "rn" or mode in ("approx", "full"):
            return _finished(e, m, e.op(f"{_LLVM[operation]} {t} {a}, {b}"))
        if t == "double" or operation == "div":
            return _finished(e, m, _rounded(e, m, operation, a, b))
        if operation == "sub":
            b = e.op(f"fneg float {b}")
        name = f"px_{'mul' if operation == 'mul' else 'add'}_{mode}"
        return _finished(e, m, e.helper(name, t, f"{t} {a}", f"{t} {b}"))

    return run


def fused(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    t = _name(m["T"])
    a, b, c = (flushed(e, m, v) for v in (a, b, c))
    mode = m.get("rnd") or "rn"
    if mode == "rn":
        name = f"llvm.fma.f{m['T'].bits}"
        return _finished(e, m, e.intrinsic(name, t, f"{t} {a}", f"{t} {b}", f"{t} {c}"))
    if t == "double":
        return _finished(e, m, _rounded(e, m, "fma", a, b, c))
    if mode == "rm" and a in e.saturated and _is_floor(b, c):
        return e.helper("px_fma_floor", t, *(f"{t} {v}" for v in (a, b, c)))
    return _finished(e, m, e.helper(f"px_fma_{mode}", t, *(f"{t} {v}" for v in (a, b, c))))


def _is_floor(b: str, c: str) -> bool:
    """Whether a b + c rounded down, a from 0 to 1, is c and a whole number: as ``expf`` has it.

    Then all results have the exponent of 2^23, at which neighbours are 1 apart.
    """
    factor, start = float_value(b), float_value(c)
    if factor is None or start is None:
        return False
    return factor >= 0 and start >= 1 << 23 and factor + start < 1 << 24


def absolute(e: Emitter, m: Modifiers, a: str) -> str:
    t = _name(m["T"])
    return flushed(e, m, e.intrinsic(f"llvm.fabs.f{m['T'].bits}", t, f"{t} {a}"))


def negate(e: Emitter, m: Modifiers, a: str) -> str:
    return flushed(e, m, e.op(f"fneg {_name(m['T'])} {a}"))


def copy_sign(e: Emitter, m: Modifiers, a: str, b: str) -> str:
    """The sign of a, and all else of b."""
    t = _name(m["T"])
    return e.intrinsic(f"llvm.copysign.f{m['T'].bits}", t, f"{t} {b}", f"{t} {a}")


def test_property(e: Emitter, m: Modifiers, a: str) -> str:
    classes = {
        "finite": 0x1F8, "infinite": 0x204, "number": 0x3FC, "notanumber": 3,
        "normal": 0x108, "subnormal": 0x90,
    }  # fmt: skip
    t = _name(m["T"])
    name = f"llvm.is.fpclass.f{m['T'].bits}"
    return e.intrinsic(name, "i1", f"{t} {a}", f"i32 {classes[m['what']]}")


def min_max(operation: str) -> Any:
    """A number wins over a NaN, unless ``.NaN`` is asked for; -0 is less than +0."""

    def run(e: Emitter, m: Modifiers, *values: str) -> str:
        type: Type = m["T"]
        t = _name(type)
        nan = "0x7FFFFFFFE0000000" if t == "float" else "0x7FFFFFFFFFFFFFFF"
        values = tuple(flushed(e, m, v) for v in values)
        bits = f"i{type.bits}"
        signs = ""
        if m.get("xorsign"):
            x, y = (e.op(f"bitcast {t} {v} to {bits}") for v in values)
            signs = e.op(f"bitcast {bits} {e.op(f'xor {bits} {x}, {y}')} to {t}")
            values = tuple(e.intrinsic(f"llvm.fabs.f{type.bits}", t, f"{t} {v}") for v in values)
        result = values[0]
        for value in values[1:]:
            both = e.helper(f"px_{operation}_{t}", t, f"{t} {result}", f"{t} {value}")
            if m.get("NaN"):
                nan_in = e.op(f"fcmp uno {t} {result}, {value}")
                both = e.op(f"select i1 {nan_in}, {t} {nan}, {t} {both}")
            result = both
        if signs:
            signed = e.intrinsic(f"llvm.copysign.f{type.bits}", t, f"{t} {result}", f"{t} {signs}")
            is_nan = e.op(f"fcmp uno {t} {result}, 0.0")
            result = e.op(f"select i1 {is_nan}, {t} {result}, {t} {signed}")
        return result

    return run


def reciprocal(e: Emitter, m: Modifiers, a: str) -> str:
    return arithmetic("div")(e, m, "1.0", a)


def square_root(e: Emitter, m: Modifiers, a: str) -> str:
    t = _name(m["T"])
    a = flushed(e, m, a)
    if m["rnd"] in ("rn", "approx"):
        return _finished(e, m, e.intrinsic(f"llvm.sqrt.f{m['T'].bits}", t, f"{t} {a}"))
    return _finished(e, m, _rounded(e, m, "sqrt", a))


def approximate(name: str) -> Any:
    """``sin.approx`` and its like: the float64 result of the runtime's function, rounded once."""

    def run(e: Emitter, m: Modifiers, a: str) -> str:
        if m["T"].bits == 64:
            return e.runtime(name, "double", f"double {a}")
        if name == "ex2":  # of every exponential function: without a call
            return e.helper("px_ex2_ftz" if m.get("ftz") else "px_ex2", "float", f"float {a}")
        wide = e.op(f"fpext float {flushed(e, m, a)} to double")
        result = e.runtime(name, "double", f"double {wide}")
        return flushed(e, m, e.op(f"fptrunc double {result} to float"))

    return run


def upper_half(operation: Any) -> Any:
    """``rcp.approx.ftz.f64`` and ``rsqrt.approx.ftz.f64``: only the upper 32 bits count."""

    def run(e: Emitter, m: Modifiers, a: str) -> str:
        bits = e.op(f"and i64 {e.op(f'bitcast double {a} to i64')}, -4294967296")
        exact = operation(e, {**m, "ftz": "", "rnd": "rn"}, e.op(f"bitcast i64 {bits} to double"))
        bits = e.op(f"and i64 {e.op(f'bitcast double {exact} to i64')}, -4294967296")
        return e.op(f"bitcast i64 {bits} to double")

    return run


# ---- 16-bit formats -----------------------------------------------------------------------------


def _format(type: Type) -> str:
    return "f16" if type.kind == "f" else "bf16"


def widened(e: Emitter, type: Type, value: str) -> str:
    return e.helper(f"px_f32_of_{_format(type)}", "float", f"i16 {value}")


def narrowed(e: Emitter, type: Type, value: str, mode: str = "rn") -> str:
    return e.helper(f"px_{_format(type)}_of_f32_{mode}", "i16", f"float {value}")


def _half_flushed(e: Emitter, m: Modifiers, value: str) -> str:
    if not m.get("ftz"):
        return value
    inner = e.op(f"and i16 {value}, 31744")
    zero = e.op(f"icmp eq i16 {inner}, 0")
    sign = e.op(f"and i16 {value}, -32768")
    return e.op(f"select i1 {zero}, i16 {sign}, i16 {value}")


def half(operation: str) -> Any:
    """``add``, ``sub``, ``mul`` in float32: its result rounds to 16 bits as the exact one."""

    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        type: Type = m["T"]
        x, y = (widened(e, type, _half_flushed(e, m, v)) for v in (a, b))
        return _half_finished(e, m, e.op(f"{_LLVM[operation]} float {x}, {y}"))

    return run


def half_fused(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
    inputs = (f"i16 {_half_flushed(e, m, v)}" for v in (a, b, c))
    return _half_finished(e, m, e.helper(f"px_fma_odd_{_format(m['T'])}", "float", *inputs))


def _half_finished(e: Emitter, m: Modifiers, value: str) -> str:
    if m.get("sat"):
        value = saturated(e, TYPES["f32"], value)
    result = _half_flushed(e, m, narrowed(e, m["T"], value))
    if m.get("relu"):
        negative = e.op(f"fcmp olt float {value}, 0.0")
        minus_zero = e.op(f"icmp eq i16 {result}, -32768")
        result = e.op(f"select i1 {e.op(f'or i1 {negative}, {minus_zero}')}, i16 0, i16 {result}")
    return result


def half_sign(operation: str) -> Any:
    def run(e: Emitter, m: Modifiers, a: str) -> str:
        a = _half_flushed(e, m, a)
        return e.op(f"xor i16 {a}, -32768") if operation == "neg" else e.op(f"and i16 {a}, 32767")

    return run


def half_min_max(operation: str) -> Any:
    inner = min_max(operation)

    def run(e: Emitter, m: Modifiers, a: str, b: str) -> str:
        type: Type = m["T"]
        x, y = (widened(e, type, _half_flushed(e, m, v)) for v in (a, b))
        return narrowed(e, type, inner(e, {**m, "T": TYPES["f32"], "ftz": ""}, x, y))

    return run


def half_approximate(name: str) -> Any:
    inner = approximate(name)

    def run(e: Emitter, m: Modifiers, a: str) -> str:
        type: Type = m["T"]
        wide = widened(e, type, _half_flushed(e, m, a))
        result = inner(e, {**m, "T": TYPES["f32"], "ftz": ""}, wide)
        return _half_flushed(e, m, narrowed(e, type, result))

    return run
