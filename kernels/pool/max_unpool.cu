// pool/max_unpool.cu: the maxima of max_pool put back where they came from, and the gradient.
//
// Computes   y[n,c,indices[n,c,i]] = x[n,c,i], zero elsewhere; dx[n,c,i] = dy[n,c,indices[n,c,i]],
//            with i and the indices numbering the elements of a plane in row-major order. Of several
//            i with one index the last counts; an index outside the plane is ignored, its dx zero
// Layout     x, dy, indices any strides; results contiguous, with the channels first or last
// Launch     block 256: so many neighbouring channels of an image (1, or a sector with channels
//            last) and, forward, a piece of the plane; shared memory, 48 kB at most, for the number
//            of the last element that goes to each place, and the whole plane of x or dy if it fits
//            (STAGED=1)
// Traffic    forward |x| + |indices| + |y|, backward |dy| + |indices| + |dx| bytes. Forward the
//            indices are read again for every piece of the plane; where STAGED=0, the other operand
//            is read in the order that the indices say
// Range      any extents, 64-bit index arithmetic; planes of fewer than 2^31 elements of x. No two
//            threads write one element: integer maxima in shared memory decide, in any order alike
// Siblings   max_pool.cu
// Source     Zeiler, Fergus: Visualizing and understanding convolutional networks, 2014
//
// entry max_unpool           values to where the indices say, zero elsewhere
// entry max_unpool_backward  gradient with respect to x, gathered, deterministic
// variant SCALAR = floating
// variant STAGED = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

#ifndef STAGED
#define STAGED 0
#endif

constexpr int THREADS = 256;

// `small` is what max_pool made, `large` what it was made from.
struct Unpool {
    index_t images, channels;
    index_t group;                   // neighbouring channels of a block: a power of two
    index_t small, large;            // elements of a plane
    index_t piece;                   // of the large plane, elements of a block
    index_t large_n, large_c;        // strides of dy; y and dx are contiguous:
    index_t last;                    // 1: with channels last
    index_t value_n, value_c;        // strides of x
    index_t index_n, index_c;        // strides of the indices
    Strided<2> element;              // of a small plane in x and in the indices
    Strided<1> place;                // of a large plane in dy
};

// The channels that a block works on, and the one of them that this thread works on.
struct Group {
    index_t n, c, piece;
    int lane, channel, lanes, size;
    bool there;

    __device__ __forceinline__ explicit Group(const Unpool& p) : size(static_cast<int>(p.group)) {
        index_t block = blockIdx.x;
        piece = next_tile(block, p.large, p.piece);
        c = next_tile(block, p.channels, p.group);
        n = block;
        lanes = THREADS / size;
        lane = threadIdx.x / size;
        channel = threadIdx.x % size;
        c += channel;
        there = c < p.channels;
    }
    // Of element i of a plane of so many, in a contiguous result.
    __device__ __forceinline__ index_t result(const Unpool& p, index_t i, index_t elements) const {
        return p.last ? (n * elements + i) * p.channels + c
                      : (n * p.channels + c) * elements + i;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
max_unpool(const scalar_t* __restrict__ x, const index_t* __restrict__ indices,
           scalar_t* __restrict__ y, Unpool p) {
    extern __shared__ unsigned long long memory[];
    const Group group(p);
    const scalar_t* values = x + group.n * p.value_n + group.c * p.value_c;
    const index_t* indices_of_plane = indices + group.n * p.index_n + group.c * p.index_c;
    const index_t left = p.large - group.piece;
    const int places = static_cast<int>(left < p.piece ? left : p.piece);
    const int size = places * group.size;
    int* winner = reinterpret_cast<int*>(memory);  // [place][channel]
#if STAGED
    scalar_t* sX = reinterpret_cast<scalar_t*>(winner + p.piece * group.size);
#endif

    for (int i = threadIdx.x; i < size; i += THREADS) winner[i] = -1;
    __syncthreads();
    if (group.there)
        for (index_t i = group.lane; i < p.small; i += group.lanes) {
            index_t at[2];
            p.element.locate(i, at);
            const index_t to = ldg(indices_of_plane + at[1]);
            if (to >= group.piece && to - group.piece < places)
                atomicMax(winner + (to - group.piece) * group.size + group.channel,
                          static_cast<int>(i));
#if STAGED
            sX[i * group.size + group.channel] = ldg(values + at[0]);
#endif
        }
    __syncthreads();
    if (!group.there) return;
    for (int i = threadIdx.x; i < size; i += THREADS) {
        const index_t source = winner[i];
        acc_t value = 0;
        if (source >= 0) {
#if STAGED
            value = to_acc(sX[source * group.size + group.channel]);
#else
            index_t at[2];
            p.element.locate(source, at);
            value = to_acc(ldg(values + at[0]));
#endif
        }
        y[group.result(p, group.piece + i / group.size, p.large)] = from_acc(value);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
max_unpool_backward(const scalar_t* __restrict__ dy, const index_t* __restrict__ indices,
                    scalar_t* __restrict__ dx, Unpool p) {
    const Group group(p);
    const scalar_t* values = dy + group.n * p.large_n + group.c * p.large_c;
    const index_t* indices_of_plane = indices + group.n * p.index_n + group.c * p.index_c;
#if STAGED
    extern __shared__ unsigned long long memory[];
    scalar_t* sDy = reinterpret_cast<scalar_t*>(memory);
    if (group.there)
        for (index_t i = group.lane; i < p.large; i += group.lanes) {
            index_t at[1];
            p.place.locate(i, at);
            sDy[i * group.size + group.channel] = ldg(values + at[0]);
        }
    __syncthreads();
#endif
    if (!group.there) return;
    for (index_t i = group.lane; i < p.small; i += group.lanes) {
        index_t at[2];
        p.element.locate(i, at);
        const index_t from = ldg(indices_of_plane + at[1]);
        acc_t value = 0;
        if (from >= 0 && from < p.large) {
#if STAGED
            value = to_acc(sDy[from * group.size + group.channel]);
#else
            index_t place[1];
            p.place.locate(from, place);
            value = to_acc(ldg(values + place[0]));
#endif
        }
        dx[group.result(p, i, p.small)] = from_acc(value);
    }
}
