// resize/tile.cu: interpolation of rows and columns to more rows, of several planes side by side.
//
// Computes   as resize.cu
// Layout     x (N,C,H,W) with planes without gaps and a constant stride apart, both whole pieces of 8
//            bytes; y contiguous, its planes whole pieces as well
// Launch     `band` rows of y of `turns` times PLANES planes a block, block 256; grid: bands fastest.
//            Shared: taps, and x and y with 16 bytes of planes a column
// Traffic    |x| + |y| bytes, 8 bytes an access; between bands some rows of x again
// Range      256 columns of y; fewer than 2^31 planes, and elements of one; 64-bit offsets
// Siblings   resize.cu takes all others
// Source     as resize.cu
//
// entry resize_tile  a thread has a column of PLANES planes, and some rows
// variant SCALAR = halves, single
// variant TAPS = 1, 2
#include <pycnn/resize_tile.cuh>

constexpr int THREADS = 256, RESIDENT = TAPS == 2 ? 4 : 1;  // blocks at once: 64 registers

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
resize_tile(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    extern __shared__ __align__(16) unsigned char shared[];
    const int width = static_cast<int>(v.w.extent_x);
    const int down = static_cast<int>(v.h.extent_y), across = static_cast<int>(v.w.extent_y);
    const Band band(v, down);
    Tap* const rows = reinterpret_cast<Tap*>(shared);
    const int most = static_cast<int>(v.band), taps = most + across;
    Column* const sX = reinterpret_cast<Column*>(rows + taps + taps % 2);
    const int half = static_cast<int>(v.staged), half_y = most * across + APART;
    Column* const sY = sX + 2 * half;

    for (int o = static_cast<int>(threadIdx.x); o < taps; o += THREADS)
        if (o >= most)
            rows[o] = v.w.tap(o - most);
        else if (o < band.rows)
            rows[o] = v.h.tap(band.row + o);
    __syncthreads();
    const int begin = rows[0].lower, last = rows[band.rows - 1].upper();
    const int skew = begin * width % PIECE;

    const Walk walk(v, band, across);
    const Tap tap = rows[most + walk.column];
    const bool single = tap.single();
    const acc_t weight = single ? acc_t(-0.0) : tap.weight;  // of a zero: changes no sign either
    const Column* const column = sX + skew + tap.lower - begin * width;
    const auto take = [&](int row) {
        const Column* const at = column + row * width;
        Lane line = numbers(load_column(at, half));
        if (TAPS == 1) return line;
        Raw raw{};
        if (!single) raw = load_column(at + 1, half);
        const Lane upper = numbers(raw);
#pragma unroll
        for (int k = 0; k < PLANES; ++k)
            line.at[k] = (1 - weight) * line.at[k] + weight * upper.at[k];
        return line;
    };
    const auto stretch = [&]() {
        if (!walk.there) return;
        int p = walk.row;
        Column* out = sY + p * across + walk.column;
        const auto put = [&](const Lane& line) {
            store_column(out, half_y, line);
            out += across;
            ++p;
        };
        if (TAPS == 1) {
            while (p < walk.stop) put(take(rows[p].lower));
            return;
        }
        // All rows of y between row i of x, which is `upper`, and the next one.
        const auto between = [&](int i, const Lane& upper, const Lane& lower) {
#pragma unroll 1
            while (p < walk.stop) {
                const Tap down = rows[p];
                if (down.lower != i) break;
                if (down.single()) {
                    put(upper);
                    continue;
                }
                Lane line;
#pragma unroll
                for (int k = 0; k < PLANES; ++k)
                    line.at[k] = (1 - down.weight) * upper.at[k] + down.weight * lower.at[k];
                put(line);
            }
        };
        int i = rows[p].lower;
        Lane even = take(i), odd;
#pragma unroll 1
        for (;; i += 2) {
            odd = take(i + 1 < last ? i + 1 : last);
            between(i, even, odd);
            if (p == walk.stop) break;
            even = take(i + 2 < last ? i + 2 : last);
            between(i + 1, odd, even);
            if (p == walk.stop) break;
        }
    };
    x += begin * width - skew;
    y += band.row * across;
    const Tile from{sX, half, ceil_div(skew + (last + 1 - begin) * width, PIECE) * PIECE};
    const Tile to{sY, half_y, band.rows * across};
    if (aligned_to<scalar_t, PIECE>(x) && aligned_to<scalar_t, PIECE>(y))
        by_turns<THREADS, true>(x, from, y, down * across, to, band, v, stretch);
    else
        by_turns<THREADS, false>(x, from, y, down * across, to, band, v, stretch);
}
