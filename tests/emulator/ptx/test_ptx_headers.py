"""What CUDA's own headers compile to: every instruction is there, and small formats are right."""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
if importlib.util.find_spec("cuda") is None:
    pytest.skip("needs the extra 'compile'", allow_module_level=True)

from header_calls import compiled, refused
from ptx_run import each

from pycnn.emulator import RawKernel
from pycnn.runtime import nvrtc

#: Of a cluster, and functions of textures: not headers' matter.
ELSEWHERE = ("getctarank", "barrier.cluster", "mapa", "tex", "surf")


@pytest.mark.parametrize(
    ("header", "arch"),
    [
        ("cuda_fp16.h", "sm_75"),
        ("cuda_bf16.h", "sm_80"),
        ("cuda_bf16.h", "sm_90a"),
        ("cuda_fp8.h", "sm_90a"),
        ("cuda_fp8.h", "sm_120a"),
        ("cuda_fp6.h", "sm_120a"),
        ("cuda_fp4.h", "sm_120a"),
        ("crt/device_functions.h", "sm_80"),
        ("crt/sm_90_rt.h", "sm_90a"),
        ("sm_61_intrinsics.h", "sm_75"),
    ],
)
def test_no_instruction_is_missing(header, arch):
    if not (nvrtc.cuda_include_dirs()[0] / header).exists():
        pytest.skip(f"CUDA's header {header} is not installed: pip install nvidia-cuda-crt")
    text = compiled(header, arch)
    assert text.count(".visible .entry") > 10
    missing = {o: f for o, f in refused(text).items() if not o.startswith(ELSEWHERE)}
    assert missing == {}


CONVERSIONS = r"""
#include <cuda_fp8.h>
#include <cuda_fp6.h>
#include <cuda_fp4.h>
extern "C" __global__ void all(const float* x, unsigned* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, k = 0;
    if (i >= n) return;
    float2 f = make_float2(x[i], x[(i + 1) % n]);
    __half2_raw h = __half2_raw(__float22half2_rn(f));
    __nv_bfloat162_raw b = __nv_bfloat162_raw(__float22bfloat162_rn(f));
    unsigned bits = i;
    auto put = [&](unsigned value) { y[k++ * n + i] = value; };
    auto halves = [&](__half2_raw v) { put(v.x); put(v.y); };
    for (auto format : {__NV_E4M3, __NV_E5M2}) {
        put(__nv_cvt_float2_to_fp8x2(f, __NV_SATFINITE, format));
        put(__nv_cvt_halfraw2_to_fp8x2(h, __NV_SATFINITE, format));
        put(__nv_cvt_bfloat16raw2_to_fp8x2(b, __NV_SATFINITE, format));
        halves(__nv_cvt_fp8x2_to_halfraw2(bits, format));
    }
    for (auto format : {__NV_E2M3, __NV_E3M2}) {
        put(__nv_cvt_float2_to_fp6x2(f, format, cudaRoundNearest));
        put(__nv_cvt_halfraw2_to_fp6x2(h, format, cudaRoundNearest));
        put(__nv_cvt_bfloat16raw2_to_fp6x2(b, format, cudaRoundNearest));
        halves(__nv_cvt_fp6x2_to_halfraw2(bits & 0x3f3f, format));
    }
    put(__nv_cvt_float2_to_fp4x2(f, __NV_E2M1, cudaRoundNearest));
    put(__nv_cvt_halfraw2_to_fp4x2(h, __NV_E2M1, cudaRoundNearest));
    put(__nv_cvt_bfloat16raw2_to_fp4x2(b, __NV_E2M1, cudaRoundNearest));
    halves(__nv_cvt_fp4x2_to_halfraw2(bits & 0xff, __NV_E2M1));
    for (auto rounding : {cudaRoundZero, cudaRoundPosInf})
        for (auto saturate : {__NV_SATFINITE, __NV_NOSAT}) {
            put(__nv_cvt_float2_to_e8m0x2(f, saturate, rounding));
            put(__nv_cvt_bfloat162raw_to_e8m0x2(b, saturate, rounding));
        }
    __nv_bfloat162_raw e = __nv_cvt_e8m0x2_to_bf162raw(bits);
    put(e.x);
    put(e.y);
}
"""
COUNT = 35


def test_small_formats_are_what_the_headers_compute_without_the_instructions():
    rng = np.random.default_rng(3)
    n = 1 << 16
    x = rng.integers(0, 1 << 32, n, np.uint64).astype(np.uint32).view(np.float32)
    x[: n // 2] = rng.standard_normal(n // 2) * 2.0 ** rng.integers(-20, 20, n // 2)
    # Halfway between two numbers of a small format, and beside it.
    steps = np.arange(1, 4097, dtype=np.float32)
    for k, scale in enumerate((2.0**-19, 2.0**-12, 2.0**-6, 1.0)):
        at = slice(1024 + k * 12288, 1024 + k * 12288 + 12288)
        tie = steps * np.float32(scale)
        x[at] = np.concatenate([tie, np.nextafter(tie, np.float32(0)), -np.nextafter(tie, np.inf)])
    x[:6] = 0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan
    results = []
    for arch in ("sm_80", "sm_120a"):
        y = np.zeros((COUNT, n), np.uint32)
        kernel = RawKernel(CONVERSIONS, "all", ("-std=c++17",), via="ptx", arch=arch)
        kernel((n // 256,), (256,), (x, y, np.int32(n)))
        results.append(y)
    for k in range(COUNT):
        np.testing.assert_array_equal(results[1][k], results[0][k], f"result {k}")
    assert np.unique(results[0][-1]).size == 256


@pytest.mark.parametrize("format", ["e4m3x2", "e5m2x2"])
def test_negative_numbers_become_zero_with_relu(format):
    x = np.array([1.5, -1.5, -0.0, np.nan, -np.inf, np.inf], np.float32)
    plain, relu = (
        each(f"cvt.rn.satfinite{r}.{format}.f32 %d, %b, %a;", np.uint16, x, -x)
        for r in ("", ".relu")
    )
    keep = np.array([0xFF, 0xFF00, 0, 0xFFFF, 0xFF00, 0xFF])
    keep[2] = 0
    np.testing.assert_array_equal(relu, plain & keep)
    back = each(f"cvt.rn.relu.f16x2.{format} %d, %a;", np.uint32, plain)
    np.testing.assert_array_equal(back, each(f"cvt.rn.f16x2.{format} %d, %a;", np.uint32, relu))


def test_differences_of_halves_and_bytes():
    rng = np.random.default_rng(4)
    a, b, c = (rng.integers(0, 1 << 32, 200, np.uint64).astype(np.uint32) for _ in "abc")
    for parts, type in ((4, np.int8), (2, np.int16)):
        for sign in "us":
            t = np.dtype(type.__name__ if sign == "s" else f"u{type.__name__}")
            x, y = (v.view(t).reshape(-1, parts).astype(np.int64) for v in (a, b))
            size = abs(x - y)
            opcode = f"vabsdiff{parts}.u32.{sign}32.{sign}32"
            got = each(f"{opcode} %d, %a, %b, %c;", np.uint32, a, b, c)
            want = size.astype(np.dtype(f"u{type.__name__}")).view(np.uint32).ravel()
            np.testing.assert_array_equal(got, want)
            got = each(f"{opcode}.add %d, %a, %b, %c;", np.uint32, a, b, c)
            np.testing.assert_array_equal(got, (c + size.sum(1)).astype(np.uint32))


def test_angles_in_turns():
    x = np.concatenate([np.arange(-8, 9) / 4, np.random.default_rng(1).standard_normal(200) * 9])
    x = x.astype(np.float32)
    for name, function in (("sin", np.sin), ("cos", np.cos)):
        got = each(f"{name}.approx.2pi.f32 %d, %a;", np.float32, x)
        turns = x.astype(np.float64) % 1
        np.testing.assert_allclose(got, function(2 * np.pi * turns), rtol=1e-6, atol=1e-15)
