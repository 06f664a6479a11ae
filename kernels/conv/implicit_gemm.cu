// conv/implicit_gemm.cu: convolution as a matrix product, with no columns in memory.
//
// Computes   y[n,k,p,q]     = epilogue(sum_{c,r,s} w[k,c,r,s] x[n,c,h,w]), where
//            h = p*stride_h - top + r*dilation_h, w alike; beyond the edges of x zero, or the
//            element that reflection, the nearest edge or the period leads to
//            dx, for every residue of the position modulo the stride, as a convolution of dy
//            dweight[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n,c,h,w]
//            see implicit_gemm.cuh for how the three are one, C = A B
// Layout     all operands any strides. The defines say along which index the elements of A and of B
//            are contiguous, and the parameters along which those of C are
// Launch     block 256, each thread 8x8 outputs of a 128x128 tile, or 4x4 of 64x64; grid of all
//            tiles of all groups and splits of k, flat, m fastest; shared memory 21 to 43 KiB.
//            implicit_gemm_finish: one thread an output, or 16 bytes of sums; block 256
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 2 N K P Q (C/G) R S flop
// Range      positions up to 2^31 - 2^16, 64-bit offsets; two spatial axes. Zeros beyond x are
//            multiplied: an infinite weight over them gives NaN
// Siblings   im2col has the same product with 16-byte loads, but writes and reads the columns, R S
//            times x. direct_tiled shares input rows among taps and suits few filters
// Banks      none is asked twice: see ThreadPartition, and gemm_thread.cuh for the multiplications
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3
//
// entry implicit_gemm            convolution or a gradient of it, or partial sums of them
// entry implicit_gemm_finish     sum of the partial sums of all splits, with the epilogue
// variant SCALAR = floating
// variant TILE = 64, 128
// variant A_K_MAJOR = 0, 1
// variant B_K_MAJOR = 0, 1
#include <pycnn/epilogue.cuh>
#include <pycnn/implicit_gemm.cuh>

#ifndef TILE
#define TILE 128
#define A_K_MAJOR 1  // neighbours in memory are neighbours in the sum
#define B_K_MAJOR 0
#endif

constexpr int BLK_M = TILE, BLK_N = TILE;
constexpr int BLK_K = 1024 / TILE;  // a thread copies 4 elements of each tile
constexpr int THR_M = BLK_M / THREADS_MN, THR_N = BLK_N / THREADS_MN;
constexpr int STAGES = 2;

// Blocks an SM should hold at a time, as far as the registers of the sums allow.
constexpr int ACC_REGISTERS = THR_M * THR_N * sizeof(acc_t) / 4;
constexpr int MIN_BLOCKS = ACC_REGISTERS > 64 ? 1 : ACC_REGISTERS > 16 ? 2 : 3;

using BlockCoord = ProductBlock<BLK_M, BLK_N>;

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
implicit_gemm(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
              scalar_t* __restrict__ c, acc_t* __restrict__ part, const scalar_t* __restrict__ bias,
              const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
              const scalar_t* __restrict__ residual, EpilogueParams e, ImplicitParams p) {
    using PartitionA = ThreadPartition<BLK_K, BLK_M, A_K_MAJOR>;
    using PartitionB = ThreadPartition<BLK_K, BLK_N, B_K_MAJOR>;
    __shared__ alignas(16) acc_t sA[STAGES][BLK_K][pitch(BLK_M)];
    __shared__ alignas(16) acc_t sB[STAGES][BLK_K][pitch(BLK_N)];
    __shared__ StoredCoord n_coord[BLK_N], k_coord[STAGES][BLK_K];
    __shared__ index_t k_in_a[STAGES][BLK_K], n_in_c[BLK_N], n_in_residual[BLK_N];
    const BlockCoord blk(p);
    const int thread = threadIdx.x;
    const int extent_m = min(p.m - blk.m, index_t(BLK_M));
    const int extent_n = min(p.n.count - blk.n(), index_t(BLK_N));
    const index_t first = blk.split * p.k_per_split;
    const index_t count = min(p.k.count - first, p.k_per_split);
    const int k_tiles = ceil_div(count, BLK_K);

    // Where everything lies: along n once, along k a tile ahead.
    IndexIterator iter_k(p.k, first + thread);
    const auto store_k_coords = [&](int stage) {
        if (thread >= BLK_K) return;
        k_coord[stage][thread] = iter_k.coord(p.k);
        k_in_a[stage][thread] = iter_k.other(p.k);
        iter_k.advance(p.k);
    };
    if (thread < BLK_N) {
        const IndexIterator iter_n(p.n, blk.n() + thread);
        n_coord[thread] = iter_n.coord(p.n);
        n_in_c[thread] = iter_n.other(p.n);
        const index_t residual_strides[] = {e.residual_n, e.residual_p, e.residual_q};
        n_in_residual[thread] = iter_n.dot(residual_strides);
    }
    store_k_coords(0);
    __syncthreads();

    const scalar_t* const gA = a + blk.group * p.a_group + blk.m * p.a_m;
    const scalar_t* const gX = x + blk.group * p.x_group + p.x_first;
    scalar_t rA[PartitionA::COUNT], rB[PartitionB::COUNT];
    const auto load = [&](int k_tile) {
        const int stage = k_tile % STAGES;
        const int extent_k = static_cast<int>(count) - k_tile * BLK_K;  // what is left of k
#pragma unroll
        for (int i = 0; i < PartitionA::COUNT; ++i) {
            const int k = PartitionA::k(i), m = PartitionA::mn(i);
            const bool exists = k < extent_k && m < extent_m;
            rA[i] = exists ? gA[m * p.a_m + k_in_a[stage][k]] : from_acc(0);
        }
#pragma unroll
        for (int i = 0; i < PartitionB::COUNT; ++i) {
            const int k = PartitionB::k(i), n = PartitionB::mn(i);
            const Coord one = n_coord[n], two = k_coord[stage][k];
            const int row = one.row + two.row, col = one.col + two.col;
            index_t at = one.x + two.x;
            bool exists = k < extent_k && n < extent_n;
            if (!(inside(row, p.h) && inside(col, p.w))) {
                exists = exists && p.mode != ZEROS;
                at += (element_at(row, p.h, p.mode) - row) * p.x_h +
                      (element_at(col, p.w, p.mode) - col) * p.x_w;
            }
            rB[i] = exists ? gX[at] : from_acc(0);
        }
    };

    const ThreadCoord thr(thread);
    acc_t acc[THR_M][THR_N] = {};
    load(0);
    for (int k_tile = 0; k_tile < k_tiles; ++k_tile) {
        // Nobody reads this stage any more: who passed the last barrier had left it before.
        const int stage = k_tile % STAGES;
        PartitionA::store(sA[stage], rA);
        PartitionB::store(sB[stage], rB);
        store_k_coords(1 - stage);
        __syncthreads();
        load(k_tile + 1);
        multiply(acc, sA[stage], sB[stage], thr);
    }

    acc_t* const sC = sA[0][0];
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const auto store = [&](int m, int n, acc_t value) {
        if (m >= extent_m || n >= extent_n) return;
        const index_t channel = blk.channel(p) + m;
        if (p.splits > 1) {
            const index_t col = blk.n() + n, all = p.m * p.n.count;
            const index_t at = p.m_major ? col * p.m + blk.m + m
                                         : (blk.m + m) * p.n.count + col;
            part[(blk.split * p.groups + blk.group) * all + at] = value;
        } else {
            const index_t at = blk.group * p.c_group + (blk.m + m) * p.c_m;
            c[at + n_in_c[n]] =
                from_acc(epilogue(value, channel, channel * e.residual_k + n_in_residual[n]));
        }
    };
    const auto element = [&](int i) { return sC[i / TILE * pitch_c(TILE) + i % TILE]; };
    if (p.m_major) {
        store_through_shared<false>(acc, sC, thr, [&](int pass) {
            for (int i = thread; i < THREADS_MN * TILE; i += THREADS)
                store(i % TILE, thread_to_tile(i / TILE, pass), element(i));
        });
    } else {
        store_through_shared<true>(acc, sC, thr, [&](int pass) {
            for (int i = thread; i < THREADS_MN * TILE; i += THREADS)
                store(thread_to_tile(i / TILE, pass), i % TILE, element(i));
        });
    }
}

// Of N outputs that are neighbours along m: the i-th among `all` sums of a split, and those behind it.
template <int N, typename Flat>
__device__ __forceinline__ void finish(Flat i, index_t all, const acc_t* part, scalar_t* c,
                                       const Epilogue& epilogue, const ImplicitParams& p) {
    acc_t acc[N] = {};
    for (int split = 0; split < p.splits; ++split) {
        acc_t more[N];
        if constexpr (N > 1)
            load_vector(more, part + split * all + i);
        else
            more[0] = part[split * all + i];
#pragma unroll
        for (int j = 0; j < N; ++j) acc[j] += more[j];
    }
    const Flat rows = static_cast<Flat>(p.m), cols = static_cast<Flat>(p.n.count);
    const Flat group = i / (rows * cols), inner = i % (rows * cols);
    const Flat m = p.m_major ? inner % rows : inner / cols;
    const IndexIterator iter_n(p.n, p.m_major ? inner / rows : inner % cols);
    const index_t channel = group * p.m + m;
    const EpilogueParams& e = epilogue.p;
    const index_t residual_strides[] = {e.residual_n, e.residual_p, e.residual_q};
    epilogue.finish(acc, channel, 1, channel * e.residual_k + iter_n.dot(residual_strides),
                    e.residual_k);
    scalar_t* const to = c + group * p.c_group + m * p.c_m + iter_n.other(p.n);
#pragma unroll
    for (int j = 0; j < N; ++j) to[j * p.c_m] = from_acc(acc[j]);
}

// Six blocks an SM, of doubles five: unasked the compiler spills one of 32 registers, on sm_80 and of
// doubles on sm_90a, and asked for six one of 40 of doubles on sm_100a.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(acc_t) == 8 ? 5 : 6)
implicit_gemm_finish(const acc_t* __restrict__ part, scalar_t* __restrict__ c,
                     const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                     const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                     EpilogueParams e, ImplicitParams p) {
    const index_t all = p.m * p.n.count * p.groups;
    // Where neighbours are to be had, a thread has several outputs: `several` of conv_implicit.py.
    const bool few = all < 1ll << 31, several = few && p.m_major && p.m % ACC_VEC == 0;
    const index_t i = flat_thread() * (several ? ACC_VEC : 1);
    if (i >= all) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    if (!few)
        finish<1>(i, all, part, c, epilogue, p);
    else if (several)
        finish<ACC_VEC>(static_cast<unsigned>(i), all, part, c, epilogue, p);
    else
        finish<1>(static_cast<unsigned>(i), all, part, c, epilogue, p);
}
