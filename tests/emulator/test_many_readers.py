"""Reads that the checked build need not record hide no race.

A word that is read again by a warp, by a third warp since a barrier or in a third block is soon
done with. Each kernel here has such reads between the two accesses that race.
"""

import numpy as np
import pytest

from pycnn import emulator
from pycnn.emulator import RawModule

SOURCE = r"""
// Lanes 0 and 1 meet, 2 and 3 meet: their clocks are alike, but 2 knows nothing of 0's write.
extern "C" __global__ void lanes_of_one_clock(int* out, int i, int j) {
    __shared__ int s[2];  // of which i and j are the same, unknown to the compiler
    int seen = 0;
    if (threadIdx.x == 0) s[i] = 1;
    if (threadIdx.x < 2) __syncwarp(3); else __syncwarp(12);
    if (threadIdx.x == 1) seen = s[j];
    if (threadIdx.x == 2) seen = s[j];
    out[threadIdx.x] = seen;
}
// `writer` writes what four warps have read since the barrier.
extern "C" __global__ void write_after_many_warps(int* out, int writer) {
    __shared__ int s[1];
    if (threadIdx.x == 0) s[0] = 1;
    __syncthreads();
    int seen = s[0];
    if (threadIdx.x == writer) s[0] = 2;
    out[threadIdx.x] = seen;
}
// Read by all before a barrier, by warp 0 alone behind it, and written by another.
extern "C" __global__ void one_warp_after_many(int* out, int barriers) {
    __shared__ int s[1];
    if (threadIdx.x == 0) s[0] = 1;
    __syncthreads();
    int seen = s[0] + s[0];
    for (int i = 0; i < barriers; i++) __syncthreads();
    if (threadIdx.x < 32) seen += s[0];
    if (threadIdx.x == 64) s[0] = 3;
    out[threadIdx.x] = seen;
}
// Every block reads x[0], and the last one writes it.
extern "C" __global__ void write_after_many_blocks(int* x, int* out) {
    int seen = x[0];
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) x[0] = 5;
    out[blockIdx.x * blockDim.x + threadIdx.x] = seen;
}
// Block 0 writes before its barrier and all read behind theirs.
extern "C" __global__ void read_of_another_blocks(int* x, int* out) {
    if (blockIdx.x == 0 && threadIdx.x == 0) x[0] = 5;
    __syncthreads();
    out[blockIdx.x * blockDim.x + threadIdx.x] = x[0];
}
// A vector of which one word only is written meanwhile.
extern "C" __global__ void one_word_of_a_vector(int4* x, int* out) {
    __shared__ int4 s[1];
    if (threadIdx.x == 0) s[0] = x[0];
    __syncthreads();
    int4 seen = s[0];
    if (threadIdx.x == 37) s[0].z = 1;
    out[threadIdx.x] = seen.x + seen.y + seen.z + seen.w;
}
// Threads 0 and 32 stand for 64, until they hand over by a fence what 96 does not: its read, in the
// end, is all that thread 128 races with.
__device__ void wait_for(int* flag, int value) { while (atomicAdd(flag, 0) != value) {} }
extern "C" __global__ void read_behind_a_fence(int* x, int* flags, int* out) {
    int t = threadIdx.x, seen = 0;
    if (t < 96 && t % 32 == 0) {
        seen = x[0];
        atomicAdd(flags, 1);
        if (t < 64) {
            wait_for(flags, 3);
            __threadfence();
            atomicAdd(flags + 1, 1);
        }
    } else if (t == 96) {
        wait_for(flags + 1, 2);
        seen = x[0];
        atomicAdd(flags + 2, 1);
    } else if (t == 128) {
        wait_for(flags + 1, 2);
        wait_for(flags + 2, 1);
        x[0] = 9;
    }
    out[t] = seen;
}
// Half of the word was never written.
extern "C" __global__ void half_initialised(int* out) {
    __shared__ short s[2];
    if (threadIdx.x == 0) s[0] = 1;
    __syncthreads();
    int seen = s[0] + s[0];
    if (threadIdx.x == 70) seen += *(volatile int*)s;
    out[threadIdx.x] = seen;
}

// Nothing is wrong with these.
extern "C" __global__ void tiles(const int4* x, int* out, int rounds) {
    __shared__ int4 s[32];
    int sum = 0;
    for (int r = 0; r < rounds; r++) {
        if (threadIdx.x < 32) s[threadIdx.x] = x[r * 32 + threadIdx.x];
        __syncthreads();
        for (int k = 0; k < 32; k++) sum += s[(k + threadIdx.x / 8) % 32].y;
        __syncthreads();
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
extern "C" __global__ void own_words(int* x) {
    int t = threadIdx.x;
    x[t] += x[t] + 1;
    __syncthreads();
    int left = x[(t + 127) % 128];
    __syncthreads();
    x[t] = left;
}
"""


@pytest.fixture(params=["source", "ptx"], scope="module")
def via(request):
    if request.param == "ptx":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed (extra emulator)")
    return request.param


def run(via, name, *args, grid=1, block=128, schedule="forward"):
    module = RawModule(code=SOURCE, checked=True, via=via, schedule=schedule)
    kernel = module.get_function(name)
    kernel((grid,), (block,), args)
    return kernel.counters


def ints(n=512):
    return np.ones(n, np.int32)


RACES = [
    ("lanes_of_one_clock", (ints(), 1, 1), {"block": 4}),
    *(("write_after_many_warps", (ints(), writer), {}) for writer in (0, 40, 127)),
    *(("one_warp_after_many", (ints(), barriers), {}) for barriers in (0, 1, 2)),
    ("write_after_many_blocks", (ints(), ints()), {"grid": 4}),
    ("read_of_another_blocks", (ints(), ints()), {"grid": 4}),
    ("one_word_of_a_vector", (ints(), ints()), {}),
    ("read_behind_a_fence", (ints(), np.zeros(3, np.int32), ints()), {"block": 160}),
]


@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:3"])
@pytest.mark.parametrize(("name", "args", "shape"), RACES)
def test_races_are_found(via, name, args, shape, schedule):
    with pytest.raises(emulator.RaceError):
        run(
            via,
            name,
            *(a.copy() if isinstance(a, np.ndarray) else a for a in args),
            schedule=schedule,
            **shape,
        )


def test_a_word_that_is_written_in_part(via):
    with pytest.raises(emulator.UninitialisedReadError):
        run(via, "half_initialised", ints())


def test_no_false_alarm(via):
    out, x = ints(512), ints(4 * 32 * 3)
    counters = run(via, "tiles", x, out, 3, grid=4)
    assert (out == 96).all()
    assert counters.shared_load_requests == 4 * 4 * 3 * 32
    assert counters.shared_store_requests == 4 * 3
    assert counters.global_load_requests == 4 * 3
    assert counters.global_bytes_read == x.nbytes
    x = ints(128)
    run(via, "own_words", x)
    assert (x == 3).all()
