// movement/pad.cu: an array with more, or fewer, elements around it.
//
// Computes   y[j...] = x[i...], i = j - before along every axis; where that is outside of x: a
//            constant, or the element that it stands for, as the mode has it (boundary.cuh)
// Layout     x any strides; y contiguous; up to 8 axes that are padded or cannot be merged
// Launch     pad_rows: some rows of y a block, block 256, grid: rows / rows_per_block; shared: these
//            rows, at most 8192 elements. pad_direct: one thread an element of y
// Traffic    |x| + |y| bytes; no arithmetic
// Range      any extents, 64-bit index arithmetic; negative padding crops
// Siblings   pad_rows reads and writes whole sectors, though rows of x and of y begin anywhere.
//            pad_direct takes rows that shared memory does not hold, and those that are cropped and
//            padded by elements of x: where x and y are shifted against each other, its warps touch
//            one sector more than they need
// Source     index mappings as PyTorch's torch.nn.functional.pad documents them
//
// entry pad_rows    through shared memory
// entry pad_direct  one element a thread
// variant BYTES = itemsizes
#include <pycnn/copy.cuh>
#include <pycnn/pad_tile.cuh>

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
pad_rows(const element* __restrict__ x, element* __restrict__ y, unsigned long long value,
         Padding v) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ index_t row_of_x[COPY_THREADS];

    const index_t row0 = blockIdx.x * v.rows_per_block;
    const index_t left = v.rows - row0;
    const int rows = static_cast<int>(left < v.rows_per_block ? left : v.rows_per_block);
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < rows) row_of_x[thread] = v.source_row(row0 + thread);
    __syncthreads();

    // What the block writes lies in shared memory as in y, from the start of a sector on.
    const int columns = static_cast<int>(v.row.extent_y), inner = static_cast<int>(v.staged);
    y += row0 * columns;
    const int skew = sector_skew(y), end = skew + rows * columns;
    element* const sY = reinterpret_cast<element*>(shared);
    element* const tile = sY + skew;
    const element filler = static_cast<element>(value);
    const int lead = static_cast<int>(v.row.before > 0 ? v.row.before : 0);
    load_inner(x, row_of_x, rows, columns, tile + lead, filler, v);
    if (v.mode != CONSTANT) __syncthreads();
    if (inner < columns) {
        const Lattice at(columns - inner);
#pragma unroll 1
        for (int around = at.column; around < columns - inner; around += at.across) {
            const int column = around < lead ? around : around + inner;
            const int source =
                v.mode == CONSTANT ? 0 : static_cast<int>(v.source(v.row, column) + v.row.before);
#pragma unroll 1
            for (int r = at.row; r < rows; r += at.down) {
                element* const row = tile + r * columns;
                row[column] = v.mode == CONSTANT ? filler : row[source];
            }
        }
    }
    __syncthreads();
    store_tile(sY, skew, end, y);
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
