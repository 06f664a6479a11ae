// pool/channels_backward.cu: gradients of 2x2 or 3x3 windows of stride 2, channels last.
//
// Computes   dx[n,h,w,c] = sum of dy[n,p,q,c] over the windows (p,q) whose index is h*W + w, or sum of
//            dy[n,p,q,c] / m(p,q) over the windows that (h,w) is in
// Layout     dy and indices (N,P,Q,C): any strides along N, P, Q that are whole vectors; channels
//            neighbours, C whole vectors; dx contiguous
// Launch     one thread for 16 bytes of channels, two columns of dx and a strip of rows; block 128;
//            grid flat, channels fastest; no shared memory
// Traffic    |dx| + |dy| (+ |indices|), 128 bits an access, and of 3x3 a row of windows more for every
//            strip; the column of windows that neighbours share comes from L1
// Range      planes of less than 2^31 elements; as channels.cu. An index that is nowhere in the plane
//            sends nothing
// Siblings   planes_backward.cu, where columns are neighbours; max_pool.cu and avg_pool.cu take any
//            window
// Source     as max_pool.cu and avg_pool.cu
//
// entry max_pool_channels_backward  gradient of the maximum, gathered, deterministic
// entry avg_pool_channels_backward  gradient of the mean, gathered, deterministic
// variant SCALAR = floating
// variant WINDOW = 2, 3
#include <pycnn/pool_cells.cuh>

constexpr int THREADS = 128;
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);

using Of = Columns<1, 0>;

// Where this thread is.
struct Strip {
    int n, c, first, q, left;
    bool there;

    __device__ __forceinline__ explicit Strip(const Pool& p) {
        const PoolAxis &rows = p.axis[1], &cols = p.axis[2];
        unsigned number = blockIdx.x * THREADS + threadIdx.x;
        c = next_coordinate(number, static_cast<unsigned>(p.inner) / VEC_SIZE) * VEC_SIZE;
        q = next_coordinate(number, cells(cols));
        first = next_tile(number, cells(rows), static_cast<unsigned>(rows.tile));
        n = number;
        left = q * STRIDE - static_cast<int>(cols.low);
        there = n < p.images;
    }
    // body(d, what stands in window FIRST + d) for those that there are of row i.
    template <bool VECTORS, typename T, typename Body>
    __device__ __forceinline__ void each(const T* operand, const PoolStrides& s, int i, int q_end,
                                         Body body) const {
        const T* const row = operand + n * s.n + i * s.axis[1] + (q + Of::FIRST) * s.axis[2] + c;
#pragma unroll
        for (int d = 0; d < Of::WINDOWS; ++d)
            if (inside(q + Of::FIRST + d, q_end))
                body(d, load_block<T, VEC_SIZE>(row + d * s.axis[2], VECTORS));
    }
};

template <bool VECTORS, typename Value, typename Load>
__device__ __forceinline__ void backward(scalar_t* __restrict__ dx, const Pool& p, const Strip& at,
                                         Load load) {
    const int height = p.axis[1].extent, width = p.axis[2].extent;
    const auto store = [&](int h, const acc_t (&sum)[Of::SPAN][VEC_SIZE]) {
#pragma unroll
        for (int u = 0; u < Of::SPAN; ++u) {
            if (!inside(at.left + u, width)) continue;
            Block<scalar_t, VEC_SIZE> block;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) block.at[k] = from_acc(sum[u][k]);
            const index_t pixel = (static_cast<index_t>(at.n) * height + h) * width + at.left + u;
            store_block(dx + pixel * p.inner + at.c, block, VECTORS);
        }
    };
    each_cell<Value, Of, VEC_SIZE>(p, at.first, at.left, load, store);
}

template <bool VECTORS>
__device__ __forceinline__ void max_backward(const scalar_t* __restrict__ dy,
                                             const index_t* __restrict__ indices,
                                             scalar_t* __restrict__ dx, const Pool& p) {
    const Strip at(p);
    if (!at.there) return;
    const int q_end = p.axis[2].windows;
    const auto load = [&](int i, Sent (&row)[Of::WINDOWS][VEC_SIZE]) {
        at.each<VECTORS>(dy, p.operand[0], i, q_end, [&](int d, const auto& block) {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) row[d][k].dy = to_acc(block.at[k]);
        });
        at.each<VECTORS>(indices, p.operand[1], i, q_end, [&](int d, const auto& block) {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) row[d][k].at = place_of(block.at[k]);
        });
    };
    backward<VECTORS, Sent>(dx, p, at, load);
}

template <bool VECTORS>
__device__ __forceinline__ void avg_backward(const scalar_t* __restrict__ dy,
                                             scalar_t* __restrict__ dx, const Pool& p) {
    const Strip at(p);
    if (!at.there) return;
    const auto load = [&](int i, Share (&row)[Of::WINDOWS][VEC_SIZE]) {
        at.each<VECTORS>(dy, p.operand[0], i, p.axis[2].windows, [&](int d, const auto& block) {
            const Divided rows(p, 1, i), cols(p, 2, at.q + Of::FIRST + d);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) row[d][k].dy = rows(cols, to_acc(block.at[k]));
        });
    };
    backward<VECTORS, Share>(dx, p, at, load);
}

// Whether all begin where vectors do is asked in front of all else: see docs/bandwidth.md.

extern "C" __global__ void __launch_bounds__(THREADS, 3)
max_pool_channels_backward(const scalar_t* __restrict__ dy, const index_t* __restrict__ indices,
                           scalar_t* __restrict__ dx, Pool p) {
    if (aligned_to<scalar_t, VEC_SIZE>(dy) && aligned_to<index_t, VEC_SIZE>(indices) &&
        aligned_to<scalar_t, VEC_SIZE>(dx))
        max_backward<true>(dy, indices, dx, p);
    else
        max_backward<false>(dy, indices, dx, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
avg_pool_channels_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Pool p) {
    if (aligned_to<scalar_t, VEC_SIZE>(dy) && aligned_to<scalar_t, VEC_SIZE>(dx))
        avg_backward<true>(dy, dx, p);
    else
        avg_backward<false>(dy, dx, p);
}
