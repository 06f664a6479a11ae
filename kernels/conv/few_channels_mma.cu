// conv/few_channels_mma.cu: convolution over few channels on tensor cores, such as a network's first.
//
// Computes   y[n,k,p,q] = epilogue(sum_rsc x[n,c,p*stride+r*dilation-pad,...] w[k,c,r,s]), of 16-bit
//            elements, or of floats rounded to TF32, with zeros beyond x
// Layout     x with channels innermost, its pixels side by side; w any strides; y any strides, fastest
//            with channels innermost
// Launch     block 128, warps below each other, of 32 pixels x 64 filters each; grid of as many blocks
//            as run at once, or tiles of 8 x 16 pixels if these are fewer, and of tiles of filters;
//            dynamic shared memory: the weight, two patches of x, sums of 64 pixels. Of the weight:
//            one thread a register of a fragment, block 128
// Traffic    x once for every 64 filters, with the edges of tiles, y once; 2 N K P Q C R S flop and a
//            fifth more for the zeros in a run
// Range      a run of a window, S C, up to 48 elements of 16 bits or 24 floats, one more where it
//            begins at an odd place; no groups, no dilation within a row; rows of x, and images of y in
//            tiles, below 2^31. Zeros beyond x are multiplied: an infinite weight over them gives NaN
// Siblings   implicit_gemm_mma copies chunks of channels, of which there is none here: direct_tiled and
//            im2col are what else multiplies these
// Banks      of 16 bits with 3 channels, stride 2 or 1, none is asked twice
// Source     NVIDIA, CUTLASS documentation, "implicit_gemm_convolution": few-channels iterators;
//            PTX ISA, "Warp-level matrix instructions"
//
// entry few_channels_mma        convolution over few channels, on tensor cores
// entry few_channels_weight     its weight as fragments, with the zeros in runs
// variant SCALAR RUN ODD = halves 2 1, halves 4 1, halves 2 0, halves 3 0, halves 4 0, halves 6 0, single 2 0, single 3 0, single 4 0, single 6 0
#include <pycnn/few_channels.cuh>
#include <pycnn/chunk_store.cuh>
#include <pycnn/implicit_gemm.cuh>

// Pixels of a tile, TILE in a row, and filters; a warp has two rows of pixels.
constexpr int TILE = 16, TILE_ROWS = 8, BLK_PIXELS = TILE_ROWS * TILE, BLK_FILTERS = 64;
using Warp = WarpTile<BLK_PIXELS, BLK_FILTERS, true, true, 4>;
constexpr int MMA_THREADS = Warp::THREADS;
constexpr int MIN_BLOCKS = BY_LANES ? 1 : 3;

// Registers of fragments in a chunk, and versions of the weight.
constexpr int WORDS = 4, VERSIONS = 1 + ODD;

// Fragments of B of a product, of all filters of a tile: so many registers of all lanes.
constexpr int PRODUCT = BLK_FILTERS / 16 * 32 * 4;

extern "C" __global__ void __launch_bounds__(MMA_THREADS)
few_channels_weight(const scalar_t* __restrict__ w, unsigned* __restrict__ fragments,
                    FewChannels v) {
    const int tiles = ceil_div(v.k, BLK_FILTERS);
    const index_t i = flat_thread();
    if (i >= static_cast<index_t>(tiles) * VERSIONS * v.products * PRODUCT) return;
    unsigned rest = static_cast<unsigned>(i);
    const int reg = next_coordinate(rest, 4), lane = next_coordinate(rest, 32);
    const int pair = next_coordinate(rest, BLK_FILTERS / 16);
    const int product = next_coordinate(rest, v.products), version = next_coordinate(rest, VERSIONS);
    const int chunk = 2 * product + reg % 2, r = chunk / RUN;
    const int filter = static_cast<int>(rest) * BLK_FILTERS + pair * 16 + reg / 2 * 8 + lane / 4;
    const int first = chunk % RUN * CHUNK + lane % 4 * PACKED - v.lead(version);
    scalar_t values[PACKED];
#pragma unroll
    for (int e = 0; e < PACKED; ++e) {
        const int at = first + e;
        const bool exists = r < v.r && filter < v.k && inside(at, v.run);
        const index_t from = filter * v.w_k + r * v.w_r + at / v.c * v.w_s + at % v.c * v.w_c;
        values[e] = exists ? w[from] : from_acc(acc_t(0));
    }
    unsigned packed;
    memcpy(&packed, values, 4);
    if constexpr (IS_TF32) packed = to_tf32(__uint_as_float(packed));
    fragments[i] = packed;
}

// A tile of pixels.
struct PixelTile {
    int n, p, q;

    __device__ __forceinline__ PixelTile(unsigned tile, const FewChannels& v) {
        q = next_coordinate(tile, v.tiles_q) * TILE;
        p = next_coordinate(tile, v.tiles_p) * TILE_ROWS;
        n = static_cast<int>(tile);
    }
    // Where in a row of x the window of its first pixel begins, and the patch, in whole chunks.
    __device__ __forceinline__ int begin(const FewChannels& v) const { return q * v.step - v.left; }
    __device__ __forceinline__ int first(const FewChannels& v) const { return begin(v) & -CHUNK; }
};

// Copies the patch that the windows of a tile meet.
template <bool ALIGNED>
__device__ __forceinline__ void start_patch(scalar_t* patch, const scalar_t* x, const PixelTile& tile,
                                            const FewChannels& v) {
    const int first = tile.first(v), top = tile.p * v.stride_h - v.top;
    const scalar_t* const image = x + tile.n * v.x_n;
    int row = threadIdx.x / v.pitch, chunk = threadIdx.x % v.pitch;
    for (int i = threadIdx.x; i < v.rows * v.pitch; i += MMA_THREADS) {
        const int h = top + row, e = first + chunk * CHUNK;
        const bool in_x = inside(h, v.h);
        const scalar_t* const from = image + (in_x ? h * v.x_h + e : 0);
        if constexpr (ALIGNED) {
            const int count = in_x && e >= 0 ? max(min(v.row - e, CHUNK), 0) : 0;
            copy_async_partial<16>(patch + i * CHUNK, count ? from : image,
                                   count * static_cast<int>(sizeof(scalar_t)));
        } else {
            scalar_t one_by_one[CHUNK];
#pragma unroll
            for (int j = 0; j < CHUNK; ++j)
                one_by_one[j] = in_x && inside(e + j, v.row) ? from[j] : from_acc(acc_t(0));
            store_vector(patch + i * CHUNK, one_by_one);
        }
        row += v.row_step;
        chunk += v.chunk_step;
        if (chunk >= v.pitch) {
            chunk -= v.pitch;
            ++row;
        }
    }
}

// What a lane reads of a patch: registers from the first of its windows on.
struct Windows {
    int at[Warp::COUNT_M][2];
    int first[VERSIONS];  // of its elements in the first chunk: which term of the run it is
    const int run;

    __device__ __forceinline__ Windows(const PixelTile& tile, const FewChannels& v) : run(v.run) {
        const int group = threadIdx.x % 32 / 4, pair = threadIdx.x % 4;
        const int begin = tile.begin(v) - tile.first(v);
#pragma unroll
        for (int version = 0; version < VERSIONS; ++version)
            first[version] = pair * PACKED - v.lead(version);
#pragma unroll
        for (int i = 0; i < Warp::COUNT_M; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int pixel = pixel_of(threadIdx.x / 32 * Warp::WARP_M + i * MMA_M + half * 8 + group);
                const int place = begin + pixel % TILE * v.step - v.lead(ODD ? i % 2 : 0);
                at[i][half] = pixel / TILE * v.stride_h * v.pitch * WORDS + place / PACKED + pair;
            }
    }

    // The pixel that a row of the tile of sums is: where ODD, those of 16 rows are all in even or all
    // in odd columns.
    static __device__ __forceinline__ unsigned pixel_of(unsigned row) {
        if (!ODD) return row;
        return row / 32 * 32 + row % 16 / 8 * TILE + row % 8 * 2 + row / 16 % 2;
    }

    // Of the lane's elements in a chunk of a run, those that are terms of the sum: others may be
    // infinite, and meet no zero then.
    __device__ __forceinline__ unsigned terms(int chunk, int version) const {
        const bool all = chunk != 0 && chunk != RUN - 1 && (RUN % 2 || chunk != RUN - 2);
        unsigned mask = 0;
#pragma unroll
        for (int e = 0; e < PACKED; ++e)
            if (all || inside(first[version] + chunk * CHUNK + e, run))
                mask |= (PACKED == 1 ? ~0u : 0xffffu) << 16 * e;
        return mask;
    }

    // Adds the products of so many rows of the windows.
    template <int ROWS>
    __device__ __forceinline__ void multiply(Warp& warp, const unsigned* patch,
                                             const unsigned* fragments, const FewChannels& v) const {
        constexpr int CHUNKS = ROWS * RUN, STEPS = ceil_div(CHUNKS, 2);
#pragma unroll(BY_LANES ? 1 : STEPS)
        for (int step = 0; step < STEPS; ++step) {
            unsigned rA[Warp::COUNT_M][4];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int chunk = 2 * step + half;
                const int of = chunk / RUN * v.dilation_h * v.pitch * WORDS + chunk % RUN * WORDS;
#pragma unroll
                for (int i = 0; i < Warp::COUNT_M; ++i)
#pragma unroll
                    for (int j = 0; j < 2; ++j)
                        rA[i][2 * half + j] =
                            chunk < CHUNKS ? patch[at[i][j] + of] & terms(chunk % RUN, ODD ? i % 2 : 0)
                                           : 0;
            }
            if constexpr (IS_TF32) round_tf32<false>(rA);
#pragma unroll
            for (int version = 0; version < VERSIONS; ++version)
#pragma unroll
                for (int j = 0; j < Warp::COUNT_N; j += 2) {
                    unsigned rB[4];
                    load_vector(rB, fragments + version * v.products * PRODUCT + step * PRODUCT +
                                        j / 2 * 128 + threadIdx.x % 32 * 4);
#pragma unroll
                    for (int i = version; i < Warp::COUNT_M; i += VERSIONS)
#pragma unroll
                        for (int of = 0; of < 2; ++of)
                            mma(warp.acc[i][j + of], rA[i], {rB[2 * of], rB[2 * of + 1]});
                }
        }
    }

    // The sums of all rows of the windows.
    __device__ __forceinline__ void multiply_all(Warp& warp, const unsigned* patch,
                                                 const unsigned* fragments,
                                                 const FewChannels& v) const {
        constexpr int TOGETHER = RUN % 2 ? 2 : 1;  // rows whose chunks are whole products
        const int row = v.dilation_h * v.pitch * WORDS;
        int left = v.r;
#pragma unroll 1
        for (; left >= TOGETHER; left -= TOGETHER) {
            multiply<TOGETHER>(warp, patch, fragments, v);
            patch += TOGETHER * row;
            fragments += TOGETHER * RUN / 2 * PRODUCT;
        }
        if (RUN % 2 && left) multiply<1>(warp, patch, fragments, v);
    }
};

// Where the pixels of a tile lie in y, from its first one on.
struct PlacedPixels {
    const unsigned p, q;  // that are left
    const int c_p, c_q, residual_p, residual_q;

    __device__ __forceinline__ PlacedPixels(const PixelTile& tile, const FewChannels& v,
                                            const EpilogueParams& e)
        : p(v.p - tile.p),
          q(v.q - tile.q),
          c_p(static_cast<int>(v.y_p)),
          c_q(static_cast<int>(v.y_q)),
          residual_p(static_cast<int>(e.residual_p)),
          residual_q(static_cast<int>(e.residual_q)) {}

    __device__ __forceinline__ bool exists(unsigned n) const {
        const unsigned pixel = Windows::pixel_of(n);
        return (pixel / TILE < p) & (pixel % TILE < q);
    }
    __device__ __forceinline__ int c(unsigned n) const { return place(n, c_p, c_q); }
    __device__ __forceinline__ int residual(unsigned n) const {
        return place(n, residual_p, residual_q);
    }

private:
    static __device__ __forceinline__ int place(unsigned n, int row, int column) {
        const unsigned pixel = Windows::pixel_of(n);
        return static_cast<int>(pixel / TILE) * row + static_cast<int>(pixel % TILE) * column;
    }
};

template <bool ALIGNED>
__device__ __forceinline__ void multiply_tiles(const scalar_t* x, scalar_t* y, float* sC,
                                               const unsigned* fragments, scalar_t* patches,
                                               const Epilogue& epilogue, const FewChannels& v) {
    const index_t channel = static_cast<index_t>(blockIdx.y) * BLK_FILTERS;
    const int extent = static_cast<int>(min(v.k - channel, index_t(BLK_FILTERS)));
    const int size = v.rows * v.pitch * CHUNK;
    const auto start = [&](unsigned tile, int stage) {
        if (tile < unsigned(v.tiles))
            start_patch<ALIGNED>(patches + stage * size, x, PixelTile(tile, v), v);
        copy_async_commit();
    };
    start(blockIdx.x, 0);
    int stage = 0;
#pragma unroll 1
    for (unsigned tile = blockIdx.x; tile < unsigned(v.tiles); tile += gridDim.x, stage ^= 1) {
        copy_async_wait<0>();
        __syncthreads();  // this patch has arrived, and the one before it is no longer needed
        start(tile + gridDim.x, stage ^ 1);
        const PixelTile at(tile, v);
        Warp warp;
        Windows(at, v).multiply_all(
            warp, reinterpret_cast<const unsigned*>(patches + stage * size), fragments, v);
        const EpilogueParams& e = epilogue.p;
        const scalar_t* const beside = epilogue.residual + at.n * e.residual_n +
                                       at.p * e.residual_p + at.q * e.residual_q;
        const Epilogue here{epilogue.bias, epilogue.scale, epilogue.shift,
                            epilogue.residual ? beside : nullptr, e};
        store_finished(warp, sC, y + channel * v.y_k + at.n * v.y_n + at.p * v.y_p + at.q * v.y_q,
                       v.y_k, extent, channel, v.vectors & C_CHUNKED, v.vectors & RESIDUAL_CHUNKED,
                       here, PlacedPixels(at, v, e));
    }
}

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
few_channels_mma(const scalar_t* __restrict__ x, const unsigned* __restrict__ weight,
                 scalar_t* __restrict__ y, const scalar_t* __restrict__ bias,
                 const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                 const scalar_t* __restrict__ residual, EpilogueParams e, FewChannels v) {
    extern __shared__ __align__(128) unsigned shared[];
    // Sums, then fragments of the weight, then patches.
    unsigned* const fragments = shared + Warp::ROWS * Warp::PITCH;
    const int words = VERSIONS * v.products * PRODUCT;
    const unsigned* const own = weight + static_cast<index_t>(blockIdx.y) * words;
    for (int i = threadIdx.x * 4; i < words; i += MMA_THREADS * 4)
        copy_async<16>(fragments + i, own + i);
    const Epilogue epilogue{bias, scale, shift, residual, e};
    float* const sC = reinterpret_cast<float*>(shared);
    scalar_t* const patches = reinterpret_cast<scalar_t*>(fragments + words);
    if (v.vectors & OPERANDS_CHUNKED && reinterpret_cast<size_t>(x) % 16 == 0)
        multiply_tiles<true>(x, y, sC, fragments, patches, epilogue, v);
    else
        multiply_tiles<false>(x, y, sC, fragments, patches, epilogue, v);
}
