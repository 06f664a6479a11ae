// conv/winograd_output.cu: tiles of y from Winograd's domain, A^T m A, and the epilogue.
//
// Computes   y[n, k, t_row*TILE + i, t_col*TILE + j] = epilogue((A^T m A)[i,j]), m = products[:,k,t]
// Layout     products (places, K, tiles) in the precision of sums, its two last axes in any order;
//            y and residual (N,K,P,Q) any strides
// Launch     one thread a filter and tile; block 256; grid ceil(K tiles / 256)
// Traffic    |products| read, which has 4 (TILE 2) or 2.25 (TILE 4) times the elements of y, and |y|
//            written, in units of up to 16 bytes where a row of y is contiguous and aligned; 24 or
//            90 flop a filter and tile, and the epilogue
// Range      any extents; 64-bit index arithmetic; outputs beyond P and Q are not stored
// Siblings   none
// Source     A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016
//
// entry winograd_output          tiles of the output from products, with the epilogue
// variant SCALAR = floating
// variant TILE = 2, 4
#include <pycnn/epilogue.cuh>
#include <pycnn/winograd.cuh>

constexpr int THREADS = 256;

struct OutputParams {
    index_t place, filter, tile;  // strides of products
    index_t y_n, y_k, y_p, y_q;
    index_t tiles;  // of all images
    int filters, p, q;
    int tile_rows, tile_cols;  // of an image
    int filters_first;         // whether the filters of a tile are neighbours among the products
};

// A row of a tile, stored at once if it lies on a whole unit of memory.
struct alignas(TILE * sizeof(scalar_t) < 16 ? TILE * sizeof(scalar_t) : 16) Row {
    scalar_t value[TILE];
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
winograd_output(const acc_t* __restrict__ products, const scalar_t* __restrict__ bias,
                const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                const scalar_t* __restrict__ residual, scalar_t* __restrict__ y, OutputParams v,
                EpilogueParams e) {
    const index_t mine = flat_thread();
    if (mine >= v.filters * v.tiles) return;
    const index_t t = v.filters_first ? mine / v.filters : mine % v.tiles;
    const int k = v.filters_first ? mine % v.filters : mine / v.tiles;
    const int per_image = v.tile_rows * v.tile_cols, n = t / per_image, at = t % per_image;
    const int p = at / v.tile_cols * TILE, q = at % v.tile_cols * TILE;

    acc_t m[ALPHA][ALPHA], out[TILE][TILE];
    products += k * v.filter + t * v.tile;
#pragma unroll
    for (int i = 0; i < POINTS; ++i) m[i / ALPHA][i % ALPHA] = products[i * v.place];
    transform_square(m, out, [](const acc_t (&from)[ALPHA], acc_t (&into)[TILE]) {
        transform_output(from, into);
    });
    const Epilogue epilogue{bias, scale, shift, residual, e};
    y += n * v.y_n + k * v.y_k + p * v.y_p + q * v.y_q;
    const index_t residual_at =
        n * e.residual_n + k * e.residual_k + p * e.residual_p + q * e.residual_q;
#pragma unroll
    for (int i = 0; i < TILE; ++i) {
        if (p + i >= v.p) break;
        scalar_t* const to = y + i * v.y_p;
        Row row;
#pragma unroll
        for (int j = 0; j < TILE; ++j)
            if (q + j < v.q)
                row.value[j] = from_acc(
                    epilogue(out[i][j], k, residual_at + i * e.residual_p + j * e.residual_q));
        if (v.y_q == 1 && q + TILE <= v.q && reinterpret_cast<size_t>(to) % alignof(Row) == 0) {
            *reinterpret_cast<Row*>(to) = row;
        } else {
#pragma unroll
            for (int j = 0; j < TILE; ++j)
                if (q + j < v.q) to[j * v.y_q] = row.value[j];
        }
    }
}
