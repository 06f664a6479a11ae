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
    index_t together;        // neighbours in memory that all such rows are made of
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

    // Whether rows come in vectors of MANY wherever the other axes lead.
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
template <typename T>
struct PaddingAliases {
    T first[3], count[3];

    __device__ __forceinline__ PaddingAliases(const Padding& v, const PadAxis& a, T i) {
        const T before = a.before, extent_x = a.extent_x, extent_y = a.extent_y;
        const T at = before + i, last = extent_x - 1;
        if (v.mode == REPLICATE) {
            set(0, 0, 0, extent_y);
            set(1, i == 0 ? 0 : at, i == last ? extent_y : at + 1, extent_y);
            set(2, 0, 0, extent_y);
            return;
        }
        const bool reflect = v.mode == REFLECT;
        const T begin = a.begin, end = a.end, period = end - begin;
        const bool left = begin <= i && i < end;  // is not cropped
        const T front = reflect ? before - i : at - period;
        const T back = reflect ? at + 2 * (last - i) : at + period;
        set(0, front, front + (reflect ? i > 0 : left), extent_y);
        set(1, at, at + (reflect || left), extent_y);
        set(2, back, back + (reflect ? i < last : left), extent_y);
    }

    __device__ __forceinline__ void set(int run, T from, T to, T extent) {
        first[run] = from > 0 ? from : 0;
        to = to < extent ? to : extent;
        count[run] = to > first[run] ? to - first[run] : 0;
    }

    __device__ __forceinline__ T total() const { return count[0] + count[1] + count[2]; }

    __device__ __forceinline__ T operator[](T k) const {
        if (k < count[0]) return first[0] + k;
        k -= count[0];
        return k < count[1] ? first[1] + k : first[2] + k - count[1];
    }
};

// Offset in dy of the row that is number m among the `total` which stand for a row of dx; OUTSIDE if
// there are none. T holds the numbers of all rows and all extents.
template <typename T>
__device__ __forceinline__ index_t alias_row(const Padding& v, T row_of_dx, T m, T& total) {
    index_t offset = 0;
    total = 1;
    for (int k = static_cast<int>(v.outer) - 1; k >= 0; --k) {
        const PadAxis& axis = v.axis[k];
        const T extent = axis.extent_x;
        T up = 0;
        if (k && sizeof(T) == 4)
            up = static_cast<unsigned>(row_of_dx) / static_cast<unsigned>(extent);
        else if (k)
            up = row_of_dx / extent;
        T position = row_of_dx - up * extent;
        row_of_dx = up;
        if (axis.before != 0 || axis.extent_y != axis.extent_x) {
            const PaddingAliases<T> found(v, axis, position);
            const T here = found.total();
            total *= here;
            if (here == 0) return OUTSIDE;
            const T next = here == 1 ? m : m / here;
            position = found[m - next * here];
            m = next;
        }
        offset += position * v.stride[k];
    }
    return offset;
}
