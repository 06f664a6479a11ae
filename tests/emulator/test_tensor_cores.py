"""The wrappers of tensor cores and asynchronous copies: they compile for a GPU and run here."""

import numpy as np
import pytest

from pycnn.emulator import AsyncCopyError, RaceError, RawKernel
from pycnn.runtime import nvrtc

pytest.importorskip("llvmlite", reason="llvmlite is not installed (extra emulator)")

M, N, K = 32, 24, 64

#: A warp computes a 16x8 tile; A and B come through shared memory, two stages in flight.
GEMM16 = r"""
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <pycnn/async_copy.cuh>
#include <pycnn/mma.cuh>
#define LD 24  // elements between rows: 48 bytes, so that eight rows lie in different banks
extern "C" __global__ void gemm(const ELEMENT* a, const ELEMENT* b, float* c, int n, int k) {
    __shared__ __align__(16) ELEMENT as[2][16 * LD];
    __shared__ __align__(16) ELEMENT bs[2][16 * 16];
    int lane = threadIdx.x, row0 = blockIdx.y * 16, col0 = blockIdx.x * 8;
    auto load = [&](int stage, int k0) {
        int row = lane / 2, half = lane % 2 * 8;
        copy_async<16>(&as[stage][row * LD + half], &a[(row0 + row) * k + k0 + half]);
        if (lane < 16) copy_async<16>(&bs[stage][lane * 16], &b[(k0 + lane) * n + col0]);
        copy_async_commit();
    };
    float d[4] = {0, 0, 0, 0};
    load(0, 0);
    for (int k0 = 0; k0 < k; k0 += 16) {
        int stage = k0 / 16 % 2;
        if (k0 + 16 < k) load(stage ^ 1, k0 + 16); else copy_async_commit();
        copy_async_wait<WAIT>();
        __syncthreads();
        unsigned fa[4], fb[2];
        ldmatrix<4>(fa, &as[stage][(lane % 16) * LD + lane / 16 * 8]);
        ldmatrix<2, true>(fb, &bs[stage][(lane % 16) * 16]);
        MMA(d, fa, fb);
        BARRIER
    }
    for (int e = 0; e < 4; ++e)
        c[(row0 + lane / 4 + e / 2 * 8) * n + col0 + lane % 4 * 2 + e % 2] = d[e];
}"""


def options(element="__half", mma="mma_f16", wait=1, barrier="__syncthreads();"):
    return (f"-DELEMENT={element}", f"-DMMA={mma}", f"-DWAIT={wait}", f"-DBARRIER={barrier}")


def bfloat16(x):
    """Values of a float array that bfloat16 holds exactly, and their bits."""
    bits = (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return (bits.astype(np.uint32) << 16).view(np.float32), bits


@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_16_bit_gemm(rng, checked, kind):
    a, b = rng.standard_normal((M, K)), rng.standard_normal((K, N))
    if kind == "f16":
        a, b = a.astype(np.float16), b.astype(np.float16)
        passed = (a, b)
        kernel = RawKernel(GEMM16, "gemm", options(), checked=checked, via="ptx")
    else:
        (a, bits_a), (b, bits_b) = bfloat16(a), bfloat16(b)
        passed = (bits_a, bits_b)
        kernel = RawKernel(
            GEMM16, "gemm", options("__nv_bfloat16", "mma_bf16"), checked=checked, via="ptx"
        )
    c = np.empty((M, N), np.float32)
    kernel((N // 8, M // 16), (32,), (*passed, c, N, K))
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)
    if checked:
        assert kernel.counters.shared_load_requests == 2 * (K // 16) * (N // 8) * (M // 16)


def test_too_weak_a_wait_is_found(rng):
    a, b = rng.standard_normal((M, K)).astype("f2"), rng.standard_normal((K, N)).astype("f2")
    kernel = RawKernel(GEMM16, "gemm", options(wait=2), checked=True, via="ptx")
    with pytest.raises(AsyncCopyError):
        kernel((N // 8, M // 16), (32,), (a, b, np.empty((M, N), np.float32), N, K))


def test_a_missing_barrier_before_reuse_is_found(rng):
    a, b = rng.standard_normal((M, K)).astype("f2"), rng.standard_normal((K, N)).astype("f2")
    kernel = RawKernel(GEMM16, "gemm", options(barrier=""), checked=True, via="ptx")
    with pytest.raises(RaceError):
        kernel((N // 8, M // 16), (32,), (a, b, np.empty((M, N), np.float32), N, K))


TF32 = r"""
#include <pycnn/mma.cuh>
extern "C" __global__ void product(const float* a, const float* b, float* c) {
    int group = threadIdx.x / 4, pair = threadIdx.x % 4;
    unsigned fa[4], fb[2];
    for (int e = 0; e < 4; ++e) fa[e] = to_tf32(a[(group + e % 2 * 8) * 8 + pair + e / 2 * 4]);
    for (int e = 0; e < 2; ++e) fb[e] = to_tf32(b[(pair + e * 4) * 8 + group]);
    float d[4] = {0, 0, 0, 0};
    mma_tf32(d, fa, fb);
    for (int e = 0; e < 4; ++e) c[(group + e / 2 * 8) * 8 + pair * 2 + e % 2] = d[e];
}"""


@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
def test_tf32_product_rounds_its_operands(rng, checked):
    a = rng.standard_normal((16, 8)).astype(np.float32)
    b = rng.standard_normal((8, 8)).astype(np.float32)
    c = np.empty((16, 8), np.float32)
    RawKernel(TF32, "product", checked=checked, via="ptx")((1,), (32,), (a, b, c))

    def rounded(x):  # to 11 significant bits
        mantissa, exponent = np.frexp(x.astype(np.float64))
        return np.ldexp(np.round(mantissa * 2048) / 2048, exponent)

    np.testing.assert_allclose(c, rounded(a) @ rounded(b), atol=1e-5)
    assert np.abs(c - a.astype(np.float64) @ b.astype(np.float64)).max() > 1e-5


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a", "sm_120"])
def test_the_same_source_compiles_for_a_gpu(arch):
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")
    for code, defines in ((GEMM16, options()), (TF32, ())):
        assert nvrtc.compile_text(code, "kernel.cu", arch, options=defines).cubin
