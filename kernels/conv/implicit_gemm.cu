// conv/implicit_gemm.cu: convolution as a matrix product, with no columns in memory.
//
// Computes   y[n,k,p,q]     = epilogue(sum_{c,r,s} w[k,c,r,s] x[n,c,h,w]), where
//            h = p*stride_h - top + r*dilation_h, w alike; beyond the edges of x zero, or the
//            element that reflection, the nearest edge or the period leads to
//            dx, for every residue of the position modulo the stride, as a convolution of dy
//            dweight[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n,c,h,w]
//            see implicit_gemm.cuh for how the three are one
// Layout     all operands any strides. The defines say along which index the elements of A and of X
//            are contiguous, and the parameters along which those of C are
// Launch     block 256, each thread 8x8 outputs of a 128x128 tile, or 4x4 of 64x64; grid of all
//            tiles of all groups and segments, flat, lines fastest; shared memory 21 to 43 KiB.
//            implicit_gemm_finish: one thread an output; block 256
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 2 N K P Q (C/G) R S flop
// Range      positions up to 2^31 - 2^16, 64-bit offsets; two spatial axes. Zeros beyond x are
//            multiplied: an infinite weight over them gives NaN
// Siblings   im2col has the same product with 16-byte loads, but writes and reads the columns, R S
//            times x. direct_tiled shares input rows among taps and suits few filters
// Banks      none is asked twice: see Share, and gemm_thread.cuh for the multiplications
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3
//
// entry implicit_gemm            convolution or a gradient of it, or partial sums of them
// entry implicit_gemm_finish     sum of the partial sums of all segments, with the epilogue
// variant SCALAR = floating
// variant TILE = 64, 128
// variant A_ALONG_K = 0, 1
// variant X_ALONG_K = 0, 1
#include <pycnn/implicit_gemm.cuh>

#ifndef TILE
#define TILE 128
#define A_ALONG_K 1  // neighbours in memory are neighbours in the sum
#define X_ALONG_K 0
#endif

constexpr int BK = 1024 / TILE;  // a thread carries 4 elements of each tile
constexpr int SHARE = TILE / SIDE;

// Blocks an SM should hold at a time, as far as the registers of the sums allow.
constexpr int SUMS = SHARE * SHARE * sizeof(acc_t) / 4;
constexpr int RESIDENT = SUMS > 64 ? 1 : SUMS > 16 ? 2 : 3;

// What a block computes.
struct Block {
    int line;            // the first of its lines
    int tile;            // of kept indices
    int group, segment;

    __device__ explicit Block(const ImplicitParams& p) {
        unsigned block = blockIdx.x;
        const auto next = [&](unsigned extent) {
            const unsigned digit = block % extent;
            block /= extent;
            return static_cast<int>(digit);
        };
        line = next(p.tiles_lines) * TILE;
        tile = next(p.tiles_kept);
        group = next(p.groups);
        segment = block;
    }

    __device__ index_t kept() const { return static_cast<index_t>(tile) * TILE; }
    __device__ index_t channel(const ImplicitParams& p) const { return group * p.lines + line; }
};

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
implicit_gemm(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
              scalar_t* __restrict__ c, acc_t* __restrict__ part, const scalar_t* __restrict__ bias,
              const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
              const scalar_t* __restrict__ residual, EpilogueParams e, ImplicitParams p) {
    using ShareA = Share<BK, TILE, A_ALONG_K>;
    using ShareX = Share<BK, TILE, X_ALONG_K>;
    __shared__ alignas(16) acc_t a_tile[2][BK][pitch(TILE)];
    __shared__ alignas(16) acc_t x_tile[2][BK][pitch(TILE)];
    __shared__ StoredSpot kept_spot[TILE], summed_spot[2][BK];
    __shared__ index_t summed_in_a[2][BK], kept_in_c[TILE], kept_in_residual[TILE];
    const Block block(p);
    const int thread = threadIdx.x;
    const int lines = min(p.lines - block.line, index_t(TILE));
    const int kepts = min(p.kept.count - block.kept(), index_t(TILE));
    const index_t first = block.segment * p.segment;
    const index_t count = min(p.summed.count - first, p.segment);
    const int steps = (count + BK - 1) / BK;
    const int last = count - static_cast<index_t>(steps - 1) * BK;  // indices of the last step

    // Where everything lies: of kept indices once, of summed ones a step ahead.
    Counter summed(p.summed, first + thread);
    const auto note_summed = [&](int copy) {
        if (thread >= BK) return;
        summed_spot[copy][thread] = summed.spot(p.summed);
        summed_in_a[copy][thread] = summed.other(p.summed);
        summed.advance(p.summed);
    };
    if (thread < TILE) {
        const Counter kept(p.kept, block.kept() + thread);
        kept_spot[thread] = kept.spot(p.kept);
        kept_in_c[thread] = kept.other(p.kept);
        const index_t beside[] = {e.residual_n, e.residual_p, e.residual_q};
        kept_in_residual[thread] = kept.dot(beside);
    }
    note_summed(0);
    __syncthreads();

    const scalar_t* const of_lines = a + block.group * p.a_group + block.line * p.a_line;
    const scalar_t* const of_group = x + block.group * p.x_group + p.x_first;
    scalar_t a_held[ShareA::COUNT], x_held[ShareX::COUNT];
    const auto fetch = [&](int step) {
        const int copy = step % 2;
        const int ks = step < steps - 1 ? BK : step < steps ? last : 0;
#pragma unroll
        for (int i = 0; i < ShareA::COUNT; ++i) {
            const int k = ShareA::k(i), line = ShareA::line(i);
            const bool exists = k < ks && line < lines;
            a_held[i] = exists ? of_lines[line * p.a_line + summed_in_a[copy][k]] : from_acc(0);
        }
#pragma unroll
        for (int i = 0; i < ShareX::COUNT; ++i) {
            const int k = ShareX::k(i), line = ShareX::line(i);
            const Spot one = kept_spot[line], two = summed_spot[copy][k];
            const int row = one.row + two.row, col = one.col + two.col;
            index_t at = one.x + two.x;
            bool exists = k < ks && line < kepts;
            if (!(inside(row, p.h) && inside(col, p.w))) {
                exists = exists && p.mode != ZEROS;
                at += (element_at(row, p.h, p.mode) - row) * p.x_h +
                      (element_at(col, p.w, p.mode) - col) * p.x_w;
            }
            x_held[i] = exists ? of_group[at] : from_acc(0);
        }
    };

    const ThreadPlace mine(thread);
    acc_t sum[SHARE][SHARE] = {};
    fetch(0);
    for (int step = 0; step < steps; ++step) {
        // Nobody reads these copies any more: who passed the last barrier had left them before.
        const int now = step % 2;
        ShareA::put(a_tile[now], a_held);
        ShareX::put(x_tile[now], x_held);
        note_summed(1 - now);
        __syncthreads();
        fetch(step + 1);
        multiply(sum, a_tile[now], x_tile[now], mine);
    }

    acc_t* const stage = a_tile[0][0];
    const Epilogue finish{bias, scale, shift, residual, e};
    const auto store = [&](int line, int kept, acc_t value) {
        if (line >= lines || kept >= kepts) return;
        const index_t channel = block.channel(p) + line;
        if (p.segments > 1) {
            const index_t column = block.kept() + kept, all = p.lines * p.kept.count;
            const index_t at = p.by_line ? column * p.lines + block.line + line
                                         : (block.line + line) * p.kept.count + column;
            part[(block.segment * p.groups + block.group) * all + at] = value;
        } else {
            const index_t at = block.group * p.c_group + (block.line + line) * p.c_line;
            c[at + kept_in_c[kept]] =
                from_acc(finish(value, channel, channel * e.residual_k + kept_in_residual[kept]));
        }
    };
    const auto element = [&](int i) { return stage[i / TILE * stage_pitch(TILE) + i % TILE]; };
    if (p.by_line) {
        deliver<false>(sum, stage, mine, [&](int pass) {
            for (int i = thread; i < SIDE * TILE; i += THREADS)
                store(i % TILE, spread(i / TILE, pass), element(i));
        });
    } else {
        deliver<true>(sum, stage, mine, [&](int pass) {
            for (int i = thread; i < SIDE * TILE; i += THREADS)
                store(spread(i / TILE, pass), i % TILE, element(i));
        });
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
implicit_gemm_finish(const acc_t* __restrict__ part, scalar_t* __restrict__ c,
                     const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                     const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                     EpilogueParams e, ImplicitParams p) {
    const index_t of_group = p.lines * p.kept.count, all = of_group * p.groups;
    const index_t i = flat_thread();
    if (i >= all) return;
    acc_t sum = 0;
    for (int segment = 0; segment < p.segments; ++segment) sum += part[segment * all + i];
    const index_t group = i / of_group, inner = i % of_group;
    const index_t line = p.by_line ? inner % p.lines : inner / p.kept.count;
    const Counter kept(p.kept, p.by_line ? inner / p.lines : inner % p.kept.count);
    const index_t channel = group * p.lines + line;
    const index_t beside[] = {e.residual_n, e.residual_p, e.residual_q};
    const Epilogue finish{bias, scale, shift, residual, e};
    c[group * p.c_group + line * p.c_line + kept.other(p.kept)] =
        from_acc(finish(sum, channel, channel * e.residual_k + kept.dot(beside)));
}
