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
#include <pycnn/boundary.cuh>

constexpr int AT_ONCE = 4;  // rows that a thread asks for

// What each thread of a block has of rows that are `columns` wide, which is more than none: powers of
// two threads a row, so that nothing is divided.
struct Lattice {
    int row, column, down, across;

    __device__ __forceinline__ explicit Lattice(int columns) {
        const int shift = columns > COPY_THREADS / 2 ? 8 : columns > 1 ? 32 - __clz(columns - 1) : 0;
        across = 1 << shift;
        down = COPY_THREADS >> shift;
        row = static_cast<int>(threadIdx.x) >> shift;
        column = static_cast<int>(threadIdx.x) & (across - 1);
    }
};

// Rows of x into the tile of y, by pieces.
template <typename Piece>
__device__ __forceinline__ void load_inner(const element* x, const index_t* row_of_x, int rows,
                                           element* tile, element filler, const Padding& v) {
    constexpr int MANY = sizeof(Piece) / BYTES;
    const int columns = static_cast<int>(v.row.extent_y);
    const index_t step = MANY > 1 ? MANY : v.step;
    Piece constant = 0;
#pragma unroll
    for (int k = 0; k < MANY; ++k) constant |= static_cast<Piece>(filler) << 8 * BYTES * k;
    const int width = static_cast<int>(v.staged) / MANY;
    const Lattice at(width);
#pragma unroll 1
    for (int column = at.column; column < width; column += at.across) {
        const element* const from = x + column * step;
        element* const to = tile + column * MANY;
#pragma unroll 1
        for (int first = at.row; first < rows; first += AT_ONCE * at.down) {
            Piece piece[AT_ONCE];
#pragma unroll
            for (int r = 0; r < AT_ONCE; ++r) {
                const int row = first + r * at.down;
                const index_t offset = row < rows ? row_of_x[row] : OUTSIDE;
                piece[r] = constant;
                if (offset != OUTSIDE) piece[r] = *reinterpret_cast<const Piece*>(from + offset);
            }
#pragma unroll
            for (int r = 0; r < AT_ONCE; ++r) {
                const int row = first + r * at.down;
                if (row >= rows) break;
#pragma unroll
                for (int k = 0; k < MANY; ++k)
                    to[row * columns + k] = static_cast<element>(piece[r] >> 8 * BYTES * k);
            }
        }
    }
}

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
    const element* const from = x + v.first * v.step;
    if (v.in_vectors<8 / BYTES>(from))
        load_inner<OfBytes<8>::type>(from, row_of_x, rows, tile + lead, filler, v);
    else if (inner > 0)
        load_inner<element>(from, row_of_x, rows, tile + lead, filler, v);
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
    using Wide = OfBytes<16>::type;
    constexpr int MANY = 16 / BYTES;
#pragma unroll 1
    for (int t = thread * MANY; t < end; t += COPY_THREADS * MANY) {
        element* const to = y - skew + t;
        if (t >= skew && t + MANY <= end)
            *reinterpret_cast<Wide*>(to) = *reinterpret_cast<const Wide*>(sY + t);
        else
#pragma unroll 1
            for (int k = 0; k < MANY; ++k)
                if (t + k >= skew && t + k < end) to[k] = sY[t + k];
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
