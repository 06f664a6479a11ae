"""Floating-point instructions of PTX, against exact fractions: every rounding, to the bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
from exact import DTYPES, of_bf16, rounded, square_root, to_bf16
from ptx_run import each

MODES = ("rn", "rz", "rm", "rp")
RNG = np.random.default_rng(7)


def samples(form: str, count: int = 300) -> np.ndarray:
    """Numbers of every size, neighbours, powers of two, subnormals, both zeros."""
    dtype = DTYPES[form]
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    anything = RNG.integers(0, np.iinfo(bits).max, count, bits, endpoint=True).view(dtype)
    anything = anything[np.isfinite(anything)]
    info = np.finfo(dtype)
    near_one = (1 + RNG.integers(-8, 9, count // 2) * float(info.eps)).astype(dtype)
    special = np.array(
        [0.0, -0.0, 1, -1, 0.5, 3, info.max, -info.max, info.tiny, -info.tiny,
         info.smallest_subnormal, -info.smallest_subnormal, 1 + info.eps], dtype)  # fmt: skip
    return np.concatenate([special, near_one, -near_one, anything])


def pairs(form):
    a = samples(form)
    b = np.resize(samples(form), a.shape)
    RNG.shuffle(b)
    return np.concatenate([a, a]), np.concatenate([b, a])


def compare(got, want, form, signs_of_zero=None):
    """Each number is the fraction expected; a zero has the sign expected."""
    assert len(got) == len(want)
    for i, (g, w) in enumerate(zip(got.tolist(), want, strict=True)):
        if isinstance(w, float):
            assert g == w or (math.isnan(g) and math.isnan(w)), (i, g, w)
        else:
            assert math.isfinite(g), (i, g, w)
            assert Fraction(g) == w, (i, g, float(w))


OPERATIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["f32", "f64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_sums_and_products(name, form, mode):
    a, b = pairs(form)
    got = each(f"{name}.{mode}.{form} %d, %a, %b;", DTYPES[form], a, b)
    exact = [
        OPERATIONS[name](Fraction(x), Fraction(y))
        for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]
    compare(got, [rounded(e, form, mode) for e in exact], form)


@pytest.mark.parametrize("mode", MODES)
def test_sign_of_an_exact_zero(mode):
    a = np.array([1.5, -0.0, 0.0, 0.0, -0.0], np.float32)
    b = np.array([-1.5, -0.0, 0.0, -0.0, 0.0], np.float32)
    got = np.signbit(each(f"add.{mode}.f32 %d, %a, %b;", np.float32, a, b))
    down = mode == "rm"
    np.testing.assert_array_equal(got, [down, True, False, down, down])
    wide = np.signbit(
        each(f"add.{mode}.f64 %d, %a, %b;", np.float64, a.astype("f8"), b.astype("f8"))
    )
    np.testing.assert_array_equal(wide, got)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["f32", "f64"])
def test_fused_multiply_add(form, mode):
    a, b = pairs(form)
    c = np.roll(samples(form), 5)
    c = np.resize(c, a.shape)
    with np.errstate(all="ignore"):
        near = (-(a * b)).astype(
            a.dtype
        )  # so that the rounding error of the product is what is left
    c = np.where(np.isfinite(near) & (np.arange(a.size) % 2 == 0), near, c)
    got = each(f"fma.{mode}.{form} %d, %a, %b, %c;", DTYPES[form], a, b, c)
    exact = [
        Fraction(x) * Fraction(y) + Fraction(z)
        for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    ]
    compare(got, [rounded(e, form, mode) for e in exact], form)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["f32", "f64"])
def test_quotients_and_roots(form, mode):
    a, b = pairs(form)
    a, b = a[b != 0], b[b != 0]
    got = each(f"div.{mode}.{form} %d, %a, %b;", DTYPES[form], a, b)
    compare(
        got,
        [
            rounded(Fraction(x) / Fraction(y), form, mode)
            for x, y in zip(a.tolist(), b.tolist(), strict=True)
        ],
        form,
    )
    got = each(f"rcp.{mode}.{form} %d, %a;", DTYPES[form], b)
    compare(got, [rounded(1 / Fraction(y), form, mode) for y in b.tolist()], form)
    c = np.abs(a[a != 0])
    got = each(f"sqrt.{mode}.{form} %d, %a;", DTYPES[form], c)
    compare(got, [square_root(Fraction(x), form, mode) for x in c.tolist()], form)


@pytest.mark.parametrize("name", [*OPERATIONS, "fma"])
@pytest.mark.parametrize("form", ["f16", "bf16"])
def test_sixteen_bits(name, form):
    if form == "f16":
        a, b = pairs("f16")
        c = np.resize(np.roll(a, 3), a.shape)
        kept, values = (lambda x: x), [x.astype(float).tolist() for x in (a, b, c)]
        inputs, dtype = (a, b, c), np.float16
    else:
        bits = RNG.integers(0, 1 << 16, (3, 3000), np.uint16)
        bits[:, :6] = [0x3F80, 0xBF81, 0, 0x8000, 1, 0x7F7F]
        bits[2, 100:1500] = to_bf16(-of_bf16(bits[0, 100:1500]))
        bits = bits[:, np.isfinite(of_bf16(bits)).all(0)]
        inputs, dtype, kept = tuple(bits), np.uint16, of_bf16
        values = [of_bf16(x).astype(float).tolist() for x in bits]
    x, y, z = ([Fraction(v) for v in column] for column in values)
    if name == "fma":
        got = each(f"fma.rn.{form} %d, %a, %b, %c;", dtype, *inputs)
        exact = [p * q + r for p, q, r in zip(x, y, z, strict=True)]
    else:
        got = each(f"{name}.rn.{form} %d, %a, %b;", dtype, *inputs[:2])
        exact = [OPERATIONS[name](p, q) for p, q in zip(x, y, strict=True)]
    compare(kept(got), [rounded(e, form, "rn") for e in exact], form)


def test_packed_halves_are_two_of_them():
    a, b = (x[: x.size // 2 * 2] for x in pairs("f16"))
    got = each("fma.rn.f16x2 %d, %a, %b, %a;", np.uint32, a.view(np.uint32), b.view(np.uint32))
    one = each("fma.rn.f16 %d, %a, %b, %a;", np.float16, a, b)
    np.testing.assert_array_equal(got.view(np.uint16), one.view(np.uint16))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("to", "of"),
    [("f32", "f64"), ("f16", "f64"), ("f16", "f32"), ("bf16", "f32"), ("bf16", "f64")],
)
def test_shorter_formats(to, of, mode):
    if mode in ("rm", "rp") and to == "bf16":
        pytest.skip("the ISA has no such conversion")
    values = samples(of, 2000)
    extra = samples("f32").astype(DTYPES[of])  # of a size that fits
    values = np.concatenate([values, extra, np.linspace(-70000, 70000, 501).astype(DTYPES[of])])
    got = each(f"cvt.{mode}.{to}.{of} %d, %a;", np.uint16 if to == "bf16" else DTYPES[to], values)
    got = of_bf16(got) if to == "bf16" else got
    compare(got, [rounded(Fraction(v), to, mode) for v in values.tolist()], to)


@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
@pytest.mark.parametrize("to", ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("of", ["f16", "f32", "f64"])
def test_to_integers_saturates(to, of, mode):
    values = np.concatenate(
        [
            samples(of),
            np.array(
                [0.5, -0.5, 1.5, 2.5, -2.5, 127.5, 255.5, -128.5, 300, np.inf, -np.inf], DTYPES[of]
            ),
        ]
    )
    bits = int(to[1:])
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if to[0] == "s" else (0, (1 << bits) - 1)
    code = (
        f"cvt.{mode}.{to}.{of} %t1, %a; mov.b32 %d, %t1;"
        if bits <= 32
        else f"cvt.{mode}.{to}.{of} %d, %a;"
    )
    got = each(code, np.int32 if bits <= 32 else np.uint64, values)
    for g, v in zip(got.tolist(), values.tolist(), strict=True):
        if math.isinf(v):
            want = high if v > 0 else low
        else:
            want = min(max(to_int(Fraction(v), mode), low), high)
        assert g % (1 << bits) == want % (1 << bits), (v, g, want)


def to_int(value, mode):
    from exact import to_integer

    return to_integer(value, mode[:2])


def test_nan_to_integers():
    nan = np.array([np.nan], np.float32)
    assert each("cvt.rni.s32.f32 %d, %a;", np.int32, nan)[0] == 0
    assert each("cvt.rni.u32.f32 %d, %a;", np.uint32, nan)[0] == 0
    assert each("cvt.rzi.s64.f32 %d, %a;", np.uint64, nan)[0] == 1 << 63
    assert each("cvt.rzi.u64.f64 %d, %a;", np.uint64, nan.astype("f8"))[0] == 1 << 63
    assert each("cvt.rzi.s32.f64 %d, %a;", np.uint32, nan.astype("f8"))[0] == 1 << 31


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("to", ["f16", "f32", "f64", "bf16"])
@pytest.mark.parametrize("of", ["s32", "u32", "s64", "u64"])
def test_from_integers(to, of, mode):
    if to == "bf16" and mode in ("rm", "rp"):
        pytest.skip("tested by float16")
    bits = int(of[1:])
    some = (
        RNG.integers(0, 1 << bits, 200, np.uint64, endpoint=False)
        if bits < 64
        else RNG.integers(0, (1 << 64) - 1, 200, np.uint64, endpoint=True)
    )
    powers = np.array(
        [((1 << k) + d) % (1 << bits) for k in range(bits) for d in (-1, 0, 1)], np.uint64
    )
    ties = np.array([((1 << 62) + (1 << 54) + d) % (1 << bits) for d in (0, 1)], np.uint64)
    values = np.concatenate([some, powers, ties]).astype(f"u{bits // 8}")
    got = each(f"cvt.{mode}.{to}.{of} %d, %a;", np.uint16 if to == "bf16" else DTYPES[to], values)
    signed = values.view(f"i{bits // 8}") if of[0] == "s" else values
    want = [rounded(Fraction(v), to, mode) for v in signed.tolist()]
    compare(of_bf16(got) if to == "bf16" else got, want, to)


def test_tf32_keeps_ten_bits():
    values = samples("f32", 1000)
    values = values[(np.abs(values) > 1e-30) & (np.abs(values) < 1e30)]
    for mode in ("rna", "rn", "rz"):
        got = each(f"cvt.{mode}.tf32.f32 %d, %a;", np.float32, values)
        for g, v in zip(got.tolist(), values.tolist(), strict=True):
            unit = Fraction(2) ** (math.frexp(v)[1] - 11)
            from exact import to_integer

            assert Fraction(g) == to_integer(Fraction(v) / unit, mode) * unit


def test_flushing_and_saturation():
    tiny = np.array([1e-40, -1e-40, 1.5, -2, np.nan, 0.25], np.float32)
    got = each("add.ftz.f32 %d, %a, %a;", np.float32, tiny)
    np.testing.assert_array_equal(got, np.array([0, -0.0, 3, -4, np.nan, 0.5], np.float32))
    assert np.signbit(got[1])
    got = each("add.sat.f32 %d, %a, %a;", np.float32, tiny)
    np.testing.assert_array_equal(got, [2 * tiny[0], 0, 1, 0, 0, 0.5])
    got = each("cvt.ftz.sat.f32.f32 %d, %a;", np.float32, tiny)
    np.testing.assert_array_equal(got, np.array([0, 0, 1, 0, 0, 0.25], np.float32))


def test_minimum_and_maximum():
    a = np.array([1, np.nan, -0.0, 0.0, np.nan, -np.inf], np.float32)
    b = np.array([2, 3, 0.0, -0.0, np.nan, np.nan], np.float32)
    low = each("min.f32 %d, %a, %b;", np.float32, a, b)
    high = each("max.f32 %d, %a, %b;", np.float32, a, b)
    np.testing.assert_array_equal(low, np.array([1, 3, -0.0, -0.0, np.nan, -np.inf], np.float32))
    np.testing.assert_array_equal(np.signbit(low[2:4]), True)
    np.testing.assert_array_equal(np.signbit(high[2:4]), False)
    assert low.view(np.uint32)[4] == high.view(np.uint32)[4] == 0x7FFFFFFF
    got = each("max.NaN.f32 %d, %a, %b;", np.float32, a, b)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(a) | np.isnan(b))
    x = np.array([-3, 2, -1, 4], np.float32)
    y = np.array([2, -5, -6, 1], np.float32)
    got = each("min.xorsign.abs.f32 %d, %a, %b;", np.float32, x, y)
    np.testing.assert_array_equal(got, [-2, -2, 1, 1])


@pytest.mark.parametrize("form", ["f32", "f64"])
def test_comparisons(form):
    values = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2], DTYPES[form])
    a, b = (x.ravel() for x in np.meshgrid(values, values))
    ordered = ~(np.isnan(a) | np.isnan(b))
    with np.errstate(invalid="ignore"):
        table = {
            "eq": a == b,
            "ne": (a != b) & ordered,
            "lt": a < b,
            "le": a <= b,
            "gt": a > b,
            "ge": a >= b,
        }
    for name, want in table.items():
        got = each(f"setp.{name}.{form} %p1, %a, %b; selp.b32 %d, 1, 0, %p1;", np.int32, a, b)
        np.testing.assert_array_equal(got, want, name)
        got = each(f"setp.{name}u.{form} %p1, %a, %b; selp.b32 %d, 1, 0, %p1;", np.int32, a, b)
        np.testing.assert_array_equal(got, want | ~ordered, name + "u")
    for name, want in {"num": ordered, "nan": ~ordered}.items():
        got = each(f"setp.{name}.{form} %p1, %a, %b; selp.b32 %d, 1, 0, %p1;", np.int32, a, b)
        np.testing.assert_array_equal(got, want, name)
    code = f"setp.gt.{form} %p2, %a, 0.0;"
    code += (
        f"setp.lt.and.{form} %p1|%p3, %a, %b, !%p2; selp.b32 %d, 1, 0, %p1; @%p3 or.b32 %d, %d, 2;"
    )
    got = each(code, np.int32, a, b)
    with np.errstate(invalid="ignore"):
        outside = ~(a > 0)
        np.testing.assert_array_equal(got & 1, (a < b) & outside)
        np.testing.assert_array_equal(got >> 1, ~(a < b) & outside)


def test_approximate_functions_are_exact_to_the_last_place():
    x = np.concatenate([np.linspace(-20, 20, 500), [0.0, 1e-3, 100.5]]).astype(np.float32)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        table = {
            "sin": np.sin(wide),
            "cos": np.cos(wide),
            "ex2": np.exp2(wide),
            "lg2": np.log2(wide),
            "tanh": np.tanh(wide),
            "rsqrt": 1 / np.sqrt(wide),
            "rcp": 1 / wide,
            "sqrt": np.sqrt(wide),
        }
    for name, want in table.items():
        got = each(f"{name}.approx.f32 %d, %a;", np.float32, x)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(got, want.astype(np.float32), name)


@pytest.mark.parametrize(
    ("factor", "start"),
    [(252.0, 12582913.0), (1.0, 8388608.0), (252.0, 8388607.5), (0.5, 16777215.0)],
)
def test_floor_as_expf_has_it(factor, start):
    """``fma.rm`` of what is known to lie within 0 and 1, and constants, is done by integers."""
    edges = np.arange(253, dtype=np.float32) / np.float32(252)
    a = np.concatenate([edges, np.nextafter(edges, np.float32(-1)), samples("f32"), [np.nan]])
    a = a.astype(np.float32)
    b, c = (int(np.float32(v).view(np.uint32)) for v in (factor, start))
    code = f"cvt.sat.f32.f32 %t1, %a; fma.rm.f32 %d, %t1, 0f{b:08X}, 0f{c:08X};"
    got = each(code, np.float32, a)
    within = np.clip(np.nan_to_num(a), 0, 1)
    want = [rounded(Fraction(v) * Fraction(factor) + Fraction(start), "f32", "rm")
            for v in within.tolist()]  # fmt: skip
    compare(got, want, "f32")
