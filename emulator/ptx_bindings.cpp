// Kernels compiled from PTX, for Python.

#include <array>
#include <cstdio>
#include <memory>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "ptx.h"

namespace py = pybind11;

namespace pycnn_emu {

namespace {

using RangeRow = std::tuple<uintptr_t, size_t, bool, std::string, size_t>;
using ConstantRow = std::tuple<uintptr_t, size_t, std::string>;

py::tuple launch(PtxKernel& kernel, const std::array<unsigned, 3>& grid,
                 const std::array<unsigned, 3>& block, const std::array<unsigned, 3>& cluster,
                 size_t shared, uintptr_t parameters,
                 uintptr_t globals, unsigned workers, int order, uint64_t seed, bool checked,
                 double timeout, uint64_t max_steps, const std::vector<RangeRow>& ranges,
                 const std::vector<ConstantRow>& constants,
                 const std::vector<uintptr_t>& numbers, bool same_value_races) {
    Knowledge knowledge{{}, numbers, same_value_races};
    for (const auto& [base, size, initialised, label, guard] : ranges)
        knowledge.ranges.push_back(Range{base, size, initialised, label, false, false, guard});
    for (const auto& [base, size, label] : constants)
        knowledge.ranges.push_back(Range{base, size, true, label, true});
    Outcome outcome;
    {
        py::gil_scoped_release nogil;
        outcome = kernel.launch(
            dim3(grid[0], grid[1], grid[2]), dim3(block[0], block[1], block[2]),
            dim3(cluster[0], cluster[1], cluster[2]), shared,
            reinterpret_cast<void*>(parameters), reinterpret_cast<void*>(globals), workers,
            static_cast<Order>(order), seed, checked, timeout, max_steps, std::move(knowledge),
            python_interrupts);
        std::fflush(stdout);  // device printf
    }
    return to_tuple(outcome, checked);
}

// A row of `sites`: what and file, as places in `words`, then the line and what is not for here.
std::unique_ptr<PtxKernel> make(uintptr_t code, std::string name, std::vector<std::string> words,
                                const py::array_t<int, py::array::c_style>& sites,
                                std::vector<PtxKernel::SharedRow> shared,
                                std::string dynamic_name) {
    auto rows = sites.unchecked<2>();
    std::vector<PtxKernel::SiteRow> of_kernel;
    for (py::ssize_t i = 0; i < rows.shape(0); ++i)
        of_kernel.push_back({rows(i, 0), rows(i, 1), rows(i, 2)});
    return std::make_unique<PtxKernel>(code, std::move(name), std::move(words), of_kernel,
                                       std::move(shared), std::move(dynamic_name));
}

}  // namespace

void bind_ptx(py::module_& m) {
    m.attr("PTX_FUNCTIONS") = ptx_functions();
    py::class_<PtxKernel>(m, "PtxKernel")
        .def(py::init(&make), py::arg("code"), py::arg("name"), py::arg("words"),
             py::arg("sites"), py::arg("shared"), py::arg("dynamic_name"))
        .def("launch", &launch, py::arg("grid"), py::arg("block"), py::arg("cluster"), py::arg("shared"),
             py::arg("parameters"), py::arg("globals"), py::arg("workers"), py::arg("order"),
             py::arg("seed"), py::arg("checked"),
             py::arg("timeout"), py::arg("max_steps"), py::arg("ranges"), py::arg("constants"), py::arg("numbers"),
             py::arg("same_value_races"));
}

}  // namespace pycnn_emu
