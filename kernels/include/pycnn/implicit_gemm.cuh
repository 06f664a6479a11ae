// pycnn/implicit_gemm.cuh: a convolution as a matrix product whose second operand is never made.
//
//   C[line, kept] = sum over summed of A[line, summed] X[summed, kept]
//
// An element of X is an element of x at the sum of two spots, one that `summed` leads to and one
// that `kept` leads to. Both are three digits:
//
//                       A        summed       kept        C
//   forward             weight   (c, r, s)    (n, p, q)   y
//   backward, input     the forward one of dy, for every residue of the position modulo the stride
//   backward, weight    dy       (n, p, q)    (c, r, s)   dweight
//
// or (r, s, c) where the channels of x lie side by side.
#pragma once

#include <pycnn/conv.cuh>
#include <pycnn/epilogue.cuh>
#include <pycnn/gemm_thread.cuh>

// A flat index as three digits, the last one fastest, and what a step of each of them moves.
// Strides in elements. `DIGITS` in pycnn/plan/_implicit.py.
struct Digits {
    index_t count;           // of flat indices
    index_t x[3], other[3];  // in x, rows and columns included; in A if summed, in C if kept
    int row[3], col[3];      // the position in x
    int first_row, first_col;
    int middle, last;  // extents of those digits
    int step[3];       // the digits of the depth of a tile
    int reserved;
};

// `PARAMS` in pycnn/plan/_implicit.py.
struct ImplicitParams {
    Digits summed, kept;
    index_t lines, a_line, c_line;        // lines of a group, and strides from one to the next
    index_t x_group, a_group, c_group;    // from one group to the next
    index_t x_first, x_h, x_w;            // where position (0, 0) lies beside the spots; strides
    index_t segment;                      // summed indices a block adds up
    int h, w, mode;                       // extents of x, and what lies beyond: enum Beyond
    int groups, segments;                 // more than one segment: C gets none but partial sums
    int tiles_lines, tiles_kept;          // of a group
    int by_line;                          // C is contiguous along its lines
};
static_assert(sizeof(Digits) == 112, "as DIGITS in the plan");
static_assert(sizeof(ImplicitParams) == 336, "as PARAMS in the plan");

struct Spot {
    index_t x;
    int row, col;
};

// A flat index that moves on with no division.
struct Counter {
    index_t high;
    int middle, last;

    __device__ __forceinline__ Counter(const Digits& d, index_t flat)
        : high(flat / d.last / d.middle), middle(flat / d.last % d.middle), last(flat % d.last) {}

    __device__ __forceinline__ void advance(const Digits& d) {
        high += d.step[0];
        middle += d.step[1];
        last += d.step[2];
        if (last >= d.last) {
            last -= d.last;
            ++middle;
        }
        if (middle >= d.middle) {
            middle -= d.middle;
            ++high;
        }
    }

    __device__ __forceinline__ Spot spot(const Digits& d) const {
        const int top = static_cast<int>(high);
        return {dot(d.x), d.first_row + top * d.row[0] + middle * d.row[1] + last * d.row[2],
                d.first_col + top * d.col[0] + middle * d.col[1] + last * d.col[2]};
    }
    __device__ __forceinline__ index_t other(const Digits& d) const { return dot(d.other); }
    __device__ __forceinline__ index_t dot(const index_t (&step)[3]) const {
        return high * step[0] + middle * step[1] + last * step[2];
    }
};

// Spots in shared memory, which are read in one access each.
struct alignas(16) StoredSpot {
    unsigned word[4];

    __device__ __forceinline__ void operator=(const Spot& spot) {
        unsigned packed[4];
        memcpy(packed, &spot, 16);
        store_vector(word, packed);
    }
    __device__ __forceinline__ operator Spot() const {
        unsigned packed[4];
        load_vector(packed, word);
        Spot spot;
        memcpy(&spot, packed, 16);
        return spot;
    }
};

// Which elements of a tile[k][line] a thread carries. Neighbours in a warp follow k if ALONG_K, in
// runs of a 32-byte sector of shared memory, else the lines: whichever is contiguous in memory.
// Storing them asks no bank twice: rows of a tile begin 4 banks after each other.
template <int BK, int LINES, bool ALONG_K>
struct Share {
    static constexpr int COUNT = BK * LINES / THREADS;
    static constexpr int RUN = 32 / sizeof(acc_t), ROUNDS = BK / RUN;

    static __device__ __forceinline__ int k(int c) {
        return ALONG_K ? threadIdx.x % RUN + c % ROUNDS * RUN : threadIdx.x / LINES * COUNT + c;
    }
    static __device__ __forceinline__ int line(int c) {
        return ALONG_K ? threadIdx.x / RUN + c / ROUNDS * (THREADS / RUN) : threadIdx.x % LINES;
    }
    static __device__ __forceinline__ void put(acc_t (&tile)[BK][pitch(LINES)],
                                               const scalar_t (&held)[COUNT]) {
#pragma unroll
        for (int c = 0; c < COUNT; ++c) tile[k(c)][line(c)] = to_acc(held[c]);
    }
};
