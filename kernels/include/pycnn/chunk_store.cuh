// pycnn/chunk_store.cuh: the sums of a tile of pixels x channels on their way to C: finished and stored
// in chunks of 16 bytes of channels, one by one where these do not lie so.
#pragma once

#include <pycnn/chunk_epilogue.cuh>

// Where the rows of a tile lie is up to `place`: exists(n), c(n) and residual(n), offsets from `c`,
// the first channel's, and from the residual. Of the tile's channels `count` exist, from `channel` on;
// CHUNKED: strides keep chunks of them aligned.
template <typename Tile, typename Place>
__device__ __forceinline__ void store_finished(const Tile& warp, float* sC, scalar_t* c, index_t c_m,
                                               int channels, index_t channel, bool c_chunked,
                                               bool residual_chunked, const Epilogue& epilogue,
                                               const Place& place) {
    // A thread's chunks lie below each other.
    constexpr int PER_ROW = Tile::WARP_N * Tile::WARPS_N / CHUNK;
    constexpr int TOGETHER = Tile::OWN_ROWS ? 32 : Tile::THREADS, ROW_STEP = TOGETHER / PER_ROW;
    constexpr int ROWS = Tile::OWN_ROWS ? MMA_M : Tile::ROWS;
    const EpilogueParams& e = epilogue.p;
    const int thread = threadIdx.x, m = thread % PER_ROW * CHUNK, count = channels - m;
    const int own_r = thread / TOGETHER * ROWS + thread % TOGETHER / PER_ROW;
    const bool vector = c_chunked && reinterpret_cast<size_t>(c) % 16 == 0;
    const ChunkEpilogue of_channels(epilogue, channel + m, count >= CHUNK);
    scalar_t* const own_c = kept(c + m * c_m);
    const scalar_t* const own_residual = kept(epilogue.residual + (channel + m) * e.residual_k);
    const bool plain = vector && count >= CHUNK && of_channels.plain(own_residual, residual_chunked);
    warp.store_through_shared(sC, [&](int pass) {
        const float* from = sC + own_r * Tile::PITCH + Tile::column(m);
        if (plain) {
#pragma unroll
            for (int r = 0; r < ROWS; r += ROW_STEP) {
                const int n = Tile::tile_row(own_r + r, pass);
                if (!place.exists(n)) continue;
                float sum[CHUNK];
                Tile::load_sums(sum, from + r * Tile::PITCH);
                of_channels.finish_plainly(sum, own_residual + place.residual(n));
                store_chunk(own_c + place.c(n), sum);
            }
            return;
        }
#pragma unroll 1
        for (int r = 0; r < ROWS; r += ROW_STEP, from += ROW_STEP * Tile::PITCH) {
            const int n = Tile::tile_row(own_r + r, pass);
            if (!place.exists(n) || count <= 0) continue;
            scalar_t* const to = own_c + place.c(n);
            const scalar_t* const beside = own_residual + place.residual(n);
            if (count >= CHUNK) {
                float sum[CHUNK];
                Tile::load_sums(sum, from);
                of_channels.finish(sum, beside, e.residual_k);
                if (vector) {
                    store_chunk(to, sum);
                } else {
#pragma unroll
                    for (int j = 0; j < CHUNK; ++j) to[j * c_m] = from_acc(sum[j]);
                }
            } else {
#pragma unroll 1
                for (int j = 0; j < count; ++j) {
                    const acc_t one = from[Tile::column(j)];
                    const index_t at = beside - epilogue.residual + j * e.residual_k;
                    to[j * c_m] = from_acc(epilogue(one, channel + m + j, at));
                }
            }
        }
    });
}
