// pycnn/copy_stage.cuh: pieces of global memory, read and written in whole sectors.
//
// A loop over consecutive elements begins as far in front of the first one as that lies behind
// the start of a sector, so that no warp touches a sector that another one touches as well.
#pragma once

constexpr index_t OUTSIDE = -0x7fffffffffffffffll;  // offset of what is nowhere in memory

// Elements from the start of the sector to `first`.
template <typename T>
__device__ __forceinline__ int sector_skew(const T* first) {
    return static_cast<int>(reinterpret_cast<unsigned long long>(first) / sizeof(T) %
                            (32 / sizeof(T)));
}

// Rows of `width` elements at x + offset[r], one after the other into sX; `step` is the
// distance of neighbours. Rows at OUTSIDE are left out. By all threads of the block.
template <int THREADS, typename T>
__device__ __forceinline__ void load_rows(const T* x, const index_t* offset, int rows, int width,
                                          index_t step, T* sX) {
    int known = 0;  // a row that is somewhere
    while (known < rows - 1 && offset[known] == OUTSIDE) ++known;
    const index_t there = offset[known] == OUTSIDE ? 0 : offset[known];
    const int skew = sector_skew(x + there - static_cast<index_t>(known) * width);
    for (int t = static_cast<int>(threadIdx.x) - skew; t < rows * width; t += THREADS) {
        if (t < 0) continue;
        const int r = static_cast<unsigned>(t) / static_cast<unsigned>(width);
        if (offset[r] != OUTSIDE) sX[t] = x[offset[r] + (t - r * width) * step];
    }
}
