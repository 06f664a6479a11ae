// pool/planes.cu: maximum or mean over 2x2 or 3x3 windows of stride 2, columns being neighbours.
//
// Computes   y[n,c,p,q] = max over, or 1/m(p,q) times the sum of, x[n,c,h,w] in the window (p,q)
// Layout     x (N,C,H,W): columns neighbours, any strides along the others; y and indices contiguous
// Launch     one thread for the same few columns (`outputs` in the plan) of a row of some planes;
//            block 256; grid flat, columns fastest; no shared memory
// Traffic    |x| + |y| (+ |indices|), and of 3x3 a row more of x for every block. With LOW -1, an
//            element an access; else 16 bytes of x, 8 with the indices of 16-bit elements
// Range      planes of less than 2^31 elements; padding and ceil mode as long as every window has an
//            element of x. Indices, NaN and the divisor m as in max_pool.cu and avg_pool.cu. With LOW
//            0 and 1, the padding of columns in front, rows are whole vectors; where an address is no
//            multiple of one, elements come and go one by one
// Siblings   channels.cu, where channels are neighbours; max_pool.cu and avg_pool.cu take any window
// Source     as max_pool.cu and avg_pool.cu
//
// entry max_pool_planes          maximum of every window
// entry max_pool_planes_indices  maximum of every window, and its index
// entry avg_pool_planes          mean of every window
// variant SCALAR = floating
// variant WINDOW = 2, 3
// variant LOW = -1, 0, 1
#include <pycnn/pool_vectors.cuh>

#ifndef LOW
#define LOW -1
#endif

constexpr int THREADS = 256;
constexpr int MOST = LOW < 0 ? 1 : 16 / (STRIDE * sizeof(scalar_t));  // outputs of a thread
constexpr int MOST_WITH_INDICES = MOST < 2 ? MOST : 2;                // whose indices are 16 bytes

// A row of x under the windows of a thread: a vector and, where they begin before or end behind it,
// one element more.
template <int OUTPUTS>
struct Row {
    static constexpr int BEFORE = LOW > 0, SPAN = STRIDE * OUTPUTS;
    static constexpr int IN = LOW < 0 ? WINDOW : SPAN + (BEFORE || WINDOW > STRIDE);
    scalar_t at[IN];

    // Of the row that `from` is in, at column `left` of `width`.
    __device__ __forceinline__ void load(const scalar_t* from, int left, int width, bool vectors,
                                         scalar_t nothing) {
#pragma unroll
        for (int u = 0; u < IN; ++u) at[u] = nothing;
        if constexpr (LOW < 0) {
#pragma unroll
            for (int u = 0; u < IN; ++u)
                if (inside(left + u, width)) at[u] = ldg(from + u);
        } else {
            constexpr int OTHER = BEFORE ? 0 : SPAN;
            if (left + BEFORE < width) {
                const auto block = load_block<scalar_t, SPAN>(from + BEFORE, vectors);
#pragma unroll
                for (int u = 0; u < SPAN; ++u) at[BEFORE + u] = block.at[u];
            }
            if (IN > SPAN && inside(left + OTHER, width)) at[OTHER] = ldg(from + OTHER);
        }
    }
};

// prepare(p, q), then emit(offset in y, states of the columns) for every plane of this thread.
template <typename State, int OUTPUTS, typename Prepare, typename Emit>
__device__ __forceinline__ void each_window(const scalar_t* __restrict__ x, const Pool& p,
                                            Prepare prepare, Emit emit) {
    const PoolAxis &rows = p.axis[1], &cols = p.axis[2];
    const PoolStrides& s = p.operand[0];
    const int height = rows.extent, width = cols.extent, outs = rows.windows;
    const int q_end = cols.windows, channels = p.channels;
    unsigned number = blockIdx.x * THREADS + threadIdx.x;
    const int q = next_tile(number, static_cast<unsigned>(q_end), static_cast<unsigned>(OUTPUTS));
    const int out = next_coordinate(number, static_cast<unsigned>(outs));
    const int first = next_tile(number, static_cast<unsigned>(channels),
                                static_cast<unsigned>(p.planes_tile));
    const int n = number;
    if (n >= p.images) return;
    const int left = q * STRIDE - (LOW < 0 ? static_cast<int>(cols.low) : LOW);
    const int top = out * STRIDE - static_cast<int>(rows.low);
    const int begin = (top > 0 ? top : 0) * width;
    const bool vectors = aligned_to<scalar_t, Row<OUTPUTS>::SPAN>(x);
    const scalar_t nothing = from_acc(State::nothing());

    const scalar_t* from = x + n * s.n + first * s.c + top * s.axis[1] + left;
    index_t to = ((static_cast<index_t>(n) * channels + first) * outs + out) * q_end + q;
    const int rest = channels - first, planes = p.planes_tile;
    prepare(out, q);
#pragma unroll 1
    for (int i = planes < rest ? planes : rest; i > 0; --i) {
        Row<OUTPUTS> row[WINDOW];
#pragma unroll
        for (int r = 0; r < WINDOW; ++r) {
            const bool there = inside(top + r, height);
            row[r].load(from + r * s.axis[1], left, there ? width : 0, vectors, nothing);
        }
        State of[OUTPUTS];
#pragma unroll
        for (int j = 0; j < OUTPUTS; ++j) {
            const int w = left + STRIDE * j;
            of[j].begin(begin + (w > 0 ? w : 0));
#pragma unroll
            for (int r = 0; r < WINDOW; ++r)
#pragma unroll
                for (int u = 0; u < WINDOW; ++u)
                    of[j].add(to_acc(row[r].at[STRIDE * j + u]), (top + r) * width + w + u);
        }
        emit(to, of);
        from += s.c;
        to += static_cast<index_t>(outs) * q_end;
    }
}

template <int OUTPUTS, typename Place>
__device__ __forceinline__ void max_windows(const scalar_t* __restrict__ x,
                                            scalar_t* __restrict__ y,
                                            index_t* __restrict__ indices, const Pool& p) {
    using State = Maximum<Place>;
    const bool vectors = aligned_to<scalar_t, OUTPUTS>(y);
    const bool at_vectors = aligned_to<index_t, OUTPUTS>(indices);
    const auto emit = [&](index_t to, const State (&of)[OUTPUTS]) {
        Block<scalar_t, OUTPUTS> block;
#pragma unroll
        for (int j = 0; j < OUTPUTS; ++j) block.at[j] = from_acc(of[j].value);
        store_block(y + to, block, vectors);
        if constexpr (sizeof(State) > sizeof(acc_t)) {
            Block<index_t, OUTPUTS> places;
#pragma unroll
            for (int j = 0; j < OUTPUTS; ++j) places.at[j] = of[j].at;
            store_block(indices + to, places, at_vectors);
        }
    };
    each_window<State, OUTPUTS>(x, p, [](int, int) {}, emit);
}

extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_planes(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Pool p) {
    max_windows<MOST, NoIndex>(x, y, nullptr, p);
}

extern "C" __global__ void __launch_bounds__(THREADS)
max_pool_planes_indices(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                        index_t* __restrict__ indices, Pool p) {
    max_windows<MOST_WITH_INDICES, Index>(x, y, indices, p);
}

extern "C" __global__ void __launch_bounds__(THREADS)
avg_pool_planes(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Pool p) {
    const bool vectors = aligned_to<scalar_t, MOST>(y);
    Divided means[MOST], rows;
    const auto prepare = [&](int i, int q) {
        rows = Divided(p, 1, i);
#pragma unroll
        for (int j = 0; j < MOST; ++j) means[j] = Divided(p, 2, q + j);
    };
    each_window<Total, MOST>(x, p, prepare, [&](index_t to, const Total (&of)[MOST]) {
        Block<scalar_t, MOST> block;
#pragma unroll
        for (int j = 0; j < MOST; ++j) block.at[j] = from_acc(rows(means[j], of[j].value));
        store_block(y + to, block, vectors);
    });
}
