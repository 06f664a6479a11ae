// movement/pad_backward.cu: gradient of padding by elements of x: every one's copies, summed.
//
// Computes   dx[i...] = sum of dy[j...] over the positions j that stand for i (boundary.cuh); the
//            gradient of constant padding is cropping: pad.cu
// Layout     dy any strides; dx contiguous; up to 8 axes that are padded or cannot be merged
// Launch     pad_backward_rows: some rows of dx a block, block 256, grid: rows / rows_per_block;
//            shared: as many rows of dy, at most 4096 elements, time after time until those of
//            the row with most copies are through. pad_backward_direct: one thread an element
// Traffic    |dy| + |dx| bytes; |dy| - |dx| additions
// Range      any extents, 64-bit index arithmetic; deterministic: copies in the order of dy
// Siblings   pad_backward_direct takes rows that shared memory does not hold
// Source     the transposed map of torch.nn.functional.pad
//
// entry pad_backward_rows    through shared memory
// entry pad_backward_direct  one element a thread
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/boundary.cuh>

constexpr int THREADS = 256;
constexpr int PER_THREAD = 17;  // 4096 elements, and what a sector's skew leaves over

extern "C" __global__ void __launch_bounds__(THREADS, 1)
pad_backward_rows(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Padding v) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ index_t row_of_dy[THREADS];
    scalar_t* const sDy = reinterpret_cast<scalar_t*>(shared);

    const index_t row0 = blockIdx.x * v.rows_per_block;
    const index_t left = v.rows - row0;
    const int rows = static_cast<int>(left < v.rows_per_block ? left : v.rows_per_block);
    const int width = static_cast<int>(v.staged), columns = static_cast<int>(v.row.extent_x);
    dx += row0 * columns;
    const int thread = static_cast<int>(threadIdx.x), first = thread - sector_skew(dx);
    const bool vectors = v.in_vectors<16 / sizeof(scalar_t)>(dy);

    acc_t sum[PER_THREAD] = {};
    for (index_t m = 0;; ++m) {
        __syncthreads();  // what is staged has been used
        index_t row = OUTSIDE;
        if (thread < rows) row_of_dy[thread] = row = alias_row(v, row0 + thread, m);
        if (!__syncthreads_or(row != OUTSIDE)) break;
        load_rows<THREADS>(dy, row_of_dy, rows, width, v.step, sDy, vectors);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < PER_THREAD; ++k) {
            const int t = first + k * THREADS;
            if (t < 0 || t >= rows * columns) continue;
            const int r = static_cast<unsigned>(t) / static_cast<unsigned>(columns);
            if (row_of_dy[r] == OUTSIDE) continue;
            const PaddingAliases aliases(v, v.row, t - r * columns);
            const int total = static_cast<int>(aliases.total());
            for (int c = 0; c < total; ++c) sum[k] += to_acc(sDy[r * width + aliases[c]]);
        }
    }
#pragma unroll
    for (int k = 0; k < PER_THREAD; ++k) {
        const int t = first + k * THREADS;
        if (t >= 0 && t < rows * columns) dx[t] = from_acc(sum[k]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
pad_backward_direct(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Padding v) {
    const index_t flat = flat_thread(), row = flat / v.row.extent_x;
    if (row >= v.rows) return;
    const PaddingAliases aliases(v, v.row, flat - row * v.row.extent_x);
    const index_t total = aliases.total();
    acc_t sum = 0;
    for (index_t m = 0;; ++m) {
        const index_t from = alias_row(v, row, m);
        if (from == OUTSIDE) break;
        for (index_t c = 0; c < total; ++c) sum += to_acc(dy[from + aliases[c] * v.step]);
    }
    dx[flat] = from_acc(sum);
}
