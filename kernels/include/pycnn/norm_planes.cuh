// pycnn/norm_planes.cuh: sets whose elements lie in planes, each of which neighbours in memory.
//
// Block (32, 8), grid (sets, segments): every segment of a set has the same number of pieces of
// planes, a warp at a time for each. The plan is in pycnn/plan/_norm.py.
#pragma once

#include <pycnn/norm.cuh>
#include <pycnn/narrow.cuh>

// The operands are of the same shape.
template <int OPERANDS>
struct Planes {
    index_t per_image;        // sets of one image: the channels
    index_t planes;           // of a set
    index_t length;           // elements of a plane
    index_t chunk, chunks;    // elements of a piece, pieces of a plane
    index_t pieces;           // of a set that one block works on
    index_t image[OPERANDS];  // strides in elements: from image to image, channel to channel,
    index_t channel[OPERANDS];
    index_t plane[OPERANDS];  // and from a set's plane to the next
    Strided<OPERANDS> along;  // within a plane
};

// Elements that a thread takes at a time: `step` apart, from `first` on, as far as they lie
// between begin and end; where `vec`, one 16-byte vector.
struct Batch {
    index_t first, begin, end;
    int step;
    bool vec;

    __device__ __forceinline__ index_t at(int k) const { return first + k * step; }
    __device__ __forceinline__ bool has(int k) const {
        return vec || (at(k) >= begin && at(k) < end);
    }
    __device__ __forceinline__ unsigned there() const {
        unsigned bits = 0;
        if (vec) return (1u << VEC_SIZE) - 1;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) bits |= static_cast<unsigned>(has(k)) << k;
        return bits;
    }
    // Where `vec`, the batch of an array whose elements have these numbers. The array is indexed in
    // vectors: a store to one at the address of an element, NVRTC splits into four.
    __device__ __forceinline__ Vec& vector_of(scalar_t* array) const {
        return reinterpret_cast<Vec*>(array)[static_cast<unsigned long long>(first) / VEC_SIZE];
    }
};

// body(batch) until `size` threads have been through elements begin to end. Accesses begin where a
// sector does, so that none is touched twice; element 0 is `offset` from the start of its array.
// Which thread takes what depends on shape and strides alone, and so do the result's bits: where
// an address forbids vectors, `vecs` is false, and the same elements are loaded one by one.
template <typename Body>
__device__ __forceinline__ void each_batch(int thread_rank, int size, index_t begin, index_t end,
                                           index_t offset, bool vectors, bool vecs, Body body) {
    const int off = static_cast<int>((offset + begin) & (SECTOR - 1));
    const index_t stride = static_cast<index_t>(size) * VEC_SIZE;
    const index_t mine = vectors ? begin - off + thread_rank * VEC_SIZE
                                 : begin - off + thread_rank;
    for (index_t i = mine; i < end; i += stride)
        body(Batch{i, begin, end, vectors ? 1 : size,
                   vectors && vecs && i >= begin && i + VEC_SIZE <= end});
}

template <int OPERANDS>
__device__ __forceinline__ void load_batch(const scalar_t* from, const Strided<OPERANDS>& v,
                                           int operand, const Batch& b, acc_t (&value)[VEC_SIZE]) {
    if (b.vec) {
        const Vec vec = *reinterpret_cast<const Vec*>(from + b.first);
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) value[k] = to_acc(vec.at[k]);
        return;
    }
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k)
        value[k] = b.has(k) ? to_acc(from[offset_of(v, operand, b.at(k))]) : acc_t(0);
}

template <int OPERANDS>
__device__ __forceinline__ void store_batch(scalar_t* to, const Strided<OPERANDS>& v, int operand,
                                            const Batch& b, const acc_t (&value)[VEC_SIZE]) {
    if (b.vec) {
        Vec vec;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) vec.at[k] = from_acc(value[k]);
        b.vector_of(to) = vec;
        return;
    }
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k)
        if (b.has(k)) to[offset_of(v, operand, b.at(k))] = from_acc(value[k]);
}

// Whether 16-byte vectors will do along a slice that begins at these offsets.
template <int OPERANDS>
__device__ __forceinline__ bool in_vectors(const Strided<OPERANDS>& v,
                                           const index_t (&offset)[OPERANDS]) {
    bool all = v.rank <= 1;
#pragma unroll
    for (int o = 0; o < OPERANDS; ++o)
        all = all && v.stride[o][0] == 1 && offset[o] % VEC_SIZE == 0;
    return all;
}

template <int OPERANDS>
__device__ __forceinline__ bool all_aligned(const scalar_t* const (&operand)[OPERANDS]) {
    bool all = true;
#pragma unroll
    for (int o = 0; o < OPERANDS; ++o) all = all && aligned(operand[o]);
    return all;
}

// What a thread asks for at once of a plane, in body() of each_of_set: where planes are whole vectors
// throughout, which is known by shape and strides, several of them, `stride` elements apart; else a Batch.
// As many as registers of two blocks allow: of one operand, a sum, eight, of three that are read two.
template <bool WHOLE, int ALL>
struct Run {
    static constexpr int VECTORS = !WHOLE ? 1 : ALL == 1 ? 8 : ALL < 4 ? 4 : 2;
    Batch batch;
    index_t stride;
    bool aligned;  // every address is; else vectors come and go one element at a time

    __device__ __forceinline__ index_t first(int r) const { return batch.first + r * stride; }
    __device__ __forceinline__ bool has(int r) const {
        return !WHOLE || (first(r) >= batch.begin && first(r) < batch.end);
    }
    __device__ __forceinline__ bool has(int, int k) const { return WHOLE || batch.has(k); }

    template <int OPERANDS>
    __device__ __forceinline__ void load(const scalar_t* from, const Strided<OPERANDS>& v,
                                         int operand, Vec (&vec)[VECTORS]) const {
        if constexpr (!WHOLE) {
            acc_t value[VEC_SIZE];
            load_batch(from, v, operand, batch, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) vec[0].at[k] = from_acc(value[k]);
        } else if (aligned) {
#pragma unroll
            for (int r = 0; r < VECTORS; ++r)
                if (has(r)) vec[r] = *reinterpret_cast<const Vec*>(from + first(r));
        } else {
#pragma unroll 1  // all at once they take twice the registers, and spill
            for (int r = 0; r < VECTORS; ++r) {
                if (!has(r)) continue;
                Vec one;
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) one.at[k] = from[first(r) + k];
#pragma unroll
                for (int i = 0; i < VECTORS; ++i)
                    if (i == r) vec[i] = one;  // registers have no addresses
            }
        }
    }

    template <int OPERANDS>
    __device__ __forceinline__ void store(scalar_t* to, const Strided<OPERANDS>& v, int operand,
                                          int r, const acc_t (&value)[VEC_SIZE]) const {
        Batch its = batch;
        its.first = first(r);
        its.vec = WHOLE ? aligned : batch.vec;
        if constexpr (WHOLE) {
            its.begin = its.first;
            its.end = its.first + VEC_SIZE;
        }
        store_batch(to, v, operand, its, value);
    }
};

// body(run, plane): all that this block has of its set; plane[o] begins the plane of operand o.
template <int OPERANDS, typename Body>
__device__ __forceinline__ void each_of_set(const Planes<OPERANDS>& p,
                                            const scalar_t* const (&operand)[OPERANDS], Body body) {
    const index_t image = blockIdx.x / p.per_image, channel = blockIdx.x - image * p.per_image;
    const index_t first = blockIdx.y * p.pieces, all = p.planes * p.chunks;
    const index_t last = first + p.pieces < all ? first + p.pieces : all;
    const bool vecs = all_aligned(operand);
    for (index_t piece = first + threadIdx.y; piece < last; piece += WARPS) {
        const index_t number = piece / p.chunks, begin = (piece - number * p.chunks) * p.chunk;
        const index_t end = begin + p.chunk < p.length ? begin + p.chunk : p.length;
        const scalar_t* plane[OPERANDS];
        index_t offset[OPERANDS];
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) {
            offset[o] = image * p.image[o] + channel * p.channel[o] + number * p.plane[o];
            plane[o] = operand[o] + offset[o];
        }
        const bool vectors = in_vectors(p.along, offset);
        if (vectors && p.length % VEC_SIZE == 0) {
            using Whole = Run<true, OPERANDS>;
            constexpr index_t stride = LANES * VEC_SIZE;
            const int off = static_cast<int>((offset[0] + begin) & (SECTOR - 1));
            for (index_t i = begin - off + threadIdx.x * VEC_SIZE; i < end;
                 i += Whole::VECTORS * stride)
                body(Whole{{i, begin, end, 1, vecs}, stride, vecs}, plane);
        } else {
            each_batch(threadIdx.x, LANES, begin, end, offset[0], vectors, vecs,
                       [&](const Batch& batch) { body(Run<false, OPERANDS>{batch, 0, vecs}, plane); });
        }
    }
}

// Coefficients of this block's set, made once; all threads come here.
template <typename Make>
__device__ __forceinline__ Coefficients of_set(Make make) {
    __shared__ Coefficients shared[1];
    if (threadIdx.x == 0 && threadIdx.y == 0) shared[0] = make(blockIdx.x);
    __syncthreads();
    return shared[0];
}
