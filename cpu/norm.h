// Batch normalisation of (images, channels, pixels), channel by channel: a channel's pixels stay in
// a cache from one pass to the next. Sums of a few thousand elements are made in the dtype, in
// vectors, and added up in double.

constexpr long kSegment = 4096;

// Calls each(start, pixels) for segments of the planes of a channel.
template <class Each> void segments(long n, long c, long channel, long pixels, Each each) {
  for (long i = 0; i < n; ++i)
    for (long p = 0; p < pixels; p += kSegment)
      each((i * c + channel) * pixels + p, least(kSegment, pixels - p));
}

template <class T>
void moments(const T* x, long n, long c, long pixels, long begin, long end, double* mean,
             double* variance) {
  typedef typename Simd<T>::vec vec;
  for (long m = begin; m < end; ++m) {
    double sum = 0, off = 0, squares = 0, count = double(n) * double(pixels);
    segments(n, c, m, pixels, [&](long at, long size) {
      vec a{}, b{};
      long i = 0;
      for (; i + 2 * kLanes<T> <= size; i += 2 * kLanes<T>) {
        a += load(x + at + i);
        b += load(x + at + i + kLanes<T>);
      }
      T rest = 0;
      for (; i < size; ++i) rest += x[at + i];
      sum += double(total<T>(a + b)) + double(rest);
    });
    T near = T(sum / count);
    segments(n, c, m, pixels, [&](long at, long size) {
      vec a{}, b{}, e{}, f{};
      long i = 0;
      for (; i + 2 * kLanes<T> <= size; i += 2 * kLanes<T>) {
        vec d = load(x + at + i) - near, g = load(x + at + i + kLanes<T>) - near;
        a += d, b += g, e += d * d, f += g * g;
      }
      T rest = 0, square = 0;
      for (; i < size; ++i) {
        T d = x[at + i] - near;
        rest += d, square += d * d;
      }
      off += double(total<T>(a + b)) + double(rest);
      squares += double(total<T>(e + f)) + double(square);
    });
    off /= count;
    mean[m] = double(near) + off;
    variance[m] = squares / count - off * off;
  }
}

template <class T>
void scale_shift(const T* x, long n, long c, long pixels, long begin, long end, const T* mean,
                 const T* scale, const T* bias, T* y) {
  for (long i = 0; i < n; ++i)
    for (long m = begin; m < end; ++m) {
      const T* from = x + (i * c + m) * pixels;
      T* to = y + (i * c + m) * pixels;
      T off = mean[m], by = scale[m], plus = bias[m];
      for (long p = 0; p < pixels; ++p) to[p] = (from[p] - off) * by + plus;
    }
}

template <class T>
void norm_sums(const T* dy, const T* x, long n, long c, long pixels, long begin, long end,
               const T* mean, const T* rstd, double* sum_dy, double* sum_dyz) {
  typedef typename Simd<T>::vec vec;
  for (long m = begin; m < end; ++m) {
    double sum = 0, with = 0;
    T off = mean[m];
    segments(n, c, m, pixels, [&](long at, long size) {
      vec a{}, b{}, e{}, f{};
      long i = 0;
      for (; i + 2 * kLanes<T> <= size; i += 2 * kLanes<T>) {
        vec d = load(dy + at + i), g = load(dy + at + i + kLanes<T>);
        a += d, b += g;
        e += d * (load(x + at + i) - off), f += g * (load(x + at + i + kLanes<T>) - off);
      }
      T rest = 0, product = 0;
      for (; i < size; ++i) rest += dy[at + i], product += dy[at + i] * (x[at + i] - off);
      sum += double(total<T>(a + b)) + double(rest);
      with += double(total<T>(e + f)) + double(product);
    });
    sum_dy[m] = sum;
    sum_dyz[m] = with * double(rstd[m]);
  }
}

template <class T>
void norm_gradient(const T* dy, const T* x, long n, long c, long pixels, long begin, long end,
                   const T* mean, const T* rstd, const T* mean_dy, const T* mean_dyz,
                   const T* scale, T* dx) {
  for (long i = 0; i < n; ++i)
    for (long m = begin; m < end; ++m) {
      const T *above = dy + (i * c + m) * pixels, *from = x + (i * c + m) * pixels;
      T* to = dx + (i * c + m) * pixels;
      T off = mean[m], by = rstd[m] * mean_dyz[m], less = mean_dy[m], all = scale[m];
      for (long p = 0; p < pixels; ++p)
        to[p] = (above[p] - less - (from[p] - off) * by) * all;
    }
}
