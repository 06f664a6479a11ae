// pycnn/strided.cuh: where the elements of strided views lie.
//
// A view of any rank is reduced by the plan (pycnn/plan/_strided.py) to the axes that cannot be
// merged: none or one for a contiguous array. Several operands of one shape share the extents, so
// that an element is looked up in all of them with one series of divisions.
#pragma once

constexpr int STRIDED_RANK = 8;

template <int OPERANDS>
struct Strided {
    index_t rank;                            // axes in use; they come first
    index_t extent[STRIDED_RANK];            // outermost axis first
    index_t stride[OPERANDS][STRIDED_RANK];  // in elements

    // Offset in every operand of the element with row-major number `index`.
    __device__ __forceinline__ void locate(index_t index, index_t (&offset)[OPERANDS]) const {
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) offset[o] = 0;
#pragma unroll 1  // unrolled divisions would be most of the code
        for (int axis = static_cast<int>(rank) - 1; axis > 0; --axis) {
            const index_t outer = index / extent[axis];
            const index_t along = index - outer * extent[axis];
#pragma unroll
            for (int o = 0; o < OPERANDS; ++o) offset[o] += along * stride[o][axis];
            index = outer;
        }
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) offset[o] += index * stride[o][0];
    }
};
