// pycnn/mbarrier.cuh: barriers in shared memory that count arrivals, and bytes that copies bring.
//
//   mbarrier_init(&b, count)      by one thread; a phase ends after so many arrivals
//   mbarrier_init_fence()         by that thread, before the barrier that tells all others of it
//   mbarrier_arrive(&b)           hands over what the thread has done
//   mbarrier_expect(&b, bytes)    arrives, and the phase waits for so many bytes, too
//   mbarrier_wait(&b, parity)     until the phase of this parity has ended: 0 the first, 1 the next
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
