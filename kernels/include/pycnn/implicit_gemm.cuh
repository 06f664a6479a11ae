// pycnn/implicit_gemm.cuh: a convolution as a matrix product whose second operand is never made.
//
//   C[m, n] = sum over k of A[m, k] B[k, n]
//
// An element of B is an element of x at the sum of two coordinates, one that k decomposes into and
// one that n does. Both are three digits (m, n and k are those of the product; in the digits n is
// an image):
//
//                       A        k            n           C
//   forward             weight   (c, r, s)    (n, p, q)   y
//   backward, input     the forward one of dy, for every residue of the position modulo the stride
//   backward, weight    dy       (n, p, q)    (c, r, s)   dweight
//
// or (r, s, c) where the channels of x lie side by side.
#pragma once

#include <pycnn/conv.cuh>
#include <pycnn/gemm_thread.cuh>

// A flat index as three digits, the last one fastest, and what a step of each of them moves.
// Strides in elements.
struct Decomposition {
    index_t count;           // of flat indices
    index_t x[3], other[3];  // in x, rows and columns included; in A for k, in C for n
    int row[3], col[3];      // the position in x
    int first_row, first_col;
    int middle, last;  // extents of those digits
    int step[3];       // the digits of how far an iterator goes at a time
    int reserved;      // padding by name
    // How far that moves in x and in the other one, and what the carries of the last and of the
    // middle digit add.
    index_t x_moves[3], other_moves[3];
};

struct ImplicitParams {
    Decomposition k, n;
    index_t m, a_m, c_m;                  // rows of a group, and strides from one to the next
    index_t x_group, a_group, c_group;    // from one group to the next
    index_t x_first, x_h, x_w;            // where position (0, 0) lies beside the coords; strides
    index_t k_per_split;                  // what a block adds up
    int h, w, mode;                       // extents of x, and what lies beyond: enum PaddingMode
    int groups, splits;                   // of k; more than one: C gets none but partial sums
    int tiles_m, tiles_n;                 // of a group
    int m_major;                          // C is contiguous along m
    int vectors;                          // enum Chunked: where strides keep 16 bytes aligned
};

// `Chunked` in pycnn/plan/_implicit.py.
enum Chunked { OPERANDS_CHUNKED = 1, C_CHUNKED = 2, RESIDUAL_CHUNKED = 4 };

// Products of a launch, such as a gradient's by the residue of the position: where the operands of each
// begin, in elements, and its first block, beyond all of them where there is no such product.
constexpr int PHASES = 4;

struct ProductPhases {
    ImplicitParams of[PHASES];
    index_t a[PHASES], c[PHASES], residual[PHASES];
    unsigned first[PHASES];
};

struct Coord {
    index_t x;
    int row, col;
};

// What a block computes, of tiles of BLK_M x BLK_N.
template <int BLK_M, int BLK_N>
struct ProductBlock {
    int m, tile_n;  // the first row, and the number of the tile along n
    int group, split;

    __device__ explicit ProductBlock(const ImplicitParams& p, unsigned block = blockIdx.x) {
        m = next_coordinate(block, p.tiles_m) * BLK_M;
        tile_n = next_coordinate(block, p.tiles_n);
        group = next_coordinate(block, p.groups);
        split = block;
    }

    __device__ index_t n() const { return static_cast<index_t>(tile_n) * BLK_N; }
    __device__ index_t channel(const ImplicitParams& p) const { return group * p.m + m; }
};

// The digits of a flat index, which go on by those of a step with no division.
template <typename High>
struct Digits {
    High high;
    int middle, last;

    __device__ __forceinline__ Digits(High high, int middle, int last)
        : high(high), middle(middle), last(last) {}

    __device__ __forceinline__ void advance(const Decomposition& d) {
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
};

struct IndexIterator : Digits<index_t> {
    // Flat: index_t, or unsigned where 32 bits suffice, which divide five times as fast.
    template <typename Flat>
    __device__ __forceinline__ IndexIterator(const Decomposition& d, Flat flat)
        : Digits(flat / Flat(d.last) / Flat(d.middle), flat / Flat(d.last) % Flat(d.middle),
                 flat % Flat(d.last)) {}

    __device__ __forceinline__ Coord coord(const Decomposition& d) const {
        const int top = static_cast<int>(high);
        return {dot(d.x), d.first_row + top * d.row[0] + middle * d.row[1] + last * d.row[2],
                      d.first_col + top * d.col[0] + middle * d.col[1] + last * d.col[2]};
    }
    __device__ __forceinline__ index_t other(const Decomposition& d) const { return dot(d.other); }
    __device__ __forceinline__ index_t dot(const index_t (&step)[3]) const {
        return high * step[0] + middle * step[1] + last * step[2];
    }
};

// Coordinates in shared memory, which are read in one access each.
struct alignas(16) StoredCoord {
    unsigned word[4];

    __device__ __forceinline__ void operator=(const Coord& coord) {
        unsigned packed[4];
        memcpy(packed, &coord, 16);
        store_vector(word, packed);
    }
    __device__ __forceinline__ operator Coord() const {
        unsigned packed[4];
        load_vector(packed, word);
        Coord coord;
        memcpy(&coord, packed, 16);
        return coord;
    }
};

// Which elements of a tile[k][mn] a thread copies. Neighbours in a warp follow k if K_MAJOR, in
// runs of a 32-byte sector of shared memory, else mn: whichever is contiguous in memory. Storing
// them asks no bank twice: rows of a tile begin 4 banks after each other.
template <int BLK_K, int BLK_MN, bool K_MAJOR>
struct ThreadPartition {
    static constexpr int COUNT = BLK_K * BLK_MN / THREADS;
    static constexpr int SECTOR = 32 / sizeof(acc_t), SECTORS = BLK_K / SECTOR;

    static __device__ __forceinline__ int k(int c) {
        return K_MAJOR ? threadIdx.x % SECTOR + c % SECTORS * SECTOR
                       : threadIdx.x / BLK_MN * COUNT + c;
    }
    static __device__ __forceinline__ int mn(int c) {
        return K_MAJOR ? threadIdx.x / SECTOR + c / SECTORS * (THREADS / SECTOR)
                       : threadIdx.x % BLK_MN;
    }
    static __device__ __forceinline__ void store(acc_t (&tile)[BLK_K][pitch(BLK_MN)],
                                                 const scalar_t (&regs)[COUNT]) {
#pragma unroll
        for (int c = 0; c < COUNT; ++c) tile[k(c)][mn(c)] = to_acc(regs[c]);
    }
};
