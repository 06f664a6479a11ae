// pycnn/tma.cuh: copies of boxes of a tensor to shared memory, which one thread starts.
//
//   tma_load(to, map, {x, y, ...}, &b)           the box that begins at these coordinates, the
//                                                innermost first; zeros beyond the tensor
//   tma_load_im2col(to, map, {c, w, h, n}, {s, r}, &b)  channels of pixels from a base pixel on,
//                                                each as far from its base as the offsets say
//
//   tma_load_all<BLOCKS>(...), tma_load_im2col_all<BLOCKS>(...)  to the same place of all blocks of a
//                                                cluster, and to their mbarriers
//
//   tma_store(map, {x, y, ...}, from)          the box that begins there, to global memory, but for what
//                                              is beyond the tensor
//   bulk_commit(), bulk_wait_read<1>()         closes a group of those; until at most 1 of the thread's
//                                              groups has not read its source yet
//   async_proxy_fence()                        copies that are started later see what was written to
//                                              shared memory, here and by threads waited for
//
// The bytes of a whole box come to the mbarrier `b`, whatever lies beyond the tensor. The maps are
// parameters of the kernel, made on the host: `TensorMap` of pycnn/runtime/plan.py. Of sm_90 and up.
#pragma once

#include <pycnn/mbarrier.cuh>

struct alignas(64) TensorMap {
    char opaque[128];
};

__device__ __forceinline__ void tma_load(void* to, const TensorMap& map, const int (&at)[4],
                                         mbarrier_t* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(shared_address(to)),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(shared_address(barrier))
        : "memory");
}

__device__ __forceinline__ void tma_load(void* to, const TensorMap& map, const int (&at)[3],
                                         mbarrier_t* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(shared_address(to)),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(shared_address(barrier))
        : "memory");
}

__device__ __forceinline__ void tma_load_im2col(void* to, const TensorMap& map,
                                                const int (&at)[4],
                                                const unsigned short (&offset)[2],
                                                mbarrier_t* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::"r"(shared_address(to)),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(shared_address(barrier)),
        "h"(offset[0]), "h"(offset[1])
        : "memory");
}

template <int BLOCKS>
__device__ __forceinline__ void tma_load_all(void* to, const TensorMap& map, const int (&at)[4],
                                             mbarrier_t* barrier) {
    if constexpr (BLOCKS == 1)
        tma_load(to, map, at, barrier);
    else
        asm volatile(
            "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
            ".multicast::cluster [%0], [%1, {%2, %3, %4, %5}], [%6], %7;" ::"r"(shared_address(to)),
            "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(shared_address(barrier)),
            "h"(static_cast<unsigned short>((1 << BLOCKS) - 1))
            : "memory");
}

template <int BLOCKS>
__device__ __forceinline__ void tma_load_im2col_all(void* to, const TensorMap& map,
                                                    const int (&at)[4],
                                                    const unsigned short (&offset)[2],
                                                    mbarrier_t* barrier) {
    if constexpr (BLOCKS == 1)
        tma_load_im2col(to, map, at, offset, barrier);
    else
        asm volatile(
            "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"
            ".multicast::cluster [%0], [%1, {%2, %3, %4, %5}], [%6], {%7, %8}, %9;" ::"r"(
                shared_address(to)),
            "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(shared_address(barrier)),
            "h"(offset[0]), "h"(offset[1]), "h"(static_cast<unsigned short>((1 << BLOCKS) - 1))
            : "memory");
}

__device__ __forceinline__ void tma_store(const TensorMap& map, const int (&at)[4],
                                          const void* from) {
    asm volatile(
        "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(
            &map),
        "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(shared_address(from))
        : "memory");
}

__device__ __forceinline__ void bulk_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

template <int GroupsInFlight>
__device__ __forceinline__ void bulk_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(GroupsInFlight) : "memory");
}

__device__ __forceinline__ void async_proxy_fence() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Stores four 8x8 matrices of 16-bit elements, of which lane 8 i + r says where in shared memory row r
// of the i-th lies.
__device__ __forceinline__ void stmatrix(unsigned row, const unsigned (&of)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
                 "r"(of[0]), "r"(of[1]), "r"(of[2]), "r"(of[3])
                 : "memory");
}
