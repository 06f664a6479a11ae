// pycnn/mbarrier.cuh: barriers in shared memory that count arrivals, and bytes that copies bring.
//
//   mbarrier_init(&b, count)      by one thread; a phase ends after so many arrivals
//   mbarrier_init_fence()         by that thread, before the barrier that tells all others of it
//   mbarrier_arrive(&b)           hands over what the thread has done
//   mbarrier_expect(&b, bytes)    arrives, and the phase waits for so many bytes, too
//   mbarrier_wait(&b, parity)     until the phase of this parity has ended: 0 the first, 1 the next
//
// In a cluster of blocks, whose shared memory is laid out alike:
//   cluster_rank(), cluster_sync()
//   mbarrier_arrive_at(&b, rank)  at the barrier that lies in the same place of another block;
//                                 hands over what wgmma has read, and no writes
//   mbarrier_expect_others(&b, bytes)  the phase waits for what copies of other blocks bring, too
//   address_in(rank, at)          of what lies in the same place of another block
//   store_in(address, x)          four floats to there; cluster_sync() hands them over
//
// Of sm_90 and up.
#pragma once

using mbarrier_t = unsigned long long;

__device__ __forceinline__ unsigned shared_address(const void* at) {
    return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

__device__ __forceinline__ void mbarrier_init(mbarrier_t* barrier, unsigned count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(count)
                 : "memory");
}

__device__ __forceinline__ void mbarrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(mbarrier_t* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
                 : "memory");
}

__device__ __forceinline__ void mbarrier_expect(mbarrier_t* barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void mbarrier_wait(mbarrier_t* barrier, unsigned parity) {
    asm volatile("{\n.reg .pred done;\nagain:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

__device__ __forceinline__ unsigned address_in(unsigned rank, const void* at) {
    unsigned there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(at)), "r"(rank));
    return there;
}

__device__ __forceinline__ void store_in(unsigned address, const float (&x)[4]) {
    asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address), "f"(x[0]),
                 "f"(x[1]), "f"(x[2]), "f"(x[3])
                 : "memory");
}

// Hands over no more than that tensor copies and `wgmma` have read: a release for the whole cluster,
// which other writes would need, waits for all of memory.
__device__ __forceinline__ void mbarrier_arrive_at(mbarrier_t* barrier, unsigned rank) {
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(
                     shared_address(barrier)),
                 "r"(rank)
                 : "memory");
}

__device__ __forceinline__ void mbarrier_expect_others(mbarrier_t* barrier, unsigned bytes) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(
                     shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}
