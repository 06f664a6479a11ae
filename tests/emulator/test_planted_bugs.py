"""Every kind of defect, planted: the checked build must name it, under every schedule."""

import numpy as np
import pytest

from pycnn import emulator
from pycnn.emulator import RawKernel

SCHEDULES = ("forward", "reverse", "random:7")
N = 70  # no multiple of a warp


def run(code, *args, block=N, grid=1, shared=0, schedule="forward", checked=True):
    source = '#include <cuda_pipeline.h>\n#line 1\nextern "C" __global__ ' + code
    kernel = RawKernel(source, "bug", checked=checked, schedule=schedule)
    kernel((grid,), (block,), args, shared_mem=shared)
    return kernel


def floats(n=N):
    return np.arange(n, dtype=np.float32)


#: name -> (exception, line of the defect, words of the message, code, launch)
PLANTED = {
    "missing barrier after load": (
        emulator.RaceError, None, ["no barrier", "t ("],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[70];
        int i = threadIdx.x;
        t[i] = x[i];
        y[i] = t[(i + 1) % n];
    }""", {}),
    "missing barrier before reload": (
        emulator.RaceError, None, ["no barrier"],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[70];
        int i = threadIdx.x;
        for (int k = 0; k < 2; ++k) {
            t[i] = x[i] + k;
            __syncthreads();
            y[i] = t[(i + 33) % n];
        }
    }""", {}),
    "race through global memory in a block": (
        emulator.RaceError, 3, ["no barrier", "argument 1"],
        """void bug(const float* x, float* y, int n) {
        int i = threadIdx.x;
        y[i / 2] = x[i];
    }""", {}),
    "race between blocks": (
        emulator.RaceError, 2, ["different blocks", "argument 1"],
        """void bug(const float* x, float* y, int n) {
        y[threadIdx.x] += x[threadIdx.x];
    }""", {"grid": 2}),
    "atomic against plain": (
        emulator.RaceError, None, ["argument 1"],
        """void bug(const float* x, float* y, int n) {
        if (threadIdx.x == 40) y[0] = 0.0f;
        else atomicAdd(&y[0], x[threadIdx.x]);
    }""", {}),
    "shared out of bounds, static": (
        emulator.OutOfBoundsError, 4, ["past the end of shared array t"],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[64];
        float* p = t;
        p[threadIdx.x] = x[threadIdx.x];
    }""", {}),
    "shared index out of extent": (
        emulator.OutOfBoundsError, 3, ["index 33"],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[8][33];
        for (int j = 0; j <= 33; ++j) t[threadIdx.x % 8][j] = x[j];
    }""", {"block": 8}),
    "shared out of bounds, dynamic": (
        emulator.OutOfBoundsError, 3, ["past the end of shared array s"],
        """void bug(const float* x, float* y, int n) {
        extern __shared__ float s[];
        s[threadIdx.x] = x[threadIdx.x];
    }""", {"shared": 69 * 4}),
    "global out of bounds": (
        emulator.OutOfBoundsError, 2, ["0 bytes past the end of argument 0", "float32[70]"],
        """void bug(const float* x, float* y, int n) {
        y[threadIdx.x] = x[threadIdx.x + 1];
    }""", {}),
    "before the first element": (
        emulator.OutOfBoundsError, 2, ["4 bytes before argument 0"],
        """void bug(const float* x, float* y, int n) {
        y[threadIdx.x] = x[(int)threadIdx.x - 1];
    }""", {}),
    "null pointer": (
        emulator.OutOfBoundsError, 2, ["null pointer"],
        """void bug(const float* x, float* y, int n) {
        y[threadIdx.x] = ((const float*)0)[threadIdx.x];
    }""", {}),
    "uninitialised shared": (
        emulator.UninitialisedReadError, 5, ["shared", "byte 272 of shared array t"],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[70];
        if (threadIdx.x < 68) t[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        y[threadIdx.x] = t[threadIdx.x];
    }""", {}),
    "divergent barrier, two sites": (
        emulator.DivergentBarrierError, None, ["different barriers"],
        """void bug(const float* x, float* y, int n) {
        if (threadIdx.x < 32) {
            __syncthreads();
        } else {
            __syncthreads();
        }
    }""", {}),
    "divergent barrier, exit": (
        emulator.DivergentBarrierError, 3, ["exited"],
        """void bug(const float* x, float* y, int n) {
        if (threadIdx.x >= 32) return;
        __syncthreads();
    }""", {}),
    "divergent shuffle, exited lanes": (
        emulator.DivergentCollectiveError, 3, ["exited"],
        """void bug(const float* x, float* y, int n) {
        if (threadIdx.x % 32 >= 16) return;
        y[threadIdx.x] = __shfl_down_sync(0xffffffff, x[threadIdx.x], 8);
    }""", {}),
    "divergent shuffle, other call": (
        emulator.DivergentCollectiveError, None, ["different calls"],
        """void bug(const float* x, float* y, int n) {
        float v = x[threadIdx.x];
        if (threadIdx.x % 2) v = __shfl_xor_sync(0xffffffff, v, 1);
        else v = __shfl_down_sync(0xffffffff, v, 1);
        y[threadIdx.x] = v;
    }""", {}),
    "lane outside its own mask": (
        emulator.DivergentCollectiveError, 2, ["leaves out"],
        """void bug(const float* x, float* y, int n) {
        y[threadIdx.x] = __shfl_sync(0x1, x[threadIdx.x], 0);
    }""", {}),
    "deadlock of barrier and shuffle": (
        emulator.DeadlockError, None, ["__syncthreads", "__shfl_sync"],
        """void bug(const float* x, float* y, int n) {
        if (threadIdx.x == 0) __syncthreads();
        else y[threadIdx.x] = __shfl_sync(0xffffffff, x[threadIdx.x], 0);
        __syncthreads();
    }""", {"block": 64}),
    "misaligned vector": (
        emulator.MisalignedAccessError, 2, ["16 bytes", "4 past"],
        """void bug(const float* x, float* y, int n) {
        float4 v = *reinterpret_cast<const float4*>(x + 1);
        y[threadIdx.x] = v.x;
    }""", {"block": 1}),
    "assertion": (
        emulator.KernelAssertionError, 2, ["x[threadIdx.x] < 60"],
        """void bug(const float* x, float* y, int n) {
        assert(x[threadIdx.x] < 60);
    }""", {}),
    "asynchronous copy read too early": (
        emulator.AsyncCopyError, 7, ["still writing", "t ("],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[2][70];
        int i = threadIdx.x;
        __pipeline_memcpy_async(&t[0][i], &x[i], 4); __pipeline_commit();
        __pipeline_memcpy_async(&t[1][i], &x[i], 4); __pipeline_commit();
        __pipeline_wait_prior(1);
        y[i] = t[0][i] + t[1][i];
    }""", {}),
    "asynchronous copy, no barrier": (
        emulator.RaceError, None, ["t ("],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[70];
        int i = threadIdx.x;
        __pipeline_memcpy_async(&t[i], &x[i], 4); __pipeline_commit();
        __pipeline_wait_prior(0);
        y[i] = t[(i + 1) % n];
    }""", {}),
    "asynchronous copy overwrites what is read": (
        emulator.RaceError, None, ["t ("],
        """void bug(const float* x, float* y, int n) {
        __shared__ float t[70];
        int i = threadIdx.x;
        t[i] = x[i];
        __syncthreads();
        y[i] = t[(i + 1) % n];
        __pipeline_memcpy_async(&t[i], &x[i], 4); __pipeline_commit();
        __pipeline_wait_prior(0);
    }""", {}),
}  # fmt: skip


#: NVRTC sees these and makes a trap of them, or nothing.
SOURCE_ONLY = {
    "shared out of bounds, static", "shared index out of extent", "null pointer",
    "misaligned vector",
}  # fmt: skip
#: What a report by PTX says instead.
BY_PTX = {
    "uninitialised shared": ("shared memory", "shared array bug::t"),
    "deadlock of barrier and shuffle": ("bar.sync", "shfl.sync"),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", PLANTED)
def test_found(name, schedule, route):
    kind, line, words, code, launch = PLANTED[name]
    if route == "ptx":
        if name in SOURCE_ONLY:
            pytest.skip("NVRTC takes the access out")
        words = BY_PTX.get(name, words)
    with pytest.raises(kind) as caught:
        run(code, floats(), np.zeros(N, np.float32), np.int32(N), schedule=schedule, **launch)
    error = caught.value
    assert error.kernel == "bug"
    for word in words:
        if schedule == "forward":
            assert word in str(error), str(error)
    if line is not None:
        assert error.line == line, str(error)
    assert error.file == "kernel.cu"


def test_fresh_output_read_before_written():
    y = emulator.empty(N, np.float32)
    with pytest.raises(emulator.UninitialisedReadError, match="global"):
        run("void bug(float* y) { y[threadIdx.x] += 1; }", y)


def test_fresh_output_counts_as_written_after_the_launch():
    y = emulator.empty(N, np.float32)
    run("void bug(float* y) { y[threadIdx.x] = threadIdx.x; }", y)
    run("void bug(float* y) { y[threadIdx.x] += 1; }", y)
    np.testing.assert_array_equal(y, np.arange(N) + 1)


def test_last_block_pattern_is_no_race():
    """Blocks hand over their sums by fence and atomic; the last one adds them up."""
    code = """void bug(const float* x, volatile float* partial, unsigned* done, float* y) {
        if (threadIdx.x == 0) {
            partial[blockIdx.x] = x[blockIdx.x];
            __threadfence();
            if (atomicAdd(done, 1u) == gridDim.x - 1) {
                float total = 0;
                for (int b = 0; b < gridDim.x; ++b) total += partial[b];
                *y = total;
            }
        }
    }"""
    for schedule in SCHEDULES:
        y = np.zeros(1, np.float32)
        run(code, floats(9), np.zeros(9, np.float32), np.zeros(1, np.uint32), y,
            block=3, grid=9, schedule=schedule)  # fmt: skip
        assert y[0] == 36


def test_warp_synchronous_exchange_is_no_race():
    code = """void bug(const float* x, float* y, int n) {
        __shared__ float t[32];
        t[threadIdx.x] = x[threadIdx.x];
        __syncwarp();
        y[threadIdx.x] = t[31 - threadIdx.x];
    }"""
    y = np.zeros(32, np.float32)
    run(code, floats(32), y, np.int32(32), block=32)
    np.testing.assert_array_equal(y, np.arange(32)[::-1])
    with pytest.raises(emulator.RaceError):
        run(code.replace("__syncwarp();", ""), floats(32), y, np.int32(32), block=32)


def test_fast_build_survives_a_wild_store():
    with pytest.raises(emulator.KernelFault, match="memory fault"):
        run("void bug(float* y) { ((float*)8)[threadIdx.x] = 1; }", floats(), checked=False)
    y = np.zeros(N, np.float32)
    run("void bug(float* y) { y[threadIdx.x] = 1; }", y, checked=False)
    assert y.all()


def test_stack_overflow_is_named():
    code = """void bug(float* y) {
        volatile float big[100000];
        for (int i = 0; i < 100000; ++i) big[i] = i;
        y[threadIdx.x] = big[threadIdx.x];
    }"""
    with pytest.raises(emulator.KernelFault, match="stack overflow"):
        run(code, floats(), checked=False)


def test_report_names_both_sides():
    _, _, _, code, _ = PLANTED["missing barrier after load"]
    with pytest.raises(emulator.RaceError) as caught:
        run(code, floats(), np.zeros(N, np.float32), np.int32(N))
    other_line = int(caught.value.other.split(",")[0].rpartition(":")[2])
    assert {caught.value.line, other_line} == {4, 5}
    assert caught.value.address > 0
