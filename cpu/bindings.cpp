// The module pycnn.reference.cpu._compiled: loops that NumPy has not, for NumPy's arrays. Callers
// check shapes and dtypes; every array is C-contiguous.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pool.h"
#include "table.h"

namespace py = pybind11;
using namespace pycnn_cpu;
using Pair = std::array<long, 2>;

namespace {

const Table* chosen = &baseline;

std::vector<std::string> sets() {
  std::vector<std::string> names{"baseline"};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) names.push_back("avx2");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    names.push_back("avx512");
#endif
  return names;
}

void choose(const std::string& name) {
  for (const auto& known : sets())
    if (known == name) {
#if defined(__x86_64__)
      chosen = name == "avx512" ? &avx512 : name == "avx2" ? &avx2 : &baseline;
#endif
      return;
    }
  throw py::value_error(name + " is not an instruction set of this processor");
}

// A correlation, and what its pointers point to.
struct Job {
  Correlation c{};
  std::vector<long> shifts, numbers;
  Weights weights{};

  Job(long groups, long channels, Pair extents, Pair stride, Pair low, std::vector<long> shifts_,
      long filters, Pair out, Pair target, Pair first, Pair step, std::array<long, 3> distances,
      std::vector<long> numbers_, long band)
      : shifts(std::move(shifts_)), numbers(std::move(numbers_)) {
    c = {groups, channels, extents[0], extents[1], {stride[0], stride[1]}, {low[0], low[1]},
         long(numbers.size()), shifts.data(), filters, out[0], out[1], {target[0], target[1]},
         {first[0], first[1]}, {step[0], step[1]}, band};
    weights = {distances[0], distances[1], distances[2], numbers.data()};
  }
  Job(const Job&) = delete;
};

template <class T> const Functions<T>& functions();
template <> const Functions<float>& functions() { return chosen->single; }
template <> const Functions<double>& functions() { return chosen->twice; }

template <class T> using Array = py::array_t<T, py::array::c_style>;
template <class T> using Maybe = std::optional<Array<T>>;

template <class T> const T* data(const Maybe<T>& array) { return array ? array->data() : nullptr; }

template <class T>
void correlate(const Job& job, const Array<T>& source, const Array<T>& weight,
               const Maybe<T>& bias, Array<T>& target, long begin, long end) {
  const T *from = source.data(), *w = weight.data(), *b = data(bias);
  T* to = target.mutable_data();
  py::gil_scoped_release release;
  functions<T>().correlate(job.c, from, w, job.weights, b, to, begin, end);
}

template <class T>
void weight_gradient(const Job& job, const Array<T>& source, const Array<T>& dy, Array<T>& dweight,
                     long begin, long end) {
  const T *from = source.data(), *above = dy.data();
  T* to = dweight.mutable_data();
  py::gil_scoped_release release;
  functions<T>().weight_gradient(job.c, from, above, to, begin, end);
}

// (channels) of what a function writes for the channels begin to end of x (images, channels, ...).
struct Extents {
  long n, c, pixels;
  explicit Extents(const py::array& x)
      : n(x.shape(0)), c(x.shape(1)), pixels(n && c ? x.size() / n / c : 0) {}
};

template <class T>
void moments(const Array<T>& x, Array<double>& mean, Array<double>& variance, long begin,
             long end) {
  Extents e(x);
  const T* from = x.data();
  double *m = mean.mutable_data(), *v = variance.mutable_data();
  py::gil_scoped_release release;
  functions<T>().moments(from, e.n, e.c, e.pixels, begin, end, m, v);
}

template <class T>
void scale_shift(const Array<T>& x, const Maybe<T>& residual, bool rectified,
                 const Array<T>& mean, const Array<T>& scale, const Array<T>& bias, Array<T>& y,
                 long begin, long end) {
  Extents e(x);
  const T *from = x.data(), *more = data(residual), *m = mean.data(), *s = scale.data(),
          *b = bias.data();
  T* to = y.mutable_data();
  py::gil_scoped_release release;
  functions<T>().scale_shift(from, more, rectified, e.n, e.c, e.pixels, begin, end, m, s, b, to);
}

template <class T>
void norm_sums(const Array<T>& dy, const Maybe<T>& y, Maybe<T>& passed, const Array<T>& x,
               const Array<T>& mean, const Array<T>& rstd, Array<double>& sum_dy,
               Array<double>& sum_dyz, long begin, long end) {
  Extents e(x);
  const T *above = dy.data(), *out = data(y), *from = x.data(), *m = mean.data(),
          *r = rstd.data();
  T* through = passed ? passed->mutable_data() : nullptr;
  double *plain = sum_dy.mutable_data(), *with = sum_dyz.mutable_data();
  py::gil_scoped_release release;
  functions<T>().norm_sums(above, out, through, from, e.n, e.c, e.pixels, begin, end, m, r, plain,
                           with);
}

template <class T>
void norm_gradient(const Array<T>& dy, const Array<T>& x, const Array<T>& mean,
                   const Array<T>& rstd, const Array<T>& mean_dy, const Array<T>& mean_dyz,
                   const Array<T>& scale, Array<T>& dx, long begin, long end) {
  Extents e(x);
  const T *above = dy.data(), *from = x.data(), *m = mean.data(), *r = rstd.data(),
          *a = mean_dy.data(), *b = mean_dyz.data(), *s = scale.data();
  T* to = dx.mutable_data();
  py::gil_scoped_release release;
  functions<T>().norm_gradient(above, from, e.n, e.c, e.pixels, begin, end, m, r, a, b, s, to);
}

template <class T> void relu(const Array<T>& x, Array<T>& y, long begin, long end) {
  const T* from = x.data();
  T* to = y.mutable_data();
  py::gil_scoped_release release;
  functions<T>().relu(from, to, begin, end);
}

template <class T>
void relu_backward(const Array<T>& dy, const Array<T>& x, Array<T>& dx, long begin, long end) {
  const T *above = dy.data(), *from = x.data();
  T* to = dx.mutable_data();
  py::gil_scoped_release release;
  functions<T>().relu_backward(above, from, to, begin, end);
}

template <class T> bool finite(const Array<T>& x, long begin, long end) {
  const T* from = x.data();
  py::gil_scoped_release release;
  return functions<T>().finite(from, begin, end);
}

template <class T>
void max_pool_backward(const Array<T>& dy, const Array<std::int64_t>& indices, Array<T>& dx,
                       long begin, long end) {
  Extents above(dy), below(dx);
  const T* from = dy.data();
  const std::int64_t* places = indices.data();
  T* to = dx.mutable_data();
  py::gil_scoped_release release;
  pycnn_cpu::max_pool_backward(from, places, above.pixels, to, below.pixels, begin, end);
}

template <class T> void define(py::module_& m) {
  using namespace py::literals;
  m.def("correlate", &correlate<T>, "job"_a, "source"_a.noconvert(), "weight"_a.noconvert(),
        "bias"_a.noconvert().none(true), "target"_a.noconvert(), "begin"_a, "end"_a);
  m.def("weight_gradient", &weight_gradient<T>, "job"_a, "source"_a.noconvert(),
        "dy"_a.noconvert(), "dweight"_a.noconvert(), "begin"_a, "end"_a);
  m.def("max_pool_backward", &max_pool_backward<T>, "dy"_a.noconvert(), "indices"_a.noconvert(),
        "dx"_a.noconvert(), "begin"_a, "end"_a);
  m.def("moments", &moments<T>, "x"_a.noconvert(), "mean"_a.noconvert(), "variance"_a.noconvert(),
        "begin"_a, "end"_a);
  m.def("scale_shift", &scale_shift<T>, "x"_a.noconvert(), "residual"_a.noconvert().none(true),
        "rectified"_a, "mean"_a.noconvert(),
        "scale"_a.noconvert(), "bias"_a.noconvert(), "y"_a.noconvert(), "begin"_a, "end"_a);
  m.def("norm_sums", &norm_sums<T>, "dy"_a.noconvert(), "y"_a.noconvert().none(true),
        "passed"_a.noconvert().none(true), "x"_a.noconvert(), "mean"_a.noconvert(),
        "rstd"_a.noconvert(), "sum_dy"_a.noconvert(), "sum_dyz"_a.noconvert(), "begin"_a, "end"_a);
  m.def("norm_gradient", &norm_gradient<T>, "dy"_a.noconvert(), "x"_a.noconvert(),
        "mean"_a.noconvert(), "rstd"_a.noconvert(), "mean_dy"_a.noconvert(),
        "mean_dyz"_a.noconvert(), "scale"_a.noconvert(), "dx"_a.noconvert(), "begin"_a, "end"_a);
  m.def("relu", &relu<T>, "x"_a.noconvert(), "y"_a.noconvert(), "begin"_a, "end"_a);
  m.def("relu_backward", &relu_backward<T>, "dy"_a.noconvert(), "x"_a.noconvert(),
        "dx"_a.noconvert(), "begin"_a, "end"_a);
  m.def("finite", &finite<T>, "x"_a.noconvert(), "begin"_a, "end"_a);
}

}  // namespace

PYBIND11_MODULE(_compiled, m) {
  m.doc() = "Loops of the CPU path, compiled; what uses them has a way without.";
  m.def("sets", &sets, "Instruction sets of this processor, the best one last.");
  m.def("choose", &choose, "Compute by this one from now on.", py::arg("name"));
  m.def("chosen", [] { return std::string(chosen->name); });
  py::class_<Job>(m, "Job")
      .def(py::init<long, long, Pair, Pair, Pair, std::vector<long>, long, Pair, Pair, Pair, Pair,
                    std::array<long, 3>, std::vector<long>, long>())
      .def_property_readonly("bands", [](const Job& job) { return chosen->bands(job.c); });
  define<float>(m);
  define<double>(m);
  choose(sets().back());
}
