// movement/pad.cu: an array with more, or fewer, elements around it.
//
// Computes   y[j...] = x[i...], i = j - before along every axis; where that is outside of x: a
//            constant, or the element that it stands for, as the mode has it (boundary.cuh)
// Layout     x any strides; y contiguous; up to 8 axes that are padded or cannot be merged
// Launch     pad_rows: some rows of y a block, block 256, grid: rows / rows_per_block; shared: as
//            many rows of x, at most 4096 elements. pad_direct: one thread an element of y
// Traffic    |x| + |y| bytes; no arithmetic
// Range      any extents, 64-bit index arithmetic; negative padding crops
// Siblings   pad_rows reads and writes whole sectors, though rows of x and of y begin anywhere.
//            pad_direct takes rows that shared memory does not hold: where x and y are shifted
//            against each other, its warps touch one sector more than they need
// Source     index mappings as PyTorch's torch.nn.functional.pad documents them
//
// entry pad_rows    through shared memory
// entry pad_direct  one element a thread
// variant BYTES = itemsizes
#include <pycnn/copy.cuh>
#include <pycnn/boundary.cuh>

constexpr int PAIR = BYTES < 8 ? 2 : 1;  // elements that a thread stores together

// Rows of y around what is staged of x, MANY elements at a time.
template <int MANY>
__device__ __forceinline__ void store_constant(const element* sX, const index_t* row_of_x,
                                               element* y, int rows, element value,
                                               const Padding& v) {
    const int columns = static_cast<int>(v.row.extent_y) / MANY, count = rows * columns;
    const int width = static_cast<int>(v.staged), first = static_cast<int>(v.first);
    const int before = static_cast<int>(v.row.before), extent = static_cast<int>(v.row.extent_x);
    RowWalk<COPY_THREADS> at(static_cast<int>(threadIdx.x) - sector_skew(y) / MANY, columns);
    for (; at.t < count; at.next()) {
        const bool row = row_of_x[at.row] != OUTSIDE;
        const element* const from = sX + at.row * width - first;
        Block<element, MANY> block;
#pragma unroll
        for (int k = 0; k < MANY; ++k) {
            const int i = at.column * MANY + k - before;
            block.at[k] = row && inside(i, extent) ? from[i] : value;
        }
        reinterpret_cast<Block<element, MANY>*>(y)[at.t] = block;
    }
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
pad_rows(const element* __restrict__ x, element* __restrict__ y, unsigned long long value,
         Padding v) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ index_t row_of_x[COPY_THREADS];
    element* const sX = reinterpret_cast<element*>(shared);

    const index_t row0 = blockIdx.x * v.rows_per_block;
    const index_t left = v.rows - row0;
    const int rows = static_cast<int>(left < v.rows_per_block ? left : v.rows_per_block);
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < rows) row_of_x[thread] = v.source_row(row0 + thread);
    __syncthreads();
    const int width = static_cast<int>(v.staged);
    const element* const from = x + v.first * v.step;
    load_rows<COPY_THREADS>(from, row_of_x, rows, width, v.step, sX, v.in_vectors(from));
    __syncthreads();

    const int columns = static_cast<int>(v.row.extent_y);
    y += row0 * columns;
    if (v.mode == CONSTANT) {
        if (columns % PAIR == 0 && aligned_to<element, PAIR>(y))
            store_constant<PAIR>(sX, row_of_x, y, rows, static_cast<element>(value), v);
        else
            store_constant<1>(sX, row_of_x, y, rows, static_cast<element>(value), v);
        return;
    }
    const int count = rows * columns;
    RowWalk<COPY_THREADS> at(thread - sector_skew(y), columns);
    for (; at.t < count; at.next()) {
        const index_t i = v.source(v.row, at.column);
        const bool exists = i != OUTSIDE && row_of_x[at.row] != OUTSIDE;
        y[at.t] = exists ? sX[at.row * width + static_cast<int>(i - v.first)]
                         : static_cast<element>(value);
    }
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
pad_direct(const element* __restrict__ x, element* __restrict__ y, unsigned long long value,
           Padding v) {
    const index_t flat = flat_thread(), row = flat / v.row.extent_y;
    if (row >= v.rows) return;
    const index_t from = v.source_row(row), i = v.source(v.row, flat - row * v.row.extent_y);
    const bool exists = from != OUTSIDE && i != OUTSIDE;
    y[flat] = exists ? x[from + i * v.step] : static_cast<element>(value);
}
