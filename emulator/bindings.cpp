// The Python module pycnn.emulator._runtime: load a kernel library, launch its entries.

#include <cstring>

#include <dlfcn.h>
#if defined(__linux__)
#include <link.h>
#endif

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"

namespace py = pybind11;
using namespace pycnn_emu;

namespace {

// Space for the arguments by value of one launch: 4 KiB, as CUDA allows, plus alignment.
struct Packed {
    static constexpr size_t kSlot = 64;  // alignment of the strictest argument
    alignas(kSlot) char storage[16 * 1024];
    size_t used = 0;
    std::vector<void*> pointers;

    char* take(size_t size) {
        size_t rounded = (size + kSlot - 1) / kSlot * kSlot;
        if (used + rounded > sizeof(storage))
            throw py::value_error("arguments need more than the 4 KiB that a kernel can take");
        char* at = storage + used;
        used += rounded;
        pointers.push_back(at);
        return at;
    }
};

const char* kind_name(const Argument& a) {
    switch (a.kind) {
        case kPointer: return "pointer";
        case kSigned: return "signed integer";
        case kUnsigned: return "unsigned integer";
        case kFloat: return "floating-point number";
        case kBool: return "bool";
        default: return "struct";
    }
}

[[noreturn]] void refuse(const Entry& entry, size_t index, const Argument& wanted, py::handle got) {
    throw py::type_error(format("%s: argument %zu is a %s, the kernel takes a %s of %d bytes",
                                entry.name, index, Py_TYPE(got.ptr())->tp_name, kind_name(wanted),
                                wanted.size));
}

void pack_integer(Packed& packed, const Entry& entry, size_t index, const Argument& wanted,
                  py::handle value) {
    bool is_unsigned = wanted.kind != kSigned;
    unsigned long long bits = is_unsigned
                                  ? PyLong_AsUnsignedLongLong(value.ptr())
                                  : static_cast<unsigned long long>(PyLong_AsLongLong(value.ptr()));
    bool outside = PyErr_Occurred() != nullptr;
    PyErr_Clear();
    int width = 8 * wanted.size;
    if (!outside && width < 64) {
        auto v = static_cast<long long>(bits);
        outside = is_unsigned ? bits >> width != 0
                              : v < -(1ll << (width - 1)) || v >= 1ll << (width - 1);
    }
    if (outside)
        throw py::value_error(format("%s: argument %zu is %s, which does not fit a %s of %d bytes",
                                     entry.name, index, std::string(py::str(value)).c_str(),
                                     kind_name(wanted), wanted.size));
    std::memcpy(packed.take(static_cast<size_t>(wanted.size)), &bits,
                static_cast<size_t>(wanted.size));
}

// NumPy scalars and structured scalars, by the buffer protocol.
void pack_scalar(Packed& packed, const Entry& entry, size_t index, const Argument& wanted,
                 py::handle value) {
    Py_buffer view;
    if (PyObject_GetBuffer(value.ptr(), &view, PyBUF_FORMAT | PyBUF_STRIDES) != 0) {
        PyErr_Clear();
        refuse(entry, index, wanted, value);
    }
    const char* f = view.format ? view.format : "B";
    bool is_float = std::strchr("efdg", f[0]) && !f[1];
    bool is_integer = std::strchr("bBhHiIlLqQ?", f[0]) && !f[1];
    bool fits = view.len == wanted.size &&
                (wanted.kind == kStruct || (wanted.kind == kFloat ? is_float : is_integer));
    if (fits)
        std::memcpy(packed.take(static_cast<size_t>(view.len)), view.buf,
                    static_cast<size_t>(view.len));
    PyBuffer_Release(&view);
    if (!fits) refuse(entry, index, wanted, value);
}

void pack(Packed& packed, const Entry& entry, size_t index, py::handle value) {
    const Argument& wanted = entry.arguments[index];
    PyObject* object = value.ptr();
    if (wanted.kind == kPointer) {
        const void* pointer;
        if (py::isinstance<py::array>(value))
            pointer = py::reinterpret_borrow<py::array>(value).data();
        else if (value.is_none())
            pointer = nullptr;
        else if (PyLong_Check(object))
            pointer = PyLong_AsVoidPtr(object);
        else
            refuse(entry, index, wanted, value);
        std::memcpy(packed.take(sizeof(pointer)), &pointer, sizeof(pointer));
    } else if (PyBool_Check(object)) {
        bool flag = object == Py_True;
        if (wanted.kind != kBool) refuse(entry, index, wanted, value);
        std::memcpy(packed.take(1), &flag, 1);
    } else if (PyLong_Check(object)) {
        if (wanted.kind != kSigned && wanted.kind != kUnsigned) refuse(entry, index, wanted, value);
        pack_integer(packed, entry, index, wanted, value);
    } else if (PyFloat_CheckExact(object)) {
        // CuPy passes a Python float as eight bytes; a float parameter would read half of them.
        if (wanted.kind != kFloat || wanted.size != 8) refuse(entry, index, wanted, value);
        double number = PyFloat_AS_DOUBLE(object);
        std::memcpy(packed.take(8), &number, 8);
    } else {
        pack_scalar(packed, entry, index, wanted, value);
    }
}

}  // namespace

namespace pycnn_emu {

namespace {

py::dict to_dict(const Position& p) {
    py::dict d;
    d["file"] = p.file;
    d["line"] = p.line;
    d["offset"] = py::none();
    d["pc"] = reinterpret_cast<uintptr_t>(p.pc);
    if (p.pc) {
        Dl_info info;
        if (dladdr(p.pc, &info))
            d["offset"] = reinterpret_cast<uintptr_t>(p.pc) -
                          reinterpret_cast<uintptr_t>(info.dli_fbase);
    }
    return d;
}

py::tuple to_tuple(const uint3& v) { return py::make_tuple(v.x, v.y, v.z); }

}  // namespace

py::dict to_dict(const Report& r) {
    py::dict d;
    d["kind"] = r.kind;
    d["message"] = r.message;
    d["array"] = r.array;
    d["where"] = to_dict(r.where);
    d["other"] = to_dict(r.other);
    d["thread"] = r.thread;
    d["other_thread"] = r.other_thread;
    d["block"] = to_tuple(r.block);
    d["other_block"] = to_tuple(r.other_block);
    d["address"] = reinterpret_cast<uintptr_t>(r.address);
    return d;
}

py::dict to_dict(const Counters& c) {
    py::dict d;
    d["global_load_requests"] = c.global_load_requests;
    d["global_load_sectors"] = c.global_load_sectors;
    d["global_store_requests"] = c.global_store_requests;
    d["global_store_sectors"] = c.global_store_sectors;
    d["global_atomic_requests"] = c.global_atomic_requests;
    d["global_atomic_sectors"] = c.global_atomic_sectors;
    d["shared_load_requests"] = c.shared_load_requests;
    d["shared_store_requests"] = c.shared_store_requests;
    d["shared_atomic_requests"] = c.shared_atomic_requests;
    d["shared_wavefronts"] = c.shared_wavefronts;
    d["bank_conflicts"] = c.bank_conflicts;
    d["global_bytes_read"] = c.global_bytes_read;
    d["global_bytes_written"] = c.global_bytes_written;
    d["barriers"] = c.barriers;
    return d;
}

bool python_interrupts() {
    py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
}

}  // namespace pycnn_emu

namespace {

class Library {
public:
    explicit Library(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (!handle_) throw std::runtime_error(dlerror());
        auto* table = static_cast<const Entry* const*>(dlsym(handle_, "pycnn_emu_entries"));
        if (!table) throw std::runtime_error(path + " is no kernel library");
        for (; *table; ++table) entries_.push_back(*table);
    }

    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const Entry* entry : entries_) names.emplace_back(entry->name);
        return names;
    }

    // Address and size of a __constant__ or __device__ variable.
    py::tuple variable(const std::string& name) const {
        void* address = dlsym(handle_, name.c_str());
        size_t size = 0;
#if defined(__linux__)
        Dl_info info;
        ElfW(Sym)* symbol = nullptr;
        if (address && dladdr1(address, &info, reinterpret_cast<void**>(&symbol), RTLD_DL_SYMENT) &&
            symbol)
            size = symbol->st_size;
#endif
        return py::make_tuple(reinterpret_cast<uintptr_t>(address), size);
    }

    py::tuple launch(size_t index, const std::array<unsigned, 3>& grid,
                     const std::array<unsigned, 3>& block, size_t shared, const py::tuple& arguments,
                     unsigned workers, int order, uint64_t seed, bool checked,
                     const std::vector<std::tuple<uintptr_t, size_t, bool, std::string>>& ranges) {
        const Entry& entry = *entries_.at(index);
        if (arguments.size() != static_cast<size_t>(entry.count))
            throw py::type_error(format("%s takes %d arguments, %zu were given", entry.name,
                                        entry.count, arguments.size()));
        Packed packed;
        packed.pointers.reserve(arguments.size());
        for (size_t i = 0; i < arguments.size(); ++i) pack(packed, entry, i, arguments[i]);
        Launch job{&entry,
                   dim3(grid[0], grid[1], grid[2]),
                   dim3(block[0], block[1], block[2]),
                   shared,
                   packed.pointers.data(),
                   static_cast<Order>(order),
                   seed};
        Outcome outcome;
        {
            py::gil_scoped_release nogil;
            if (checked) {
                std::vector<Range> list;
                for (const auto& [base, size, initialised, label] : ranges)
                    list.push_back(Range{base, size, initialised, label});
                outcome = run_checked(job, std::move(list), python_interrupts);
            } else {
                outcome = run(job, workers, python_interrupts);
            }
            std::fflush(stdout);  // device printf
        }
        if (outcome.interrupted) throw py::error_already_set();
        py::object report = py::none();
        if (outcome.report) report = to_dict(*outcome.report);
        py::object counters = py::none();
        if (checked) counters = to_dict(outcome.counters);
        return py::make_tuple(report, counters);
    }

private:
    void* handle_;  // never closed: a library may hold memory that arrays still point into
    std::vector<const Entry*> entries_;
};

}  // namespace

PYBIND11_MODULE(_runtime, m) {
    m.doc() = "Runs kernels that were compiled for the host; see pycnn.emulator.";
    m.attr("SHARED_LIMIT") = kSharedLimit;
    m.attr("STATIC_LIMIT") = kStaticLimit;
    py::class_<Library>(m, "Library")
        .def(py::init<const std::string&>(), py::arg("path"))
        .def_property_readonly("names", &Library::names)
        .def("variable", &Library::variable, py::arg("name"))
        .def("launch", &Library::launch, py::arg("index"), py::arg("grid"), py::arg("block"),
             py::arg("shared"), py::arg("arguments"), py::arg("workers"), py::arg("order"),
             py::arg("seed"), py::arg("checked"), py::arg("ranges"));
    bind_ptx(m);
}
