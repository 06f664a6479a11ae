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

// With a residual, if there is one, and the rectified linear unit behind it, if asked for.
template <class T>
void scale_shift(const T* x, const T* residual, bool rectified, long n, long c, long pixels,
                 long begin, long end, const T* mean, const T* scale, const T* bias, T* y) {
  for (long i = 0; i < n; ++i)
    for (long m = begin; m < end; ++m) {
      T off = mean[m], by = scale[m], plus = bias[m];
      segments(1, c, i * c + m, pixels, [&](long at, long size) {
        for (long p = at; p < at + size; ++p) y[p] = (x[p] - off) * by + plus;
        if (residual)
          for (long p = at; p < at + size; ++p) y[p] += residual[p];
        if (rectified) relu(y, y, at, at + size);
      });
    }
}

// Where a rectified y is given, dy is what that lets through, and is written to `passed`.
template <class T>
void norm_sums(const T* dy, const T* y, T* passed, const T* x, long n, long c, long pixels,
               long begin, long end, const T* mean, const T* rstd, double* sum_dy,
               double* sum_dyz) {
  typedef typename Simd<T>::vec vec;
  auto above = [=](long p) {
    vec d = load(dy + p);
    if (!y) return d;
    d = load(y + p) <= vec{} ? vec{} : d;
    store(passed + p, d);
    return d;
  };
  for (long m = begin; m < end; ++m) sum_dy[m] = sum_dyz[m] = 0;
  // In the order of the memory: so many streams at once are slow in any other.
  for (long i = 0; i < n; ++i)
    for (long m = begin; m < end; ++m) {
      T off = mean[m];
      segments(1, c, i * c + m, pixels, [&](long at, long size) {
        vec a{}, b{}, e{}, f{};
        long p = at;
        for (; p + 2 * kLanes<T> <= at + size; p += 2 * kLanes<T>) {
          vec d = above(p), g = above(p + kLanes<T>);
          a += d, b += g;
          e += d * (load(x + p) - off), f += g * (load(x + p + kLanes<T>) - off);
        }
        T rest = 0, product = 0;
        if (y) relu_backward(dy, y, passed, p, at + size);
        for (const T* plain = y ? passed : dy; p < at + size; ++p)
          rest += plain[p], product += plain[p] * (x[p] - off);
        sum_dy[m] += double(total<T>(a + b)) + double(rest);
        sum_dyz[m] += double(total<T>(e + f)) + double(product);
      });
    }
  for (long m = begin; m < end; ++m) sum_dyz[m] *= double(rstd[m]);
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
