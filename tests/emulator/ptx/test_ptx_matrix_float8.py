"""``mma.sync`` of float8 in all its types, and float16's m8n8k4, by the ISA's layouts."""

import numpy as np
import pytest
from ptx_run import entry, run

RNG = np.random.default_rng(11)


def values(bits: np.ndarray, kind: str) -> np.ndarray:
    """Of the bytes of a float8 format, from its definition."""
    exponent_bits, bias = (4, 7) if kind == "e4m3" else (5, 15)
    mantissa_bits = 7 - exponent_bits
    exponent = (bits & 127) >> mantissa_bits
    fraction = (bits & (1 << mantissa_bits) - 1) / (1 << mantissa_bits)
    size = np.where(
        exponent == 0,
        np.ldexp(fraction, 1 - bias),
        np.ldexp(1 + fraction, exponent.astype(int) - bias),
    )
    return np.where(bits & 128, -size, size)


def product(opcode: str, registers: np.ndarray, counts: tuple[int, int, int, int]) -> np.ndarray:
    """Registers of D of each lane, from those of A, B and C."""
    a, b, c, d = counts
    lines = [".reg .b32 %r<60>; .reg .b64 %rd<9>; ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [d];"]
    lines.append(f"mov.u32 %r50, %laneid; mad.wide.u32 %rd3, %r50, {4 * (a + b + c)}, %rd1;")
    lines += [f"ld.global.b32 %r{k}, [%rd3+{4 * k}];" for k in range(a + b + c)]

    def group(first: int, count: int) -> str:
        return "{" + ", ".join(f"%r{first + k}" for k in range(count)) + "}"

    lines.append(f"{opcode} {group(30, d)}, {group(0, a)}, {group(a, b)}, {group(a + b, c)};")
    lines.append(f"mad.wide.u32 %rd4, %r50, {4 * d}, %rd2;")
    lines += [f"st.global.b32 [%rd4+{4 * k}], %r{30 + k};" for k in range(d)]
    out = np.zeros((32, d), np.uint32)
    text = entry("\n".join([*lines, "ret;"]), ".param .u64 x, .param .u64 d")
    run(text, (np.ascontiguousarray(registers), out), block=32)
    return out


@pytest.mark.parametrize("sums", ["f16", "f32"])
@pytest.mark.parametrize("of", ["", ".kind::f8f6f4"])
@pytest.mark.parametrize("depth", [16, 32])
@pytest.mark.parametrize(("ka", "kb"), [("e4m3", "e5m2"), ("e5m2", "e4m3")])
def test_float8(ka, kb, depth, of, sums):
    def random(kind, shape):
        bits = RNG.integers(0, 256, shape).astype(np.uint8)
        special = 0x7F if kind == "e4m3" else 0x7C  # and above: no numbers
        return np.where((bits & 127) >= special, bits & 0x83, bits)

    a, b = random(ka, (16, depth)), random(kb, (depth, 8))
    if sums == "f16":  # small enough for the sum
        a, b = a & 0xBF, b & 0xBF
    dtype = np.float16 if sums == "f16" else np.float32
    c = RNG.standard_normal((16, 8)).astype(dtype)
    per_a = depth // 2
    fa, fb = np.zeros((32, per_a), np.uint8), np.zeros((32, per_a // 2), np.uint8)
    fc = np.zeros((32, 4), dtype)
    # The ISA's formulas for .m16n8k32 and .m16n8k16 with elements of eight bits.
    for lane in range(32):
        g, t = lane >> 2, lane % 4
        for i in range(per_a):
            row = g if i % 8 < 4 else g + 8
            fa[lane, i] = a[row, t * 4 + (i & 3) + (16 if i >= 8 else 0)]
        for i in range(per_a // 2):
            fb[lane, i] = b[t * 4 + (i & 3) + (16 if i >= 4 else 0), g]
        for i in range(4):
            fc[lane, i] = c[g + 8 * (i >= 2), t * 2 + (i & 1)]
    words = [f.view(np.uint32) for f in (fa, fb, fc)]
    counts = tuple(w.shape[1] for w in (*words, words[2]))
    opcode = f"mma.sync.aligned.m16n8k{depth}.row.col{of}.{sums}.{ka}.{kb}.{sums}"
    got = product(opcode, np.concatenate(words, 1), counts).view(dtype)
    exact = c.astype(np.float64) + values(a, ka) @ values(b, kb)
    want = exact.astype(dtype)
    for lane in range(32):
        for i in range(4):
            assert got[lane, i] == want[(lane >> 2) + 8 * (i >= 2), lane % 4 * 2 + (i & 1)]


@pytest.mark.parametrize("la", ["row", "col"])
@pytest.mark.parametrize("lb", ["row", "col"])
@pytest.mark.parametrize(("kc", "kd"), [("f32", "f32"), ("f16", "f16"), ("f16", "f32")])
def test_quads_of_float16(la, lb, kc, kd):
    a, b = (RNG.standard_normal((4, *s)).astype(np.float16) for s in ((8, 4), (4, 8)))
    types = {"f16": np.float16, "f32": np.float32}
    c = RNG.standard_normal((4, 8, 8)).astype(types[kc])
    want = (c.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)).astype(types[kd])

    # The ISA's formulas for .m8n8k4 with .f16.
    def place(kind, lane, i):
        low = lane < 16
        if kind == "f16":
            return lane % 4 + (0 if low else 4), i
        row = (lane & 1) + (i & 2) + (0 if low else 4)
        return row, (i & 4) + (lane & 2) + (i & 1)

    fa, fb = np.zeros((32, 4), np.float16), np.zeros((32, 4), np.float16)
    fc = np.zeros((32, 8), types[kc])
    for lane in range(32):
        quad, t, upper = lane % 16 // 4, lane % 4, 0 if lane < 16 else 4
        for i in range(4):
            fa[lane, i] = a[quad][(t + upper, i) if la == "row" else (i + upper, t)]
            fb[lane, i] = b[quad][(t, i + upper) if lb == "row" else (i, t + upper)]
        for i in range(8):
            fc[lane, i] = c[quad][place(kc, lane, i)]
    words = [f.view(np.uint32) for f in (fa, fb, fc)]
    counts = (2, 2, words[2].shape[1], 4 if kd == "f16" else 8)
    opcode = f"mma.sync.aligned.m8n8k4.{la}.{lb}.{kd}.f16.f16.{kc}"
    got = product(opcode, np.concatenate(words, 1), counts).view(types[kd])
    for lane in range(32):
        for i in range(8):
            assert got[lane, i] == want[lane % 16 // 4][place(kd, lane, i)]
