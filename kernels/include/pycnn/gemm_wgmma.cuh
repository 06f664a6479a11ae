// pycnn/gemm_wgmma.cuh: a matrix product as Hopper wants it: one warp group copies tiles to a ring of
// stages, two multiply them, and a block computes one tile of C after the other.
//
// A stage has two barriers: `full`, for which copies bring the bytes, and `empty`, at which every
// warp that multiplies arrives when it needs the stage no longer. The blocks of a cluster, two or one,
// have tiles below each other: each copies its share of what they need of B to all of them, and waits
// until no warp of the cluster needs the stage. The rest is the same for a product
// of matrices and for a convolution: what is special comes as an object with
//
//   unsigned bytes()                   those that the block's own copies bring to a stage
//   Terms terms(blk)                   which steps of k a tile sums up
//   void load(blk, k_tile, first, s)   copies step k_tile to stage s; `first` of the tile
//   Row row(m)                         where row m of C, and what is added to it, lies
//   index_t part(m)                    where it lies among parts of sums; negative: nowhere
#pragma once

#ifndef SCALAR
#define SCALAR __half
#endif
#ifndef TILE_N
#define TILE_M 128
#define TILE_N 128
#define CLUSTER 1
#endif
#include <pycnn/gemm.cuh>
#include <pycnn/gemm_thread.cuh>
#include <pycnn/tma.cuh>
#include <pycnn/wgmma.cuh>

constexpr int BLK_M = TILE_M, BLK_N = TILE_N, BLK_K = 64;  // 64 elements are the 128 bytes of a swizzle
constexpr int WARPGROUP = 128, CONSUMERS = 2, BLOCK_THREADS = (1 + CONSUMERS) * WARPGROUP;
constexpr int CONSUMER_WARPS = CONSUMERS * WARPGROUP / 32;
constexpr int WARPGROUP_M = BLK_M / CONSUMERS;  // 64, rows of one `wgmma`
constexpr int MMA_K = 16;
constexpr unsigned STAGE_BYTES = (BLK_M + BLK_N) * BLK_K * sizeof(scalar_t);
// As many as fit: `_STAGES` of pycnn/plan/_wgmma.py.
constexpr int STAGES = BLK_N == 256 ? 4 : BLK_N == 128 ? 6 : 8;

// Sums pass through shared memory, 16 rows of a warp by so many columns at a time.
constexpr int PASS_M = 16, PASS_N = 64, CHUNK = 8;

struct Shared {
    scalar_t a[STAGES][BLK_M * BLK_K];
    scalar_t b[STAGES][BLK_N * BLK_K];
    float sums[CONSUMER_WARPS][PASS_M * PASS_N];
    mbarrier_t full[STAGES], empty[STAGES];
};

// The tiles of C in the order in which blocks take them. Those that are computed at the same time
// lie close together, in groups of rows: what they read of A and B is the same, and comes from L2.
struct TileOrder {
    static constexpr unsigned GROUP = 8;
    static_assert(GROUP % CLUSTER == 0, "tiles of a cluster lie below each other");
    unsigned tiles_m, tiles_n, count;

    __device__ explicit TileOrder(const GemmParams& p)
        : tiles_m(static_cast<unsigned>(ceil_div(p.m, BLK_M * CLUSTER)) * CLUSTER),
          tiles_n(p.tiles_n),
          count(tiles_m * tiles_n * p.batches) {}

    __device__ BlockCoord operator[](unsigned tile) const {
        const unsigned per_batch = tiles_m * tiles_n, batch = tile / per_batch;
        const unsigned within = tile % per_batch, per_group = GROUP * tiles_n;
        const unsigned first = within / per_group * GROUP, rows = min(tiles_m - first, GROUP);
        const unsigned m = first + within % per_group % rows, n = within % per_group / rows;
        return {batch, static_cast<index_t>(m) * BLK_M, static_cast<index_t>(n) * BLK_N};
    }
};

// Steps of BLK_K that a tile sums up: from `first` on, before `end`.
struct Terms {
    int first, end;
};

// What a block copies of B: SHARE columns where k is contiguous, else of the boxes of 64 columns every
// CLUSTER-th.
struct OwnColumns {
    static constexpr int ALL = BLK_N / 64, SHARE = BLK_N / CLUSTER;
    const int rank;

    __device__ OwnColumns() : rank(CLUSTER == 1 ? 0 : static_cast<int>(cluster_rank())) {}
    __device__ int first() const { return rank * SHARE; }
    __device__ bool has(int box) const { return CLUSTER == 1 || box % CLUSTER == rank; }
    // That come to a stage by the block's own copies.
    __device__ unsigned bytes(bool boxes) const {
        const int columns = boxes ? (ALL - rank + CLUSTER - 1) / CLUSTER * 64 : SHARE;
        return (BLK_M + columns) * BLK_K * sizeof(scalar_t);
    }
};

// Where a row of C lies, and what is added to it: offsets from what belongs to the batch.
struct Row {
    index_t c, residual;
};

// Where in the ring a warp is: a stage, and the parity of the round.
struct RingPosition {
    int stage = 0;
    unsigned round = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == STAGES) {
            stage = 0;
            round ^= 1;
        }
    }
};

// Tells all blocks that copy to a stage that this warp needs it no longer.
__device__ __forceinline__ void hand_back(Shared& shared, int stage) {
    const unsigned lane = threadIdx.x % 32;
    if constexpr (CLUSTER == 1) {
        if (lane == 0) mbarrier_arrive(&shared.empty[stage]);
    } else {
        if (lane < CLUSTER) mbarrier_arrive_at(&shared.empty[stage], lane);
    }
}

// Until all warps have handed a stage back; then makes its barrier wait for the copies.
__device__ __forceinline__ void claim(Shared& shared, const RingPosition& at, unsigned own_bytes) {
    mbarrier_wait(&shared.empty[at.stage], at.round ^ 1);  // the first round is free
    if constexpr (CLUSTER > 1)
        mbarrier_expect_others(&shared.full[at.stage], STAGE_BYTES - own_bytes);
    mbarrier_expect(&shared.full[at.stage], own_bytes);
}

// The sums of a warpgroup: 64 rows of the tile.
using Sums = float[BLK_N / 2];

// Multiplies one tile of C, stage by stage.
template <bool A_K_MAJOR, bool B_K_MAJOR>
__device__ __forceinline__ void multiply_tile(Sums& sums, Shared& shared, RingPosition& at,
                                              int k_tiles, int warpgroup) {
    using A = WgmmaOperand<BLK_M, A_K_MAJOR>;
    using B = WgmmaOperand<BLK_N, B_K_MAJOR>;
#pragma unroll 1
    for (int k_tile = 0; k_tile < k_tiles; ++k_tile) {
        mbarrier_wait(&shared.full[at.stage], at.round);
        const auto a = A::describe(shared.a[at.stage], warpgroup * WARPGROUP_M);
        const auto b = B::describe(shared.b[at.stage]);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < BLK_K / MMA_K; ++k)
            wgmma<BLK_N, !A_K_MAJOR, !B_K_MAJOR>(sums, a + k * A::STEP, b + k * B::STEP,
                                                 k_tile | k);
        wgmma_commit();
        wgmma_wait<1>();  // the products of the stage before are done, and so is what they read
        if (k_tile) hand_back(shared, at.stage ? at.stage - 1 : STAGES - 1);
        at.advance();
    }
    wgmma_wait<0>();
    hand_back(shared, at.stage ? at.stage - 1 : STAGES - 1);
}

// Where in a warp's piece of `sums` four neighbours lie: of row r, half `half` of chunk j. Neither
// the pairs that come from a product nor the halves of chunks that are read ask a bank twice.
__device__ __forceinline__ int place_of(int r, int j, int half) {
    return r * PASS_N + half * PASS_N / 2 + ((j ^ (r % CHUNK) ^ half << 2) * 4);
}

// Eight neighbours of 16 bits, in 16 bytes: as they are loaded, long before they are needed.
struct Chunk {
    scalar_t x[CHUNK];
};

__device__ __forceinline__ Chunk load_chunk(const scalar_t* from) {
    Chunk chunk;
    load_vector(chunk.x, from);
    return chunk;
}

// Of what there is one for each channel, with any step between them.
__device__ __forceinline__ Chunk load_chunk(const scalar_t* from, index_t channel, index_t step) {
    Chunk chunk{};
    if (!from) return chunk;
#pragma unroll
    for (int n = 0; n < CHUNK; ++n) chunk.x[n] = from[(channel + n) * step];
    return chunk;
}

// A tile of C.
struct Output {
    const GemmParams& p;
    const Epilogue& epilogue;
    scalar_t* const c;
    const index_t m;         // its first row
    const index_t first;     // offset in C of its first column, in row 0
    const index_t channel;   // of the first row or column
    const index_t residual;  // offset of what belongs to `first`
    const int rows, cols;    // of the tile's, those inside the matrix

    __device__ Output(const GemmParams& p, scalar_t* c, const Epilogue& epilogue, BlockCoord blk)
        : p(p),
          epilogue(epilogue),
          c(c),
          m(blk.m),
          first(blk.offset(p, p.c_outer, p.c_inner) + blk.n),
          channel(blk.offset(p, 0, p.channel_inner) + (p.flags & CHANNEL_BY_ROW ? blk.m : blk.n)),
          residual(blk.offset(p, p.residual_outer, p.residual_inner) + blk.n * p.residual_col),
          rows(min(p.m - blk.m, index_t(BLK_M))),
          cols(min(p.n - blk.n, index_t(BLK_N))) {}

    // One element.
    __device__ void store(const Row& row, int i, int j, float sum) const {
        scalar_t& to = c[first + row.c + j];
        if (p.flags & ACCUMULATE) sum += to_acc(to);
        to = from_acc(epilogue(sum, channel + (p.flags & CHANNEL_BY_ROW ? i : j),
                               residual + row.residual + j * p.residual_col));
    }
};

// Finishes and stores PASS_M x PASS_N outputs of a warp, which lie in `sums`, from (i, j) of the tile
// on. A lane has one chunk of every fourth row; where a row lies, the lane of its number knows.
__device__ __forceinline__ void store_piece(const Output& out, const Row& own, const float* sums,
                                            int i, int j) {
    constexpr int STEP = 32 * CHUNK / PASS_N, ROUNDS = PASS_M / STEP;
    const int lane = threadIdx.x % 32, chunk = lane % (PASS_N / CHUNK), row = lane / (PASS_N / CHUNK);
    const GemmParams& p = out.p;
    const Epilogue& e = out.epilogue;
    const auto of_row = [](index_t of, int r) { return __shfl_sync(~0u, of, r); };
    i += row;
    j += chunk * CHUNK;
    if (!vectors(p, C_VECTOR, out.c) || out.cols % CHUNK || p.flags & CHANNEL_BY_ROW ||
        (e.residual && !vectors(p, RESIDUAL_VECTOR, e.residual))) {
#pragma unroll 1
        for (int n = 0; n < ROUNDS * CHUNK; ++n) {
            const int r = n / CHUNK * STEP, c = n % CHUNK;
            const Row at = {of_row(own.c, row + r), of_row(own.residual, row + r)};
            if (i + r < out.rows && j + c < out.cols)
                out.store(at, i + r, j + c, sums[place_of(row + r, chunk, c / 4) + c % 4]);
        }
        return;
    }
    const int rows = j < out.cols ? out.rows : 0;
    // The channels are the same in every row, and all of the residual is on its way at once.
    Chunk bias{}, scale{}, shift{}, beside[ROUNDS];
    if (rows) {
        const index_t channel = out.channel + j;
        bias = load_chunk(e.bias, channel, e.p.bias_k);
        scale = load_chunk(e.scale, channel, e.p.scale_k);
        shift = load_chunk(e.shift, channel, e.p.shift_k);
    }
    if (e.residual) {
#pragma unroll
        for (int r = 0; r < ROUNDS; ++r) {
            const index_t at = out.residual + of_row(own.residual, row + r * STEP) + j;
            if (i + r * STEP < rows) beside[r] = load_chunk(e.residual + at);
        }
    }
#pragma unroll 1
    for (int r = 0; r < PASS_M; r += STEP) {
        scalar_t* const to = out.c + out.first + of_row(own.c, row + r) + j;
        if (i + r >= rows) continue;
        float sum[CHUNK], half[2][CHUNK / 2];
#pragma unroll
        for (int h = 0; h < 2; ++h) load_vector(half[h], sums + place_of(row + r, chunk, h));
#pragma unroll
        for (int n = 0; n < CHUNK; ++n) sum[n] = half[n / (CHUNK / 2)][n % (CHUNK / 2)];
        const auto each = [&](const Chunk& with, auto combine) {
#pragma unroll
            for (int n = 0; n < CHUNK; ++n) sum[n] = combine(sum[n], to_acc(with.x[n]));
        };
        const auto add = [](float a, float b) { return a + b; };
        if (p.flags & ACCUMULATE) each(load_chunk(to), add);
        if (e.bias) each(bias, add);
        if (e.scale) each(scale, [](float a, float b) { return a * b; });
        if (e.shift) each(shift, add);
        if (e.residual) each(beside[0], add);
#pragma unroll
        for (int next = 1; next < ROUNDS; ++next) beside[next - 1] = beside[next];
        activate(sum, e.p.activation, e.p.slope);
        scalar_t done[CHUNK];
#pragma unroll
        for (int n = 0; n < CHUNK; ++n) done[n] = from_acc(sum[n]);
        store_vector(to, done);
    }
}

// Stores the sums of a warpgroup as they are, to parts that a later launch adds up: 8 bytes a thread,
// of 4 neighbours a sector.
template <typename Work>
__device__ __forceinline__ void store_sums(const Work& work, const GemmParams& p, float* part,
                                           const BlockCoord& blk, const Sums& d, int warpgroup) {
    const int lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
    const int first = warpgroup * WARPGROUP_M + threadIdx.x % WARPGROUP / 32 * PASS_M + group;
    const index_t cols = p.n - blk.n - 2 * pair;
    part += blk.offset(p, p.c_outer, p.c_inner) + blk.n + 2 * pair;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const index_t m = blk.m + first + 8 * h, at = m < p.m ? work.part(m) : -1;
        if (at < 0) continue;
#pragma unroll
        for (int j = 0; j < BLK_N / CHUNK; ++j) {
            const float two[2] = {d[4 * j + 2 * h], d[4 * j + 2 * h + 1]};
            if (j * CHUNK < cols) store_vector(part + at + j * CHUNK, two);
        }
    }
}

// Finishes and stores the sums of a warpgroup: each warp its 16 rows.
template <typename Work>
__device__ __forceinline__ void store_tile(const Work& work, const Output& out, const Sums& d,
                                           Shared& shared, int warpgroup) {
    float* const sums = shared.sums[threadIdx.x / 32 - WARPGROUP / 32];
    const int lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
    const int first = warpgroup * WARPGROUP_M + threadIdx.x % WARPGROUP / 32 * PASS_M;
    if (first >= out.rows) return;
    const Row own = work.row(out.m + first + lane % PASS_M);
#pragma unroll 1
    for (int pass = 0; pass < BLK_N / PASS_N; ++pass) {
        if (pass * PASS_N >= out.cols) break;
#pragma unroll
        for (int constant = 0; constant < BLK_N / PASS_N; ++constant) {
            if (constant != pass) continue;  // registers have no addresses
#pragma unroll
            for (int j = 0; j < PASS_N / CHUNK; ++j)
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    const float* const from = d + (constant * PASS_N / CHUNK + j) * 4 + 2 * h;
                    const float two[2] = {from[0], from[1]};
                    float* const to = sums + place_of(group + 8 * h, j, pair / 2);
                    store_vector(nth_vector<2>(to, pair % 2), two);
                }
        }
        __syncwarp();  // all sums are there
        store_piece(out, own, sums, first, pass * PASS_N);
        __syncwarp();  // and no longer needed
    }
}

// All of a block: `store(blk, sums, warpgroup)` is what happens to the sums of a tile.
template <bool A_K_MAJOR, bool B_K_MAJOR, typename Work, typename Store>
__device__ __forceinline__ void multiply_all(Shared& shared, const GemmParams& p, Work work,
                                             Store store) {
    const TileOrder order(p);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) {
            mbarrier_init(&shared.full[s], 1);
            mbarrier_init(&shared.empty[s], CONSUMER_WARPS * CLUSTER);
        }
        mbarrier_init_fence();
    }
    if constexpr (CLUSTER == 1)
        __syncthreads();
    else
        cluster_sync();
    RingPosition at;
    if (threadIdx.x < WARPGROUP) {
        registers_release<40>();
        if (CLUSTER == 1 && threadIdx.x != 0) return;
        unsigned tile = threadIdx.x ? order.count : blockIdx.x;  // one thread copies
        for (; tile < order.count; tile += gridDim.x) {
            const BlockCoord blk = order[tile];
            const Terms terms = work.terms(blk);
#pragma unroll 1
            for (int k_tile = terms.first; k_tile < terms.end; ++k_tile) {
                claim(shared, at, work.bytes());
                work.load(blk, k_tile, k_tile == terms.first, at.stage);
                at.advance();
            }
        }
    } else {
        registers_claim<232>();
        const int warpgroup = threadIdx.x / WARPGROUP - 1;
        Sums d;
        for (unsigned tile = blockIdx.x; tile < order.count; tile += gridDim.x) {
            const BlockCoord blk = order[tile];
            const Terms terms = work.terms(blk);
            multiply_tile<A_K_MAJOR, B_K_MAJOR>(d, shared, at, terms.end - terms.first, warpgroup);
            store(blk, d, warpgroup);
        }
    }
    if constexpr (CLUSTER > 1) cluster_sync();  // nobody copies here or arrives any more
}
