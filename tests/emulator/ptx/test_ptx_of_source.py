"""CUDA C++ by way of NVRTC's PTX: what `via="ptx"` of RawKernel and RawModule does."""

import numpy as np
import pytest
from ptx_run import each  # noqa: F401  (skips where llvmlite is not installed)

import pycnn
from pycnn.emulator import DivergentBarrierError, OutOfBoundsError, RaceError, RawKernel, RawModule
from pycnn.runtime.errors import CompileError

pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

RACE = r"""
__device__ void put(float* tile, int at, float value) {
    tile[at] = value;
}
extern "C" __global__ void shift(const float* x, float* y, int n) {
    __shared__ float tile[64];
    int i = threadIdx.x;
    put(tile, i, x[i]);
    BARRIER
    y[i] = tile[(i + 1) % n];
}"""


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_reports_name_the_line_of_the_source(arch):
    x = np.arange(64, dtype=np.float32)
    y = np.empty_like(x)
    good = RawKernel(
        RACE.replace("BARRIER", "__syncthreads();"), "shift", checked=True, via="ptx", arch=arch
    )
    good((1,), (64,), (x, y, 64))
    np.testing.assert_array_equal(y, np.roll(x, -1))
    bad = RawKernel(RACE.replace("BARRIER", ""), "shift", checked=True, via="ptx", arch=arch)
    with pytest.raises(RaceError) as caught:
        bad((1,), (64,), (x, y, 64))
    assert (caught.value.file, caught.value.line) == ("kernel.cu", 3)
    assert "kernel.cu:10" in caught.value.other
    assert caught.value.trace[0] == "put(float*, int, float), inlined at kernel.cu:8"
    assert caught.value.trace[1].startswith("PTX line ")
    assert "tile" in caught.value.array


def test_barriers_that_not_all_reach():
    code = r"""extern "C" __global__ void f(int n) {
        if (threadIdx.x < n)
            __syncthreads();
    }"""
    with pytest.raises(DivergentBarrierError) as caught:
        RawKernel(code, "f", checked=True, via="ptx")((1,), (64,), (32,))
    assert caught.value.line == 3


def test_templates_constants_and_counters():
    module = RawModule(
        code=r"""
        __constant__ float factor[2];
        template <typename T> __global__ void scale(T* x) { x[threadIdx.x] *= factor[1]; }""",
        name_expressions=["scale<float>", "scale<double>"],
        checked=True,
        via="ptx",
    )
    assert module.kernel_names == ("scale<float>", "scale<double>")
    module.get_global("factor").view(np.float32)[:] = [0, 3]
    for dtype in ("float", "double"):
        x = np.arange(32, dtype=np.dtype({"float": "f4", "double": "f8"}[dtype]))
        kernel = module.get_function(f"scale<{dtype}>")
        kernel((1,), (32,), (x,))
        np.testing.assert_array_equal(x, 3 * np.arange(32))
        counters = kernel.counters
        assert counters.global_store_sectors == x.nbytes // 32
    with pytest.raises(OutOfBoundsError):
        kernel((1,), (32,), (np.zeros(31),))


def test_inline_assembly_and_cuda_headers():
    code = r"""
    #include <cuda_fp16.h>
    extern "C" __global__ void f(const __half2* x, __half2* y, unsigned* z) {
        int i = threadIdx.x;
        y[i] = __hfma2(x[i], x[i], __float2half2_rn(1.0f));
        unsigned lane;
        asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
        z[i] = __reduce_add_sync(~0u, lane);
    }"""
    x = np.arange(64, dtype=np.float16)
    y, z = np.zeros_like(x), np.zeros(32, np.uint32)
    RawKernel(code, "f", checked=True, via="ptx")((1,), (32,), (x, y, z))
    np.testing.assert_array_equal(y, (x.astype(float) ** 2 + 1).astype(np.float16))
    assert (z == 496).all()


def test_what_does_not_compile():
    with pytest.raises(CompileError, match=r"kernel.cu\(1\): error"):
        RawKernel("nonsense", "f", via="ptx").compile()
    with pytest.raises(ValueError, match="allowed: source, ptx"):
        RawKernel("", "f", via="sass")
    with pytest.raises(ValueError, match="goes with via='ptx'"):
        RawKernel("", "f", via="source", arch="sm_80")
    with pytest.raises(ValueError, match="compiles for"):
        RawKernel("", "f", via="ptx", arch="sm_10").compile()


def test_the_backend_runs_operations_by_ptx(monkeypatch):
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    want = pycnn.conv2d(x, w, padding=1)
    for arch in ("sm_80", "sm_90a"):
        monkeypatch.setenv("PYCNN_EMULATOR_ARCH", arch)
        with pycnn.use_backend("emulator", checked=True, via="ptx"):
            np.testing.assert_allclose(pycnn.conv2d(x, w, padding=1), want, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="allowed are source, ptx"):
        pycnn.use_backend("emulator", via="sass")


def test_a_source_needs_no_host_compiler(monkeypatch):
    monkeypatch.setenv("PYCNN_CXX", "no-such-compiler")
    x = np.arange(4, dtype=np.float32)
    code = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'
    RawKernel(code, "twice", via="ptx")((1,), (4,), (x,))
    np.testing.assert_array_equal(x, [0, 2, 4, 6])
