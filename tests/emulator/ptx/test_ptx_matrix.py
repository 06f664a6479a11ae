"""``mma.sync``, ``ldmatrix``, ``stmatrix`` and ``cp.async``, by the ISA's layouts and NumPy."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from ptx_run import BOTH, entry, run

from pycnn.emulator import AsyncCopyError, PtxError, PtxModule, RaceError, RawKernel

RNG = np.random.default_rng(5)


# The ISA's formulas, one for each shape: row and column of the i-th element of a lane's fragment.
def a_m16n8k16_half(lane, i):
    g, t = lane >> 2, lane % 4
    row = g if 0 <= i < 2 or 4 <= i < 6 else g + 8
    return row, t * 2 + (i & 1) + (8 if i >= 4 else 0)


def b_m16n8k16_half(lane, i):
    g, t = lane >> 2, lane % 4
    return t * 2 + (i & 1) + (8 if i >= 2 else 0), g


def a_m16n8k8_half(lane, i):
    return (lane >> 2) + (8 if i >= 2 else 0), lane % 4 * 2 + (i & 1)


def b_m16n8k8_half(lane, i):
    return lane % 4 * 2 + i, lane >> 2


def a_m16n8k8_tf32(lane, i):
    return (lane >> 2) + (8 if i in (1, 3) else 0), lane % 4 + (4 if i >= 2 else 0)


def b_m16n8k8_tf32(lane, i):
    return lane % 4 + 4 * i, lane >> 2


def a_m16n8k32_byte(lane, i):
    g, t = lane >> 2, lane % 4
    row = g if 0 <= i < 4 or 8 <= i < 12 else g + 8
    return row, t * 4 + (i & 3) + (16 if i >= 8 else 0)


def b_m16n8k32_byte(lane, i):
    return lane % 4 * 4 + (i & 3) + (16 if i >= 4 else 0), lane >> 2


def a_m8n8k16_byte(lane, i):
    return lane >> 2, lane % 4 * 4 + i


def b_m8n8k16_byte(lane, i):
    return lane % 4 * 4 + i, lane >> 2


def a_m8n8k4_double(lane, i):
    return lane >> 2, lane % 4


def b_m8n8k4_double(lane, i):
    return lane % 4, lane >> 2


def c_m16n8(lane, i):
    return (lane >> 2) + (8 if i >= 2 else 0), lane % 4 * 2 + (i & 1)


def c_m8n8(lane, i):
    return lane >> 2, lane % 4 * 2 + i


def fragments(matrix: np.ndarray, place, count: int) -> np.ndarray:
    """Of each lane its elements, in the order of its registers."""
    out = np.zeros((32, count), matrix.dtype)
    for lane in range(32):
        for i in range(count):
            out[lane, i] = matrix[place(lane, i)]
    return out


def product(opcode, fa, fb, fc, out_dtype, checked=True):
    """D's fragments: registers of 32 bits, or of 64 for float64."""
    wide = fa.dtype == np.float64
    size, name = (8, "%rd") if wide else (4, "%r")
    words = [f.view(np.uint64 if wide else np.uint32) for f in (fa, fb, fc)]
    lines = [".reg .b32 %r<40>; .reg .b64 %rd<60>; ld.param.u64 %rd40, [x]; mov.u32 %r30, %tid.x;"]
    at, lists, stride = 10, [], sum(w.shape[1] for w in words) * size
    lines.append(f"mad.wide.u32 %rd41, %r30, {stride}, %rd40;")
    offset = 0
    for w in words:
        names = [f"{name}{at + k}" for k in range(w.shape[1])]
        at += len(names)
        for n in names:
            lines.append(f"ld.global.b{8 * size} {n}, [%rd41+{offset}];")
            offset += size
        lists.append("{" + ", ".join(names) + "}")
    count = 8 // size * 4 // 2 if wide else 4
    count = fc.shape[1] if wide else (16 * 8 if "m16" in opcode else 64) // 32
    if out_dtype == np.float16:
        count //= 2
    d = [f"{name}{k}" for k in range(count)]
    lines.append(f"{opcode} {{{', '.join(d)}}}, {', '.join(lists)};")
    lines.append(f"ld.param.u64 %rd42, [d]; mad.wide.u32 %rd43, %r30, {count * size}, %rd42;")
    lines += [f"st.global.b{8 * size} [%rd43+{k * size}], {n};" for k, n in enumerate(d)]
    x = np.concatenate([w.reshape(32, -1) for w in words], 1).copy()
    out = np.zeros((32, count), np.uint64 if wide else np.uint32)
    run(
        entry("\n".join([*lines, "ret;"]), ".param .u64 x, .param .u64 d"),
        (x, out),
        block=32,
        checked=checked,
    )
    return out.view(out_dtype)


def e4m3(bits):
    """Values of bytes as float8, from the format's definition; no NaN among them."""
    sign = np.where(bits & 128, -1.0, 1.0)
    exponent, mantissa = (bits >> 3 & 15).astype(int), bits & 7
    return sign * np.where(
        exponent == 0, np.ldexp(mantissa / 8, -6), np.ldexp(1 + mantissa / 8, exponent - 7)
    )


@BOTH
@pytest.mark.parametrize("kind", ["f16", "bf16", "f16-k8", "f16-out", "tf32", "e4m3"])
def test_floating_point(kind, checked):
    places, counts, depth = (a_m16n8k16_half, b_m16n8k16_half), (8, 4), 16
    c = RNG.standard_normal((16, 8)).astype(np.float32)
    if kind == "tf32":
        places, counts, depth = (a_m16n8k8_tf32, b_m16n8k8_tf32), (4, 2), 8
    elif kind == "f16-k8":
        places, counts, depth = (a_m16n8k8_half, b_m16n8k8_half), (4, 2), 8
    elif kind == "e4m3":
        places, counts, depth = (a_m16n8k32_byte, b_m16n8k32_byte), (16, 8), 32
    a, b = RNG.standard_normal((16, depth)), RNG.standard_normal((depth, 8))
    if kind == "tf32":
        a, b = (
            (x.astype(np.float32).view(np.uint32) & 0xFFFFE000).view(np.float32) for x in (a, b)
        )
        bits_a, bits_b = a, b
    elif kind == "bf16":
        bits_a, bits_b = (
            (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16) for x in (a, b)
        )
        a, b = ((x.astype(np.uint32) << 16).view(np.float32) for x in (bits_a, bits_b))
    elif kind == "e4m3":
        bits_a, bits_b = (
            RNG.integers(0, 0x78, x.shape).astype(np.uint8)
            | (RNG.integers(0, 2, x.shape) << 7).astype(np.uint8)
            for x in (a, b)
        )
        a, b = e4m3(bits_a), e4m3(bits_b)
    else:
        bits_a, bits_b = a.astype(np.float16), b.astype(np.float16)
        a, b = bits_a, bits_b
    type = kind.split("-")[0]
    out = np.float16 if kind == "f16-out" else np.float32
    result = "f16" if kind == "f16-out" else "f32"
    fc = fragments(c.astype(out), c_m16n8, 4)
    opcode = f"mma.sync.aligned.m16n8k{depth}.row.col.{result}.{type}.{type}.{result}"
    got = product(
        opcode,
        fragments(bits_a, places[0], counts[0]),
        fragments(bits_b, places[1], counts[1]),
        fc,
        out,
        checked,
    )
    exact = c.astype(out).astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_array_equal(got, fragments(exact.astype(out), c_m16n8, 4))


@pytest.mark.parametrize("shape", ["m16n8k32", "m8n8k16"])
@pytest.mark.parametrize(("ta", "tb"), [("s8", "s8"), ("u8", "s8"), ("u8", "u8")])
def test_integers(shape, ta, tb):
    rows, depth = (16, 32) if shape == "m16n8k32" else (8, 16)
    a = (
        RNG.integers(0, 256, (rows, depth))
        .astype(np.uint8)
        .view(np.int8 if ta == "s8" else np.uint8)
    )
    b = RNG.integers(0, 256, (depth, 8)).astype(np.uint8).view(np.int8 if tb == "s8" else np.uint8)
    c = RNG.integers(-(1 << 31), 1 << 31, (rows, 8)).astype(np.int32)
    c[0] = 2**31 - 1
    c[1] = -(2**31)
    large = rows == 16
    fa = fragments(a, a_m16n8k32_byte if large else a_m8n8k16_byte, 16 if large else 4)
    fb = fragments(b, b_m16n8k32_byte if large else b_m8n8k16_byte, 8 if large else 4)
    place, count = (c_m16n8, 4) if large else (c_m8n8, 2)
    exact = c.astype(np.int64) + a.astype(np.int64) @ b.astype(np.int64)
    for flag, want in (
        ("", exact.astype(np.int32)),
        (".satfinite", exact.clip(-(2**31), 2**31 - 1).astype(np.int32)),
    ):
        opcode = f"mma.sync.aligned.{shape}.row.col{flag}.s32.{ta}.{tb}.s32"
        got = product(opcode, fa, fb, fragments(c, place, count), np.int32)
        np.testing.assert_array_equal(got, fragments(want, place, count))


def test_doubles():
    a, b, c = (RNG.standard_normal(s) for s in ((8, 4), (4, 8), (8, 8)))
    opcode = "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"
    got = product(
        opcode,
        fragments(a, a_m8n8k4_double, 1),
        fragments(b, b_m8n8k4_double, 1),
        fragments(c, c_m8n8, 2),
        np.float64,
    )
    np.testing.assert_allclose(got, fragments(c + a @ b, c_m8n8, 2), rtol=1e-14, atol=1e-14)


@BOTH
@pytest.mark.parametrize("transposed", ["", ".trans"])
def test_tiles_are_loaded_and_stored(transposed, checked):
    x = RNG.integers(0, 1 << 16, (32, 8)).astype(np.uint16)
    body = f"""
    .reg .b32 %r<20>; .reg .b64 %rd<9>; .shared .align 16 .b8 tile[1024];
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.u64 %rd5, [z];
    mov.u32 %r1, %tid.x; mad.wide.u32 %rd3, %r1, 16, %rd1;
    ld.global.v4.u32 {{%r2, %r3, %r4, %r5}}, [%rd3];
    mov.u32 %r6, tile; shl.b32 %r7, %r1, 4; add.u32 %r6, %r6, %r7;
    st.shared.v4.u32 [%r6], {{%r2, %r3, %r4, %r5}};
    bar.warp.sync -1;
    ldmatrix.sync.aligned.m8n8.x4{transposed}.shared.b16 {{%r10, %r11, %r12, %r13}}, [%r6];
    mad.wide.u32 %rd4, %r1, 16, %rd2; st.global.v4.u32 [%rd4], {{%r10, %r11, %r12, %r13}};
    stmatrix.sync.aligned.m8n8.x4{transposed}.shared.b16 [%r6+512], {{%r10, %r11, %r12, %r13}};
    bar.warp.sync -1;
    ld.shared.v4.u32 {{%r2, %r3, %r4, %r5}}, [%r6+512];
    mad.wide.u32 %rd4, %r1, 16, %rd5; st.global.v4.u32 [%rd4], {{%r2, %r3, %r4, %r5}};
    ret;"""
    y, z = np.zeros((32, 4, 2), np.uint16), np.zeros_like(x)
    run(
        entry(body, ".param .u64 x, .param .u64 y, .param .u64 z"),
        (x, y, z),
        block=32,
        checked=checked,
    )
    tiles = x.reshape(4, 8, 8)
    if transposed:
        tiles = tiles.transpose(0, 2, 1)
    for lane in range(32):
        for tile in range(4):
            at = lane // 4, lane % 4 * 2
            np.testing.assert_array_equal(y[lane, tile], tiles[tile][at[0], at[1] : at[1] + 2])
    np.testing.assert_array_equal(z, x)


def _tensor_core_tests():
    """The kernels of tests/emulator/test_tensor_cores.py."""
    path = Path(__file__).parent.parent / "test_tensor_cores.py"
    spec = importlib.util.spec_from_file_location("tensor_cores_of_source", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


needs_nvrtc = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="needs the extra 'compile'"
)


@needs_nvrtc
@BOTH
def test_a_gemm_of_all_three(checked):
    t = _tensor_core_tests()
    a, b = (
        RNG.standard_normal((t.M, t.K)).astype("f2"),
        RNG.standard_normal((t.K, t.N)).astype("f2"),
    )
    c = np.empty((t.M, t.N), np.float32)
    kernel = RawKernel(t.GEMM16, "gemm", t.options(), checked=checked, via="ptx")
    kernel((t.N // 8, t.M // 16), (32,), (a, b, c, t.N, t.K))
    np.testing.assert_allclose(c, a.astype(float) @ b.astype(float), atol=1e-4)
    if checked:
        assert kernel.counters.shared_load_requests == 2 * (t.K // 16) * (t.N // 8) * (t.M // 16)


@needs_nvrtc
def test_waits_and_barriers_that_are_missing():
    t = _tensor_core_tests()
    a, b = (
        RNG.standard_normal((t.M, t.K)).astype("f2"),
        RNG.standard_normal((t.K, t.N)).astype("f2"),
    )
    args = (a, b, np.empty((t.M, t.N), np.float32), t.N, t.K)
    for options, error in ((t.options(wait=2), AsyncCopyError), (t.options(barrier=""), RaceError)):
        with pytest.raises(error):
            RawKernel(t.GEMM16, "gemm", options, checked=True, via="ptx")(
                (t.N // 8, t.M // 16), (32,), args
            )


def test_copies_that_are_not_whole_fill_with_zeros():
    body = """
    .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<2>; .shared .align 16 .b8 tile[32];
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r1, tile; mov.u32 %r2, 5;
    setp.eq.u32 %p1, %r2, 5;
    cp.async.cg.shared.global.L2::128B [%r1], [%rd1], 16, %r2;
    cp.async.ca.shared::cta.global [%r1+16], [%rd1], 8;
    cp.async.ca.shared.global [%r1+24], [%rd1], 8, %p1;
    cp.async.commit_group; cp.async.wait_group 0;
    ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r1]; st.global.v4.u32 [%rd2], {%r3, %r4, %r5, %r6};
    ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r1+16];
    st.global.v4.u32 [%rd2+16], {%r3, %r4, %r5, %r6};
    ret;"""
    x, y = np.arange(1, 17, dtype=np.uint8), np.full(32, 99, np.uint8)
    for checked in (False, True):
        y[:] = 99
        run(entry(body, ".param .u64 x, .param .u64 y"), (x, y), checked=checked)
        np.testing.assert_array_equal(y, [*x[:5], *[0] * 11, *x[:8], *[0] * 8])


def test_shapes_that_do_not_go_together():
    for opcode in (
        "mma.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k16.row.col.s32.s8.u4.s32",
    ):
        text = entry(
            ".reg .b32 %r<9>; " + opcode + " {%r1, %r2, %r3, %r4}, {%r1, %r2}, {%r1, %r2},"
            "{%r1, %r2, %r3, %r4};"
        )
        with pytest.raises(PtxError, match="go"):
            PtxModule(text).get_function("test")
