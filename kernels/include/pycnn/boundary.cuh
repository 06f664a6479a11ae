// pycnn/boundary.cuh: padded axes: which element of x a position of y stands for, and which
// positions of y stand for an element of x.
//
// The last axis is the row. The axes in front of it are looked up once a row, by one thread.
#pragma once

#include <pycnn/copy_stage.cuh>

enum PaddingMode { CONSTANT, REFLECT, REPLICATE, CIRCULAR };

constexpr int PAD_RANK = 7;  // axes in front of the row

struct PadAxis {
    index_t extent_x, extent_y;
    index_t before;       // padding in front; negative: as many elements are cropped
    index_t begin, end;   // of what is left of x after cropping
};

struct Padding {
    index_t rows;            // of the result: y, or dx
    index_t rows_per_block;
    index_t step;            // along a row of what is read: x, or dy
    index_t first, staged;   // the part of such a row that is staged
    index_t together;        // a vector has as many elements, wherever the other axes lead
    index_t mode;
    index_t outer;           // axes in front of the row
    PadAxis row, axis[PAD_RANK];
    index_t stride[PAD_RANK];  // of what is read

    // Position in x of position j in y; OUTSIDE if it is a constant.
    __device__ __forceinline__ index_t source(const PadAxis& a, index_t j) const {
        const index_t i = j - a.before;
        if (mode == CIRCULAR) {  // once around, and without what is cropped
            const index_t period = a.end - a.begin;
            return i < a.begin ? i + period : i >= a.end ? i - period : i;
        }
        if (i >= 0 && i < a.extent_x) return i;
        if (mode == CONSTANT) return OUTSIDE;
        const index_t last = a.extent_x - 1;
        if (mode == REFLECT) return i < 0 ? -i : 2 * last - i;
        return i < 0 ? 0 : last;
    }

    // Whether what is staged of rows comes in vectors of MANY wherever the other axes lead.
    template <int MANY, typename T>
    __device__ __forceinline__ bool in_vectors(const T* from) const {
        return together % MANY == 0 && aligned_to<T, MANY>(from);
    }

    // Offset in x of a row of y; OUTSIDE if all of it is a constant.
    __device__ __forceinline__ index_t source_row(index_t row_of_y) const {
        index_t offset = 0;
        for (int k = static_cast<int>(outer) - 1; k >= 0; --k) {
            const index_t up = k ? row_of_y / axis[k].extent_y : 0;
            const index_t i = source(axis[k], row_of_y - up * axis[k].extent_y);
            if (i == OUTSIDE) return OUTSIDE;
            offset += i * stride[k];
            row_of_y = up;
        }
        return offset;
    }
};

// The positions of y that stand for position i of x: at most three runs of them.
struct PaddingAliases {
    index_t first[3], count[3];

    __device__ __forceinline__ PaddingAliases(const Padding& v, const PadAxis& a, index_t i) {
        const index_t at = a.before + i, last = a.extent_x - 1;
        if (v.mode == REPLICATE) {
            const index_t from = i == 0 ? 0 : at, to = i == last ? a.extent_y : at + 1;
            set(0, 0, 0, a.extent_y);
            set(1, from, to, a.extent_y);
            set(2, 0, 0, a.extent_y);
            return;
        }
        const bool reflect = v.mode == REFLECT;
        const bool left = a.begin <= i && i < a.end;  // is not cropped
        const index_t period = a.end - a.begin;
        const index_t before = reflect ? a.before - i : at - period;
        const index_t after = reflect ? at + 2 * (last - i) : at + period;
        set(0, before, before + (reflect ? i > 0 : left), a.extent_y);
        set(1, at, at + (reflect || left), a.extent_y);
        set(2, after, after + (reflect ? i < last : left), a.extent_y);
    }

    __device__ __forceinline__ void set(int run, index_t from, index_t to, index_t extent) {
        first[run] = from > 0 ? from : 0;
        to = to < extent ? to : extent;
        count[run] = to > first[run] ? to - first[run] : 0;
    }

    __device__ __forceinline__ index_t total() const { return count[0] + count[1] + count[2]; }

    __device__ __forceinline__ index_t operator[](index_t k) const {
        if (k < count[0]) return first[0] + k;
        k -= count[0];
        return k < count[1] ? first[1] + k : first[2] + k - count[1];
    }
};

// Offset in dy of the row that is number m among those which stand for a row of dx; OUTSIDE if
// there are fewer.
__device__ __forceinline__ index_t alias_row(const Padding& v, index_t row_of_dx, index_t m) {
    index_t offset = 0;
    for (int k = static_cast<int>(v.outer) - 1; k >= 0; --k) {
        const PadAxis& axis = v.axis[k];
        const index_t up = k ? row_of_dx / axis.extent_x : 0;
        const PaddingAliases found(v, axis, row_of_dx - up * axis.extent_x);
        const index_t total = found.total();
        if (total == 0) return OUTSIDE;
        const index_t next = total == 1 ? m : m / total;
        offset += found[m - next * total] * v.stride[k];
        m = next;
        row_of_dx = up;
    }
    return m ? OUTSIDE : offset;
}
