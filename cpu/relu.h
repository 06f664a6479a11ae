// The rectified linear unit and its gradient, of elements begin to end. A NaN passes both. An
// array may be written over, so that nothing is read after it was written.

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
