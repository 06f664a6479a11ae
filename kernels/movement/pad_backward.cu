// movement/pad_backward.cu: gradient of padding by elements of x: every one's copies, summed.
//
// Computes   dx[i...] = sum of dy[j...] over the positions j that stand for i (boundary.cuh); the
//            gradient of constant padding is cropping: pad.cu
// Layout     dy any strides; dx contiguous; up to 8 axes that are padded or cannot be merged
// Launch     pad_backward_rows: some rows of dx a block, block 256, grid: rows / rows_per_block;
//            shared: these rows, at most 4096 elements. pad_backward_direct: one thread an element
// Traffic    |dy| + |dx| bytes; |dy| - |dx| additions
// Range      any extents, 64-bit index arithmetic; pad_backward_rows fewer than 2^31 rows and columns;
//            deterministic: copies in the order of dy
// Siblings   pad_backward_planes.cu: two axes, in whose planes at most two positions stand for an element
//            along each. pad_backward_rows moves rows as they are, as nearly every element has one copy, and sums
//            up the others once more. pad_backward_direct takes rows that shared memory does not
//            hold, those that are cropped, and more than the other counts
// Source     the transposed map of torch.nn.functional.pad
//
// entry pad_backward_rows    through shared memory
// entry pad_backward_direct  one element a thread
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/pad_tile.cuh>

using bits_t = OfBytes<sizeof(scalar_t)>::type;

constexpr int KEPT = 2;  // rows of dy that stand for one of dx and are looked up in front

// Columns that more than one of dy may stand for: some at the left, and some at the right, or one run
// of them where these meet.
struct Edges {
    int left, right, at_left, at_right;

    __device__ __forceinline__ Edges(const Padding& v, int columns, int before, int after) {
        const bool reflect = v.mode == REFLECT, around = v.mode == CIRCULAR;
        left = reflect;
        at_left = reflect ? before : around ? after : before > 0;
        at_right = reflect ? after : around ? before : after > 0;
        right = columns - reflect - at_right;
        if (right >= left + at_left) return;
        const int end = left + at_left > right + at_right ? left + at_left : right + at_right;
        left = left < right ? left : right;
        at_left = end - left;
        at_right = 0;
    }
    __device__ __forceinline__ int count() const { return at_left + at_right; }
    __device__ __forceinline__ int operator[](int e) const {
        return e < at_left ? left + e : right + e - at_left;
    }
};

extern "C" __global__ void __launch_bounds__(PAD_THREADS, sizeof(acc_t) == 4 ? 6 : 5)
pad_backward_rows(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Padding v) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ index_t row_of_dy[KEPT][PAD_THREADS];
    __shared__ int many[PAD_THREADS], several[PAD_THREADS];
    __shared__ unsigned severals;  // in any order: each row of them is summed by itself

    const int most = static_cast<int>(v.rows_per_block), row0 = static_cast<int>(blockIdx.x) * most;
    const int left = static_cast<int>(v.rows) - row0, rows = left < most ? left : most;
    const int thread = static_cast<int>(threadIdx.x);
    if (thread == 0) severals = 0;
    __syncthreads();
    if (thread < rows) {
        int total = 1;
        for (int m = 0; m < total && m < KEPT; ++m)
            row_of_dy[m][thread] = alias_row(v, row0 + thread, m, total);
        many[thread] = total;
        if (total > 1) {
            const unsigned next = atomicAdd(&severals, 1u);
            several[next] = thread;
        }
    }
    __syncthreads();

    // What the block writes lies in shared memory as in dx, from the start of a sector on.
    const int columns = static_cast<int>(v.row.extent_x), before = static_cast<int>(v.row.before);
    const int after = static_cast<int>(v.row.extent_y) - columns - before;
    dx += static_cast<index_t>(row0) * columns;
    const int skew = sector_skew(dx), end = skew + rows * columns;
    bits_t* const sDx = reinterpret_cast<bits_t*>(shared);
    bits_t* const tile = sDx + skew;
    load_inner(reinterpret_cast<const bits_t*>(dy), row_of_dy[0], rows, columns, tile, bits_t(0), v);
    __syncthreads();

    // What has several copies is summed up: rows that have, then columns that have of the others.
    const Edges edges(v, columns, before, after);
#pragma unroll 1
    for (int of_columns = 0; of_columns < 2; ++of_columns) {
        const int across = of_columns ? edges.count() : columns;
        const int down = of_columns ? rows : static_cast<int>(severals);
        const Lattice at(across);
#pragma unroll 1
        for (int e = at.column; e < across; e += at.across) {
            const int column = of_columns ? edges[e] : e;
            const PaddingAliases<int> of_column(v, v.row, column);
            const int total = of_column.total();
#pragma unroll 1
            for (int d = at.row; d < down; d += at.down) {
                const int r = of_columns ? d : several[d], copies = many[r];
                if (of_columns && copies != 1) continue;
                acc_t sum = 0;
#pragma unroll 1
                for (int m = 0; m < copies; ++m) {
                    int all;
                    const index_t row =
                        m < KEPT ? row_of_dy[m][r] : alias_row(v, row0 + r, m, all);
#pragma unroll 1
                    for (int c = 0; c < total; ++c) sum += to_acc(dy[row + of_column[c] * v.step]);
                }
                reinterpret_cast<scalar_t*>(tile)[r * columns + column] = from_acc(sum);
            }
        }
    }
    __syncthreads();
    store_tile(sDx, skew, end, reinterpret_cast<bits_t*>(dx));
}

extern "C" __global__ void __launch_bounds__(PAD_THREADS)
pad_backward_direct(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Padding v) {
    const index_t flat = flat_thread(), row = flat / v.row.extent_x;
    if (row >= v.rows) return;
    const PaddingAliases<index_t> aliases(v, v.row, flat - row * v.row.extent_x);
    const index_t total = aliases.total();
    acc_t sum = 0;
    index_t rows = 1;
    for (index_t m = 0; m < rows; ++m) {
        const index_t from = alias_row(v, row, m, rows);
        for (index_t c = 0; c < total; ++c) sum += to_acc(dy[from + aliases[c] * v.step]);
    }
    dx[flat] = from_acc(sum);
}
