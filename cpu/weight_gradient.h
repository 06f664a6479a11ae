// The gradient for the filters: products of rows of dy and of shifted planes of the source, summed
// over pixels and images in registers.

constexpr int kAbove = PYCNN_BYTES == 64 ? 8 : 4;  // filters of a tile
constexpr int kSources = 3;                        // taps of channels of a tile
constexpr long kSeenTogether = 262144;             // elements of source and dy of a block of images
constexpr long kSum = 1024;                        // pixels that are summed in registers, about
constexpr long kNear = 3072;                       // elements of source in the inner cache

template <class T, int A, int B>
void dots(const T* dy, long dy_row, long dy_image, const T* planes, long image, const long* offsets,
          long images, long vectors, T* sums, long pitch) {
  typename Simd<T>::vec sum[A][B] = {};
  for (long i = 0; i < images; ++i, dy += dy_image, planes += image) {
    const T* from[B];
    for (int b = 0; b < B; ++b) from[b] = planes + offsets[b];
    for (long v = 0; v < vectors * kLanes<T>; v += kLanes<T>) {
      typename Simd<T>::vec x[B];
      for (int b = 0; b < B; ++b) x[b] = load(from[b] + v);
      for (int a = 0; a < A; ++a) {
        typename Simd<T>::vec above = load(dy + a * dy_row + v);
        keep(above);
        for (int b = 0; b < B; ++b) sum[a][b] += above * x[b];
      }
    }
  }
  for (int a = 0; a < A; ++a)
    for (int b = 0; b < B; ++b) sums[a * pitch + b] += total<T>(sum[a][b]);
}

template <class T>
using Dots = void (*)(const T*, long, long, const T*, long, const long*, long, long, T*, long);

template <class T, int A = kAbove, int B = kSources> Dots<T> dots_of(long a, long b) {
  if constexpr (A > 1)
    if (a < A) return dots_of<T, A - 1, B>(a, b);
  if constexpr (B > 1)
    if (b < B) return dots_of<T, A, B - 1>(a, b);
  return dots<T, A, B>;
}

// Rows of dy in the pitch of the planes, zeros in between.
template <class T>
void spread(const Correlation& c, const T* dy, long from, long to, long row_pitch, long pitch,
            T* above) {
  for (long f = 0; f < c.filters; ++f) {
    T* row = above + f * pitch;
    for (long i = 0; i < pitch; ++i) row[i] = 0;
    for (long p = from; p < to; ++p, row += row_pitch) {
      const T* line = dy + (f * c.rows + p) * c.columns;
      for (long q = 0; q < c.columns; ++q) row[q] = line[q];
    }
  }
}

template <class T>
void weight_gradient(const Correlation& c, const T* source, const T* dy, T* dweight, long begin,
                     long end) {
  long rows = band_rows(c, kSum), depth = c.channels * c.taps;
  Planes<T> planes(c, rows);
  long vectors = planes.vectors(c, rows);
  long pitch = vectors * kLanes<T>, image = planes.size(c);
  long images = most(1, least(end - begin, kSeenTogether / (image + c.filters * pitch)));
  Buffer<T> copied(images * image), above(images * c.filters * pitch);
  Buffer<long> offsets(depth);
  planes.offsets(c, offsets.get());
  long near = most(1, kNear / (images * planes.channel)) * c.taps;
  for (long g = 0; g < c.groups; ++g)
    for (long first = begin; first < end; first += images)
      for (long from = 0; from < c.rows; from += rows) {
        long count = least(images, end - first);
        for (long i = 0; i < count; ++i) {
          long at = (first + i) * c.groups + g;
          planes.fill(c, source + at * c.channels * c.height * c.width, from,
                      copied.get() + i * image);
          spread(c, dy + at * c.filters * c.rows * c.columns, from, least(from + rows, c.rows),
                 planes.pitch, pitch, above.get() + i * c.filters * pitch);
        }
        for (long j0 = 0; j0 < depth; j0 += near)
          for (long f = 0; f < c.filters; f += kAbove) {
            long a = least(kAbove, c.filters - f), stop = least(j0 + near, depth);
            for (long j = j0; j < stop; j += kSources)
              dots_of<T>(a, least(kSources, stop - j))(
                  above.get() + f * pitch, pitch, c.filters * pitch, copied.get(), image,
                  offsets.get() + j, count, vectors, dweight + (g * c.filters + f) * depth + j,
                  depth);
          }
      }
}
