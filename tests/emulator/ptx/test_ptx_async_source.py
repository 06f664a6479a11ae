"""CUDA C++ with NVIDIA's own headers: barriers, pipelines, bulk copies, clusters. Each is right,
silent, and reported with any of its barriers, fences and waits taken out."""

import functools
import re

import numpy as np
import pytest
from ptx_run import each  # noqa: F401  (skips where llvmlite is not installed)

from pycnn.emulator import AsyncCopyError, KernelError, PtxModule, tensor_map
from pycnn.runtime import nvrtc

pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")
if not any((folder / "cuda" / "barrier").exists() for folder in nvrtc.cuda_include_dirs()):
    pytest.skip("CUDA's headers are not installed (extra 'emulator')", allow_module_level=True)

X = np.arange(64 * 8, dtype=np.float32)


@functools.cache
def ptx_of(source: str) -> str:
    return nvrtc.compile_ptx(source, "kernel.cu", "sm_90a", [], []).text


def launch(source, grid, args, checked, schedule):
    module = PtxModule(
        ptx_of(source), checked=checked, schedule=schedule, timeout=60, origin="kernel.cu"
    )
    module.get_function("f")(grid, (64,), args)


def reversed_rows(source, checked=True, schedule=None):
    y = np.zeros_like(X)
    launch(source, (1,), (X, y, 8), checked, schedule)
    np.testing.assert_array_equal(y.reshape(8, 64), X.reshape(8, 64)[:, ::-1])


def exchanged(source, checked=True, schedule=None):
    y = np.zeros_like(X)
    launch(source, (8,), (X, y), checked, schedule)
    np.testing.assert_array_equal(y.reshape(2, 4, 64), np.roll(X.reshape(2, 4, 64), -1, axis=1))


def incremented(source, checked=True, schedule=None):
    x = np.arange(20 * 72, dtype=np.float32).reshape(20, 72)
    y = np.zeros_like(x)
    maps = tensor_map(x, (8, 32), swizzle=128), tensor_map(y, (8, 32), swizzle=128)
    launch(source, (3, 3), maps, checked, schedule)
    np.testing.assert_array_equal(y, x + 1)


BARRIER = r"""
#include <cuda/barrier>
using barrier = cuda::barrier<cuda::thread_scope_block>;
extern "C" __global__ void f(const float* x, float* y, int n) {
    __shared__ float tile[64];
    __shared__ barrier bar;
    if (threadIdx.x == 0) init(&bar, blockDim.x);
    __syncthreads();
    for (int i = 0; i < n; ++i) {
        tile[threadIdx.x] = x[i * 64 + threadIdx.x];
        bar.arrive_and_wait();
        y[i * 64 + threadIdx.x] = tile[63 - threadIdx.x];
        barrier::arrival_token token = bar.arrive();
        bar.wait(cuda::std::move(token));
    }
}"""
PIPELINE = r"""
#include <cuda/pipeline>
#include <cooperative_groups.h>
extern "C" __global__ void f(const float* x, float* y, int n) {
    auto block = cooperative_groups::this_thread_block();
    __shared__ float tile[2][64];
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
    auto role = threadIdx.x < 32 ? cuda::pipeline_role::producer : cuda::pipeline_role::consumer;
    auto pipe = cuda::make_pipeline(block, &state, role);
    for (int i = 0; i < n; ++i) {
        float* stage = tile[i % 2];
        if (threadIdx.x < 32) {
            pipe.producer_acquire();
            for (int j = threadIdx.x; j < 64; j += 32)
                cuda::memcpy_async(stage + j, x + i * 64 + j, sizeof(float), pipe);
            pipe.producer_commit();
        } else {
            pipe.consumer_wait();
            int t = threadIdx.x - 32;
            y[i * 64 + t] = stage[63 - t];
            y[i * 64 + t + 32] = stage[31 - t];
            pipe.consumer_release();
        }
    }
}"""
COPY = r"""
#include <cuda/barrier>
#include <cooperative_groups.h>
using barrier = cuda::barrier<cuda::thread_scope_block>;
extern "C" __global__ void f(const float* x, float* y, int n) {
    auto block = cooperative_groups::this_thread_block();
    __shared__ alignas(128) float tile[64];
    __shared__ barrier bar;
    if (threadIdx.x == 0) init(&bar, blockDim.x);
    __syncthreads();
    for (int i = 0; i < n; ++i) {
        cuda::memcpy_async(block, tile, x + i * 64, cuda::aligned_size_t<16>(sizeof(tile)), bar);
        bar.arrive_and_wait();
        y[i * 64 + threadIdx.x] = tile[63 - threadIdx.x];
        block.sync();
    }
}"""
BULK = r"""
#include <cuda/barrier>
#include <cuda/ptx>
using barrier = cuda::barrier<cuda::thread_scope_block>;
namespace ptx = cuda::ptx;
extern "C" __global__ void f(const float* x, float* y, int n) {
    __shared__ alignas(128) float tile[64];
    __shared__ alignas(128) float out[64];
    __shared__ barrier bar;
    if (threadIdx.x == 0) { init(&bar, blockDim.x); ptx::fence_proxy_async(ptx::space_shared); }
    __syncthreads();
    for (int i = 0; i < n; ++i) {
        barrier::arrival_token token;
        if (threadIdx.x == 0) {
            cuda::aligned_size_t<16> size(sizeof(tile));
            cuda::device::memcpy_async_tx(tile, x + i * 64, size, bar);
            token = cuda::device::barrier_arrive_tx(bar, 1, sizeof(tile));
        } else token = bar.arrive();
        bar.wait(cuda::std::move(token));
        float v = tile[63 - threadIdx.x];
        if (threadIdx.x == 0) ptx::cp_async_bulk_wait_group_read(ptx::n32_t<0>());
        __syncthreads();
        out[threadIdx.x] = v;
        ptx::fence_proxy_async(ptx::space_shared);
        block_sync();
        if (threadIdx.x == 0) {
            ptx::cp_async_bulk(ptx::space_global, ptx::space_shared, y + i * 64, out, sizeof(out));
            ptx::cp_async_bulk_commit_group();
        }
    }
    if (threadIdx.x == 0) ptx::cp_async_bulk_wait_group_read(ptx::n32_t<0>()) ;
}""".replace("block_sync();", "__syncthreads() ;")
CLUSTER = r"""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void __cluster_dims__(4, 1, 1) f(const float* x, float* y) {
    auto cluster = cg::this_cluster();
    __shared__ float tile[64];
    tile[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
    cluster.sync();
    unsigned other = (cluster.block_rank() + 1) % cluster.num_blocks();
    float* remote = cluster.map_shared_rank(tile, other);
    float v = remote[threadIdx.x];
    y[blockIdx.x * 64 + threadIdx.x] = cluster.query_shared_rank(remote) == other ? v : -1;
    auto token = cluster.barrier_arrive();
    cluster.barrier_wait(static_cast<decltype(token)&&>(token));
}"""
TENSOR = r"""
#include <cuda/barrier>
#include <cuda/ptx>
struct alignas(64) CUtensorMap_st { char opaque[128]; };
namespace ptx = cuda::ptx;
using barrier = cuda::barrier<cuda::thread_scope_block>;
extern "C" __global__ void f(const __grid_constant__ CUtensorMap in,
                             const __grid_constant__ CUtensorMap out) {
    __shared__ alignas(1024) float tile[8][32];
    __shared__ barrier bar;
    const int32_t at[2] = {int(blockIdx.x) * 32, int(blockIdx.y) * 8};
    if (threadIdx.x == 0) { init(&bar, blockDim.x); ptx::fence_proxy_async(ptx::space_shared); }
    __syncthreads();
    barrier::arrival_token token;
    if (threadIdx.x == 0) {
        ptx::cp_async_bulk_tensor(ptx::space_cluster, ptx::space_global, &tile, &in, at,
                                  cuda::device::barrier_native_handle(bar));
        token = cuda::device::barrier_arrive_tx(bar, 1, sizeof(tile));
    } else token = bar.arrive();
    bar.wait(cuda::std::move(token));
    for (int i = threadIdx.x; i < 256; i += blockDim.x) {
        int row = i / 32, column = i % 32;
        tile[row][(column / 4 ^ row % 8) * 4 + column % 4] += 1.0f;
    }
    ptx::fence_proxy_async(ptx::space_shared);
    block_sync();
    if (threadIdx.x == 0) {
        ptx::cp_async_bulk_tensor(ptx::space_global, ptx::space_shared, &out, at, &tile);
        ptx::cp_async_bulk_commit_group();
        ptx::cp_async_bulk_wait_group_read(ptx::n32_t<0>());
    }
}""".replace("block_sync();", "__syncthreads() ;")

KERNELS = {
    "barrier": (BARRIER, reversed_rows), "pipeline": (PIPELINE, reversed_rows),
    "copy": (COPY, reversed_rows), "bulk": (BULK, reversed_rows), "cluster": (CLUSTER, exchanged),
    "tensor": (TENSOR, incremented),
}  # fmt: skip
ORDERING = re.compile(
    r"\s*(@\S+\s+)?(bar|barrier|mbarrier\.arrive|mbarrier\.init|fence|cp\.async\.mbarrier|"
    r"cp\.async\.bulk\.(commit|wait)_group)\b"
)
#: Of these a kernel has so many more than it needs: libcu++ synchronises the block as it makes a
#: pipeline, and copies that are of no tensor need no proxy fence behind the init of an mbarrier.
SPARE = {"pipeline": 3, "bulk": 1}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("checked", "schedule"),
    [(False, "forward"), (True, "forward"), (True, "reverse"), (True, "random:3")],
)
def test_right_and_silent(name, checked, schedule):
    source, run = KERNELS[name]
    run(source, checked, schedule)


@pytest.mark.parametrize("name", KERNELS)
def test_each_instruction_that_orders_is_needed(name, monkeypatch):
    source, run = KERNELS[name]
    lines = ptx_of(source).split("\n")
    silent, reported = [], []
    for k, line in enumerate(lines):
        if ORDERING.match(line):
            text = "\n".join([*lines[:k], "", *lines[k + 1 :]])
            monkeypatch.setitem(globals(), "ptx_of", lambda _, text=text: text)
            try:
                run(source)
            except KernelError as error:
                reported.append(error)
            else:
                silent.append(line)
    assert len(silent) == SPARE.get(name, 0), silent
    for error in reported:
        assert "kernel.cu:" in " ".join((f"{error.file}:", *error.trace))


def test_a_wait_that_is_missing_names_the_line():
    line = "bar.wait(cuda::std::move(token));"
    with pytest.raises(AsyncCopyError) as caught:
        reversed_rows(BULK.replace(line, ""))
    where = BULK.replace(line, "").split("\n")
    assert "tile[63 - threadIdx.x]" in where[caught.value.line - 1]
    assert "an asynchronous operation of thread 0 writes" in str(caught.value)
