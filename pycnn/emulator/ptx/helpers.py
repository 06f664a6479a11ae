"""Arithmetic that takes more than an instruction of LLVM: functions in its language.

A helper that a kernel uses is put before it, with those that it uses in turn, and inlined.
"""

import math
import re
import struct

_TEXTS: dict[str, str] = {}

#: What the helpers use of LLVM's own.
INTRINSICS = (
    "declare float @llvm.fabs.f32(float)",
    "declare double @llvm.fabs.f64(double)",
    "declare double @llvm.fma.f64(double, double, double)",
    "declare double @llvm.roundeven.f64(double)",
)


def _add(text: str) -> None:
    name = re.search(r"@(px_\w+)", text)
    assert name is not None
    _TEXTS[name[1]] = text.replace("define", "define internal", 1).replace(
        ") {", ") alwaysinline nounwind {", 1
    )


def texts(names: set[str]) -> str:
    """The helpers of these names and what they use."""
    wanted: list[str] = []
    pending = sorted(names)
    while pending:
        name = pending.pop()
        if name in wanted:
            continue
        wanted.append(name)
        pending += [n for n in set(re.findall(r"@(px_\w+)", _TEXTS[name])) if n != name]
    return "\n".join(_TEXTS[name] for name in sorted(wanted))


# ---- Flushing and saturation --------------------------------------------------------------------

_add("""define float @px_ftz(float %x) {
  %b = bitcast float %x to i32
  %e = and i32 %b, 2139095040
  %d = icmp eq i32 %e, 0
  %s = and i32 %b, -2147483648
  %r = select i1 %d, i32 %s, i32 %b
  %f = bitcast i32 %r to float
  ret float %f
}""")

for _t in ("float", "double"):
    _add(f"""define {_t} @px_sat_{_t}({_t} %x) {{
  %p = fcmp ogt {_t} %x, 0.0
  %a = select i1 %p, {_t} %x, {_t} 0.0
  %q = fcmp olt {_t} %a, 1.0
  %r = select i1 %q, {_t} %a, {_t} 1.0
  ret {_t} %r
}}""")

# The smaller and the larger: a number wins over a NaN, -0 is less than +0, and a NaN that is left
# is the canonical one. (LLVM 22 turns its own minimumnum into minnum, which takes any zero.)
for _t, _i, _nan in (
    ("float", "i32", "0x7FFFFFFFE0000000"),
    ("double", "i64", "0x7FFFFFFFFFFFFFFF"),
):
    for _which, _less, _zero in (("min", "olt", "or"), ("max", "ogt", "and")):
        _add(f"""define {_t} @px_{_which}_{_t}({_t} %a, {_t} %b) {{
  %first = fcmp {_less} {_t} %a, %b
  %one = select i1 %first, {_t} %a, {_t} %b
  %equal = fcmp oeq {_t} %a, %b
  %ai = bitcast {_t} %a to {_i}
  %bi = bitcast {_t} %b to {_i}
  %zi = {_zero} {_i} %ai, %bi
  %same = bitcast {_i} %zi to {_t}
  %number = select i1 %equal, {_t} %same, {_t} %one
  %bn = fcmp uno {_t} %b, 0.0
  %r = select i1 %bn, {_t} %a, {_t} %number
  %rn = fcmp uno {_t} %r, 0.0
  %c = select i1 %rn, {_t} {_nan}, {_t} %r
  ret {_t} %c
}}""")

# ---- From float64 to float32, with every rounding -----------------------------------------------

# The nearest float32, then a step where it lies on the wrong side. A step from zero or to infinity
# is one of its bits like any other.
for _mode, _condition in {
    "rz": "%fa = call double @llvm.fabs.f64(double %g)\n"
          "  %da = call double @llvm.fabs.f64(double %d)\n"
          "  %wrong = fcmp ogt double %fa, %da",
    "rm": "%wrong = fcmp ogt double %g, %d",
    "rp": "%wrong = fcmp olt double %g, %d",
}.items():  # fmt: skip
    _sign = {"rz": "-1", "rm": "%down", "rp": "%up"}[_mode]
    _add(f"""define float @px_f32_of_f64_{_mode}(double %d) {{
  %f = fptrunc double %d to float
  %g = fpext float %f to double
  {_condition}
  %b = bitcast float %f to i32
  %negative = icmp slt i32 %b, 0
  %down = select i1 %negative, i32 1, i32 -1
  %up = select i1 %negative, i32 -1, i32 1
  %step = select i1 %wrong, i32 {_sign}, i32 0
  %c = add i32 %b, %step
  %r = bitcast i32 %c to float
  ret float %r
}}""")

_add("""define float @px_f32_of_f64_rn(double %d) {
  %r = fptrunc double %d to float
  ret float %r
}""")

# Rounded to odd: of a value between two float32 the one whose last bit is set. Rounded again to a
# shorter format it gives what the exact value would.
_add("""define float @px_f32_of_f64_odd(double %d) {
  %z = call float @px_f32_of_f64_rz(double %d)
  %w = fpext float %z to double
  %inexact = fcmp one double %w, %d
  %b = bitcast float %z to i32
  %i = zext i1 %inexact to i32
  %o = or i32 %b, %i
  %r = bitcast i32 %o to float
  ret float %r
}""")

# The sum of two float64 rounded to odd, from the nearest one and its exact error.
_add("""define double @px_add_odd(double %a, double %b) {
  %s = fadd double %a, %b
  %bb = fsub double %s, %a
  %aa = fsub double %s, %bb
  %da = fsub double %a, %aa
  %db = fsub double %b, %bb
  %e = fadd double %da, %db
  %inexact = fcmp one double %e, 0.0
  %i = bitcast double %s to i64
  %last = trunc i64 %i to i1
  %even = xor i1 %last, true
  %move = and i1 %inexact, %even
  %ei = bitcast double %e to i64
  %x = xor i64 %ei, %i
  %opposite = icmp slt i64 %x, 0
  %step = select i1 %opposite, i64 -1, i64 1
  %moved = add i64 %i, %step
  %ri = select i1 %move, i64 %moved, i64 %i
  %r = bitcast i64 %ri to double
  ret double %r
}""")

# The sum and the fused product-sum of float32 with a directed rounding. A sum of exactly zero is
# -0 where one operand is negative and the rounding is downward.
for _mode in ("rz", "rm", "rp"):
    _zero = "or" if _mode == "rm" else "and"
    _add(f"""define float @px_sum_{_mode}(double %a, double %b) {{
  %s = call double @px_add_odd(double %a, double %b)
  %f = call float @px_f32_of_f64_{_mode}(double %s)
  %zero = fcmp oeq double %s, 0.0
  %ai = bitcast double %a to i64
  %bi = bitcast double %b to i64
  %si = {_zero} i64 %ai, %bi
  %negative = icmp slt i64 %si, 0
  %z = select i1 %negative, float -0.0, float 0.0
  %r = select i1 %zero, float %z, float %f
  ret float %r
}}""")
    _add(f"""define float @px_add_{_mode}(float %a, float %b) {{
  %x = fpext float %a to double
  %y = fpext float %b to double
  %r = call float @px_sum_{_mode}(double %x, double %y)
  ret float %r
}}""")
    _add(f"""define float @px_mul_{_mode}(float %a, float %b) {{
  %x = fpext float %a to double
  %y = fpext float %b to double
  %p = fmul double %x, %y
  %r = call float @px_f32_of_f64_{_mode}(double %p)
  ret float %r
}}""")
    _add(f"""define float @px_fma_{_mode}(float %a, float %b, float %c) {{
  %x = fpext float %a to double
  %y = fpext float %b to double
  %z = fpext float %c to double
  %p = fmul double %x, %y
  %r = call float @px_sum_{_mode}(double %p, double %z)
  ret float %r
}}""")

# ---- Powers of two ------------------------------------------------------------------------------

# 2^x in float64, by the power series of 2^(x - n) for the whole number n nearest to x: its error is
# below 2^-52, so the float32 is the nearest one but for a few in 10^8.
_TERMS = 13


def _exponential() -> str:
    def constant(value: float) -> str:
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"

    lines = []
    last = constant(math.log(2) ** (_TERMS - 1) / math.factorial(_TERMS - 1))
    for k in range(_TERMS - 2, -1, -1):
        term = constant(math.log(2) ** k / math.factorial(k))
        lines.append(
            f"  %s{k} = call double @llvm.fma.f64(double {last}, double %r, double {term})"
        )
        last = f"%s{k}"
    series = "\n".join(lines)
    return f"""define float @px_ex2(float %x) {{
  %w = fpext float %x to double
  %above = fcmp ogt double %w, -200.0
  %a = select i1 %above, double %w, double -200.0
  %below = fcmp olt double %a, 200.0
  %c = select i1 %below, double %a, double 200.0
  %n = call double @llvm.roundeven.f64(double %c)
  %r = fsub double %c, %n
{series}
  %i = fptosi double %n to i64
  %biased = add i64 %i, 1023
  %bits = shl i64 %biased, 52
  %scale = bitcast i64 %bits to double
  %y = fmul double %s0, %scale
  %f = fptrunc double %y to float
  %nan = fcmp uno float %x, 0.0
  %q = select i1 %nan, float 0x7FFFFFFFE0000000, float %f
  ret float %q
}}"""


_add(_exponential())

# ---- 16-bit formats, kept as i16 ----------------------------------------------------------------

_add("""define float @px_f32_of_f16(i16 %h) {
  %x = bitcast i16 %h to half
  %f = fpext half %x to float
  ret float %f
}""")

_add("""define i16 @px_f16_of_f32_rn(float %f) {
  %h = fptrunc float %f to half
  %b = bitcast half %h to i16
  %nan = fcmp uno float %f, 0.0
  %r = select i1 %nan, i16 32767, i16 %b
  ret i16 %r
}""")

for _mode in ("rz", "rm", "rp"):
    _wrong = {
        "rz": "%ga = call float @llvm.fabs.f32(float %g)\n"
              "  %fa = call float @llvm.fabs.f32(float %f)\n  %wrong = fcmp ogt float %ga, %fa",
        "rm": "%wrong = fcmp ogt float %g, %f",
        "rp": "%wrong = fcmp olt float %g, %f",
    }[_mode]  # fmt: skip
    _sign = {"rz": "-1", "rm": "%down", "rp": "%up"}[_mode]
    _add(f"""define i16 @px_f16_of_f32_{_mode}(float %f) {{
  %b = call i16 @px_f16_of_f32_rn(float %f)
  %g = call float @px_f32_of_f16(i16 %b)
  {_wrong}
  %negative = icmp slt i16 %b, 0
  %down = select i1 %negative, i16 1, i16 -1
  %up = select i1 %negative, i16 -1, i16 1
  %step = select i1 %wrong, i16 {_sign}, i16 0
  %r = add i16 %b, %step
  ret i16 %r
}}""")

_add("""define float @px_f32_of_bf16(i16 %h) {
  %w = zext i16 %h to i32
  %s = shl i32 %w, 16
  %f = bitcast i32 %s to float
  ret float %f
}""")

_add("""define i16 @px_bf16_of_f32_rn(float %f) {
  %b = bitcast float %f to i32
  %s = lshr i32 %b, 16
  %l = and i32 %s, 1
  %h = add i32 %l, 32767
  %u = add i32 %b, %h
  %t = lshr i32 %u, 16
  %r = trunc i32 %t to i16
  %nan = fcmp uno float %f, 0.0
  %q = select i1 %nan, i16 32767, i16 %r
  ret i16 %q
}""")

for _mode in ("rz", "rm", "rp"):
    _away = {"rz": "false", "rm": "%negative", "rp": "%positive"}[_mode]
    _add(f"""define i16 @px_bf16_of_f32_{_mode}(float %f) {{
  %b = bitcast float %f to i32
  %t = lshr i32 %b, 16
  %z = trunc i32 %t to i16
  %low = and i32 %b, 65535
  %inexact = icmp ne i32 %low, 0
  %negative = icmp slt i32 %b, 0
  %positive = xor i1 %negative, true
  %away = and i1 %inexact, {_away}
  %i = zext i1 %away to i16
  %m = add i16 %z, %i
  %nan = fcmp uno float %f, 0.0
  %r = select i1 %nan, i16 32767, i16 %m
  ret i16 %r
}}""")

# float32 to TF32: 10 bits of mantissa are kept, ties away from zero or to even.
_add("""define i32 @px_tf32_rna(float %f) {
  %b = bitcast float %f to i32
  %u = add i32 %b, 4096
  %r = and i32 %u, -8192
  %a = call float @llvm.fabs.f32(float %f)
  %inf = fcmp ueq float %a, 0x7FF0000000000000
  %nan = fcmp uno float %f, 0.0
  %k = select i1 %inf, i32 %b, i32 %r
  %q = select i1 %nan, i32 2147483647, i32 %k
  ret i32 %q
}""")
_add("""define i32 @px_tf32_rn(float %f) {
  %b = bitcast float %f to i32
  %s = lshr i32 %b, 13
  %l = and i32 %s, 1
  %h = add i32 %l, 4095
  %u = add i32 %b, %h
  %r = and i32 %u, -8192
  %nan = fcmp uno float %f, 0.0
  %q = select i1 %nan, i32 2147483647, i32 %r
  ret i32 %q
}""")
_add("""define i32 @px_tf32_rz(float %f) {
  %b = bitcast float %f to i32
  %r = and i32 %b, -8192
  %nan = fcmp uno float %f, 0.0
  %q = select i1 %nan, i32 2147483647, i32 %r
  ret i32 %q
}""")

# The fused product-sum, exact until its one rounding: the product of 11 bits each is exact in
# float64, the sum is rounded to odd.
for _format in ("f16", "bf16"):
    _add(f"""define float @px_fma_odd_{_format}(i16 %a, i16 %b, i16 %c) {{
  %fa = call float @px_f32_of_{_format}(i16 %a)
  %fb = call float @px_f32_of_{_format}(i16 %b)
  %fc = call float @px_f32_of_{_format}(i16 %c)
  %x = fpext float %fa to double
  %y = fpext float %fb to double
  %z = fpext float %fc to double
  %p = fmul double %x, %y
  %s = call double @px_add_odd(double %p, double %z)
  %r = call float @px_f32_of_f64_odd(double %s)
  ret float %r
}}""")

# An integer of 64 bits made such that its conversion to float64 is exact and rounds as it would.
_add("""define i64 @px_sticky(i64 %x) {
  %low = and i64 %x, 2047
  %some = icmp ne i64 %low, 0
  %high = and i64 %x, -2048
  %i = zext i1 %some to i64
  %b = shl i64 %i, 11
  %o = or i64 %high, %b
  %up = ashr i64 %x, 53
  %small = icmp eq i64 %up, 0
  %minus = icmp eq i64 %up, -1
  %exact = or i1 %small, %minus
  %r = select i1 %exact, i64 %x, i64 %o
  ret i64 %r
}""")
