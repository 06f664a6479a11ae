// pool/planes_backward.cu: gradients of 2x2 or 3x3 windows of stride 2, columns being neighbours.
//
// Computes   dx[n,c,h,w] = sum of dy[n,c,p,q] over the windows (p,q) whose index is h*W + w, or sum of
//            dy[n,c,p,q] / m(p,q) over the windows that (h,w) is in
// Layout     dy and indices (N,C,P,Q): columns neighbours, any strides along the others; dx
//            contiguous
// Launch     one thread for 16 bytes of columns of dx (8, with the indices of 16-bit elements) and a
//            strip of rows; block 256; grid flat, columns fastest; no shared memory
// Traffic    |dx| + |dy| (+ |indices|), and of 3x3 a row of windows more for every strip. With LOW -1
//            an element an access, else vectors
// Range      planes of less than 2^31 elements; as planes.cu. An index that is nowhere in the plane
//            sends nothing
// Siblings   channels_backward.cu, where channels are neighbours; max_pool.cu and avg_pool.cu take any
//            window
// Source     as max_pool.cu and avg_pool.cu
//
// entry max_pool_planes_backward  gradient of the maximum, gathered, deterministic
// entry avg_pool_planes_backward  gradient of the mean, gathered, deterministic
// variant SCALAR = floating
// variant WINDOW = 2, 3
// variant LOW = -1, 0, 1
#include <pycnn/pool_cells.cuh>

#ifndef LOW
#define LOW -1
#endif

constexpr int THREADS = 256;
constexpr int MOST = LOW < 0 ? 1 : 16 / (STRIDE * sizeof(scalar_t));  // windows of a thread
constexpr int MOST_WITH_INDICES = MOST < 2 ? MOST : 2;

template <int OUTPUTS>
using Of = Columns<OUTPUTS, (LOW > 0)>;

// Where this thread is.
template <int OUTPUTS>
struct Strip {
    int n, c, first, q, left;
    bool there;

    __device__ __forceinline__ explicit Strip(const Pool& p) {
        const PoolAxis &rows = p.axis[1], &cols = p.axis[2];
        unsigned number = blockIdx.x * THREADS + threadIdx.x;
        const unsigned groups = LOW < 0 ? cells(cols)
                                        : static_cast<unsigned>(cols.extent) / Of<OUTPUTS>::SPAN;
        q = next_coordinate(number, groups) * OUTPUTS;
        first = next_tile(number, cells(rows), static_cast<unsigned>(rows.tile));
        c = next_coordinate(number, static_cast<unsigned>(p.channels));
        n = number;
        left = q * STRIDE - (LOW < 0 ? static_cast<int>(cols.low) : 0);
        there = n < p.images;
    }
    template <typename T>
    __device__ __forceinline__ const T* in(const T* operand, const PoolStrides& s) const {
        return operand + n * s.n + c * s.c + q;
    }
};

// Of a row of windows, those over the columns of a thread.
template <int OUTPUTS, typename T>
__device__ __forceinline__ void load_windows(const T* row, int q, int q_end, bool vectors,
                                             T nothing, T (&to)[Of<OUTPUTS>::WINDOWS]) {
    constexpr int FIRST = Of<OUTPUTS>::FIRST, OTHER = FIRST < 0 ? FIRST : OUTPUTS;
#pragma unroll
    for (int d = 0; d < Of<OUTPUTS>::WINDOWS; ++d) to[d] = nothing;
    if (q < q_end) {
        const auto block = load_block<T, OUTPUTS>(row, vectors);
#pragma unroll
        for (int j = 0; j < OUTPUTS; ++j) to[j - FIRST] = block.at[j];
    }
    if (Of<OUTPUTS>::EXTRA && inside(q + OTHER, q_end)) to[OTHER - FIRST] = ldg(row + OTHER);
}

template <typename Value, int OUTPUTS, typename Load>
__device__ __forceinline__ void backward(scalar_t* __restrict__ dx, const Pool& p,
                                         const Strip<OUTPUTS>& at, Load load) {
    constexpr int SPAN = Of<OUTPUTS>::SPAN;
    const int height = p.axis[1].extent, width = p.axis[2].extent;
    const bool vectors = aligned_to<scalar_t, SPAN>(dx);
    scalar_t* const plane = dx + (at.n * p.channels + at.c) * height * width + at.left;
    const auto store = [&](int h, const acc_t (&sum)[SPAN][1]) {
        scalar_t* const to = plane + h * width;
        Block<scalar_t, SPAN> block;
#pragma unroll
        for (int u = 0; u < SPAN; ++u) block.at[u] = from_acc(sum[u][0]);
        if constexpr (LOW < 0) {
#pragma unroll
            for (int u = 0; u < SPAN; ++u)
                if (inside(at.left + u, width)) to[u] = block.at[u];
        } else {
            store_block(to, block, vectors);
        }
    };
    each_cell<Value, Of<OUTPUTS>, 1>(p, at.first, at.left, load, store);
}

extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_planes_backward(const scalar_t* __restrict__ dy, const index_t* __restrict__ indices,
                         scalar_t* __restrict__ dx, Pool p) {
    constexpr int OUTPUTS = MOST_WITH_INDICES, WINDOWS = Of<OUTPUTS>::WINDOWS;
    const Strip<OUTPUTS> at(p);
    if (!at.there) return;
    const PoolStrides &s = p.operand[0], &t = p.operand[1];
    const int q_end = p.axis[2].windows;
    const bool vectors = aligned_to<scalar_t, OUTPUTS>(dy);
    const bool at_vectors = aligned_to<index_t, OUTPUTS>(indices);
    const scalar_t* const of_dy = at.in(dy, s);
    const index_t* const of_indices = at.in(indices, t);
    const auto load = [&](int i, Sent (&row)[WINDOWS][1]) {
        scalar_t values[WINDOWS];
        index_t places[WINDOWS];
        load_windows<OUTPUTS>(of_dy + i * s.axis[1], at.q, q_end, vectors, from_acc(0), values);
        load_windows<OUTPUTS>(of_indices + i * t.axis[1], at.q, q_end, at_vectors, index_t(-1),
                              places);
#pragma unroll
        for (int d = 0; d < WINDOWS; ++d) row[d][0] = {to_acc(values[d]), place_of(places[d])};
    };
    backward<Sent, OUTPUTS>(dx, p, at, load);
}

extern "C" __global__ void __launch_bounds__(THREADS)
avg_pool_planes_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Pool p) {
    constexpr int OUTPUTS = MOST, WINDOWS = Of<OUTPUTS>::WINDOWS, FIRST = Of<OUTPUTS>::FIRST;
    const Strip<OUTPUTS> at(p);
    if (!at.there) return;
    const PoolStrides& s = p.operand[0];
    const int q_end = p.axis[2].windows;
    const bool vectors = aligned_to<scalar_t, OUTPUTS>(dy);
    const scalar_t* const of_dy = at.in(dy, s);
    Divided cols[WINDOWS];
#pragma unroll
    for (int d = 0; d < WINDOWS; ++d) cols[d] = Divided(p, 2, at.q + FIRST + d);
    const auto load = [&](int i, Share (&row)[WINDOWS][1]) {
        scalar_t values[WINDOWS];
        load_windows<OUTPUTS>(of_dy + i * s.axis[1], at.q, q_end, vectors, from_acc(0), values);
        const Divided mean(p, 1, i);
#pragma unroll
        for (int d = 0; d < WINDOWS; ++d)
            row[d][0].dy = mean(cols[d], to_acc(values[d]));
    };
    backward<Share, OUTPUTS>(dx, p, at, load);
}
