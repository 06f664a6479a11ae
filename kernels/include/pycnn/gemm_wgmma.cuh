// pycnn/gemm_wgmma.cuh: a matrix product as Hopper wants it: one warp group copies tiles to a ring of
// stages, two multiply them, and a block computes one tile of C after the other.
//
// A stage has two barriers: `full`, for which copies bring the bytes, and `empty`, at which every
// warp that multiplies arrives when it needs the stage no longer. The blocks of a cluster have tiles
// below each other, CLUSTER of them, or beside each other, ACROSS: each copies its share of what they
// all need, of B or of A, to all of them, and waits until no warp of the cluster needs the stage. The
// rest is the same for a product of matrices and for a convolution: what is special comes as an object
// with
//
//   unsigned bytes()                   those that the block's own copies bring to a stage
//   Terms terms(blk)                   which steps of k a tile sums up
//   void load(blk, k_tile, first, s)   copies step k_tile to stage s; `first` of the tile
//   Row row(m)                         where row m of C, and what is added to it, lies
//   index_t part(m)                    where it lies among parts of sums; negative: nowhere
//
// Blocks of a cluster may also have the same tile, ALONG of them, and of each sum a part: then a cluster
// has one tile, and each of its blocks adds up, finishes and stores a share of the rows.
//
// With TAPS there are so many tiles of B in a stage, and as many rows of A again beyond 64 of a
// warpgroup: what it multiplies by the tiles begins TAP_ROWS further on every time.
#pragma once

#ifndef SCALAR
#define SCALAR __half
#endif
#ifndef TILE_N
#define TILE_M 128
#define TILE_N 128
#define CLUSTER 1
#endif
#ifndef ACROSS
#define ACROSS 1
#endif
#ifndef ALONG
#define ALONG 1
#endif
#ifndef TAPS
#define TAPS 1
#endif
#include <pycnn/wgmma.cuh>
#include <pycnn/wgmma_epilogue.cuh>

constexpr int BLK_M = TILE_M, BLK_N = TILE_N;
constexpr int BLOCKS = CLUSTER * ACROSS;  // of a cluster, that copy for each other
constexpr int BLK_K = 128 / sizeof(element_t);  // the bytes of a swizzle
constexpr int WARPGROUP = 128, WARPGROUP_M = 64, CONSUMERS = BLK_M / WARPGROUP_M;
constexpr int CONSUMER_WARPS = CONSUMERS * WARPGROUP / 32;
static_assert(ALONG == 1 || BLOCKS == 1, "blocks copy for each other or add up their sums");
constexpr int BLOCK_THREADS = (1 + CONSUMERS) * WARPGROUP;
// Registers of a thread that copies, and of one that multiplies: of all together there are 65536.
constexpr int FEW_REGISTERS = CONSUMERS == 2 ? 40 : 32, MANY_REGISTERS = CONSUMERS == 2 ? 232 : 160;
constexpr int MMA_K = 32 / sizeof(element_t);
constexpr int TAP_ROWS = 8, WARPGROUP_ROWS = WARPGROUP_M + (TAPS - 1) * TAP_ROWS;
constexpr int A_ROWS = CONSUMERS * WARPGROUP_ROWS, B_ROWS = TAPS * BLK_N;  // of a stage
constexpr unsigned STAGE_BYTES = (A_ROWS + B_ROWS) * BLK_K * sizeof(element_t);
// As many as fit, at most 8: `stages` of pycnn/plan/_wgmma.py.
constexpr int FIT = (227 * 1024 - CONSUMER_WARPS * int(sizeof(Pieces))) / int(STAGE_BYTES + 16);
constexpr int STAGES = FIT < 8 ? FIT : 8;

struct Shared {
    element_t a[STAGES][A_ROWS * BLK_K];
    element_t b[STAGES][B_ROWS * BLK_K];
    Pieces pieces[CONSUMER_WARPS];
    mbarrier_t full[STAGES], empty[STAGES];
};

// The tiles of C in the order in which blocks take them. Those that are computed at the same time
// lie close together, in groups of rows: what they read of A and B is the same, and comes from L2.
// Tiles beside each other in a cluster count as one here, and `rank` says which it is.
struct TileOrder {
    static constexpr unsigned GROUP = 8;
    static_assert(GROUP % CLUSTER == 0 && (CLUSTER == 1 || ACROSS == 1),
                  "tiles of a cluster lie below each other, or beside");
    unsigned tiles_m, tiles_n, batches, count;

    __device__ explicit TileOrder(const GemmParams& p)
        : tiles_m(static_cast<unsigned>(ceil_div(p.m, BLK_M * CLUSTER)) * CLUSTER),
          tiles_n(ceil_div(p.tiles_n, ACROSS)),
          batches(p.batches),
          count(tiles_m * tiles_n * ACROSS * batches) {}

    __device__ BlockCoord operator[](unsigned index) const {
        const unsigned tile = index / ACROSS, rank = index % ACROSS;
        const unsigned per_batch = tiles_m * tiles_n, batch = batches > 1 ? tile / per_batch : 0;
        const unsigned within = tile - batch * per_batch, per_group = GROUP * tiles_n;
        const unsigned group = within / per_group, inside = within - group * per_group;
        const unsigned first = group * GROUP, rows = tiles_m - first;
        const bool whole = rows >= GROUP;  // most are, and are divided by shifts
        const unsigned n = whole ? inside / GROUP : inside / rows;
        const unsigned m = first + (whole ? inside % GROUP : inside - n * rows);
        return {batch, static_cast<index_t>(m) * BLK_M,
                static_cast<index_t>(n * ACROSS + rank) * BLK_N};
    }
};

// Steps of BLK_K that a tile sums up: from `first` on, before `end`.
struct Terms {
    int first, end;
};

// What a block copies of A's rows or B's columns, of which `BLOCKS` tiles need the same: SHARE of them
// where k is contiguous, else of the boxes of 64 every so manieth.
template <int BLK, int SHARERS>
struct Share {
    static constexpr int ALL = BLK / 64, SHARE = BLK / SHARERS;
    const int rank;

    __device__ Share() : rank(SHARERS == 1 ? 0 : static_cast<int>(cluster_rank())) {}
    __device__ int first() const { return rank * SHARE; }
    __device__ bool has(int box) const { return SHARERS == 1 || box % SHARERS == rank; }
    __device__ int count(bool boxes) const {
        return boxes ? (ALL - rank + SHARERS - 1) / SHARERS * 64 : SHARE;
    }
};

struct Own {
    const Share<BLK_M, ACROSS> rows;
    const Share<BLK_N, CLUSTER> columns;

    // That come to a stage by the block's own copies.
    __device__ unsigned bytes(bool row_boxes, bool column_boxes) const {
        return (rows.count(row_boxes) + columns.count(column_boxes)) * BLK_K * sizeof(element_t);
    }
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
    if constexpr (BLOCKS == 1) {
        if (lane == 0) mbarrier_arrive(&shared.empty[stage]);
    } else {
        if (lane < BLOCKS) mbarrier_arrive_at(&shared.empty[stage], lane);
    }
}

// Until all warps have handed a stage back; then makes its barrier wait for the copies.
__device__ __forceinline__ void claim(Shared& shared, const RingPosition& at, unsigned own_bytes) {
    mbarrier_wait(&shared.empty[at.stage], at.round ^ 1);  // the first round is free
    if constexpr (BLOCKS > 1)
        mbarrier_expect_others(&shared.full[at.stage], STAGE_BYTES - own_bytes);
    mbarrier_expect(&shared.full[at.stage], own_bytes);
}

// The sums of a warpgroup: 64 rows of the tile.
using Sums = sum_t[BLK_N / 2];

// Multiplies one tile of C, stage by stage.
template <bool A_K_MAJOR, bool B_K_MAJOR>
__device__ __forceinline__ void multiply_tile(Sums& sums, Shared& shared, RingPosition& at,
                                              int k_tiles, int warpgroup) {
    using A = WgmmaOperand<BLK_M, A_K_MAJOR>;
    using B = WgmmaOperand<BLK_N, B_K_MAJOR>;
    constexpr int ROW_16 = BLK_K * sizeof(element_t) / 16;  // as descriptions count bytes
#pragma unroll 1
    for (int k_tile = 0; k_tile < k_tiles; ++k_tile) {
        mbarrier_wait(&shared.full[at.stage], at.round);
        const auto a = A::describe(shared.a[at.stage], warpgroup * WARPGROUP_ROWS);
        const auto b = B::describe(shared.b[at.stage]);
        wgmma_fence();
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap)
#pragma unroll
            for (int k = 0; k < BLK_K / MMA_K; ++k)
                wgmma<BLK_N, !A_K_MAJOR, !B_K_MAJOR>(
                    sums, a + tap * TAP_ROWS * ROW_16 + k * A::STEP,
                    b + tap * BLK_N * ROW_16 + k * B::STEP, k_tile | tap | k);
        wgmma_commit();
        wgmma_wait<1>();  // the products of the stage before are done, and so is what they read
        if (k_tile) hand_back(shared, at.stage ? at.stage - 1 : STAGES - 1);
        at.advance();
    }
    wgmma_wait<0>();
    hand_back(shared, at.stage ? at.stage - 1 : STAGES - 1);
}

// Of sums of which every block of the cluster has a part, those of a warp's rows go to one of the blocks,
// to where stages were, which adds them to its own in the order of blocks. Whether this is the one.
__device__ __forceinline__ bool add_up(Sums& d, Shared& shared) {
    constexpr int LANES = CONSUMER_WARPS / ALONG * 32, VECTORS = BLK_N / 2 / 4;
    static_assert(CONSUMER_WARPS % ALONG == 0 && BLK_M * BLK_N * sizeof(float) <= STAGES * STAGE_BYTES);
    auto& parts = reinterpret_cast<float (&)[ALONG][VECTORS][LANES][4]>(shared);
    const unsigned thread = threadIdx.x - WARPGROUP, home = thread / LANES, lane = thread % LANES;
    const unsigned rank = cluster_rank(), there = address_in(home, parts[rank][0][lane]);
    cluster_sync();  // all stages have been read
#pragma unroll
    for (int i = 0; i < VECTORS && home != rank; ++i)
        store_in(there + i * unsigned(sizeof(parts[0][0])), reinterpret_cast<float (&)[4]>(d[4 * i]));
    cluster_sync();  // all parts are there
#pragma unroll 1
    for (unsigned from = 0; from < ALONG && home == rank; ++from) {
        if (from == rank) continue;
#pragma unroll
        for (int i = 0; i < VECTORS; ++i) {
            float part[4];
            load_vector(part, parts[from][i][lane]);
#pragma unroll
            for (int e = 0; e < 4; ++e) d[4 * i + e] += part[e];
        }
    }
    return home == rank;
}

// Stores the sums of a warp, from row `row` of the tile on, as they are, to parts that a later launch adds up: 8 bytes a thread,
// of 4 neighbours a sector.
template <typename Work>
__device__ __forceinline__ void store_sums(const Work& work, const GemmParams& p, sum_t* part,
                                           const BlockCoord& blk, const Sums& d, int row) {
    const int lane = threadIdx.x % 32, pair = lane % 4, first = row + lane / 4;
    const index_t cols = p.n - blk.n - 2 * pair;
    part += blk.offset(p, p.c_outer, p.c_inner) + blk.n + 2 * pair;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const index_t m = blk.m + first + 8 * h, at = m < p.m ? work.part(m) : -1;
        if (at < 0) continue;
#pragma unroll
        for (int j = 0; j < BLK_N / CHUNK; ++j) {
            const sum_t two[2] = {d[4 * j + 2 * h], d[4 * j + 2 * h + 1]};
            if (j * CHUNK < cols) store_vector(nth_vector<2>(part + at, j * CHUNK / 2), two);
        }
    }
}

// All of a block: `store(blk, sums, own)` is what happens to the sums of a tile; `easy`: see there.
template <bool A_K_MAJOR, bool B_K_MAJOR, typename Work, typename Store>
__device__ __forceinline__ void multiply_all(Shared& shared, const GemmParams& p, Work work,
                                             Store store, bool easy = false) {
    const TileOrder order(p);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) {
            mbarrier_init(&shared.full[s], 1);
            mbarrier_init(&shared.empty[s], CONSUMER_WARPS * BLOCKS);
        }
        mbarrier_init_fence();
    }
    if constexpr (BLOCKS == 1)
        __syncthreads();
    else
        cluster_sync();
    RingPosition at;
    if (threadIdx.x < WARPGROUP) {
        registers_release<FEW_REGISTERS>();
        if (BLOCKS == 1 && threadIdx.x != 0) return;
        unsigned tile = threadIdx.x ? order.count : blockIdx.x / ALONG;  // one thread copies
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
        registers_claim<MANY_REGISTERS>();
        const int warpgroup = threadIdx.x / WARPGROUP - 1;
        WarpOutput own{shared.pieces[threadIdx.x / 32 - WARPGROUP / 32],
                       static_cast<int>(threadIdx.x / 32 - WARPGROUP / 32) * PIECE_M, easy};
        Sums d;
        for (unsigned tile = blockIdx.x / ALONG; tile < order.count; tile += gridDim.x) {
            const BlockCoord blk = order[tile];
            const Terms terms = work.terms(blk);
            multiply_tile<A_K_MAJOR, B_K_MAJOR>(d, shared, at, terms.end - terms.first, warpgroup);
            if constexpr (ALONG > 1)
                if (!add_up(d, shared)) continue;
            store(blk, d, own);
        }
        if (threadIdx.x % 32 == 0) bulk_wait_read<0>();  // shared memory goes with the block
    }
    if constexpr (BLOCKS > 1) cluster_sync();  // nobody copies here or arrives any more
}
