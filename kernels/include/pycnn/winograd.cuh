// pycnn/winograd.cuh: what the kernels of kernels/conv/winograd_*.cu share: the transforms, and how
// tiles of an image reach shared memory.
//
// The transforms interpolate at 0, 1, -1 and infinity for ALPHA 4, and at 0, +-sqrt(1/2), +-sqrt(2)
// and infinity for ALPHA 6. docs/winograd.md has the matrices, where they come from, and what they
// cost in accuracy; pycnn/plan/winograd_matrices.py makes them for NumPy.
#pragma once

#include <pycnn/conv.cuh>

#ifndef TILE
#define TILE 2  // outputs a side: F(2x2, 3x3) or F(4x4, 3x3)
#endif

constexpr int ALPHA = TILE + 2;  // inputs a side, as Lavin and Gray call it
constexpr int POINTS = ALPHA * ALPHA;

// B^T d: a row or column of input, in place.
__device__ __forceinline__ void transform_input(acc_t (&d)[4]) {
    d[0] -= d[2];
    d[3] -= d[1];
    const acc_t one = d[1], two = d[2];
    d[1] = two + one;
    d[2] = two - one;
}

__device__ __forceinline__ void transform_input(acc_t (&d)[6]) {
    const acc_t root = static_cast<acc_t>(0.70710678118654752440);
    const acc_t a = d[4] - 2 * d[2], b = root * (d[3] - 2 * d[1]);
    const acc_t e = d[4] - d[2] / 2, f = 2 * root * (d[3] - d[1] / 2);
    d[0] += d[4] - acc_t(2.5) * d[2];
    d[5] += d[1] - acc_t(2.5) * d[3];
    d[1] = a + b;
    d[2] = a - b;
    d[3] = e + f;
    d[4] = e - f;
}

// G g: a row or column of a filter.
__device__ __forceinline__ void transform_filter(const acc_t (&g)[3], acc_t (&u)[4]) {
    const acc_t even = (g[0] + g[2]) / 2, odd = g[1] / 2;
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
}

__device__ __forceinline__ void transform_filter(const acc_t (&g)[3], acc_t (&u)[6]) {
    const acc_t root = static_cast<acc_t>(0.70710678118654752440);
    const acc_t third = acc_t(1) / 3, odd = root * g[1];
    const acc_t a = -(g[0] + g[2] / 2) * 2 * third, b = -2 * third * odd;
    const acc_t e = (g[0] / 2 + g[2]) * third, f = third * odd;
    u[0] = g[0];
    u[1] = a + b;
    u[2] = a - b;
    u[3] = e + f;
    u[4] = e - f;
    u[5] = g[2];
}

// A^T m: a row or column of output.
__device__ __forceinline__ void transform_output(const acc_t (&m)[4], acc_t (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) + m[3];
}

__device__ __forceinline__ void transform_output(const acc_t (&m)[6], acc_t (&y)[4]) {
    const acc_t root = static_cast<acc_t>(0.70710678118654752440);
    const acc_t a = m[1] + m[2], b = root * (m[1] - m[2]);
    const acc_t e = m[3] + m[4], f = 2 * root * (m[3] - m[4]);
    y[0] = m[0] + (a + e);
    y[1] = b + f;
    y[2] = a / 2 + 2 * e;
    y[3] = m[5] + (b / 2 + 2 * f);
}

// F(3x3, 2x2), the gradient with respect to the filter: dy is the filter, of two taps, and there
// are three outputs. The input transform is that of F(2x2, 3x3).
__device__ __forceinline__ void transform_gradient(const acc_t (&g)[2], acc_t (&u)[4]) {
    u[0] = g[0];
    u[1] = (g[0] + g[1]) / 2;
    u[2] = (g[0] - g[1]) / 2;
    u[3] = g[1];
}

__device__ __forceinline__ void transform_taps(const acc_t (&m)[4], acc_t (&y)[3]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = m[1] - m[2];
    y[2] = (m[1] + m[2]) + m[3];
}

// Applies a transform to the columns, then to the rows.
template <int IN, int OUT, typename Transform>
__device__ __forceinline__ void transform_square(const acc_t (&in)[IN][IN], acc_t (&out)[OUT][OUT],
                                                 Transform transform) {
    acc_t half[OUT][IN];
#pragma unroll
    for (int j = 0; j < IN; ++j) {
        acc_t from[IN], to[OUT];
#pragma unroll
        for (int i = 0; i < IN; ++i) from[i] = in[i][j];
        transform(from, to);
#pragma unroll
        for (int i = 0; i < OUT; ++i) half[i][j] = to[i];
    }
#pragma unroll
    for (int i = 0; i < OUT; ++i) transform(half[i], out[i]);
}

// Tiles of an image (N,C,H,W), and where their transforms lie: factors[part][place][channel][tile],
// the last two in any order. The tiles of one image follow each other row by row, and images in a
// part do too. Strides in elements.
struct TileParams {
    index_t image_n, image_c, image_h, image_w;
    index_t part, place, channel, tile;
    int images, channels, h, w;
    int top, left, mode;       // corner of the first tile, and enum PaddingMode
    int images_a_part;         // the last part is filled up with zeros
    int tile_rows, tile_cols;  // of an image
    int block_channels, block_rows, block_cols;  // of tiles that a block transforms
    int stage_channels;        // whether neighbouring threads load neighbouring channels
    int channels_first;        // whether channels of a tile are neighbours among the factors
};

// `element_at` for tiles that reach beyond the last window, where no reflection or period does.
__device__ __forceinline__ int source_index(int at, int extent, int mode) {
    const int found = element_at(at, extent, mode);
    return inside(found, extent) ? found : -1;
}

// What a block transforms: tiles of IN x IN elements, STEP apart, for some channels of an image.
// In shared memory they lie as [channel][row][column % STEP][column / STEP], so that threads with
// neighbouring tiles read neighbouring words; channels are an odd number of words apart.
template <int IN, int STEP>
struct TileBlock {
    static constexpr int THREADS = 256, WARP = 32;
    const TileParams& v;
    int n, channel, tile_row, tile_col;  // the first of each
    int rows, cols, sub_pitch, plane;    // extents in shared memory, and words apart

    __device__ explicit TileBlock(const TileParams& v)
        : v(v),
          rows(v.block_rows * STEP + IN - STEP),
          cols(v.block_cols * STEP + IN - STEP),
          sub_pitch(ceil_div(cols, STEP)),
          plane(rows * sub_pitch * STEP | 1) {
        unsigned block = blockIdx.x;
        tile_col = next_tile(block, v.tile_cols, v.block_cols);
        tile_row = next_tile(block, v.tile_rows, v.block_rows);
        channel = next_tile(block, v.channels, v.block_channels);
        n = block;
    }

    __device__ __forceinline__ int at(int c, int row, int col) const {
        return c * plane + (row * STEP + col % STEP) * sub_pitch + col / STEP;
    }

    // A warp loads a row of a channel, or the channels of a pixel: whichever is contiguous.
    __device__ __forceinline__ void load(const scalar_t* image, acc_t* sX) const {
        image += n * v.image_n + channel * v.image_c;
        const int lane = threadIdx.x % WARP, top = tile_row * STEP - v.top;
        const int left = tile_col * STEP - v.left;
        const int channels = min(v.channels - channel, v.block_channels);
        const int lines = v.stage_channels ? rows * cols : channels * rows;
#pragma unroll 1  // more would cost registers, and with them blocks of an SM
        for (int line = threadIdx.x / WARP; line < lines; line += THREADS / WARP) {
            const int row = v.stage_channels ? line / cols : line % rows;
            const int h = n < v.images ? source_index(top + row, v.h, v.mode) : -1;
            if (v.stage_channels) {
                const int col = line % cols, w = source_index(left + col, v.w, v.mode);
                const scalar_t* const from = image + h * v.image_h + w * v.image_w;
                for (int c = lane; c < channels; c += WARP)
                    sX[at(c, row, col)] =
                        h < 0 || w < 0 ? acc_t(0) : to_acc(from[c * v.image_c]);
            } else {
                const int c = line / rows;
                const scalar_t* const from = image + c * v.image_c + h * v.image_h;
                for (int col = lane; col < cols; col += WARP) {
                    const int w = source_index(left + col, v.w, v.mode);
                    sX[at(c, row, col)] =
                        h < 0 || w < 0 ? acc_t(0) : to_acc(from[w * v.image_w]);
                }
            }
        }
    }

    // Calls transform(tile, factors) for each tile that exists.
    template <typename Transform>
    __device__ __forceinline__ void each(const acc_t* sX, acc_t* factors,
                                         Transform transform) const {
        const int tiles = v.block_rows * v.block_cols, all = tiles * v.block_channels;
        factors += n / v.images_a_part * v.part + channel * v.channel;
#pragma unroll 1
        for (int item = threadIdx.x; item < all; item += THREADS) {
            const int c = v.channels_first ? item % v.block_channels : item / tiles;
            const int tile = v.channels_first ? item / v.block_channels : item % tiles;
            const int row = tile / v.block_cols, col = tile % v.block_cols;
            if (channel + c >= v.channels || tile_row + row >= v.tile_rows ||
                tile_col + col >= v.tile_cols)
                continue;
            acc_t in[IN][IN];
#pragma unroll
            for (int i = 0; i < IN; ++i)
#pragma unroll
                for (int j = 0; j < IN; ++j)
                    in[i][j] = sX[at(c, row * STEP + i, col * STEP + j)];
            const index_t place = (static_cast<index_t>(n % v.images_a_part) * v.tile_rows +
                                   tile_row + row) * v.tile_cols + tile_col + col;
            transform(in, factors + c * v.channel + place * v.tile);
        }
    }
};
