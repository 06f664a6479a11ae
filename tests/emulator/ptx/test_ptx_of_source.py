"""CUDA C++ by way of NVRTC's PTX: what `via="ptx"` of RawKernel and RawModule does."""

import math

import numpy as np
import pytest
from ptx_run import each  # noqa: F401  (skips where llvmlite is not installed)

import pycnn
from pycnn.emulator import DivergentBarrierError, OutOfBoundsError, RaceError, RawKernel, RawModule
from pycnn.runtime import nvrtc
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
    with pytest.raises(ValueError, match="allowed: source, ptx"):
        pycnn.use_backend("emulator", via="sass")


def test_a_source_needs_no_host_compiler(monkeypatch):
    monkeypatch.setenv("PYCNN_CXX", "no-such-compiler")
    x = np.arange(4, dtype=np.float32)
    code = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'
    RawKernel(code, "twice", via="ptx")((1,), (4,), (x,))
    np.testing.assert_array_equal(x, [0, 2, 4, 6])


def _headers(name):
    if not any((folder / name).exists() for folder in nvrtc.cuda_include_dirs()):
        pytest.skip(f"CUDA's header {name} is not installed (extra 'emulator')")


BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])


@BOTH
def test_cooperative_groups_reduce_and_scan(checked):
    _headers("nv/target")
    code = r"""
    #include <cooperative_groups.h>
    #include <cooperative_groups/reduce.h>
    #include <cooperative_groups/scan.h>
    namespace cg = cooperative_groups;
    extern "C" __global__ void f(const int* x, int* total, int* scan) {
        auto block = cg::this_thread_block();
        auto tile = cg::tiled_partition<32>(block);
        int v = x[block.thread_rank()];
        total[block.thread_rank()] = cg::reduce(tile, v, cg::plus<int>());
        scan[block.thread_rank()] = cg::inclusive_scan(tile, v);
        block.sync();
    }"""
    x = np.arange(64, dtype=np.int32) ** 2
    total, scan = np.zeros_like(x), np.zeros_like(x)
    RawKernel(code, "f", checked=checked, via="ptx")((1,), (64,), (x, total, scan))
    np.testing.assert_array_equal(total, np.repeat([x[:32].sum(), x[32:].sum()], 32))
    np.testing.assert_array_equal(scan, np.concatenate([x[:32].cumsum(), x[32:].cumsum()]))


CUB = r"""
#include <cub/block/block_reduce.cuh>
#include <cuda/atomic>
typedef cub::BlockReduce<float, 128> Reduce;
extern "C" __global__ void f(const float* x, float* total, int* blocks) {
    __shared__ typename Reduce::TempStorage memory;
    float s = Reduce(memory).Sum(x[threadIdx.x]);
    BARRIER
    float m = Reduce(memory).Reduce(x[threadIdx.x], [](float a, float b) { return a > b ? a : b; });
    if (threadIdx.x == 0) {
        total[2 * blockIdx.x] = s;
        total[2 * blockIdx.x + 1] = m;
        cuda::atomic_ref<int, cuda::thread_scope_device>(*blocks).fetch_add(1);
    }
}"""


@BOTH
def test_cub_and_libcu(checked):
    _headers("cub/block/block_reduce.cuh")
    x = np.arange(128, dtype=np.float32)
    total, blocks = np.zeros(6, np.float32), np.zeros(1, np.int32)
    kernel = RawKernel(CUB.replace("BARRIER", "__syncthreads();"), "f", checked=checked, via="ptx")
    kernel((3,), (128,), (x, total, blocks))
    np.testing.assert_array_equal(total, [x.sum(), 127] * 3)
    assert blocks[0] == 3


def test_cub_memory_used_again_without_a_barrier_is_a_race():
    _headers("cub/block/block_reduce.cuh")
    kernel = RawKernel(CUB.replace("BARRIER", ""), "f", checked=True, via="ptx")
    x, blocks = np.arange(128, dtype=np.float32), np.zeros(1, np.int32)
    with pytest.raises(RaceError) as caught:
        kernel((1,), (128,), (x, np.zeros(2, np.float32), blocks))
    assert any("inlined at kernel.cu:" in line for line in caught.value.trace)


@BOTH
def test_recursion_pointers_to_functions_and_mathematics(checked):
    code = r"""
    __device__ double g(double x, int n) { return n ? sin(x) + g(x * 0.5, n - 1) : pow(x, 1.5); }
    typedef double (*function)(double);
    __device__ double one(double x) { return x + 1; }
    __device__ double two(double x) { return tgamma(x); }
    extern "C" __global__ void f(const double* x, double* y, double* z, int k) {
        int i = threadIdx.x;
        y[i] = g(x[i], 5);
        function table[2] = {one, two};
        z[i] = table[(i + k) & 1](x[i]);
    }"""
    x = np.linspace(1, 20, 32)
    y, z = np.zeros(32), np.zeros(32)
    RawKernel(code, "f", checked=checked, via="ptx")((1,), (32,), (x, y, z, 2))

    def g(x, n):
        return np.sin(x) + g(x * 0.5, n - 1) if n else x**1.5

    np.testing.assert_allclose(y, g(x, 5), rtol=1e-14)
    want = [v + 1 if i % 2 == 0 else math.gamma(v) for i, v in enumerate(x)]
    np.testing.assert_allclose(z, want, rtol=1e-13)
