// Of elements begin to end: the rectified linear unit and its gradient, both of which a NaN passes,
// and whether all are finite. An array may be written over: nothing is read after it was written.

template <class T> void relu(const T* x, T* y, long begin, long end) {
  const typename Simd<T>::vec zero{};
  long i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>) {
    typename Simd<T>::vec v = load(x + i);
    store(y + i, v < zero ? zero : v);
  }
  for (; i < end; ++i) y[i] = x[i] < 0 ? T(0) : x[i];
}

template <class T> void relu_backward(const T* dy, const T* x, T* dx, long begin, long end) {
  const typename Simd<T>::vec zero{};
  long i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>)
    store(dx + i, load(x + i) <= zero ? zero : load(dy + i));
  for (; i < end; ++i) dx[i] = x[i] <= 0 ? T(0) : dy[i];
}

// Whether all are finite: x - x is zero, or not a number.
template <class T> bool finite(const T* x, long begin, long end) {
  typename Simd<T>::vec a{}, b{};
  long i = begin;
  for (; i + 2 * kLanes<T> <= end; i += 2 * kLanes<T>) {
    a += load(x + i) - load(x + i);
    b += load(x + i + kLanes<T>) - load(x + i + kLanes<T>);
  }
  T rest = total<T>(a + b);
  for (; i < end; ++i) rest += x[i] - x[i];
  return rest == 0;
}
