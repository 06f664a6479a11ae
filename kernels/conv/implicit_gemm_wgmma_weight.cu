// conv/implicit_gemm_wgmma_weight.cu: the gradient of a convolution's weight by the warpgroup
// instructions of Hopper.
//
// Computes   part[split,g,r,s,c,k] = sum_npq x[n,c,p*stride+r*dilation-pad,...] dy[n,k,p,q] over the
//            pixels of a split, of 16-bit elements and with zeros beyond x
// Layout     x and dy with channels innermost, other strides multiples of 8 elements, from multiples
//            of 16 bytes on, multiples of 8 filters in a group; part contiguous
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N sums each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    x is requested R S times for every TILE_N filters, dy once for every 128 pairs of a tap
//            and a channel, mostly from L2; 2 N K P Q (C/G) R S flop
// Range      positions of dy up to 2^31 - 2^16, fewer than 2^31 tiles, strides up to 8, a window up to
//            256 wide and high, padding up to 128; 64-bit index arithmetic in part. Zeros beyond x
//            are multiplied: an infinite dy over them gives NaN
// Siblings   implicit_gemm_wgmma sums over taps and channels, which are innermost in both operands.
//            Here sums run over pixels, and what is innermost are rows and columns of the result
// Banks      none is asked twice: the 128-byte swizzle
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3;
//            PTX ISA, "Tensor copies", im2col mode
//
// arch sm_90a
// entry implicit_gemm_wgmma_weight   parts of the gradient of a weight, TMA of windows and wgmma
// variant SCALAR = halves
// variant TILE_M = 128
// variant TILE_N = 64, 128, 256
// variant CLUSTER = 1, 2
#include <pycnn/conv_window.cuh>
#include <pycnn/gemm_wgmma.cuh>

// What a block multiplies: channels under taps, 64 of one tap at a time, and filters.
struct Pixels {
    static constexpr int WIDTH = WgmmaOperand<BLK_M, false>::WIDTH;
    const TensorMap &map_x, &map_dy;
    const GemmParams& p;
    const ConvWindow& window;
    Shared& shared;
    const Own own;

    // Rows of the result, as they lie beside each other in a tile.
    struct Channels {
        int tap, c;
    };
    __device__ __forceinline__ Channels channels(int m) const {
        const int chunk = min(m, static_cast<int>(p.m) - 1) / WIDTH, tap = chunk / window.chunks;
        return {tap, (chunk - tap * window.chunks) * WIDTH + m % WIDTH};
    }
    __device__ unsigned bytes() const { return own.bytes(true, true); }
    __device__ Terms terms(const BlockCoord& blk) const {
        const int all = static_cast<int>(ceil_div(p.k, BLK_K));
        const int first = static_cast<int>(blk.batch / p.inner) * window.per_split;
        return {first, min(first + window.per_split, all)};
    }
    __device__ index_t part(index_t m) const {
        const Channels at = channels(static_cast<int>(m));
        if (at.c >= window.x_group) return -1;
        return (index_t(at.tap) * window.x_group + at.c) * p.c_row;
    }
    __device__ void load(const BlockCoord& blk, int k_tile, bool, int stage) {
        const int group = blk.batch % p.inner;
        const Pixel at = window.pixel(k_tile * BLK_K);
        const int row = at.p * window.stride_h - window.top;
        const int col = at.q * window.stride_w - window.left;
        const auto offset = [](int by) { return static_cast<unsigned short>(by); };
#pragma unroll
        for (int box = 0; box < BLK_M / WIDTH; ++box) {
            const Channels of = channels(static_cast<int>(blk.m) + box * WIDTH);
            const int r = of.tap / window.s, s = of.tap % window.s;
            tma_load_im2col(shared.a[stage] + box * WIDTH * BLK_K, map_x,
                            {group * window.x_group + of.c, col, row, at.n},
                            {offset(s * window.step_w), offset(r * window.step_h)},
                            &shared.full[stage]);
        }
        const int filter = group * window.w_group + static_cast<int>(blk.n);
#pragma unroll
        for (int box = 0; box < BLK_N / WIDTH; ++box)
            if (own.columns.has(box))
                tma_load_im2col_all<CLUSTER>(shared.b[stage] + box * WIDTH * BLK_K, map_dy,
                                             {filter + box * WIDTH, at.q, at.p, at.n}, {0, 0},
                                             &shared.full[stage]);
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS, 1, 1)
implicit_gemm_wgmma_weight(const __grid_constant__ TensorMap map_x,
                           const __grid_constant__ TensorMap map_dy, float* __restrict__ part,
                           GemmParams p, ConvWindow window) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const Pixels work{map_x, map_dy, p, window, shared, {}};
    multiply_all<false, false>(
        shared, p, work, [&](const BlockCoord& blk, const Sums& sums, const WarpOutput& own) {
            store_sums(work, p, part, blk, sums, own.row);
        });
}
