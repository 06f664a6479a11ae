"""``wmma``: matrices in memory against NumPy, through CUDA's mma.h and as PTX text."""

import importlib.util

import numpy as np
import pytest
from ptx_run import BOTH, entry, run

from pycnn.emulator import (
    DivergentCollectiveError,
    MisalignedAccessError,
    OutOfBoundsError,
    PtxError,
    PtxModule,
    RaceError,
    RawModule,
)
from pycnn.runtime import nvrtc

RNG = np.random.default_rng(7)
needs_nvrtc = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="needs the extra 'compile'"
)

SHAPES = {"m16n16k16": (16, 16, 16), "m32n8k16": (32, 8, 16), "m8n32k16": (8, 32, 16)}
#: Fragment type, type in memory and accumulator of CUDA's; shapes.
CASES = {
    "f16": ("half", "half", "float", SHAPES),
    "f16-f16": ("half", "half", "half", {"m16n16k16": (16, 16, 16)}),
    "bf16": ("__nv_bfloat16", "__nv_bfloat16", "float", SHAPES),
    "tf32": ("wmma::precision::tf32", "float", "float", {"m16n16k8": (16, 16, 8)}),
    "s8": ("signed char", "signed char", "int", SHAPES),
    "u8": ("unsigned char", "unsigned char", "int", SHAPES),
    "f64": ("double", "double", "double", {"m8n8k4": (8, 8, 4)}),
}
SOURCE = r"""
#include <mma.h>
using namespace nvcuda;
__device__ constexpr bool is_row(wmma::row_major*) { return true; }
__device__ constexpr bool is_row(wmma::col_major*) { return false; }
template <int M, int N, int K, typename T, typename S, typename C, typename LA, typename LB>
__device__ void product(const S* a, const S* b, const C* c, C* d, int lda, int ldb, int ldc,
                        wmma::layout_t lc) {
    const int inner = is_row((LA*)nullptr) ? K : M;
    __shared__ __align__(32) S tile[(M * K + 31) / 32 * 32];
    for (int i = threadIdx.x; i < M * K; i += 32) {
        tile[i] = a[i / inner * lda + i % inner];
    }
    __syncwarp();
    wmma::fragment<wmma::matrix_a, M, N, K, T, LA> fa;
    wmma::fragment<wmma::matrix_b, M, N, K, T, LB> fb;
    wmma::fragment<wmma::accumulator, M, N, K, C> fc, twice;
    wmma::load_matrix_sync(fa, tile, inner);
    wmma::load_matrix_sync(fb, b, ldb);
    wmma::load_matrix_sync(fc, c, ldc, lc);
    wmma::load_matrix_sync(twice, c, ldc, lc);
    for (int i = 0; i < fc.num_elements; ++i) fc.x[i] = fc.x[i] + twice.x[i];
    for (int i = 0; i < fa.num_elements; ++i) fa.x[i] = -fa.x[i];
    wmma::mma_sync(fc, fa, fb, fc);
    wmma::store_matrix_sync(d, fc, ldc, lc);
}
#define KERNEL(NAME, M, N, K, T, S, C, LA, LB)                                                 \
    extern "C" __global__ void NAME(const S* a, const S* b, const C* c, C* d, int lda, int ldb, \
                                    int ldc, int by_column) {                                   \
        if (by_column)                                                                          \
            product<M, N, K, T, S, C, wmma::LA, wmma::LB>(a, b, c, d, lda, ldb, ldc,            \
                                                          wmma::mem_col_major);                 \
        else                                                                                    \
            product<M, N, K, T, S, C, wmma::LA, wmma::LB>(a, b, c, d, lda, ldb, ldc,            \
                                                          wmma::mem_row_major);                 \
    }
"""
LAYOUTS = (("row", "col"), ("col", "row"))


def kernels() -> str:
    lines = [SOURCE]
    for kind, (fragment, stored, sums, shapes) in CASES.items():
        for shape, (m, n, k) in shapes.items():
            for la, lb in LAYOUTS:
                name = f"{kind.replace('-', '_')}_{shape}_{la}_{lb}"
                lines.append(
                    f"KERNEL({name}, {m}, {n}, {k}, {fragment}, {stored}, {sums}, "
                    f"{la}_major, {lb}_major)"
                )
    return "\n".join(lines)


def numbers(kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as it lies in memory, and its values."""
    if kind in ("s8", "u8"):
        x = RNG.integers(*((-128, 128) if kind == "s8" else (0, 256)), shape)
        return x.astype(np.int8 if kind == "s8" else np.uint8), x.astype(np.int64)
    x = RNG.standard_normal(shape)
    if kind == "f64":
        return x, x
    if kind == "bf16":
        bits = (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if kind == "tf32":
        x = (x.astype(np.float32).view(np.uint32) & 0xFFFFE000).view(np.float32)
        return x, x.astype(np.float64)
    x = x.astype(np.float16)
    return x, x.astype(np.float64)


def laid_out(x: np.ndarray, layout: str, pad: int) -> np.ndarray:
    """The rows, or columns, of a matrix one after another, each with room behind it."""
    lines = x if layout == "row" else x.T
    out = np.zeros((lines.shape[0], lines.shape[1] + pad), x.dtype)
    out[:, : lines.shape[1]] = lines
    return out


@needs_nvrtc
@BOTH
@pytest.mark.parametrize("kind", CASES)
def test_products_of_matrices_in_memory(kind, checked):
    if not any((folder / "crt/mma.h").exists() for folder in nvrtc.cuda_include_dirs()):
        pytest.skip("CUDA's header crt/mma.h is not installed: pip install nvidia-cuda-crt")
    module = RawModule(
        code=kernels(), via="ptx", arch="sm_80", checked=checked, options=("-std=c++17",)
    )
    dtype = {"float": np.float32, "half": np.float16, "int": np.int32, "double": np.float64}
    out = dtype[CASES[kind][2]]
    for shape, (m, n, k) in list(CASES[kind][3].items())[: 1 if checked else None]:
        for la, lb in LAYOUTS:
            a, va = numbers(kind.partition("-")[0], (m, k))
            b, vb = numbers(kind.partition("-")[0], (k, n))
            c = (RNG.standard_normal((m, n)) * 100).astype(out)
            for lc in ("row", "col"):
                ma, mb, mc = laid_out(a, la, 16), laid_out(b, lb, 32), laid_out(c, lc, 8)
                d = np.zeros_like(mc)
                name = f"{kind.replace('-', '_')}_{shape}_{la}_{lb}"
                args = (ma, mb, mc, d, ma.shape[1], mb.shape[1], mc.shape[1], int(lc == "col"))
                module.get_function(name)((1,), (32,), args)
                negated = (-a).astype(np.int64) if kind in ("s8", "u8") else -va
                twice = (c + c).astype(np.int64 if out is np.int32 else np.float64)
                want = (twice + negated @ vb).astype(out)
                lines = want if lc == "row" else want.T
                got = d[:, : lines.shape[1]]
                if out is np.float64:
                    np.testing.assert_allclose(got, lines, rtol=1e-13, atol=1e-12)
                else:
                    np.testing.assert_array_equal(got, lines)
                assert not d[:, lines.shape[1] :].any()


def _lines(count, start=0):
    return "{" + ", ".join(f"%r{start + k}" for k in range(count)) + "}"


SMALL = """
    .reg .b32 %r<20>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c];
    wmma.load.a.sync.aligned.row.SHAPE.global.TYPE {%r0}, [%rd1], STRIDE;
    wmma.load.b.sync.aligned.col.SHAPE.TYPE {%r1}, [%rd2];
    wmma.load.c.sync.aligned.col.SHAPE.global.s32 {%r2, %r3}, [%rd3], 8;
    wmma.mma.OPERATION.SHAPE.s32.TYPE.TYPE.s32FLAG {%r4, %r5}, {%r0}, {%r1}, {%r2, %r3};
    wmma.store.d.sync.aligned.col.SHAPE.global.s32 [%rd3], {%r4, %r5};
    ret;"""
PARAMETERS = ".param .u64 a, .param .u64 b, .param .u64 c"


@BOTH
@pytest.mark.parametrize("kind", ["s4", "u4", "xor", "and"])
def test_elements_smaller_than_bytes(kind, checked):
    bits, depth = (1, 128) if kind in ("xor", "and") else (4, 32)
    a, b = (RNG.integers(0, 1 << bits, (8, depth)) for _ in "ab")
    c = RNG.integers(-(1 << 31), 1 << 31, (8, 8)).astype(np.int32)
    c[0], c[1] = 2**31 - 1, -(2**31)

    def packed(x, stride):
        per = 8 // bits
        out = np.zeros((8, stride // per), np.uint8)
        for i in range(per):
            out[:, : depth // per] |= (x[:, i::per] << bits * i).astype(np.uint8)
        return out

    def values(x):
        return x - 16 * (x > 7) if kind == "s4" else x

    if bits == 1:
        met = (a[:, None] ^ b[None]) if kind == "xor" else (a[:, None] & b[None])
        exact = c.astype(np.int64) + met.sum(2)
    else:
        exact = c.astype(np.int64) + values(a) @ values(b).T
    for flag in ("", ".satfinite") if bits == 4 else ("",):
        want = exact.clip(-(2**31), 2**31 - 1) if flag else exact
        text = SMALL.replace("SHAPE", f"m8n8k{depth}").replace("FLAG", flag)
        operation = f"{kind}.popc.sync.aligned.row.col" if bits == 1 else "sync.aligned.row.col"
        text = text.replace("OPERATION", operation).replace("STRIDE", str(2 * depth))
        text = text.replace("TYPE", "b1" if bits == 1 else kind)
        d = np.asfortranarray(c).copy(order="F")
        run(
            entry(text, PARAMETERS), (packed(a, 2 * depth), packed(b, depth), d.T),
            block=32, checked=checked,
        )  # fmt: skip
        np.testing.assert_array_equal(d, want.astype(np.int32))


TWO = """
    .reg .b32 %r<40>; .reg .b64 %rd<9>; .reg .pred %p<2>;
    .shared .align 128 .b8 tile[1024];
    ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c];
    mov.u32 %r30, tile;
    wmma.load.a.sync.aligned.row.m16n16k16.global.f16 LIST, [%rd1], STRIDE;
    MORE
    ret;"""


def two(more="", stride="16"):
    text = TWO.replace("LIST", _lines(8)).replace("MORE", more).replace("STRIDE", stride)
    return entry(text, PARAMETERS)


def test_what_lies_beyond_the_matrix():
    good, short = np.zeros((16, 16), np.float16), np.zeros((15, 16), np.float16)
    run(two(), (good, good, good), block=32)
    with pytest.raises(OutOfBoundsError, match="read of 4 bytes"):
        run(two(), (short, good, good), block=32)
    with pytest.raises(OutOfBoundsError):
        run(two(stride="24"), (good, good, good), block=32)


def test_matrices_in_shared_memory_are_watched():
    store = f"wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%r30], {_lines(8, 10)}, 16;"
    load = f"wmma.load.c.sync.aligned.row.m16n16k16.shared.f32 {_lines(8, 20)}, [%r30], 16;"
    other = f"wmma.load.c.sync.aligned.col.m16n16k16.shared.f32 {_lines(8, 20)}, [%r30], 16;"
    x = np.zeros((16, 16), np.float16)
    run(two(store + "bar.warp.sync -1;" + other), (x, x, x), block=32)
    run(two(store + load), (x, x, x), block=32)  # each lane what it stored itself
    with pytest.raises(RaceError, match="read by thread"):
        run(two(store + other), (x, x, x), block=32)
    with pytest.raises(RaceError):
        run(two(store + "bar.warp.sync -1;" + load), (x, x, x), block=64)


def test_addresses_that_do_not_fit():
    x = np.zeros((64, 64), np.float16)
    for checked in (False, True):
        for at, stride, place in (
            ("tile+16", 16, "16 past a multiple of 32"),
            ("tile", 12, "stride of 24 bytes"),
        ):
            opcode = "wmma.load.b.sync.aligned.row.m16n16k16.shared.f16"
            load = f"mov.u32 %r30, {at}; {opcode} {_lines(8, 10)}, [%r30], {stride};"
            with pytest.raises(MisalignedAccessError, match=place):
                run(two(load), (x, x, x), block=32, checked=checked)


def test_lanes_that_do_not_go_together():
    x = np.zeros((64, 64), np.float16)
    fill = f"wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%r30], {_lines(8, 10)}, 16;"
    for more, block, place in (
        ("mov.u32 %r29, %laneid; shl.b32 %r29, %r29, 5; and.b32 %r29, %r29, 32;"
         "add.u32 %r30, %r30, %r29;" + fill, 32, "different matrices"),
        ("", 48, "needs all 32 lanes"),
    ):  # fmt: skip
        with pytest.raises(DivergentCollectiveError, match=place):
            run(two(more), (x, x, x), block=block)


def test_forms_that_are_not_there():
    for line, why in (
        ("wmma.load.a.sync.aligned.row.m16n16k8.f16 {%r1}, [%rd1];", "does not go with .f16"),
        (f"wmma.load.a.sync.aligned.row.m16n16k16.f16 {_lines(4)}, [%rd1];", "8 are wanted"),
        ("wmma.load.a.sync.aligned.row.m16n16k16.f32 {%r1}, [%rd1];", "is not there"),
        (f"wmma.mma.sync.aligned.col.col.m8n8k32.s32.s4.s4.s32 {_lines(2)}, {{%r1}}, {{%r1}},"
         f"{_lines(2)};", "lies by rows"),
        (f"wmma.mma.sync.aligned.row.col.m8n8k32.s32.s4.s8.s32 {_lines(2)}, {{%r1}}, {{%r1}},"
         f"{_lines(2)};", "do not go together"),
    ):  # fmt: skip
        with pytest.raises(PtxError, match=why):
            PtxModule(entry(f".reg .b32 %r<20>; .reg .b64 %rd<9>; {line}")).get_function("test")
