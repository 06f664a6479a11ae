"""Kernels as other people write them, with CUDA's own headers: right, silent, and the bug found."""

import numpy as np
import pytest
from ptx_run import each  # noqa: F401  (skips where llvmlite is not installed)

from pycnn.emulator import (
    AsyncCopyError,
    OutOfBoundsError,
    RaceError,
    RawKernel,
    RawModule,
    UninitialisedReadError,
)
from pycnn.runtime import nvrtc

pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
ARCHS = pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])


def headers(name: str) -> None:
    if not any((folder / name).exists() for folder in nvrtc.cuda_include_dirs()):
        pytest.skip(f"CUDA's header {name} is not installed")


def kernel(code: str, name: str = "f", checked: bool = True, **settings) -> RawKernel:
    return RawKernel(code, name, via="ptx", checked=checked, timeout=120, **settings)


# ---- CUB ----------------------------------------------------------------------------------------

CUB = r"""
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
typedef cub::BlockScan<int, 256> Scan;
typedef cub::BlockReduce<int, 256> Reduce;
extern "C" __global__ void f(const int* x, int* before, int* most) {
    __shared__ union { Scan::TempStorage scan; Reduce::TempStorage reduce; } memory;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int sum;
    Scan(memory.scan).ExclusiveSum(x[i], sum);
    before[i] = sum;
    BARRIER
    int top = Reduce(memory.reduce).Reduce(x[i], [](int a, int b) { return a > b ? a : b; });
    if (threadIdx.x == 0) most[blockIdx.x] = top;
}"""


@BOTH
@ARCHS
def test_cub_scan_then_reduce_in_the_same_memory(arch, checked):
    headers("cub/block/block_scan.cuh")
    x = np.random.default_rng(0).integers(0, 1000, (3, 256)).astype(np.int32)
    before, most = np.zeros_like(x), np.zeros(3, np.int32)
    code = CUB.replace("BARRIER", "__syncthreads();")
    kernel(code, checked=checked, arch=arch)((3,), (256,), (x, before, most))
    np.testing.assert_array_equal(before, x.cumsum(1) - x)
    np.testing.assert_array_equal(most, x.max(1))


def test_cub_memory_used_again_at_once():
    headers("cub/block/block_scan.cuh")
    x = np.ones((3, 256), np.int32)
    with pytest.raises(RaceError) as caught:
        kernel(CUB.replace("BARRIER", ""))((3,), (256,), (x, x.copy(), np.zeros(3, np.int32)))
    assert any("inlined at kernel.cu:13" in line for line in caught.value.trace)


# ---- Cooperative groups -------------------------------------------------------------------------

GROUPS = r"""
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
namespace cg = cooperative_groups;
extern "C" __global__ void f(const int* x, int* scan, int* total) {
    __shared__ int sums[8];
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<16>(block);
    int i = block.thread_rank(), v = x[i];
    int inside = cg::exclusive_scan(tile, v);
    int sum = cg::reduce(tile, v, cg::plus<int>());
    if (tile.thread_rank() == 0) sums[tile.meta_group_rank()] = sum;
    BARRIER
    int before = 0;
    for (int k = 0; k < tile.meta_group_rank(); ++k) before += sums[k];
    scan[i] = before + inside;
    auto odd = cg::coalesced_threads();
    if (v & 1) {
        auto those = cg::coalesced_threads();
        int count = cg::reduce(those, 1, cg::plus<int>());
        if (those.thread_rank() == 0) atomicAdd(total, count);
    }
}"""


@BOTH
@ARCHS
def test_cooperative_groups_of_several_kinds(arch, checked):
    headers("nv/target")
    x = np.random.default_rng(1).integers(0, 50, 128).astype(np.int32)
    scan, odd = np.zeros_like(x), np.zeros(1, np.int32)
    code = GROUPS.replace("BARRIER", "block.sync();")
    kernel(code, checked=checked, arch=arch)((1,), (128,), (x, scan, odd))
    np.testing.assert_array_equal(scan, x.cumsum() - x)
    assert odd[0] == (x % 2).sum()


def test_a_tile_that_waits_only_for_itself():
    headers("nv/target")
    x = np.ones(128, np.int32)
    with pytest.raises((RaceError, UninitialisedReadError)) as caught:
        kernel(GROUPS.replace("BARRIER", "tile.sync();"))(
            (1,), (128,), (x, x.copy(), np.zeros(1, np.int32))
        )
    assert caught.value.line in (13, 16)


# ---- libcu++ ------------------------------------------------------------------------------------

BARRIER = r"""
#include <cuda/barrier>
extern "C" __global__ void f(const float* x, float* y) {
    __shared__ cuda::barrier<cuda::thread_scope_block> barrier;
    __shared__ float tile[128];
    if (threadIdx.x == 0) init(&barrier, blockDim.x);
    __syncthreads();
    for (int round = 0; round < 3; ++round) {
        tile[threadIdx.x] = x[threadIdx.x] + round;
        FULL
        y[128 * round + threadIdx.x] = tile[127 - threadIdx.x];
        EMPTY
    }
}"""
WAIT = "barrier.arrive_and_wait();"


@BOTH
@ARCHS
def test_barriers_of_libcu(arch, checked):
    headers("cuda/barrier")
    x, y = np.arange(128, dtype=np.float32), np.zeros((3, 128), np.float32)
    code = BARRIER.replace("FULL", WAIT).replace("EMPTY", WAIT)
    kernel(code, checked=checked, arch=arch)((1,), (128,), (x, y))
    np.testing.assert_array_equal(y, [x[::-1] + k for k in range(3)])


@pytest.mark.parametrize("left_out", ["FULL", "EMPTY"])
def test_a_phase_of_a_barrier_that_nobody_waits_for(left_out):
    headers("cuda/barrier")
    x, y = np.arange(128, dtype=np.float32), np.zeros((3, 128), np.float32)
    code = BARRIER.replace(left_out, "(void)barrier.arrive();")
    code = code.replace("FULL", WAIT).replace("EMPTY", WAIT)
    with pytest.raises((RaceError, UninitialisedReadError)) as caught:
        kernel(code)((1,), (128,), (x, y))
    assert caught.value.line in (9, 11)


PIPELINE = r"""
#include <cuda/pipeline>
extern "C" __global__ void f(const int4* x, int4* y, int n) {
    __shared__ int4 stage[2][32];
    auto pipe = cuda::make_pipeline();
    int t = threadIdx.x;
    pipe.producer_acquire();
    cuda::memcpy_async(&stage[0][t], &x[t], sizeof(int4), pipe);
    pipe.producer_commit();
    for (int k = 0; k < n; ++k) {
        if (k + 1 < n) {
            pipe.producer_acquire();
            cuda::memcpy_async(&stage[(k + 1) % 2][t], &x[32 * (k + 1) + t], sizeof(int4), pipe);
            pipe.producer_commit();
        }
        WAIT
        int4 v = stage[k % 2][t];
        y[32 * k + t] = make_int4(v.w, v.z, v.y, v.x);
        pipe.consumer_release();
    }
}"""


@BOTH
@ARCHS
def test_pipelines_of_libcu(arch, checked):
    headers("cuda/pipeline")
    x = np.arange(5 * 128, dtype=np.int32)
    y = np.zeros_like(x)
    code = PIPELINE.replace("WAIT", "if (k + 1 < n) cuda::pipeline_consumer_wait_prior<1>(pipe); "
                            "else cuda::pipeline_consumer_wait_prior<0>(pipe);")  # fmt: skip
    kernel(code, checked=checked, arch=arch)((1,), (32,), (x, y, np.int32(5)))
    np.testing.assert_array_equal(y.reshape(-1, 4), x.reshape(-1, 4)[:, ::-1])


def test_a_pipeline_that_waits_for_too_little():
    headers("cuda/pipeline")
    x = np.arange(5 * 128, dtype=np.int32)
    code = PIPELINE.replace("WAIT", "cuda::pipeline_consumer_wait_prior<2>(pipe);")
    with pytest.raises(AsyncCopyError) as caught:
        kernel(code)((1,), (32,), (x, x.copy(), np.int32(5)))
    assert caught.value.line == 17


# ---- cuRAND -------------------------------------------------------------------------------------

RANDOM = r"""
#include <curand_kernel.h>
extern "C" __global__ void start(curandStatePhilox4_32_10_t* states, unsigned long long seed) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    curand_init(seed, i, 0, &states[i]);
}
extern "C" __global__ void draw(curandStatePhilox4_32_10_t* states, uint4* bits, float* uniform) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    curandStatePhilox4_32_10_t state = states[OWN];
    bits[i] = curand4(&state);
    uniform[i] = curand_uniform(&state);
    states[OWN] = state;
}"""


def philox(counters: np.ndarray, seed: int) -> np.ndarray:
    """Philox-4x32-10 (Salmon et al. 2011) of rows of four words."""
    c = counters.astype(np.uint64).T
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = np.stack([
            second >> np.uint64(32) ^ c[1] ^ k0, second & low,
            first >> np.uint64(32) ^ c[3] ^ k1, first & low,
        ])  # fmt: skip
        k0, k1 = k0 + np.uint64(0x9E3779B9) & low, k1 + np.uint64(0xBB67AE85) & low
    return c.T.astype(np.uint32)


@BOTH
def test_numbers_of_curand_are_philox(checked):
    headers("curand_kernel.h")
    seed, n = 0x123456789ABC, 64
    module = RawModule(RANDOM.replace("OWN", "i"), via="ptx", checked=checked)
    states = np.zeros(64 * n, np.uint8)
    bits, uniform = np.zeros((n, 4), np.uint32), np.zeros(n, np.float32)
    module.get_function("start")((2,), (32,), (states, np.uint64(seed)))
    module.get_function("draw")((2,), (32,), (states, bits, uniform))
    counters = np.zeros((n, 4), np.uint32)
    counters[:, 2] = np.arange(n)
    np.testing.assert_array_equal(bits, philox(counters, seed))
    counters[:, 0] = 1
    word = philox(counters, seed)[:, 0]
    np.testing.assert_allclose(uniform, word * 2.0**-32 + 2.0**-33, rtol=1e-6)


def test_threads_that_share_a_state_of_curand():
    headers("curand_kernel.h")
    module = RawModule(RANDOM.replace("OWN", "i / 2"), via="ptx", checked=True)
    states = np.zeros(64 * 64, np.uint8)
    module.get_function("start")((2,), (32,), (states, np.uint64(1)))
    with pytest.raises(RaceError) as caught:
        module.get_function("draw")(
            (2,), (32,), (states, np.zeros((64, 4), np.uint32), np.zeros(64, np.float32))
        )
    assert caught.value.line in (9, 12)


# ---- Tables, assembly, barriers of one's own ----------------------------------------------------

TABLE = r"""
struct Rule { float slope; int offset; };
__constant__ Rule rules[4];
__device__ unsigned char used[4];
extern "C" __global__ void f(const int* which, const float* x, float* y) {
    int i = threadIdx.x;
    Rule r = rules[which[i]];
    used[which[i] & 3] = 1;
    y[i] = r.slope * x[i] + r.offset;
}"""


@BOTH
def test_lookups_in_constant_memory(checked):
    module = RawModule(TABLE, via="ptx", checked=checked, same_value_races=False)
    rules = module.get_global("rules").view([("slope", "f4"), ("offset", "i4")])
    rules[:] = [(1, 0), (2, 1), (0.5, -3), (0, 7)]
    which = np.arange(32, dtype=np.int32) % 3
    x, y = np.linspace(0, 1, 32, dtype=np.float32), np.zeros(32, np.float32)
    f = module.get_function("f")
    f((1,), (32,), (which, x, y))
    np.testing.assert_allclose(y, rules["slope"][which] * x + rules["offset"][which], rtol=1e-6)
    np.testing.assert_array_equal(module.get_global("used"), [1, 1, 1, 0])
    if checked:
        which[5] = 4
        with pytest.raises(OutOfBoundsError, match=r"past the end of \.const rules") as caught:
            f((1,), (32,), (which, x, y))
        assert (caught.value.line, caught.value.thread) == (7, (5, 0, 0))


ASSEMBLY = r"""
extern "C" __global__ void f(const unsigned long long* a, const unsigned long long* b,
                             unsigned long long* low, unsigned long long* high, int* top) {
    __shared__ int tile[32];
    int i = threadIdx.x;
    unsigned a0 = a[i], a1 = a[i] >> 32, b0 = b[i], b1 = b[i] >> 32, r0, r1, r2, r3;
    asm("{\n"
        " .reg .u32 c;\n"
        " mul.lo.u32 %0, %4, %6;\n mul.hi.u32 %1, %4, %6;\n"
        " mad.lo.cc.u32 %1, %5, %6, %1;\n madc.hi.u32 %2, %5, %6, 0;\n"
        " mad.lo.cc.u32 %1, %4, %7, %1;\n madc.hi.cc.u32 %2, %4, %7, %2;\n addc.u32 c, 0, 0;\n"
        " mad.lo.cc.u32 %2, %5, %7, %2;\n madc.hi.u32 %3, %5, %7, c;\n}"
        : "=&r"(r0), "=&r"(r1), "=&r"(r2), "=&r"(r3) : "r"(a0), "r"(a1), "r"(b0), "r"(b1));
    low[i] = r0 | (unsigned long long)r1 << 32;
    high[i] = r2 | (unsigned long long)r3 << 32;
    unsigned at = (unsigned)__cvta_generic_to_shared(tile + i);
    int lead;
    asm("bfind.u64 %0, %1;" : "=r"(lead) : "l"(a[i]));
    asm volatile("st.shared.b32 [%0], %1;" :: "r"(at), "r"(lead) : "memory");
    WAIT
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(lead) : "r"(at ^ 4) : "memory");
    top[i] = lead;
}"""


@BOTH
@ARCHS
def test_products_of_128_bits_in_assembly(arch, checked):
    rng = np.random.default_rng(2)
    a, b = (rng.integers(0, 2**64, 32, np.uint64) >> rng.integers(0, 60, 32, np.uint64)
            for _ in range(2))  # fmt: skip
    low, high, top = np.zeros_like(a), np.zeros_like(a), np.zeros(32, np.int32)
    code = ASSEMBLY.replace("WAIT", 'asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");')
    kernel(code, checked=checked, arch=arch)((1,), (32,), (a, b, low, high, top))
    products = [int(x) * int(y) for x, y in zip(a, b, strict=True)]
    assert low.tolist() == [p % 2**64 for p in products]
    assert high.tolist() == [p >> 64 for p in products]
    swapped = np.arange(32) ^ 1
    assert top.tolist() == [int(x).bit_length() - 1 for x in a[swapped]]


def test_assembly_that_does_not_wait():
    a = np.arange(1, 33, dtype=np.uint64)
    with pytest.raises((RaceError, UninitialisedReadError)) as caught:
        kernel(ASSEMBLY.replace("WAIT", ""))(
            (1,), (32,), (a, a, a.copy(), a.copy(), np.zeros(32, np.int32))
        )
    assert caught.value.line in (19, 21)


OWN_BARRIER = r"""
extern "C" __global__ void f(float* x, float* y, unsigned* arrived, int rounds) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
    for (int k = 0; k < rounds; ++k) {
        x[n * k + i] = k + i;
        __syncthreads();
        if (threadIdx.x == 0) {
            FENCE
            atomicAdd(arrived, 1);
            while (*(volatile unsigned*)arrived < gridDim.x * (k + 1)) {}
            __threadfence();
        }
        __syncthreads();
        y[n * k + i] = x[n * k + (i + blockDim.x) % n];
    }
}"""


@BOTH
def test_a_grid_barrier_of_ones_own(checked):
    n, rounds = 6 * 64, 3
    x = np.zeros((rounds, n), np.float32)
    y, arrived = np.zeros_like(x), np.zeros(1, np.uint32)
    code = OWN_BARRIER.replace("FENCE", "__threadfence();")
    kernel(code, checked=checked)((6,), (64,), (x, y, arrived, rounds))
    want = np.roll(np.arange(n), -64) + np.arange(rounds)[:, None]
    np.testing.assert_array_equal(y, want)
    assert arrived[0] == 6 * rounds


def test_a_grid_barrier_without_its_fence():
    x = np.zeros((3, 384), np.float32)
    with pytest.raises(RaceError) as caught:
        kernel(OWN_BARRIER.replace("FENCE", ""))(
            (6,), (64,), (x, x.copy(), np.zeros(1, np.uint32), 3)
        )
    assert caught.value.line in (5, 14)
