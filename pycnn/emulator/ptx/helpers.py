"""Arithmetic that takes more than an instruction of LLVM: functions in its language.

A helper that a kernel uses is put before it, with those that it uses in turn, and inlined.
"""

import re
import struct

from pycnn.emulator.ptx import helpers_small

_TEXTS: dict[str, str] = {}

#: What the helpers use of LLVM's own.
INTRINSICS = (
    "declare float @llvm.fabs.f32(float)",
    "declare double @llvm.fabs.f64(double)",
    "declare double @llvm.fma.f64(double, double, double)",
    "declare float @llvm.copysign.f32(float, float)",
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
  %a = call float @llvm.fabs.f32(float %x)
  %d = fcmp olt float %a, 0x3810000000000000
  %z = call float @llvm.copysign.f32(float 0.0, float %x)
  %f = select i1 %d, float %z, float %x
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

# The nearest float64 to a sum, and its exact error (Knuth).
_TWO_SUM = """  %s = fadd double %a, %b
  %bb = fsub double %s, %a
  %aa = fsub double %s, %bb
  %da = fsub double %a, %aa
  %db = fsub double %b, %bb
  %e = fadd double %da, %db
"""

# The sum of two float64 rounded to odd, from the nearest one and its exact error.
_add(
    """define double @px_add_odd(double %a, double %b) {
"""
    + _TWO_SUM
    + """  %inexact = fcmp one double %e, 0.0
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
}"""
)

# The sum of two float64 rounded to float32 in a given direction. The float32 nearest to their
# nearest float64 is one of the two around the exact sum; what it is off by, or if nothing the error
# of that float64, says whether a step leads to the other. A sum of exactly zero has the right sign
# but with `rm`, which is therefore `rp` of the negatives, negated.
_add(
    """define float @px_sum_rp(double %a, double %b) {
"""
    + _TWO_SUM
    + """  %f = fptrunc double %s to float
  %g = fpext float %f to double
  %off = fsub double %s, %g
  %none = fcmp oeq double %off, 0.0
  %more = select i1 %none, double %e, double %off
  %wrong = fcmp ogt double %more, 0.0
  %i = bitcast float %f to i32
  %sign = ashr i32 %i, 31
  %step = or i32 %sign, 1
  %stepped = add i32 %i, %step
  %ri = select i1 %wrong, i32 %stepped, i32 %i
  %r = bitcast i32 %ri to float
  ret float %r
}"""
)
_add("""define float @px_sum_rm(double %a, double %b) {
  %x = fneg double %a
  %y = fneg double %b
  %r = call float @px_sum_rp(double %x, double %y)
  %n = fneg float %r
  ret float %n
}""")
_add("""define float @px_sum_rz(double %a, double %b) {
  %s = fadd double %a, %b
  %negative = fcmp ole double %s, 0.0
  %x = fneg double %a
  %y = fneg double %b
  %p = select i1 %negative, double %a, double %x
  %q = select i1 %negative, double %b, double %y
  %r = call float @px_sum_rp(double %p, double %q)
  %n = fneg float %r
  %z = select i1 %negative, float %r, float %n
  ret float %z
}""")

for _mode in ("rz", "rm", "rp"):
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

# a b + c rounded down, of which is known that it is c and a whole number that is not negative, and
# that such are neighbours. The product is exact, and its digits are added to those of c.
_add("""define float @px_fma_floor(float %a, float %b, float %c) {
  %x = fpext float %a to double
  %y = fpext float %b to double
  %p = fmul double %x, %y
  %whole = fptosi double %p to i32
  %bits = bitcast float %c to i32
  %sum = add i32 %bits, %whole
  %r = bitcast i32 %sum to float
  ret float %r
}""")

# ---- Powers of two ------------------------------------------------------------------------------

# 2^x in float64: 2^n for the whole number n nearest to x, times 1 + r q(r) for what is left, where
# q meets (2^r - 1) / r in Chebyshev's points of [-1/2, 1/2]. Its error is below 2^-50, so the
# float32 is the nearest one but for a few in 10^8. Adding `_SHIFT` leaves n in the lowest bits of
# the sum. No branch and no table: elements next to each other become vectors.
_SHIFT = "0x4338000000000000"  # 1.5 * 2^52
_QUOTIENT = (
    "0x1.62e42fefa39f7p-1", "0x1.ebfbdff82c590p-3", "0x1.c6b08d7044119p-5",
    "0x1.3b2ab6fba385fp-7", "0x1.5d87fe908f88ap-10", "0x1.4309130378460p-13",
    "0x1.ffcb76789860fp-17", "0x1.62bfe46117445p-20", "0x1.b6571de2f2351p-24",
    "0x1.e5e9f548e5726p-28",
)  # fmt: skip


def _exponential(flush: bool) -> str:
    """With `flush`, subnormal results are zero; those are of x below -126."""
    c = ["1.0", *(_double(float.fromhex(term)) for term in _QUOTIENT)]

    def fma(name: str, a: str, b: str, added: str) -> str:
        return f"  {name} = call double @llvm.fma.f64(double {a}, double {b}, double {added})"

    lines = [
        *(fma(f"%p{k}", c[k + 1], "%r", c[k]) for k in range(0, 10, 2)),
        fma("%q0", "%p2", "%r2", "%p0"),
        fma("%q1", "%p6", "%r2", "%p4"),
        fma("%q2", c[10], "%r2", "%p8"),
        fma("%q3", "%q2", "%r4", "%q1"),
        fma("%s", "%q3", "%r4", "%q0"),
    ]
    series = "\n".join(lines)
    name, low = ("px_ex2_ftz", "%z") if flush else ("px_ex2", "%f")
    return f"""define float @{name}(float %x) {{
  %above = fcmp olt float %x, -200.0
  %a = select i1 %above, float -200.0, float %x
  %below = fcmp ogt float %a, 200.0
  %c = select i1 %below, float 200.0, float %a
  %w = fpext float %c to double
  %k = fadd double %w, {_SHIFT}
  %n = fsub double %k, {_SHIFT}
  %r = fsub double %w, %n
  %r2 = fmul double %r, %r
  %r4 = fmul double %r2, %r2
{series}
  %i = bitcast double %k to i64
  %e = shl i64 %i, 52
  %bits = add i64 %e, 4607182418800017408
  %scale = bitcast i64 %bits to double
  %y = fmul double %s, %scale
  %f = fptrunc double %y to float
  %subnormal = fcmp olt float %x, -126.0
  %z = select i1 %subnormal, float 0.0, float %f
  %nan = fcmp uno float %x, 0.0
  %q = select i1 %nan, float 0x7FFFFFFFE0000000, float {low}
  ret float %q
}}"""


def _double(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


for _flush in (False, True):
    _add(_exponential(_flush))

# ---- Integers and small formats --------------------------------------------------------------

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

for _text in helpers_small.TEXTS:
    _add(_text)
