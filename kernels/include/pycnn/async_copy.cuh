// pycnn/async_copy.cuh: copies from global to shared memory that do not pass through registers.
//
// On sm_80 and up this is cp.async; before it, and where the source is emulated, a plain copy. In the
// emulator's checked build the bytes arrive only when they are waited for, and touching them earlier
// is an error.
//
//   copy_async<16>(&tile[i], &x[j]);       // 4, 8 or 16 bytes, both addresses aligned to it
//   copy_async<4>(&tile[i], &x[j], ok);    // zeros where !ok; x[j] is then not read
//   copy_async_partial<16>(&tile[i], &x[j], n);  // n bytes of x, and zeros for the rest of 16
//   copy_async_commit();                   // closes a group
//   copy_async_wait<1>();                  // at most 1 group of this thread is still under way
//   __syncthreads();                       // and then everybody's have arrived
#pragma once

namespace pycnn {

template <int Bytes>
struct CopyUnit;
template <>
struct CopyUnit<4> {
    using type = unsigned;
};
template <>
struct CopyUnit<8> {
    using type = uint2;
};
template <>
struct CopyUnit<16> {
    using type = uint4;
};

}  // namespace pycnn

template <int Bytes>
__device__ __forceinline__ void copy_async_partial(void* shared, const void* global,
                                                   int source_bytes) {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async moves 4, 8 or 16 bytes");
#if __CUDA_ARCH__ >= 800 && !defined(PYCNN_EMULATOR)
    auto target = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    if constexpr (Bytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(global),
                     "r"(source_bytes)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(global),
                     "n"(Bytes), "r"(source_bytes)
                     : "memory");
    }
#else
    using Unit = typename pycnn::CopyUnit<Bytes>::type;
    if (source_bytes == 0 || source_bytes == Bytes) {
        *static_cast<Unit*>(shared) = source_bytes ? *static_cast<const Unit*>(global) : Unit{};
        return;
    }
    for (int i = 0; i < Bytes; ++i)
        static_cast<char*>(shared)[i] =
            i < source_bytes ? static_cast<const char*>(global)[i] : char(0);
#endif
}

template <int Bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool valid = true) {
    copy_async_partial<Bytes>(shared, global, valid ? Bytes : 0);
}

__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800 && !defined(PYCNN_EMULATOR)
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int GroupsInFlight>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800 && !defined(PYCNN_EMULATOR)
    asm volatile("cp.async.wait_group %0;" ::"n"(GroupsInFlight) : "memory");
#endif
}
