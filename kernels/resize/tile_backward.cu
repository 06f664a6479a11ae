// resize/tile_backward.cu: gradient of interpolation to more rows, of several planes side by side.
//
// Computes   as resize_backward.cu
// Layout     dy as x of tile.cu; dx contiguous, its planes whole pieces as well
// Launch     `band` rows of dx of `turns` times PLANES planes a block, block 256; grid: bands fastest.
//            Shared: taps, what reaches each row and column, dy and dx with 16 bytes of planes a column
// Traffic    |dy| + |dx| bytes, 8 bytes an access; between bands some rows of dy again
// Range      256 columns of dx; fewer than 2^31 planes, and elements of one; 64-bit offsets;
//            deterministic: in the order of dy
// Siblings   resize_backward.cu takes all others
// Source     as resize_backward.cu
//
// entry resize_tile_backward  a thread has a column of PLANES planes, which SPAN reach at most
// variant SCALAR = halves, single
// variant TAPS = 1, 2
// variant SPAN = 3, 4, 8
#include <pycnn/resize_tile.cuh>

#ifndef SPAN
#define SPAN 8
#endif

constexpr int THREADS = 256;
constexpr int RESIDENT = sizeof(scalar_t) == 2 && TAPS == 2 && SPAN == 3 ? 4 : 1;  // 64 registers

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
resize_tile_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    extern __shared__ __align__(16) unsigned char shared[];
    const int height = static_cast<int>(v.h.extent_x), width = static_cast<int>(v.w.extent_x);
    const int down = static_cast<int>(v.h.extent_y), across = static_cast<int>(v.w.extent_y);
    const Band band(v, height);
    const int most = static_cast<int>(v.band), half = static_cast<int>(v.staged);
    const int half_x = most * width + APART;
    Column* const sY = reinterpret_cast<Column*>(shared);
    Column* const sX = sY + 2 * half;
    Tap* const columns = reinterpret_cast<Tap*>(sX + 2 * half_x);
    int* const first = reinterpret_cast<int*>(columns + across);  // of columns, then of rows
    int* const last = first + width + most;
    Tap* const rows = reinterpret_cast<Tap*>(last + width + most);

    Range lines{0, down};
    if (v.strips > 1) lines = v.h.window(band.row, band.row + band.rows);
    const int count = lines.last - lines.first;
    for (int o = static_cast<int>(threadIdx.x); o < across + count; o += THREADS)
        if (o < across)
            columns[o] = v.w.tap(o);
        else
            rows[o - across] = v.h.tap(lines.first + o - across);
    __syncthreads();
    fill_reach<THREADS>(columns, across, 0, width, first, last);
    fill_reach<THREADS>(rows, count, band.row, band.rows, first + width, last + width);
    __syncthreads();

    const Walk walk(v, band, width);
    const int q = walk.column, reach = last[q] - first[q];
    acc_t weight[SPAN];
#pragma unroll
    for (int j = 0; j < SPAN; ++j)
        weight[j] = j < reach ? columns[first[q] + j].of(q) : acc_t(0);
    const int skew = lines.first * across % PIECE;
    const Column* const column = sY + skew + first[q];
    const auto gather = [&]() {
        if (!walk.there) return;
        int o = first[width + walk.row];
        // All rows of dy between row i of dx and the next one.
        const auto between = [&](int i, Lane& upper, Lane& lower) {
#pragma unroll 1
            for (; o < count; ++o) {
                const Tap tap = rows[o];
                if (tap.lower != i) break;
                const Column* const at = column + o * across;
                Raw raw[SPAN] = {};
#pragma unroll
                for (int j = 0; j < SPAN; ++j)
                    if (j < reach) raw[j] = load_column(at + j, half);
                Lane sum{};
#pragma unroll
                for (int j = 0; j < SPAN; ++j) {
                    const Lane value = numbers(raw[j]);
#pragma unroll
                    for (int k = 0; k < PLANES; ++k) sum.at[k] += weight[j] * value.at[k];
                }
                const acc_t own = tap.single() ? acc_t(1) : 1 - tap.weight;
#pragma unroll
                for (int k = 0; k < PLANES; ++k) upper.at[k] += own * sum.at[k];
                if (!tap.single())
#pragma unroll
                    for (int k = 0; k < PLANES; ++k) lower.at[k] += tap.weight * sum.at[k];
            }
        };
        Column* out = sX + walk.row * width + q;
        Lane even{}, odd{};
        int i = band.row + walk.row - 1;
        const int stop = band.row + walk.stop - 1;
        between(i, even, odd);
#pragma unroll 1
        for (;;) {
            even = Lane{};
            between(++i, odd, even);
            store_column(out, half_x, odd);
            out += width;
            if (i == stop) break;
            odd = Lane{};
            between(++i, even, odd);
            store_column(out, half_x, even);
            out += width;
            if (i == stop) break;
        }
    };
    dy += lines.first * across - skew;
    dx += band.row * width;
    const Tile from{sY, half, ceil_div(skew + count * across, PIECE) * PIECE};
    const Tile to{sX, half_x, band.rows * width};
    if (aligned_to<scalar_t, PIECE>(dy) && aligned_to<scalar_t, PIECE>(dx))
        by_turns<THREADS, true>(dy, from, dx, height * width, to, band, v, gather);
    else
        by_turns<THREADS, false>(dy, from, dx, height * width, to, band, v, gather);
}
