// Correlations as products of filters and shifted planes, without columns: in a padded plane the
// pixels that a tap meets follow one another as the results do, so that a tap's row of the
// right-hand matrix is the plane itself, read from another place on. What lies between the ends of
// the rows is computed too, and dropped.

constexpr int kFilters = 4;                          // of a tile
constexpr int kVectors = PYCNN_BYTES == 64 ? 6 : 3;  // of pixels of a tile
constexpr long kChunk = 768;                         // taps of channels in the inner cache
constexpr long kWeights = 49152;                     // elements of weights in the second one

// The source of a band, padded and split into phases; what is read behind it is zero or dropped.
template <class T> struct Planes {
  long pitch, height, phase, channel, deep, wide;

  explicit Planes(const Correlation& c, long rows) : deep(0), wide(0) {
    for (long t = 0; t < c.taps; ++t) {
      deep = most(deep, c.shifts[2 * t] / c.stride[0]);
      wide = most(wide, c.shifts[2 * t + 1] / c.stride[1]);
    }
    // A row's zeros behind are those before the next one.
    long behind = c.columns + wide - c.low[1] - c.width;
    pitch = c.stride[1] == 1 ? most(c.columns, c.width + most(c.low[1], behind))
                             : c.columns + wide;
    height = rows + deep;
    phase = height * pitch;
    channel = c.stride[0] * c.stride[1] * phase;
  }

  long size(const Correlation& c) const {
    return c.channels * channel + pitch + wide + (kVectors + 1) * kLanes<T>;
  }

  long shift(const Correlation& c, long tap) const {
    long r = c.shifts[2 * tap], s = c.shifts[2 * tap + 1];
    long at = r % c.stride[0] * c.stride[1] + s % c.stride[1];
    return at * phase + r / c.stride[0] * pitch + s / c.stride[1];
  }

  // Where in the planes what every tap of every channel meets begins.
  void offsets(const Correlation& c, long* to) const {
    for (long m = 0; m < c.channels; ++m)
      for (long t = 0; t < c.taps; ++t) *to++ = m * channel + shift(c, t);
  }

  // Vectors of the results of so many rows, with what lies between their ends.
  long vectors(const Correlation& c, long rows) const {
    return ((rows - 1) * pitch + c.columns + kLanes<T> - 1) / kLanes<T>;
  }

  // Copies what results from row `from` on see, of one image and group; zeros elsewhere.
  void fill(const Correlation& c, const T* source, long from, T* planes) const {
    long all = size(c);
    for (long i = 0; i < all; ++i) planes[i] = 0;
    for (long m = 0; m < c.channels; ++m)
      for (long i = 0; i < c.stride[0]; ++i)
        for (long u = 0; u < height; ++u) {
          long row = (from + u) * c.stride[0] + i - c.low[0];
          if (row < 0 || row >= c.height) continue;
          const T* line = source + (m * c.height + row) * c.width;
          T* to = planes + m * channel + i * c.stride[1] * phase + u * pitch;
          if (c.stride[1] == 1) {
            long count = least(c.width, pitch - c.low[1]);
            for (long v = most(0, -c.low[1]); v < count; ++v) to[c.low[1] + v] = line[v];
            continue;
          }
          for (long j = 0; j < c.stride[1]; ++j, to += phase) {
            long v = c.low[1] > j ? (c.low[1] - j + c.stride[1] - 1) / c.stride[1] : 0;
            long column = v * c.stride[1] + j - c.low[1];
            for (; v < pitch && column < c.width; ++v, column += c.stride[1])
              to[v] = line[column];
          }
        }
  }
};

// A tile: B filters, V vectors of pixels, summed over `count` rows at their offsets.
template <class T, int B, int V>
void tile(const T* planes, const long* offsets, long count, const T* weights, T* sums, long pitch,
          bool more) {
  typename Simd<T>::vec sum[B][V];
  for (int b = 0; b < B; ++b)
    for (int v = 0; v < V; ++v)
      sum[b][v] = more ? load(sums + b * pitch + v * kLanes<T>) : typename Simd<T>::vec{};
  for (long j = 0; j < count; ++j, weights += B) {
    const T* from = planes + offsets[j];
    typename Simd<T>::vec x[V];
    for (int v = 0; v < V; ++v) x[v] = load(from + v * kLanes<T>);
    for (int b = 0; b < B; ++b)
      for (int v = 0; v < V; ++v) sum[b][v] += x[v] * weights[b];
  }
  for (int b = 0; b < B; ++b)
    for (int v = 0; v < V; ++v) store(sums + b * pitch + v * kLanes<T>, sum[b][v]);
}

template <class T>
using Tile = void (*)(const T*, const long*, long, const T*, T*, long, bool);

template <class T, int B = kFilters, int V = kVectors>
Tile<T> tile_of(long filters, long vectors) {
  if constexpr (B > 1)
    if (filters < B) return tile_of<T, B - 1, V>(filters, vectors);
  if constexpr (V > 1)
    if (vectors < V) return tile_of<T, B, V - 1>(filters, vectors);
  return tile<T, B, V>;
}

// Filters of a tile side by side, tap by tap of every channel.
template <class T>
void pack(const Correlation& c, const T* weight, const Weights& w, T* packed) {
  for (long g = 0; g < c.groups; ++g)
    for (long f = 0; f < c.filters; f += kFilters)
      for (long m = 0; m < c.channels; ++m)
        for (long t = 0; t < c.taps; ++t)
          for (long b = f; b < least(f + kFilters, c.filters); ++b)
            *packed++ = weight[g * w.group + b * w.filter + m * w.channel + w.numbers[t]];
}

inline long band_rows(const Correlation& c, long band) {
  long most_rows = most(1, band / c.columns), count = (c.rows + most_rows - 1) / most_rows;
  return (c.rows + count - 1) / count;
}

inline long band_count(const Correlation& c) {
  long rows = band_rows(c, c.band);
  return (c.rows + rows - 1) / rows;
}

// Sums of all filters of a group over the pixels of a band, in the pitch of its planes.
template <class T>
void sum_band(const Correlation& c, const T* planes, const long* offsets, const T* packed,
              long vectors, T* sums) {
  long depth = c.channels * c.taps, pitch = vectors * kLanes<T>;
  long chunk = most(1, kChunk / c.taps) * c.taps;
  long tiles = (vectors + kVectors - 1) / kVectors;
  for (long j = 0; j < depth; j += chunk) {
    long count = least(chunk, depth - j);
    long block = most(1, kWeights / (count * kFilters)) * kFilters;
    for (long f0 = 0; f0 < c.filters; f0 += block)
      for (long i = 0; i < tiles; ++i) {
        long start = vectors * i / tiles, width = vectors * (i + 1) / tiles - start;
        Tile<T> whole = tile_of<T>(kFilters, width);
        for (long f = f0; f < least(f0 + block, c.filters); f += kFilters) {
          long b = least(kFilters, c.filters - f);
          (b == kFilters ? whole : tile_of<T>(b, width))(
              planes + start * kLanes<T>, offsets + j, count, packed + f * depth + j * b,
              sums + f * pitch + start * kLanes<T>, pitch, j > 0);
        }
      }
  }
}

// The pixels of a band from the sums, with the bias.
template <class T>
void write_band(const Correlation& c, const T* sums, long pitch, long row_pitch, const T* bias,
                long from, long to, T* target) {
  for (long f = 0; f < c.filters; ++f) {
    T plus = bias ? bias[f] : T(0);
    for (long p = from; p < to; ++p) {
      const T* row = sums + f * pitch + (p - from) * row_pitch;
      T* y = target + (f * c.target[0] + c.first[0] + p * c.step[0]) * c.target[1] + c.first[1];
      if (c.step[1] == 1)
        for (long q = 0; q < c.columns; ++q) y[q] = row[q] + plus;
      else
        for (long q = 0; q < c.columns; ++q) y[q * c.step[1]] = row[q] + plus;
    }
  }
}

template <class T>
void correlate(const Correlation& c, const T* source, const T* weight, const Weights& w,
               const T* bias, T* target, long begin, long end) {
  long rows = band_rows(c, c.band), per_image = band_count(c), depth = c.channels * c.taps;
  Planes<T> planes(c, rows);
  long vectors = planes.vectors(c, rows);
  Buffer<T> packed(c.groups * c.filters * depth), copied(planes.size(c)),
      sums(c.filters * vectors * kLanes<T>);
  Buffer<long> offsets(depth);
  pack(c, weight, w, packed.get());
  planes.offsets(c, offsets.get());
  for (long unit = begin; unit < end; ++unit) {
    long image = unit / per_image, from = unit % per_image * rows;
    for (long g = 0; g < c.groups; ++g) {
      long at = image * c.groups + g;
      planes.fill(c, source + at * c.channels * c.height * c.width, from, copied.get());
      sum_band(c, copied.get(), offsets.get(), packed.get() + g * c.filters * depth, vectors,
               sums.get());
      write_band(c, sums.get(), vectors * kLanes<T>, planes.pitch,
                 bias ? bias + g * c.filters : nullptr, from, least(from + rows, c.rows),
                 target + at * c.filters * c.target[0] * c.target[1]);
    }
  }
}
