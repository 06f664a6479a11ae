"""A GEMM as Hopper has them: one warpgroup loads tiles by tensor maps, another multiplies them with
wgmma, and what comes out is stored in bulk. Fifteen kinds of bugs, each reported with its line."""

import functools

import numpy as np
import pytest
from ptx_run import each  # noqa: F401  (skips where llvmlite is not installed)

from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    KernelError,
    MisalignedAccessError,
    ProxyFenceError,
    PtxModule,
    RaceError,
    tensor_map,
)
from pycnn.runtime import nvrtc

pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

_PAIRS = ", ".join(f'"+f"(d[{k}])' for k in range(32))
_REGISTERS = ", ".join(f"%{k}" for k in range(32))
SOURCE = (
    r"""
typedef unsigned int u32; typedef unsigned long long u64;
struct alignas(64) Map { char opaque[128]; };
constexpr int TILE = 64 * 64 * 2, STAGES = 2;

__device__ u32 shared(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ void init(u64* bar, u32 count) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" :: "r"(shared(bar)), "r"(count) : "memory");
}
__device__ void expect(u64* bar, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" :: "r"(shared(bar)), "r"(bytes)
                 : "memory");
}
__device__ void arrive(u64* bar) {
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" :: "r"(shared(bar)) : "memory");
}
__device__ void wait(u64* bar, u32 parity) {
    asm volatile("{ .reg .pred p; again: mbarrier.try_wait.parity.shared.b64 p, [%0], %1;\n"
                 "@!p bra again; }" :: "r"(shared(bar)), "r"(parity) : "memory");
}
__device__ void load(void* to, const Map* map, int x, int y, u64* bar) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];"
                 :: "r"(shared(to)), "l"(map), "r"(x), "r"(y), "r"(shared(bar)) : "memory");
}
__device__ u64 descriptor(const void* tile) {  // rows of 128 bytes, swizzled; eight are 1024 apart
    return (u64)(shared(tile) >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
__device__ void multiply(float (&d)[32], u64 a, u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"""
    + _REGISTERS
    + r"""}, %32, %33, 1, 1, 1, 0, 0;"
        : """
    + _PAIRS
    + r""" : "l"(a), "l"(b));
}

extern "C" __global__ void gemm(const __grid_constant__ Map A, const __grid_constant__ Map B,
                                const __grid_constant__ Map C, int tiles) {
    extern __shared__ __align__(1024) char memory[];
    __shared__ u64 full[STAGES], empty[STAGES];
    char *as = memory, *bs = memory + STAGES * TILE;
    float* out = (float*)(memory + 2 * STAGES * TILE);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) { init(&full[s], 1); init(&empty[s], 128); }
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __syncthreads();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0)
            for (int k = 0; k < tiles; ++k) {
                int s = k % STAGES, phase = k / STAGES & 1;
                wait(&empty[s], phase ^ 1);
                expect(&full[s], 2 * TILE);
                load(as + s * TILE, &A, k * 64, blockIdx.y * 64, &full[s]);
                load(bs + s * TILE, &B, k * 64, blockIdx.x * 64, &full[s]);
            }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        float d[32] = {};
        for (int k = 0; k < tiles; ++k) {
            int s = k % STAGES, phase = k / STAGES & 1;
            wait(&full[s], phase);
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
            u64 a = descriptor(as + s * TILE), b = descriptor(bs + s * TILE);
            for (int i = 0; i < 4; ++i) multiply(d, a + 2 * i, b + 2 * i);
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
            arrive(&empty[s]);
        }
        int t = threadIdx.x - 128, row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
        for (int j = 0; j < 8; ++j)
            for (int i = 0; i < 4; ++i)
                out[(row + i / 2 * 8) * 64 + 8 * j + column + i % 2] = d[4 * j + i];
        asm volatile("fence.proxy.async.shared::cta; // of the result" ::: "memory");
        asm volatile("bar.sync 1, 128;" ::: "memory");
        if (t == 0) {
            asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group "
                         "[%0, {%1, %2}], [%3];" :: "l"(&C), "r"(blockIdx.x * 64),
                         "r"(blockIdx.y * 64), "r"(shared(out)) : "memory");
            asm volatile("cp.async.bulk.commit_group;" ::: "memory");
            asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
        }
    }
}"""
)
M, N, K = 100, 72, 200  # no multiples of the tile


@functools.cache
def ptx_of(source: str) -> str:
    return nvrtc.compile_ptx(source, "kernel.cu", "sm_90a", [], []).text


def gemm(source=SOURCE, checked=True, schedule=None):
    rng = np.random.default_rng(3)
    a = rng.integers(-4, 5, (M, K)).astype(np.float16)
    b = rng.integers(-4, 5, (N, K)).astype(np.float16)
    c = np.zeros((M, N), np.float32)
    maps = (tensor_map(a, (64, 64), swizzle=128), tensor_map(b, (64, 64), swizzle=128),
            tensor_map(c, (64, 64)))  # fmt: skip
    module = PtxModule(ptx_of(source), checked=checked, schedule=schedule, timeout=60,
                       origin="kernel.cu")  # fmt: skip
    kernel = module.get_function("gemm")
    kernel.max_dynamic_shared_size_bytes = 64 * 1024
    kernel((2, 2), (256,), (*maps, -(-K // 64)), shared_mem=3 * 16384)
    np.testing.assert_array_equal(c, a.astype(np.float32) @ b.astype(np.float32).T)


@pytest.mark.parametrize(
    ("checked", "schedule"),
    [(False, "forward"), (True, "forward"), (True, "reverse"), (True, "random:1"),
     (True, "random:2")],
)  # fmt: skip
def test_it_is_right_and_silent(checked, schedule):
    gemm(checked=checked, schedule=schedule)


WAIT = 'asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");'
BUGS = {
    "the tile is not waited for": ("wait(&full[s], phase);", "", AsyncCopyError),
    "the stage is not waited for": ("wait(&empty[s], phase ^ 1);", "", KernelError),
    "the phase of the tile is flipped": (
        "wait(&full[s], phase);", "wait(&full[s], phase ^ 1);", KernelError),
    "the phase of the stage is flipped": (
        "wait(&empty[s], phase ^ 1);", "wait(&empty[s], phase);", DeadlockError),
    "the phase never flips": (
        "k / STAGES & 1;\n            wait(&full", "0;\n            wait(&full", KernelError),
    "too many bytes": ("expect(&full[s], 2 * TILE);", "expect(&full[s], 3 * TILE);", DeadlockError),
    "bytes of one of two copies": (
        "expect(&full[s], 2 * TILE);", "expect(&full[s], TILE);", KernelError),
    "nobody frees the stage": ("arrive(&empty[s]);", "", DeadlockError),
    "one warp frees the stage": ("init(&empty[s], 128);", "init(&empty[s], 32);", KernelError),
    "the stage is freed before the product is done": (
        f"{WAIT}\n            arrive(&empty[s]);", f"arrive(&empty[s]);\n            {WAIT}",
        AsyncCopyError),
    "no barrier behind the init": ("    __syncthreads();", "", KernelError),
    "no proxy fence before the store": (
        'asm volatile("fence.proxy.async.shared::cta; // of the result" ::: "memory");', "",
        ProxyFenceError),
    "no barrier before the store": (
        'asm volatile("bar.sync 1, 128;" ::: "memory");', "", (RaceError, KernelError)),
    "a barrier of too many threads": ("bar.sync 1, 128", "bar.sync 1, 160", DeadlockError),
    "no wait for the store": (
        'asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");', "", AsyncCopyError),
    "a tile that is not aligned": ("as = memory,", "as = memory + 64,", MisalignedAccessError),
    "a tile beyond shared memory": (
        "(float*)(memory + 2 * STAGES * TILE)", "(float*)(memory + 5 * TILE)", KernelError),
    "a stage too many": ("int s = k % STAGES, phase = k / STAGES & 1;\n                wait",
                         "int s = k % 3, phase = k / 3 & 1;\n                wait", KernelError),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_bugs_are_reported_with_their_line(bug):
    old, new, error = BUGS[bug]
    assert SOURCE.count(old) == 1
    with pytest.raises(error) as caught:
        gemm(SOURCE.replace(old, new))
    with pytest.raises(KernelError):
        gemm(SOURCE.replace(old, new), schedule="random:1")
    assert caught.value.file == "kernel.cu"
    assert caught.value.line > 0
