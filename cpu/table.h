// What one instruction set offers: the same functions, compiled anew for each (isa_*.cpp).
#pragma once

namespace pycnn_cpu {

// A correlation of padded planes. Its source is read through `taps` shifts of a grid that is split
// into the phases of a stride; its result is written to every step-th element of the target. The
// gradient for the input is one such for every phase of the stride.
struct Correlation {
  long groups;
  long channels, height, width;  // of the source, channels of one group
  long stride[2], low[2];        // of the grid over the source; zeros before it
  long taps;
  const long* shifts;  // rows and columns of every tap in the padded source, >= 0
  long filters;        // of one group
  long rows, columns;  // of the result
  long target[2], first[2], step[2];  // extents of the target, and where results lie in it
  long band;                          // pixels of a band of rows, about
};

// Distances of the weight's elements by filter, channel and tap; `numbers` says which taps.
struct Weights {
  long group, filter, channel;
  const long* numbers;
};

template <class T> struct Functions {
  // Of the bands of rows `begin` to `end`, counted through all images.
  void (*correlate)(const Correlation&, const T* source, const T* weight, const Weights&,
                    const T* bias, T* target, long begin, long end);
  // Adds the gradient for the weight (groups, filters, channels, taps) of the images.
  void (*weight_gradient)(const Correlation&, const T* source, const T* dy, T* dweight, long begin,
                          long end);
  // Of channels begin to end of (images, channels, pixels).
  void (*moments)(const T* x, long n, long c, long pixels, long begin, long end, double* mean,
                  double* variance);
  void (*scale_shift)(const T* x, const T* residual, bool rectified, long n, long c, long pixels,
                      long begin, long end, const T* mean, const T* scale, const T* bias, T* y);
  void (*norm_sums)(const T* dy, const T* y, T* passed, const T* x, long n, long c, long pixels,
                    long begin, long end, const T* mean, const T* rstd, double* sum_dy,
                    double* sum_dyz);
  void (*norm_gradient)(const T* dy, const T* x, long n, long c, long pixels, long begin, long end,
                        const T* mean, const T* rstd, const T* mean_dy, const T* mean_dyz,
                        const T* scale, T* dx);
  // Of elements begin to end.
  void (*relu)(const T* x, T* y, long begin, long end);
  void (*relu_backward)(const T* dy, const T* x, T* dx, long begin, long end);
  bool (*finite)(const T* x, long begin, long end);
};

struct Table {
  const char* name;
  long (*bands)(const Correlation&);  // of an image
  Functions<float> single;
  Functions<double> twice;
};

extern const Table baseline, avx2, avx512;

}  // namespace pycnn_cpu
