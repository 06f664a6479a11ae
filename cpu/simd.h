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

template <class T> inline T total(typename Simd<T>::vec v) {
  T part[kLanes<T>];
  store(part, v);
  for (int width = kLanes<T> / 2; width; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  return part[0];
}

inline long least(long a, long b) { return a < b ? a : b; }
inline long most(long a, long b) { return a > b ? a : b; }
