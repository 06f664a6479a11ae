// pycnn/pool_tile.cuh: pooling in tiles: a block brings the sources of a box of results into shared
// memory, each of them once and in the order of memory, and folds the spans from there.
#pragma once

#include <pycnn/pool.cuh>

constexpr int POOL_SECTOR = 32 / sizeof(scalar_t);  // elements that global memory moves at a time
constexpr int POOL_BATCH = 4;                     // loads that a thread has in flight

// Division of n by d, both below 2^16, with one multiplication.
struct Divider {
    unsigned d, magic;
    __device__ __forceinline__ explicit Divider(int divisor)
        : d(divisor), magic(0xffffffffu / (divisor > 0 ? divisor : 1) + 1) {}
    __device__ __forceinline__ unsigned operator()(unsigned n) const {
        return d == 1 ? n : __umulhi(n, magic);
    }
};

struct Coord {
    int plane, at[3], inner;
};

// A box of elements, numbered with the inner channels fastest.
struct Box {
    int planes, extent[3], inner;

    __device__ __forceinline__ int size() const {
        return planes * extent[0] * extent[1] * extent[2] * inner;
    }
    __device__ __forceinline__ int number(const Coord& p) const {
        return (((p.plane * extent[0] + p.at[0]) * extent[1] + p.at[1]) * extent[2] + p.at[2]) *
                   inner + p.inner;
    }
};

// The way back: where the element of a number stands.
struct BoxCoords {
    Divider inner, w, h, d;
    __device__ __forceinline__ explicit BoxCoords(const Box& b)
        : inner(b.inner), w(b.extent[2]), h(b.extent[1]), d(b.extent[0]) {}
    __device__ __forceinline__ Coord operator()(unsigned number) const {
        const unsigned pixel = inner(number), row = w(pixel), sheet = h(row), plane = d(sheet);
        return {static_cast<int>(plane),
                {static_cast<int>(sheet - plane * d.d), static_cast<int>(row - sheet * h.d),
                 static_cast<int>(pixel - row * w.d)},
                static_cast<int>(number - pixel * inner.d)};
    }
};

__device__ __forceinline__ int first_in_sector(const scalar_t* address) {
    return static_cast<int>(reinterpret_cast<unsigned long long>(address) / sizeof(scalar_t) %
                            POOL_SECTOR);
}

// Of a tile that begins at `first`, what lies within the extent.
__device__ __forceinline__ int rest_of(index_t extent, index_t first, index_t tile) {
    return static_cast<int>(extent - first < tile ? extent - first : tile);
}

// A box of results, and the box of sources that they are made from.
template <bool BACKWARD>
struct Tile {
    const Pool& p;
    index_t plane, image, inner, result[3], source[3];  // where the boxes begin
    Box results, sources;

    __device__ __forceinline__ explicit Tile(const Pool& pool) : p(pool) {
        index_t block = blockIdx.x;
        inner = next_tile(block, p.inner, p.inner_tile);
        sources.inner = results.inner = rest_of(p.inner, inner, p.inner_tile);
#pragma unroll
        for (int a = 2; a >= 0; --a) {
            const PoolAxis& axis = p.axis[a];
            const index_t extent = BACKWARD ? axis.extent : axis.windows;
            result[a] = next_tile(block, extent, axis.tile);
            results.extent[a] = rest_of(extent, result[a], axis.tile);
            const Span<index_t> box = sources_of_tile(axis, result[a], results.extent[a]);
            source[a] = box.first;
            sources.extent[a] = box.last > box.first ? box.last - box.first : 0;
        }
        const index_t planes = p.images * p.channels;
        plane = next_tile(block, planes, p.planes_tile);
        image = plane / p.channels;
        sources.planes = results.planes = rest_of(planes, plane, p.planes_tile);
    }

    static __device__ __forceinline__ Span<index_t> sources_of_tile(const PoolAxis& a,
                                                                    index_t first, int count) {
        if (a.whole) return {0, BACKWARD ? a.windows : a.extent};
        Span<index_t> box = {sources_of<BACKWARD>(a, first).first,
                             sources_of<BACKWARD>(a, first + count - 1).last};
        if (a.kernel) {  // dilated, a later result may have the first source
            const index_t start = BACKWARD ? first_over(a, first) : first * a.stride - a.low;
            box.first = start > 0 ? start : 0;
        }
        return box;
    }

    // Offset in an operand of element `at` of the box that begins at `first`.
    __device__ __forceinline__ index_t offset(const PoolStrides& s, const index_t (&first)[3],
                                              const Coord& at) const {
        const index_t outer = plane + at.plane, n = at.plane ? outer / p.channels : image;
        return n * s.n + (outer - n * p.channels) * s.c + (first[0] + at.at[0]) * s.axis[0] +
               (first[1] + at.at[1]) * s.axis[1] + (first[2] + at.at[2]) * s.axis[2] +
               (inner + at.inner) * s.inner;
    }

    // Spans of all results of the tile along each axis, from the begin of the sources on.
    __device__ __forceinline__ int spans() const {
        return results.extent[0] + results.extent[1] + results.extent[2];
    }
    __device__ __forceinline__ void find_spans(Span<int>* table) const {
        for (int a = 0; a < 3; table += results.extent[a++])
            for (int i = threadIdx.x; i < results.extent[a]; i += POOL_THREADS) {
                const Span<index_t> s = sources_of<BACKWARD>(p.axis[a], result[a] + i);
                table[i] = {static_cast<int>(s.first - source[a]),
                            static_cast<int>(s.last - source[a])};
            }
    }

    // The sources, from global memory to `to`, each as `convert` makes it.
    template <typename T, typename Stored, typename Convert>
    __device__ __forceinline__ void load(const T* from, const PoolStrides& s, Stored* to,
                                         Convert convert) const {
        const int size = sources.size();
        int row = sources.inner * sources.extent[2];  // neighbours in memory
        for (int a = 1; a >= 0; --a)
            if (s.joined > 2 - a) row *= sources.extent[a];
        const BoxCoords coords(sources);
        if (size == 0) return;
        if (s.joined == 4 || (s.joined > 0 && row == size)) {
            copy_line(threadIdx.x, POOL_THREADS, size, from + offset(s, source, Coord{}), to,
                      convert);
        } else if (s.joined > 0) {
            constexpr int WARP = 32;
            for (int first = threadIdx.x / WARP * row; first < size;
                 first += POOL_THREADS / WARP * row)
                copy_line(threadIdx.x % WARP, WARP, row, from + offset(s, source, coords(first)),
                          to + first, convert);
        } else {
            copy(threadIdx.x, POOL_THREADS, size, to, convert,
                 [&](int i) { return from[offset(s, source, coords(i))]; });
        }
    }
    template <typename T>
    __device__ __forceinline__ void load(const T* from, const PoolStrides& s, T* to) const {
        load(from, s, to, [](T value) { return value; });
    }

    // Neighbours in memory: a warp begins where a sector does, so that it touches none twice.
    template <typename T, typename Stored, typename Convert>
    static __device__ __forceinline__ void copy_line(int thread, int threads, int size,
                                                     const T* from, Stored* to, Convert convert) {
        const int skipped = static_cast<int>(reinterpret_cast<unsigned long long>(from) % 32);
        copy(thread - skipped / static_cast<int>(sizeof(T)), threads, size, to, convert,
             [=](int i) { return from[i]; });
    }

    template <typename Stored, typename Convert, typename Load>
    static __device__ __forceinline__ void copy(int first, int threads, int size, Stored* to,
                                                Convert convert, Load load) {
        for (int i = first; i < size; i += POOL_BATCH * threads) {
            decltype(load(0)) value[POOL_BATCH];
#pragma unroll
            for (int k = 0; k < POOL_BATCH; ++k) {
                const int at = i + k * threads;
                if (at >= 0 && at < size) value[k] = load(at);
            }
#pragma unroll
            for (int k = 0; k < POOL_BATCH; ++k) {
                const int at = i + k * threads;
                if (at >= 0 && at < size) to[at] = convert(value[k]);
            }
        }
    }

    // body(place in the tile, offset in `out`) for every result of this thread, neighbours in
    // memory for neighbouring threads. Results are contiguous.
    template <typename Body>
    __device__ __forceinline__ void each_result(const scalar_t* out, Body body) const {
        const auto extent = [&](int a) {
            return BACKWARD ? p.axis[a].extent : p.axis[a].windows;
        };
        const auto offset = [&](index_t outer, index_t d, index_t h, index_t w, index_t v) {
            return (((outer * extent(0) + d) * extent(1) + h) * extent(2) + w) * p.inner + v;
        };
        const index_t begin = offset(plane, result[0], result[1], result[2], inner);
        const BoxCoords coords(results);
        const int size = results.size();
        for (int i = static_cast<int>(threadIdx.x) - first_in_sector(out + begin); i < size;
             i += POOL_THREADS) {
            if (i < 0) continue;
            const Coord at = coords(i);
            body(at, begin + offset(at.plane, at.at[0], at.at[1], at.at[2], at.inner));
        }
    }

    // body(number in the sources, coordinates from their begin) for every source of a result.
    template <typename Body>
    __device__ __forceinline__ void each_source(const Span<int>* table, const Coord& at,
                                                Body body) const {
        const Span<int> d = table[at.at[0]];
        const Span<int> h = table[results.extent[0] + at.at[1]];
        const Span<int> w = table[results.extent[0] + results.extent[1] + at.at[2]];
        const int plane_at = at.plane * sources.extent[0];
        for (int i = d.first; i < d.last; i += step(0))
            for (int j = h.first; j < h.last; j += step(1)) {
                const int row = ((plane_at + i) * sources.extent[1] + j) * sources.extent[2];
                for (int k = w.first; k < w.last; k += step(2))
                    body((row + k) * sources.inner + at.inner, i, j, k);
            }
    }
    __device__ __forceinline__ int step(int a) const { return static_cast<int>(p.axis[a].step); }
};

// What means divide by, along each axis, of the windows in a box; not needed for a given divisor.
struct WindowCounts {
    int* table;
    const Box& windows;

    __device__ __forceinline__ WindowCounts(void* memory, const Box& box)
        : table(static_cast<int*>(memory)), windows(box) {}
    // What follows it in shared memory, 8 bytes aligned.
    __device__ __forceinline__ void* end() const {
        return table + (windows.extent[0] + windows.extent[1] + windows.extent[2] + 1) / 2 * 2;
    }
    __device__ __forceinline__ void find(const Pool& p, const index_t (&first)[3]) const {
        int* to = table;
        for (int a = 0; a < 3 && !p.divisor; to += windows.extent[a++])
            for (int i = threadIdx.x; i < windows.extent[a]; i += POOL_THREADS)
                to[i] = static_cast<int>(counted(p.axis[a], first[a] + i, p.count_include_pad));
    }
    __device__ __forceinline__ acc_t of(const Pool& p, int i, int j, int k) const {
        if (p.divisor) return static_cast<acc_t>(p.divisor);
        const index_t count = static_cast<index_t>(table[i]) * table[windows.extent[0] + j] *
                              table[windows.extent[0] + windows.extent[1] + k];
        return static_cast<acc_t>(count);
    }
};
