// Vectors of one instruction set, and sums over them. Included by isa_*.cpp, once each, inside a
// namespace of its own: what is compiled for another processor must not be found by the linker.

template <class T> struct Simd;
template <> struct Simd<float> {
  typedef float vec __attribute__((vector_size(PYCNN_BYTES)));
  typedef float loose __attribute__((vector_size(PYCNN_BYTES), aligned(4), may_alias));
};
template <> struct Simd<double> {
  typedef double vec __attribute__((vector_size(PYCNN_BYTES)));
  typedef double loose __attribute__((vector_size(PYCNN_BYTES), aligned(8), may_alias));
};

template <class T> constexpr int kLanes = PYCNN_BYTES / int(sizeof(T));

template <class T> inline typename Simd<T>::vec load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::loose*>(p);
}

template <class T> inline void store(T* p, typename Simd<T>::vec v) {
  *reinterpret_cast<typename Simd<T>::loose*>(p) = v;
}

// Loads it once: compilers read the memory again for every product that it is in.
template <class Vec> inline void keep(Vec& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
}

// Halves are added until one element is left.
template <class T, int Bytes> inline T total_of(T __attribute__((vector_size(Bytes))) v) {
  if constexpr (Bytes == 2 * sizeof(T)) {
    return v[0] + v[1];
  } else {
    typedef T half __attribute__((vector_size(Bytes / 2)));
    half parts[2];
    __builtin_memcpy(parts, &v, Bytes);
    return total_of<T, Bytes / 2>(parts[0] + parts[1]);
  }
}

template <class T> inline T total(typename Simd<T>::vec v) { return total_of<T, PYCNN_BYTES>(v); }

inline long least(long a, long b) { return a < b ? a : b; }
inline long most(long a, long b) { return a > b ? a : b; }
