// movement/copy.cu: elements from one strided view to another.
//
// Computes   y[i] = x[i], an index i of up to 8 axes
// Layout     x and y any strides; they may lie inside larger arrays
// Launch     one thread a unit of BYTES, block 256, grid ceil(count / 256); no shared memory
// Traffic    |x| + |y| bytes; no arithmetic
// Range      any extents; 32-bit divisions where the number of units allows, else 64-bit.
//            The plan takes the largest unit that the extents and strides are multiples of; where
//            an address turns out not to be one, the unit is moved in elements of `size` bytes
// Siblings   coalesced where the innermost axis is the same in x and y; else see transpose.cu
// Source     the definition
//
// entry copy  a view to another
// variant BYTES = itemsizes, 16
#include <pycnn/copy.cuh>

template <typename Part>
__device__ __forceinline__ void in_parts(const void* from, void* to) {
    for (int k = 0; k < BYTES / static_cast<int>(sizeof(Part)); ++k)
        static_cast<Part*>(to)[k] = static_cast<const Part*>(from)[k];
}

// As Strided::locate, with divisions of type Index.
template <typename Index>
__device__ __forceinline__ void locate(const Strided<2>& v, Index i, index_t& from, index_t& to) {
    from = to = 0;
    for (int axis = static_cast<int>(v.rank) - 1; axis > 0; --axis) {
        const Index extent = static_cast<Index>(v.extent[axis]), outer = i / extent;
        from += (i - outer * extent) * v.stride[0][axis];
        to += (i - outer * extent) * v.stride[1][axis];
        i = outer;
    }
    from += i * v.stride[0][0];
    to += i * v.stride[1][0];
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
copy(const unsigned char* x, unsigned char* y, index_t count, Strided<2> v, int size) {
    const index_t i = flat_thread();
    if (i >= count) return;
    index_t from, to;
    if (count <= 0x7fffffff)
        locate(v, static_cast<unsigned>(i), from, to);
    else
        locate(v, i, from, to);
    x += from * BYTES;
    y += to * BYTES;
    const auto addresses =
        reinterpret_cast<unsigned long long>(x) | reinterpret_cast<unsigned long long>(y);
    if (addresses % BYTES == 0)
        *reinterpret_cast<element*>(y) = *reinterpret_cast<const element*>(x);
    else if (size == 8)
        in_parts<unsigned long long>(x, y);
    else if (size == 4)
        in_parts<unsigned>(x, y);
    else if (size == 2)
        in_parts<unsigned short>(x, y);
    else
        in_parts<unsigned char>(x, y);
}
