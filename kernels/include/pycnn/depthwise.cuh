// pycnn/depthwise.cuh: rows of an image in the registers of a group of lanes, for convolutions
// whose groups have one channel and one filter.
//
// The group is `lanes` neighbouring lanes, a power of two up to a warp. It walks down an image and
// holds one row of x at a time: lane l has the columns STRIDE*(first + j*lanes + l) + residue for
// chunks j, which belong to its outputs first + j*lanes + l. What an output needs beside them lies
// in other lanes, and comes by shuffles: every element of x is loaded once.
#pragma once

#include <pycnn/conv.cuh>

#ifndef KSIZE
#define KSIZE 3  // R and S
#endif
#ifndef STRIDE
#define STRIDE 1  // along both axes
#endif

constexpr int THREADS = 128;
constexpr int CHUNKS = 2;  // at most: outputs of a lane in a row
constexpr int TAPS = KSIZE * KSIZE;
constexpr unsigned FULL_MASK = 0xffffffffu;
constexpr int LANES = 32, WARPS = THREADS / LANES;  // of a block, with channels last

struct DepthwiseParams {
    ConvParams conv;
    int lanes, chunks;           // of a group, and their outputs in a row; of NHWC: 0
    int segments, strips, rows;  // parts of a row; parts of a column, and their outputs
    int pairs;                   // whether rows of x, or of dx at stride 2, are pairs aligned alike
    int odd_top, odd_left;       // of dx at stride 2: whether the padding is odd
};

// What a group of lanes works on: outputs of one channel of one image, from row p to p_end, from
// column q.
struct Partition {
    int n, c, p, p_end, q;
    bool exists;

    __device__ Partition(const DepthwiseParams& v, index_t number, int columns) {
        const int segment = next_coordinate(number, v.segments);
        const int strip = next_coordinate(number, v.strips);
        c = next_coordinate(number, v.conv.groups);
        exists = number < v.conv.n;
        n = number;
        p = strip * v.rows;
        p_end = p + v.rows < v.conv.p ? p + v.rows : v.conv.p;
        q = segment * columns;
    }
};

// What a lane works on where a warp has 32 channels: a Partition, of which there is one for all.
struct LanePartition : Partition {
    __device__ LanePartition(const DepthwiseParams& v, int columns)
        : Partition(v, number_of(v), columns) {
        c = blockIdx.x % groups(v) * LANES + threadIdx.x;
        exists = exists && c < v.conv.groups;
    }
    static __device__ unsigned groups(const DepthwiseParams& v) {
        return ceil_div(v.conv.groups, LANES);
    }
    // As a number of Partition's, for channel 0.
    static __device__ index_t number_of(const DepthwiseParams& v) {
        const index_t number = static_cast<index_t>(blockIdx.x / groups(v)) * WARPS + threadIdx.y;
        const int per_image = v.segments * v.strips;
        return number / per_image * per_image * v.conv.groups + number % per_image;
    }
};

// The filters of a block's channels, TAPS each, from that of lane 0 on: in the order of memory.
__device__ __forceinline__ void load_filters(acc_t* filters, const scalar_t* weight,
                                             const DepthwiseParams& v, int first) {
    for (int i = threadIdx.y * LANES + threadIdx.x; i < LANES * TAPS; i += THREADS) {
        const int c = first + i / TAPS, r = i % TAPS / KSIZE, s = i % TAPS % KSIZE;
        if (c < v.conv.groups)
            filters[i] = to_acc(weight[c * v.conv.w_g + r * v.conv.w_r + s * v.conv.w_s]);
    }
    __syncthreads();
}

struct alignas(2 * sizeof(scalar_t)) Pair {
    scalar_t value[2];
};

// A row of x, held by lanes that are at outputs `first` and on, with windows WINDOW wide.
template <int WINDOW = KSIZE>
struct Row {
    acc_t own[CHUNKS][STRIDE], before[STRIDE], after[STRIDE];

    __device__ __forceinline__ void load(const scalar_t* row, bool exists, const DepthwiseParams& v,
                                         int first, int lane) {
        const auto column = [&](int output, int residue) {
            const int w = STRIDE * output + residue;
            return exists && inside(w, v.conv.w) ? to_acc(row[w * v.conv.x_w]) : acc_t(0);
        };
        const int left = ceil_div(v.conv.left, STRIDE);   // lanes that it reaches back
        const int right = (WINDOW - 1 - v.conv.left) / STRIDE;  // and ahead
        if (STRIDE == 2 && v.pairs && reinterpret_cast<size_t>(row) % sizeof(Pair) == 0) {
            const auto both = [&](bool wanted, int output, acc_t* to) {
                Pair pair;
                const bool inside_row = wanted && exists && inside(STRIDE * output, v.conv.w);
                if (inside_row) pair = *reinterpret_cast<const Pair*>(row + STRIDE * output);
                to[0] = inside_row ? to_acc(pair.value[0]) : acc_t(0);
                to[STRIDE - 1] = inside_row ? to_acc(pair.value[1]) : acc_t(0);
            };
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j)
                both(j < v.chunks, first + j * v.lanes + lane, own[j]);
            both(lane >= v.lanes - left, first - v.lanes + lane, before);
            both(lane < right, first + v.chunks * v.lanes + lane, after);
            return;
        }
#pragma unroll
        for (int residue = 0; residue < STRIDE; ++residue) {
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j)
                own[j][residue] =
                    j < v.chunks ? column(first + j * v.lanes + lane, residue) : acc_t(0);
            before[residue] =
                lane >= v.lanes - left ? column(first - v.lanes + lane, residue) : acc_t(0);
            after[residue] =
                lane < right ? column(first + v.chunks * v.lanes + lane, residue) : acc_t(0);
        }
    }

    // The element under tap s of the window of this lane's output in chunk j.
    __device__ __forceinline__ acc_t under(int s, int j, const DepthwiseParams& v, int lane) const {
        const int column = s - v.conv.left + STRIDE * KSIZE;
        const int shift = column / STRIDE - KSIZE, residue = column % STRIDE;
        // Of values, not of an array by a runtime index, which would put it into local memory.
        const auto of_residue = [&](const acc_t (&of)[STRIDE]) {
            const acc_t even = of[0], odd = of[STRIDE - 1];
            return STRIDE == 1 || residue == 0 ? even : odd;
        };
        const acc_t here = of_residue(own[j]);
        if (shift == 0) return here;
        const bool last = j == CHUNKS - 1 || j + 1 == v.chunks;
        const acc_t back = of_residue(j == 0 ? before : own[j > 0 ? j - 1 : 0]);
        const acc_t beyond = of_residue(after), next = of_residue(own[j + 1 < CHUNKS ? j + 1 : j]);
        const acc_t other = shift < 0 ? back : last ? beyond : next;
        // What the lane that reads this one wants: it may be in the neighbouring chunk.
        const bool wanted_by_other = shift < 0 ? lane >= v.lanes + shift : lane < shift;
        return __shfl_sync(FULL_MASK, wanted_by_other ? other : here,
                           (lane + shift) & (v.lanes - 1), v.lanes);
    }
};
