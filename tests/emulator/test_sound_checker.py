"""What the checked build once missed, and what it once reported with no reason."""

import functools
import mmap
import sys

import numpy as np
import pytest

from pycnn import emulator
from pycnn.emulator import RawModule

SCHEDULES = ("forward", "reverse", "random:5")

#: Every kernel of this file, compiled together: the compiler's start costs more than a kernel.
SOURCE = r"""
#include <cuda_fp16.h>
#include <cooperative_groups.h>

// ---- what is wrong --------------------------------------------------------------------------

// One lane's clock must not wrap round: 65536 and more synchronisations, then a race.
extern "C" __global__ void many_syncwarps(float* x, int n) {
    __shared__ int s[32];
    for (int i = 0; i < n; i++) __syncwarp();
    if (threadIdx.x == 0) s[0] = 1;
    if (threadIdx.x == 1) s[0] = 2;
}
extern "C" __global__ void many_barriers(float* x, int n) {
    __shared__ int s[32];
    if (threadIdx.x == 0) s[0] = 1;
    for (int i = 0; i < n; i++) __syncthreads();
    s[0] = threadIdx.x;
}

__device__ half relu(half a) { return a > __half(0.0f) ? a : __half(0.0f); }
extern "C" __global__ void half_through_a_call(const half* x, half* o) {
    int t = threadIdx.x;
    o[t] = relu(x[t]);
}
__device__ float3 next(float3 a) {
    a.x += 1;
    return a;
}
extern "C" __global__ void float3_through_a_call(float3* p) {
    __shared__ float3 s[32];
    int t = threadIdx.x;
    s[t] = next(p[t]);
    p[t] = next(s[31 - t]);
}
extern "C" __global__ void float3_beyond(const float3* x, float* o) {
    float3 v = next(x[threadIdx.x]);
    o[threadIdx.x] = v.x;
}
struct Pair { float a, b; };
__device__ Pair swapped(Pair p) { return Pair{p.b, p.a}; }
extern "C" __global__ void struct_through_a_call(const Pair* x, Pair* o) {
    o[threadIdx.x] = swapped(x[threadIdx.x]);
}

__device__ int counter;
extern "C" __global__ void device_variable_race(int* o) {
    counter = counter + threadIdx.x + 1;
    o[threadIdx.x] = counter;
}
namespace deep {
static __device__ int hidden[4];
}
extern "C" __global__ void static_variable_race(int* o) {
    deep::hidden[threadIdx.x / 2] = threadIdx.x;
    o[0] = deep::hidden[0];
}
__device__ float table[8];
__device__ float fourth_next(const float* p, int i) { return p[i + 4]; }
extern "C" __global__ void device_variable_bounds(float* o) {
    o[1] = fourth_next(table + 4, (int)o[2]);
}
__constant__ float weights[4];
extern "C" __global__ void constant_bounds(float* o) {
    o[1] = fourth_next(weights, (int)o[2]);
}
extern "C" __global__ void constant_written(float* o) {
    float* p = o[0] == 0 ? (float*)weights : o;
    p[0] = 1;
}
__device__ int ready;
extern "C" __global__ void device_flag_without_fence(int* data) {
    if (blockIdx.x == 0) {
        data[0] = 1;
        atomicExch(&ready, 1);
    } else if (atomicAdd(&ready, 0) == 1) {
        data[1] = data[0];
    }
}

__device__ void put_inline(float* a, int i) { a[i] = 1; }
extern "C" __global__ void private_array(float* o) {
    float a[4] = {};
    put_inline(a, threadIdx.x & 7);
    o[threadIdx.x] = a[0];
}

extern "C" __global__ void shuffle_outside_mask(int* o) {
    if (threadIdx.x < 16) o[threadIdx.x] = __shfl_sync(0x0000ffff, threadIdx.x, 16);
}
extern "C" __global__ void shuffle_down_outside_mask(int* o) {
    if (threadIdx.x < 16) o[threadIdx.x] = __shfl_down_sync(0x0000ffff, threadIdx.x, 1);
}
extern "C" __global__ void full_mask(int* o) {
    o[threadIdx.x] = __shfl_xor_sync(0xffffffff, threadIdx.x, 1);
}
extern "C" __global__ void half_warps_one_line(int* o) {
    if (threadIdx.x % 32 < 16) { __syncthreads(); } else { __syncthreads(); }
    o[threadIdx.x] = 1;
}
extern "C" __global__ void half_warps_two_kinds(int* o) {
    o[threadIdx.x] = threadIdx.x % 32 < 16 ? __syncthreads_or(1) : __syncthreads_and(1);
}

// Bytes of one word, written by different threads, then by the first again.
extern "C" __global__ void byte_of_a_word(unsigned char* x) {
    if (threadIdx.x == 0) x[0] = 1;
    if (threadIdx.x == 1) x[1] = 2;
    if (threadIdx.x == 2) x[0] = 3;
}
// Readers in three warps, of which the writer has met but the first and the last.
extern "C" __global__ void third_reader(float* x, float* y) {
    unsigned t = threadIdx.x;
    if (t == 0 || t == 32 || t == 1) y[t] = x[0];
    __syncwarp();
    if (t == 2) x[0] = 1;
}
// Two readers of the writer's warp at different times, and one of another warp.
extern "C" __global__ void reader_of_another_warp(float* x, float* y) {
    unsigned t = threadIdx.x;
    if (t == 5) __syncwarp(1u << 5);
    if (t == 0 || t == 5 || t == 32) y[t] = x[0];
    __syncwarp();
    if (t == 2) x[0] = 1;
}
// One byte of a word is written anew; the others are still the first writer's.
extern "C" __global__ void rest_of_a_word(unsigned char* x, unsigned char* y) {
    unsigned t = threadIdx.x;
    if (t == 0) *(unsigned*)x = 1;
    if (t < 2) __syncwarp(3u);
    if (t == 1) x[0] = 2;
    if (t == 2) y[0] = x[1];
}
// What is written after the fence is handed to nobody.
extern "C" __global__ void written_after_fence(int* data, unsigned* flag) {
    if (blockIdx.x == 0) {
        __threadfence();
        data[0] = 1;
        atomicExch(flag, 1u);
    } else if (atomicAdd(flag, 0u)) {
        data[1] = data[0];
    }
}
// Only one thread of each block has fenced, and nothing orders the others before it.
extern "C" __global__ void last_block_without_barrier(int* part, unsigned* done, int* y) {
    __shared__ bool last;
    part[blockIdx.x * blockDim.x + threadIdx.x] = 1;
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicAdd(done, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0)
        for (int i = 0; i < gridDim.x * blockDim.x; ++i) *y += part[i];
}
// A fence tells its own thread nothing.
extern "C" __global__ void fence_of_the_reader(int* data) {
    if (blockIdx.x == 0) {
        data[0] = 1;
    } else {
        __threadfence();
        data[1] = data[0];
    }
}
// A fence of the block is none for other blocks.
extern "C" __global__ void fence_of_the_block(int* data, unsigned* flag) {
    if (blockIdx.x == 0) {
        data[0] = 1;
        __threadfence_block();
        atomicExch(flag, 1u);
    } else if (atomicAdd(flag, 0u)) {
        data[1] = data[0];
    }
}
// A store without a fence hands nothing over, and hides what was handed over before it.
extern "C" __global__ void flag_set_again(int* data, unsigned* flag) {
    if (blockIdx.x == 0) {
        data[0] = 1;
        __threadfence();
        atomicExch(flag, 1u);
    } else if (blockIdx.x == 1) {
        *(volatile unsigned*)flag = 2;
    } else {
        if (atomicAdd(flag, 0u) == 2) data[1] = data[0];
    }
}
// A compare-and-swap that fails hands nothing over.
extern "C" __global__ void failed_swap(int* data, unsigned* lock) {
    if (blockIdx.x == 0) {
        data[0] = 1;
        __threadfence();
        atomicCAS(lock, 7u, 8u);
    } else {
        atomicCAS(lock, 0u, 1u);
        data[1] = data[0];
    }
}
extern "C" __global__ void old_warp_reduction(float* x) {
    __shared__ volatile float s[32];
    unsigned t = threadIdx.x;
    s[t] = x[t];
    if (t < 16) s[t] += s[t + 16];
    x[t] = s[0];
}
extern "C" __global__ void heap_overrun(float* o, int n) {
    float* p = (float*)malloc(n * sizeof(float));
    for (int i = 0; i < 4; ++i) p[i] = i;
    o[threadIdx.x] = p[3 + (int)o[0]];
    free(p);
}
extern "C" __global__ void heap_unwritten(float* o) {
    float* p = new float[4];
    o[threadIdx.x] = p[2];
    delete[] p;
}
extern "C" __global__ void heap_used_after_free(float* o) {
    float* p = (float*)malloc(16);
    p[0] = 1;
    free(p);
    o[threadIdx.x] = p[0];
}
extern "C" __global__ void same_line_other_value(int* changed) { *changed = 1 + threadIdx.x; }

// ---- what is right --------------------------------------------------------------------------

struct alignas(16) P4 {
    float v[4];
    P4() = default;
    P4(const float* p) { memcpy(v, p, 16); }
};
__device__ P4 load(const float* p) { return P4(p); }
extern "C" __global__ void aligned_struct(const float* x, float* y) {
    __shared__ P4 q[32];
    int t = threadIdx.x;
    q[t] = load(x + 4 * t);
    __syncthreads();
    P4 r = q[31 - t];
    y[t] = r.v[0];
}
extern "C" __global__ void struct_at_half_its_size(const Pair* x, Pair* y) {
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void memcpy_anywhere(const float* x, float* y) {
    float v[4];
    memcpy(v, x + 1, 16);
    y[threadIdx.x] = v[threadIdx.x & 3];
}

__device__ unsigned tickets;
extern "C" __global__ void last_block(const float* x, float* part, float* y) {
    __shared__ bool last;
    part[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(&tickets, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float sum = 0;
        for (int i = 0; i < gridDim.x * blockDim.x; ++i) sum += part[i];
        *y = sum;
    }
}
extern "C" __global__ void last_block_one_fence(const float* x, float* part, float* y) {
    __shared__ bool last;
    part[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicInc(&tickets, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last) atomicAdd(y, part[threadIdx.x] + part[blockDim.x + threadIdx.x]);
}
__device__ int lock_word;
extern "C" __global__ void spin_lock(int* total) {
    if (threadIdx.x % 32 == 0) {
        while (atomicCAS(&lock_word, 0, 1) != 0) {}
        __threadfence();
        *total += 1;
        __threadfence();
        atomicExch(&lock_word, 0);
    }
}
extern "C" __global__ void spin_lock_volatile(volatile int* total, int* lock) {
    if (threadIdx.x % 32 == 0) {
        while (atomicExch(lock, 1) != 0) {}
        *total = *total + 1;
        __threadfence();
        *(volatile int*)lock = 0;
    }
}
extern "C" __global__ void shared_spin_lock(int* y) {
    __shared__ int lock, total;
    if (threadIdx.x == 0) lock = total = 0;
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        while (atomicCAS(&lock, 0, 1) != 0) {}
        __threadfence_block();
        total += 1;
        __threadfence_block();
        atomicExch(&lock, 0);
    }
    __syncthreads();
    if (threadIdx.x == 0) y[0] = total;
}
// A scan in which each block waits for the one before it.
extern "C" __global__ void look_back(const float* x, float* sums, volatile int* flags) {
    if (threadIdx.x != 0) return;
    int b = blockIdx.x;
    float before = 0;
    if (b > 0) {
        while (flags[b - 1] == 0) {}
        __threadfence();
        before = sums[b - 1];
    }
    sums[b] = before + x[b];
    __threadfence();
    flags[b] = 1;
}
// The flag is part of the value: no fence needed.
extern "C" __global__ void look_back_packed(const float* x, volatile unsigned long long* state) {
    if (threadIdx.x != 0) return;
    int b = blockIdx.x;
    float before = 0;
    if (b > 0) {
        unsigned long long seen;
        do seen = state[b - 1]; while (seen >> 32 == 0);
        before = __uint_as_float((unsigned)seen);
    }
    state[b] = 1ull << 32 | __float_as_uint(before + x[b]);
}
extern "C" __global__ void same_value(const float* x, int* changed) {
    if (x[threadIdx.x] > 2) *changed = 1;
}
extern "C" __global__ void through_number(unsigned long long address, float* y) {
    y[threadIdx.x] = ((const float*)address)[threadIdx.x];
}
extern "C" __global__ void through_both(const float* x, unsigned long long address, float* y) {
    y[threadIdx.x] = x[threadIdx.x] + ((const float*)address)[threadIdx.x];
}
extern "C" __global__ void through_pointer(const float* x, float* y) {
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void array_of_pointers(float** rows, int n) {
    for (int i = 0; i < n; ++i) rows[i][threadIdx.x] += i;
}
struct View { const float* data; long long size; float* out; };
extern "C" __global__ void pointer_in_struct(View v) {
    if (threadIdx.x < v.size) v.out[threadIdx.x] = v.data[threadIdx.x];
}
extern "C" __global__ void list_in_heap(float** slot, float* o) {
    if (o[0] == 0) {
        *slot = (float*)malloc(32 * sizeof(float));
        for (int i = 0; i < 32; ++i) (*slot)[i] = i;
    } else {
        o[1] = (*slot)[31];
        free(*slot);
    }
}
// CUDA: all lanes of the mask that have not exited.
extern "C" __global__ void exited_lanes(int* o) {
    if (threadIdx.x >= 20) return;
    __syncwarp();
    o[threadIdx.x] = __popc(__ballot_sync(0xffffffff, 1)) + __all_sync(0xffffffff, 1)
                   + __reduce_max_sync(0xffffffff, threadIdx.x);
}
extern "C" __global__ void exits_while_others_wait(int* o) {
    if (threadIdx.x < 20) o[threadIdx.x] = __ballot_sync(0xffffffff, 1);
}
extern "C" __global__ void partial_warp(int* o) {
    o[threadIdx.x] = __shfl_xor_sync(0x0000ffff, threadIdx.x, 1);
    __syncwarp();
}
extern "C" __global__ void poll(volatile int* flag, int* y) {
    __shared__ volatile int seen;
    int n = 0;
    for (int i = 0; i < 5000; ++i) n += flag[0];
    y[threadIdx.x] = n;
}
extern "C" __global__ void count_variables(float* y) {
    y[threadIdx.x] = table[threadIdx.x % 8] + weights[threadIdx.x % 4];
}
extern "C" __global__ void past_a_line(const void* x, int* y) {
    *y = reinterpret_cast<size_t>(x) % 256;
}
extern "C" __global__ void long_copy(char* to, const char* from, int n) { memcpy(to, from, n); }
"""


@functools.cache
def module(schedule="forward", same_value_races=None):
    return RawModule(
        code=SOURCE, checked=True, schedule=schedule, same_value_races=same_value_races
    )


def run(name, *args, grid=1, block=32, schedule="forward", same_value_races=False):
    kernel = module(schedule, same_value_races).get_function(name)
    kernel(grid if isinstance(grid, tuple) else (grid,), (block,), args)
    return kernel.counters


def ints(n=64):
    return np.zeros(n, np.int32)


def floats(n=64):
    return np.zeros(n, np.float32)


def halves(n):
    return np.zeros(n, np.float16)


RACE, BOUNDS = emulator.RaceError, emulator.OutOfBoundsError
COLLECTIVE, UNREAD = emulator.DivergentCollectiveError, emulator.UninitialisedReadError

#: (kernel, what is reported, words of it, launch, arguments)
WRONG = [
    ("many_syncwarps", RACE, "shared array s", {}, lambda: (floats(), 65536)),
    ("many_syncwarps", RACE, "shared array s", {}, lambda: (floats(), 2 * 65536 + 1)),
    ("many_barriers", RACE, "shared array s", {"block": 2}, lambda: (floats(), 65536)),
    ("half_through_a_call", BOUNDS, "argument 0", {}, lambda: (halves(31), halves(32))),
    ("half_through_a_call", BOUNDS, "argument 1", {}, lambda: (halves(32), halves(31))),
    ("float3_beyond", BOUNDS, "argument 0", {}, lambda: (floats(93), floats(32))),
    ("float3_through_a_call", RACE, "shared array s", {}, lambda: (floats(96),)),
    ("struct_through_a_call", BOUNDS, "argument 0", {}, lambda: (floats(62), floats(64))),
    ("struct_through_a_call", BOUNDS, "argument 1", {}, lambda: (floats(64), floats(62))),
    ("device_variable_race", RACE, "__device__ counter", {}, lambda: (ints(),)),
    ("device_variable_race", RACE, "different blocks", {"block": 1, "grid": 2}, lambda: (ints(),)),
    ("static_variable_race", RACE, "__device__ deep::hidden", {"block": 8}, lambda: (ints(),)),
    ("device_variable_bounds", BOUNDS, "", {"block": 1}, lambda: (floats(),)),
    ("constant_bounds", BOUNDS, "", {"block": 1}, lambda: (floats(),)),
    ("constant_written", BOUNDS, "constant memory", {"block": 1}, lambda: (floats(),)),
    ("device_flag_without_fence", RACE, "argument 0", {"block": 1, "grid": 2}, lambda: (ints(),)),
    ("private_array", BOUNDS, "outside the variable", {}, lambda: (floats(),)),
    ("shuffle_outside_mask", COLLECTIVE, "lane 0 reads from lane 16", {}, lambda: (ints(),)),
    ("shuffle_down_outside_mask", COLLECTIVE, "lane 15 reads from lane 16", {}, lambda: (ints(),)),
    ("full_mask", COLLECTIVE, "does not have", {"block": 48}, lambda: (ints(),)),
    ("half_warps_one_line", emulator.DivergentBarrierError, "different", {}, lambda: (ints(),)),
    ("half_warps_two_kinds", emulator.DivergentBarrierError, "different", {}, lambda: (ints(),)),
    ("byte_of_a_word", RACE, "argument 0", {}, lambda: (np.zeros(4, np.uint8),)),
    ("third_reader", RACE, "argument 0", {"block": 64}, lambda: (floats(), floats())),
    ("reader_of_another_warp", RACE, "argument 0", {"block": 64}, lambda: (floats(), floats())),
    ("rest_of_a_word", RACE, "argument 0", {},
     lambda: (np.zeros(4, np.uint8), np.zeros(4, np.uint8))),
    ("written_after_fence", RACE, "argument 0", {"block": 1, "grid": 2}, lambda: (ints(), ints())),
    ("last_block_without_barrier", RACE, "argument 0", {"grid": 2},
     lambda: (ints(), ints(), ints())),
    ("fence_of_the_reader", RACE, "argument 0", {"block": 1, "grid": 2}, lambda: (ints(),)),
    ("fence_of_the_block", RACE, "argument 0", {"block": 1, "grid": 2}, lambda: (ints(), ints())),
    ("flag_set_again", RACE, "argument 0", {"block": 1, "grid": 3}, lambda: (ints(), ints())),
    ("failed_swap", RACE, "argument 0", {"block": 1, "grid": 2}, lambda: (ints(), ints())),
    ("old_warp_reduction", RACE, "shared array s", {}, lambda: (floats(),)),
    ("heap_overrun", BOUNDS, "16 bytes from malloc", {"block": 1},
     lambda: (np.ones(1, "f4"), 4)),
    ("heap_unwritten", UNREAD, "16 bytes from malloc", {"block": 1}, lambda: (floats(),)),
    ("heap_used_after_free", BOUNDS, "", {"block": 1}, lambda: (floats(),)),
    ("same_line_other_value", RACE, "argument 0", {}, lambda: (ints(),)),
]  # fmt: skip
#: Found only where the accesses that race do happen: block 1 must see what block 0 has done.
IN_ORDER = (
    "device_flag_without_fence",
    "written_after_fence",
    "fence_of_the_block",
    "flag_set_again",
)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("case", WRONG, ids=[f"{case[0]}-{i}" for i, case in enumerate(WRONG)])
def test_reported(case, schedule):
    name, kind, words, launch, arguments = case
    if schedule != "forward" and name in IN_ORDER:
        schedule = "forward"
    for variable in ("counter", "ready"):
        module().get_global(variable)[:] = 0
    with pytest.raises(kind) as caught:
        run(name, *arguments(), schedule=schedule, **launch)
    if schedule == "forward":
        assert words in str(caught.value), str(caught.value)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["last_block", "last_block_one_fence"])
def test_last_block_with_a_counter_of_the_module(name, schedule):
    x, part, y = np.arange(64, dtype=np.float32), floats(), floats(1)
    run(name, x, part, y, grid=2, schedule=schedule)
    assert y[0] == x.sum()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["spin_lock", "spin_lock_volatile", "shared_spin_lock"])
def test_locks(name, schedule):
    total, lock = ints(1), [ints(1)] if name == "spin_lock_volatile" else []
    run(name, total, *lock, block=128, schedule=schedule)
    assert total[0] == 4


def test_look_back():
    x = np.arange(1, 7, dtype=np.float32)
    sums, flags = floats(6), ints(6)
    run("look_back", x, sums, flags, grid=6)
    np.testing.assert_array_equal(sums, np.cumsum(x))
    state = np.zeros(6, np.uint64)
    run("look_back_packed", x, state, grid=6)
    np.testing.assert_array_equal(state.view(np.float32)[::2], np.cumsum(x))


def test_writes_of_the_same_value_are_a_category(monkeypatch):
    x, changed = np.arange(32, dtype=np.float32), ints(1)
    monkeypatch.delenv("PYCNN_SAME_VALUE_RACES", raising=False)
    run("same_value", x, changed, same_value_races=None)
    assert changed[0] == 1
    with pytest.raises(RACE):
        run("same_value", x, ints(1), same_value_races=True)
    monkeypatch.setenv("PYCNN_SAME_VALUE_RACES", "1")
    with pytest.raises(RACE):
        run("same_value", x, ints(1), same_value_races=None)
    run("same_value", x, ints(1), same_value_races=False)


def test_addresses_as_numbers():
    x, y = np.arange(32, dtype=np.float32), floats(32)
    for name in ("through_number", "through_pointer"):
        run(name, x.ctypes.data, y)
        np.testing.assert_array_equal(y, x)
        y[:] = 0
    run("through_number", np.uint64(x.ctypes.data), y)
    np.testing.assert_array_equal(y, x)
    # Of an array that is known, the end is known as well.
    run("through_both", x, x.ctypes.data, y)
    np.testing.assert_array_equal(y, 2 * x)
    with pytest.raises(BOUNDS, match="past the end of argument 0"):
        run("through_both", x, x.ctypes.data + 4, y)


def test_pointers_within_arrays_and_structs():
    rows = [np.ones(32, np.float32) for _ in range(3)]
    table = np.array([row.ctypes.data for row in rows], np.uint64)
    run("array_of_pointers", table, 3)
    assert [row[0] for row in rows] == [1, 2, 3]
    layout = np.dtype([("data", "u8"), ("size", "i8"), ("out", "u8")])
    y = floats(32)
    view = np.array((rows[2].ctypes.data, 32, y.ctypes.data), layout)
    run("pointer_in_struct", view[()])
    np.testing.assert_array_equal(y, rows[2])
    fresh = emulator.empty(32, np.float32)
    view["data"] = fresh.ctypes.data
    with pytest.raises(UNREAD, match=r"array of pycnn\.emulator\.empty"):
        run("pointer_in_struct", view[()])


def test_numbers_do_not_open_what_is_nobodys():
    x = np.arange(32, dtype=np.float32)
    with pytest.raises(BOUNDS):
        run("through_number", 1 << 40, floats(32))
    with pytest.raises(BOUNDS, match="past the end of argument 0"):
        run("through_pointer", floats(31), np.zeros(32, np.float32))
    with pytest.raises(BOUNDS):
        run("through_number", 8, x)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what memory is whose")
def test_numbers_do_not_open_guard_pages():
    """Memory that nobody may read belongs to nobody, though it is mapped."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=0)
    address = np.frombuffer(page, np.uint8).ctypes.data
    with pytest.raises(BOUNDS):
        run("through_number", address, floats(32))


def test_grids_of_more_blocks_than_are_told_apart():
    with pytest.raises(ValueError, match="4294967296 blocks"):
        run("through_pointer", floats(), floats(), grid=(1 << 20, 1 << 12))


def test_heap_outlives_the_launch():
    slot, o = np.zeros(1, np.uint64), floats(2)
    run("list_in_heap", slot, o, block=1)
    o[0] = 1
    run("list_in_heap", slot, o, block=1)
    assert o[1] == 31
    with pytest.raises(BOUNDS):
        run("list_in_heap", slot, o, block=1)


def test_structs_and_copies_need_no_alignment_of_their_size():
    x, y = np.arange(128, dtype=np.float32), floats(64)
    run("aligned_struct", x, y)
    np.testing.assert_array_equal(y[:32], x[::4][::-1])
    run("struct_at_half_its_size", x[1:65], y)
    np.testing.assert_array_equal(y, x[1:65])
    run("memcpy_anywhere", x, y)
    assert y[0] == 1


def test_masks_may_name_lanes_that_have_exited():
    o = ints()
    run("exited_lanes", o)
    assert (o[:20] == 20 + 1 + 19).all()
    run("exited_lanes", o, block=8)
    assert (o[:8] == 8 + 1 + 7).all()
    run("exits_while_others_wait", o)
    assert (o[:20] == (1 << 20) - 1).all()
    run("partial_warp", o, block=16)
    np.testing.assert_array_equal(o[:16], np.arange(16) ^ 1)


def test_counters_of_variables_polls_and_long_copies():
    module().get_global("table")[:] = 0
    counted = run("count_variables", floats(32))
    assert (counted.global_load_requests, counted.global_store_requests) == (1, 1)
    assert counted.global_bytes_read == 32  # of the table; constant memory is not global traffic
    assert run("poll", ints(1), ints(32)).global_load_requests == 1
    n = 3 * 65536 + 32
    a, b = np.ones(n, np.uint8), np.zeros(n, np.uint8)
    counted = run("long_copy", b, a, n, block=1)
    assert b.all()
    assert counted.global_load_sectors == counted.global_store_sectors == n // 32


def test_views_begin_as_far_past_a_line_as_in_their_allocation():
    """Whatever they were made by: stand-ins of arrays are allocated anew."""
    x, y = np.zeros(64, np.float32), np.zeros(1, np.int32)
    by_strides = np.lib.stride_tricks.as_strided(x[3:], (4, 2), (16, 4))
    by_window = np.lib.stride_tricks.sliding_window_view(x[3:], 8)
    for view in (x[3:], x[3:].reshape(-1, 1).T, by_strides, by_strides[:, ::-1].T[::-1], by_window):
        run("past_a_line", view, y, block=1)
        assert y == 12
