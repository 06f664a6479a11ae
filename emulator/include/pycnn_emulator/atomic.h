// Atomic operations: the compiler's own in the fast build, where blocks run on several operating-
// system threads; seen by the checker, and plain, in the checked build, which runs on one.
#pragma once

namespace pycnn_emu {

#ifdef PYCNN_EMU_CHECKED

template <typename T, typename Update>
__attribute__((noinline)) PYCNN_EMU_UNCHECKED T atomic_update(T* p, Update update) {
    if (!is_private(p)) pycnn_emu_access(p, sizeof(T), kAtomic, PYCNN_EMU_CALLER);
    T old = *p;
    *p = update(old);
    return old;
}

template <typename T>
__attribute__((noinline)) PYCNN_EMU_UNCHECKED T compare_and_swap(T* p, T compare, T value) {
    if (!is_private(p)) pycnn_emu_compare_access(p, &compare, sizeof(T), PYCNN_EMU_CALLER);
    T old = *p;
    if (old == compare) *p = value;
    return old;
}

#else

template <size_t>
struct Bits;
template <>
struct Bits<2> {
    using type = uint16_t;
};
template <>
struct Bits<4> {
    using type = uint32_t;
};
template <>
struct Bits<8> {
    using type = uint64_t;
};

template <typename T, typename Update>
inline T atomic_update(T* p, Update update) {
    using U = typename Bits<sizeof(T)>::type;
    auto* bits = reinterpret_cast<U*>(p);
    U seen = __atomic_load_n(bits, __ATOMIC_RELAXED), next;
    T old;
    do {
        __builtin_memcpy(&old, &seen, sizeof(T));
        T value = update(old);
        __builtin_memcpy(&next, &value, sizeof(T));
    } while (!__atomic_compare_exchange_n(bits, &seen, next, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    return old;
}

template <typename T>
inline T compare_and_swap(T* p, T compare, T value) {
    return atomic_update(p, [=](T old) { return old == compare ? value : old; });
}

#endif

template <typename T>
struct Identity {
    using type = T;
};
template <typename T>
using Same = typename Identity<T>::type;  // a parameter that takes no part in deduction

}  // namespace pycnn_emu

#define PYCNN_EMU_ATOMIC(name, expression)                                                     \
    template <typename T>                                                                      \
    __attribute__((always_inline)) inline T name(T* p, pycnn_emu::Same<T> value) {             \
        return pycnn_emu::atomic_update(p, [=](T old) PYCNN_EMU_UNCHECKED { return T(expression); }); \
    }                                                                                          \
    template <typename T>                                                                      \
    __attribute__((always_inline)) inline T name##_block(T* p, pycnn_emu::Same<T> value) {     \
        return name(p, value);                                                                 \
    }                                                                                          \
    template <typename T>                                                                      \
    __attribute__((always_inline)) inline T name##_system(T* p, pycnn_emu::Same<T> value) {    \
        return name(p, value);                                                                 \
    }

PYCNN_EMU_ATOMIC(atomicAdd, old + value)
PYCNN_EMU_ATOMIC(atomicSub, old - value)
PYCNN_EMU_ATOMIC(atomicExch, value)
PYCNN_EMU_ATOMIC(atomicMin, value < old ? value : old)
PYCNN_EMU_ATOMIC(atomicMax, old < value ? value : old)
PYCNN_EMU_ATOMIC(atomicAnd, old & value)
PYCNN_EMU_ATOMIC(atomicOr, old | value)
PYCNN_EMU_ATOMIC(atomicXor, old ^ value)
PYCNN_EMU_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
PYCNN_EMU_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)

template <typename T>
__attribute__((always_inline)) inline T atomicCAS(T* p, pycnn_emu::Same<T> compare,
                                                  pycnn_emu::Same<T> value) {
    return pycnn_emu::compare_and_swap(p, compare, value);
}
template <typename T>
__attribute__((always_inline)) inline T atomicCAS_block(T* p, pycnn_emu::Same<T> compare,
                                                        pycnn_emu::Same<T> value) {
    return atomicCAS(p, compare, value);
}
template <typename T>
__attribute__((always_inline)) inline T atomicCAS_system(T* p, pycnn_emu::Same<T> compare,
                                                         pycnn_emu::Same<T> value) {
    return atomicCAS(p, compare, value);
}
