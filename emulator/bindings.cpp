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

PyTypeObject* pointer_type = nullptr;  // pycnn.emulator.Pointer: an array and an offset in bytes

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
        case kPointer:
        case kConstPointer: return "pointer";
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

// Address of an array's first element, if a kernel may have it.
const void* array_data(const Entry& entry, size_t index, const py::array& array) {
    constexpr uint64_t kHoldsObjects = 1;  // NPY_ITEM_REFCOUNT
    if (static_cast<uint64_t>(array.dtype().flags()) & kHoldsObjects)
        throw py::type_error(format("%s: argument %zu is an array of Python objects (dtype %s)",
                                    entry.name, index,
                                    std::string(py::str(array.dtype())).c_str()));
    if (entry.arguments[index].kind == kPointer && !array.writeable())
        throw py::value_error(
            format("%s: argument %zu is a read-only array, the kernel's pointer is not to const",
                   entry.name, index));
    return array.data();
}

const void* address_of(const Entry& entry, size_t index, py::handle value) {
    static_assert(sizeof(void*) == sizeof(unsigned long long), "addresses have 64 bits");
    if (py::isinstance<py::array>(value))
        return array_data(entry, index, py::reinterpret_borrow<py::array>(value));
    if (value.is_none()) return nullptr;
    if (PyLong_Check(value.ptr())) {
        unsigned long long address = PyLong_AsUnsignedLongLong(value.ptr());
        if (!PyErr_Occurred()) return reinterpret_cast<const void*>(address);
        PyErr_Clear();
        throw py::value_error(format("%s: argument %zu is %s, which is no address", entry.name,
                                     index, std::string(py::str(value)).c_str()));
    }
    if (is_pointer(value)) {
        auto array = py::cast<py::array>(value.attr("array"));
        return static_cast<const char*>(array_data(entry, index, array)) +
               value.attr("offset").cast<long long>();
    }
    refuse(entry, index, entry.arguments[index], value);
}

void pack(Packed& packed, const Entry& entry, size_t index, py::handle value) {
    const Argument& wanted = entry.arguments[index];
    PyObject* object = value.ptr();
    if (wanted.kind == kPointer || wanted.kind == kConstPointer) {
        const void* pointer = address_of(entry, index, value);
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

bool is_pointer(py::handle value) {
    return pointer_type && PyType_IsSubtype(Py_TYPE(value.ptr()), pointer_type);
}

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

py::tuple to_tuple(const Outcome& outcome, bool checked) {
    if (outcome.interrupted) throw py::error_already_set();
    py::object report = py::none();
    if (outcome.report) report = to_dict(*outcome.report);
    py::object counters = py::none();
    if (checked) counters = to_dict(outcome.counters);
    return py::make_tuple(report, counters);
}

bool python_interrupts() {
    py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
}

}  // namespace pycnn_emu

namespace {

class Library {
public:
    explicit Library(const std::string& path)
        : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (!handle_) throw std::runtime_error(dlerror());
        auto* table = static_cast<const Entry* const*>(dlsym(handle_, "pycnn_emu_entries"));
        if (!table) throw std::runtime_error(path + " is no kernel library");
        for (; *table; ++table) entries_.push_back(*table);
        find_code();
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

    // Raises what a launch with these arguments would raise before it begins.
    void check_arguments(size_t index, const py::tuple& arguments) const {
        Packed packed;
        pack_all(packed, *entries_.at(index), arguments);
    }

    py::tuple launch(size_t index, const std::array<unsigned, 3>& grid,
                     const std::array<unsigned, 3>& block, size_t shared, const py::tuple& arguments,
                     unsigned workers, int order, uint64_t seed, bool checked, double timeout,
                     uint64_t max_steps,
                     const std::vector<std::tuple<uintptr_t, size_t, bool, std::string, size_t>>& ranges,
                     const std::vector<uintptr_t>& numbers, bool same_value_races) {
        const Entry& entry = *entries_.at(index);
        Packed packed;
        pack_all(packed, entry, arguments);
        Launch job{&entry,
                   dim3(grid[0], grid[1], grid[2]),
                   dim3(block[0], block[1], block[2]),
                   shared,
                   packed.pointers.data(),
                   static_cast<Order>(order),
                   seed,
                   code_,
                   code_size_,
                   timeout,
                   max_steps};
        Outcome outcome;
        {
            py::gil_scoped_release nogil;
            if (checked) {
                Knowledge knowledge{{}, numbers, same_value_races};
                for (const auto& [base, size, initialised, label, guard] : ranges)
                    knowledge.ranges.push_back(
                        Range{base, size, initialised, label, false, false, guard});
                outcome = run_checked(job, std::move(knowledge), python_interrupts);
            } else {
                outcome = run(job, workers, python_interrupts);
            }
            std::fflush(stdout);  // device printf
        }
        return to_tuple(outcome, checked);
    }

private:
    static void pack_all(Packed& packed, const Entry& entry, const py::tuple& arguments) {
        if (arguments.size() != static_cast<size_t>(entry.count))
            throw py::type_error(format("%s takes %d arguments, %zu were given", entry.name,
                                        entry.count, arguments.size()));
        packed.pointers.reserve(arguments.size());
        for (size_t i = 0; i < arguments.size(); ++i) pack(packed, entry, i, arguments[i]);
    }

    void find_code() {
#if defined(__linux__)
        Dl_info info;
        if (entries_.empty() || !dladdr(entries_[0], &info)) return;
        code_ = reinterpret_cast<uintptr_t>(info.dli_fbase);
        dl_iterate_phdr(
            [](dl_phdr_info* module, size_t, void* data) {
                auto* self = static_cast<Library*>(data);
                if (module->dlpi_addr != self->code_) return 0;
                for (int i = 0; i < module->dlpi_phnum; ++i) {
                    const auto& segment = module->dlpi_phdr[i];
                    if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X)) continue;
                    self->code_ = module->dlpi_addr + segment.p_vaddr;
                    self->code_size_ = segment.p_memsz;
                }
                return 1;
            },
            this);
#endif
    }

    uintptr_t code_ = 0;  // its instructions
    size_t code_size_ = 0;
    void* handle_;  // never closed: a library may hold memory that arrays still point into
    std::vector<const Entry*> entries_;
};

// Of each row of addresses: passes over the banks of shared memory, and the fewest for its bytes.
py::array_t<uint32_t> bank_passes(
    const py::array_t<uint64_t, py::array::c_style | py::array::forcecast>& addresses, unsigned size,
    bool matrix) {
    if (addresses.ndim() != 2 || addresses.shape(1) > 32 || !size)
        throw py::value_error("addresses must be rows of at most 32 lanes, of a byte and more each");
    const py::ssize_t rows = addresses.shape(0), lanes = addresses.shape(1);
    py::array_t<uint32_t> found({rows, py::ssize_t{2}});
    WarpLog log;
    log.begin(1);
    for (py::ssize_t row = 0; row < rows; ++row) {
        auto passes = log.passes(addresses.data(row, 0), static_cast<unsigned>(lanes), size, matrix);
        found.mutable_at(row, 0) = passes.needed;
        found.mutable_at(row, 1) = passes.least;
    }
    return found;
}

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
             py::arg("seed"), py::arg("checked"), py::arg("timeout"), py::arg("max_steps"),
             py::arg("ranges"), py::arg("numbers"), py::arg("same_value_races"))
        .def("check_arguments", &Library::check_arguments, py::arg("index"), py::arg("arguments"));
    m.def(
        "set_pointer_type",
        [](py::type type) { pointer_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr()); },
        py::arg("type"));
    m.def("bank_passes", &bank_passes, py::arg("addresses"), py::arg("size"), py::arg("matrix"));
    bind_ptx(m);
    bind_ptx_pack(m);
}
