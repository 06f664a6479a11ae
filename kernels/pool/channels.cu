// pool/channels.cu: maximum or mean over 2x2 or 3x3 windows of stride 2, channels last.
//
// Computes   y[n,p,q,c] = max over, or 1/m(p,q) times the sum of, x[n,h,w,c] in the window (p,q)
// Layout     x (N,H,W,C): any strides along N, H, W that are whole vectors; channels neighbours, C
//            whole vectors; y and the indices contiguous
// Launch     one thread for 16 bytes of channels, 2 to 4 columns of outputs (`_columns` in the plan)
//            and a strip of rows of them; block 128; grid flat, channels fastest; no shared memory
// Traffic    |x| + |y| (+ |indices|), 128 bits an access; of 3x3, a row more of x for every strip and
//            a column more for every thread. A row of a thread's columns is in flight at a time
// Range      planes of less than 2^31 elements; padding and ceil mode as long as every window has an
//            element of x. Indices, NaN and the divisor m as in max_pool.cu and avg_pool.cu; beside an
//            index, of 16 bits, a maximum that is -0 is 0. Where an address is no multiple of 16 bytes,
//            elements come and go one by one
// Siblings   max_pool.cu and avg_pool.cu take any window and layout, by way of shared memory
// Source     as max_pool.cu and avg_pool.cu
//
// entry max_pool_channels          maximum of every window
// entry max_pool_channels_indices  maximum of every window, and its index
// entry avg_pool_channels          mean of every window
// variant SCALAR = floating
// variant WINDOW = 2, 3
#include <pycnn/map.cuh>
#include <pycnn/pool_rank.cuh>
#include <pycnn/pool_vectors.cuh>

constexpr int THREADS = 128;
constexpr int COLUMNS = sizeof(scalar_t) > 2 ? 4 : 2;  // of outputs; `_columns` in the plan
constexpr int COLUMNS_OF_INDICES = 2;

// emit(p, q, offset in y, states of the channels) for every output of this thread.
template <bool VECTORS, typename State, int OUTPUTS, typename Emit>
__device__ __forceinline__ void each_window(const scalar_t* __restrict__ x, const Pool& p,
                                            Emit emit) {
    constexpr int IN = STRIDE * OUTPUTS + WINDOW - STRIDE;  // columns of x
    const PoolAxis &rows = p.axis[1], &cols = p.axis[2];
    const PoolStrides& s = p.operand[0];
    const int height = rows.extent, width = cols.extent, outs = rows.windows;
    const int q_end = cols.windows, channels = p.inner;
    unsigned number = blockIdx.x * THREADS + threadIdx.x;
    const int c = next_coordinate(number, static_cast<unsigned>(channels / VEC_SIZE)) * VEC_SIZE;
    const int q = next_tile(number, static_cast<unsigned>(q_end), static_cast<unsigned>(OUTPUTS));
    const int first = next_tile(number, static_cast<unsigned>(outs),
                                static_cast<unsigned>(rows.tile));
    const int n = number;
    if (n >= p.images) return;
    const int left = q * STRIDE - static_cast<int>(cols.low);
    const scalar_t* const image = x + n * s.n + left * s.axis[2] + c;

    const int top_row = first * STRIDE - static_cast<int>(rows.low);

    // Row h of x under each window: all of it requested, then summed up; nothing outside.
    constexpr bool BY_RANK = RANKED && State::KEPT;
    using Kept = typename Either<BY_RANK, Rank, State>::type;
    using States = Kept[OUTPUTS][VEC_SIZE];
    const auto read_row = [&](int h, States& of) {
        const int begin = (h > 0 ? h : 0) * width;
#pragma unroll
        for (int j = 0; j < OUTPUTS; ++j) {
            const int w = left + STRIDE * j;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) of[j][k].begin(begin + (w > 0 ? w : 0));
        }
        if (!inside(h, height)) return;
        const scalar_t* const row = image + h * s.axis[1];
        Vec vec[IN];
        if (VECTORS) {
#pragma unroll
            for (int u = 0; u < IN; ++u)
                if (inside(left + u, width)) vec[u] = load_vec(row, u * s.axis[2]);
        } else {
#pragma unroll
            for (int u = 0; u < IN; ++u)
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k)
                    if (inside(left + u, width))
                        vec[u].at[k] = ldg(row + u * s.axis[2] + k);
        }
#pragma unroll
        for (int u = 0; u < IN; ++u) {
            if (!inside(left + u, width)) continue;
            const int at = h * width + left + u;
            typename Either<BY_RANK, Rank, acc_t>::type value[VEC_SIZE];
            if constexpr (BY_RANK)
                Rank::of(vec[u].at, (h - top_row) * Rank::LINE + u, value);
            else
                unpack(vec[u].at, value);
#pragma unroll
            for (int j = 0; j < OUTPUTS; ++j) {
                if (u < STRIDE * j || u >= STRIDE * j + WINDOW) continue;
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k)
                    if constexpr (BY_RANK)
                        of[j][k].add(value[k]);
                    else
                        of[j][k].add(value[k], at);
            }
        }
    };
    const auto add = [](States& to, const States& of) {
#pragma unroll
        for (int j = 0; j < OUTPUTS; ++j)
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) to[j][k].add(of[j][k]);
    };

    // A value and its index; of NaN the last one counts, which is looked for where there are any.
    const auto finish = [&](const auto& from, int top, int j, auto& to) {
        acc_t value[VEC_SIZE];
        Rank::values(from, value);
        bool any_nan = false;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            const int line = from[k].place() / Rank::LINE, u = from[k].place() % Rank::LINE;
            to[k].value = value[k];
            to[k].set((top_row + line) * width + left + u);
            any_nan = any_nan || value[k] != value[k];
        }
        if (!any_nan) return;
#pragma unroll 1
        for (int i = 0; i < WINDOW * WINDOW; ++i) {
            const int h = top + i / WINDOW, w = STRIDE * j + i % WINDOW;
            if (!inside(h, height) || !inside(left + w, width)) continue;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                const acc_t x = to_acc(ldg(image + h * s.axis[1] + w * s.axis[2] + k));
                if (x != x) to[k].set(h * width + left + w);
            }
        }
    };

    int top = top_row;
    const int end = first + rows.tile < outs ? first + static_cast<int>(rows.tile) : outs;
    States window, row;
    if (WINDOW == 3) read_row(top, row);
#pragma unroll 1
    for (int out = first; out < end; ++out, top += STRIDE) {
        if (WINDOW == 2) read_row(top, row);  // of 3, the last row is the next window's first
        memcpy(window, row, sizeof(row));
#pragma unroll
        for (int i = 1; i < WINDOW; ++i) {
            read_row(top + i, row);
            add(window, row);
        }
#pragma unroll
        for (int j = 0; j < OUTPUTS; ++j)
            if (q + j < q_end) {
                const index_t pixel = (static_cast<index_t>(n) * outs + out) * q_end + q + j;
                if constexpr (BY_RANK) {
                    State found[VEC_SIZE];
                    finish(window[j], top, j, found);
                    emit(out, q + j, pixel * channels + c, found);
                } else {
                    emit(out, q + j, pixel * channels + c, window[j]);
                }
            }
    }
}

// The indices of this thread and of its neighbour, who has the channels beside: every store of 16
// bytes of the two is of one whole sector.
template <typename State>
__device__ __forceinline__ void store_pair(index_t* own, const State (&of)[VEC_SIZE]) {
    constexpr int HALF = 2, SECTOR = 2 * HALF;  // in indices
    const int odd = threadIdx.x & 1;
    const unsigned both = 3u << (threadIdx.x & 30);
    longlong2* const to = reinterpret_cast<longlong2*>(own) - odd * (VEC_SIZE / HALF - 1);
    const auto exchange_if_odd = [odd](int& a, int& b) {
        const int differ = (a ^ b) & -odd;
        a ^= differ;
        b ^= differ;
    };
#pragma unroll
    for (int k = 0; k + SECTOR <= VEC_SIZE; k += SECTOR) {
        int first[HALF], second[HALF];  // in channels of the even thread, and of the odd one
#pragma unroll
        for (int i = 0; i < HALF; ++i) {
            first[i] = of[k + i].at;
            second[i] = of[k + HALF + i].at;
            exchange_if_odd(first[i], second[i]);
            second[i] = __shfl_xor_sync(both, second[i], 1);
            exchange_if_odd(first[i], second[i]);
        }
        to[k / HALF] = make_longlong2(first[0], first[1]);
        to[(VEC_SIZE + k) / HALF] = make_longlong2(second[0], second[1]);
    }
}

template <bool VECTORS, int OUTPUTS, typename Place>
__device__ __forceinline__ void max_windows(const scalar_t* __restrict__ x,
                                            scalar_t* __restrict__ y,
                                            index_t* __restrict__ indices, const Pool& p) {
    using State = Maximum<Place>;
    const bool pairs = VECTORS && VEC_SIZE > 2 && p.inner / VEC_SIZE % 2 == 0;
    each_window<VECTORS, State, OUTPUTS>(
        x, p, [&](int, int, index_t to, const State (&of)[VEC_SIZE]) {
            Block<scalar_t, VEC_SIZE> block;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) block.at[k] = from_acc(of[k].value);
            store_block(y + to, block, VECTORS);
            if constexpr (sizeof(State) > sizeof(acc_t)) {
                if (pairs) {
                    store_pair(indices + to, of);
                    return;
                }
                Block<index_t, VEC_SIZE> places;
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) places.at[k] = of[k].at;
                store_block(indices + to, places, VECTORS);
            }
        });
}

template <bool VECTORS>
__device__ __forceinline__ void avg_windows(const scalar_t* __restrict__ x,
                                            scalar_t* __restrict__ y, const Pool& p) {
    each_window<VECTORS, Total, COLUMNS>(
        x, p, [&](int i, int j, index_t to, const Total (&of)[VEC_SIZE]) {
            const Divided rows(p, 1, i), cols(p, 2, j);
            Block<scalar_t, VEC_SIZE> block;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) block.at[k] = from_acc(rows(cols, of[k].value));
            store_block(y + to, block, VECTORS);
        });
}

// Whether all begin where vectors do is asked in front of all else: see docs/bandwidth.md.

extern "C" __global__ void __launch_bounds__(THREADS, 3)
max_pool_channels(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Pool p) {
    if (aligned(x) && aligned(y))
        max_windows<true, COLUMNS, NoIndex>(x, y, nullptr, p);
    else
        max_windows<false, COLUMNS, NoIndex>(x, y, nullptr, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, RANKED ? 4 : 3)
max_pool_channels_indices(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                          index_t* __restrict__ indices, Pool p) {
    if (aligned(x) && aligned(y) && aligned(indices))
        max_windows<true, COLUMNS_OF_INDICES, Index>(x, y, indices, p);
    else
        max_windows<false, COLUMNS_OF_INDICES, Index>(x, y, indices, p);
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
avg_pool_channels(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Pool p) {
    if (aligned(x) && aligned(y))
        avg_windows<true>(x, y, p);
    else
        avg_windows<false>(x, y, p);
}
