// The arguments of a launch as the block of parameters that an entry of PTX reads.
//
// PTX knows of a parameter its size and little more, so what is checked is that: numbers must fit
// their bytes, structs must have them all.

#include <cstring>
#include <memory>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings.h"

namespace py = pybind11;

namespace pycnn_emu {

namespace {

constexpr size_t kAlign = 64;

// Memory of one launch's parameters.
struct Parameters {
    explicit Parameters(size_t size)
        : memory(std::make_unique<char[]>(size + kAlign)),
          address((reinterpret_cast<uintptr_t>(memory.get()) + kAlign - 1) / kAlign * kAlign) {}

    std::unique_ptr<char[]> memory;  // of zeros
    uintptr_t address;
    bool read_only = false;  // of an array that the entry may write to
};

struct Field {
    size_t offset, size;
    char type;  // u, s, f and b as in PTX; a: an array of bytes, which is how it has structs
    std::string text;
    bool written;  // the entry may write to what it points to

    bool is_address() const { return size == 8 && type != 'f' && type != 'a'; }
};

class Packer {
public:
    using Row = std::tuple<size_t, size_t, char, std::string, bool>;

    Packer(std::string name, size_t size, const std::vector<Row>& rows)
        : name_(std::move(name)), size_(size), generic_(py::module_::import("numpy").attr("generic")) {
        for (const auto& [offset, bytes, type, text, written] : rows)
            fields_.push_back({offset, bytes, type, text, written});
    }

    std::unique_ptr<Parameters> pack(const py::sequence& arguments) const {
        if (arguments.size() != fields_.size())
            throw py::type_error(format("%s takes %zu arguments, %zu were given", name_.c_str(),
                                        fields_.size(), arguments.size()));
        auto all = std::make_unique<Parameters>(size_);
        for (size_t i = 0; i < fields_.size(); ++i)
            put(*all, i, reinterpret_cast<char*>(all->address) + fields_[i].offset, arguments[i]);
        return all;
    }

private:
    [[noreturn]] void refuse(size_t i, py::handle value) const {
        auto type = py::str(py::type::handle_of(value).attr("__name__"));
        throw py::type_error(format("%s: argument %zu is a %s, the kernel takes a %s", name_.c_str(), i,
                                    std::string(type).c_str(), fields_[i].text.c_str()));
    }

    void put(Parameters& all, size_t i, char* to, py::handle value) const {
        const Field& field = fields_[i];
        PyObject* object = value.ptr();
        if (py::isinstance<py::array>(value)) {
            put_address(all, i, to, py::reinterpret_borrow<py::array>(value), 0, value);
        } else if (is_pointer(value)) {
            put_address(all, i, to, py::cast<py::array>(value.attr("array")),
                        value.attr("offset").cast<long long>(), value);
        } else if (value.is_none()) {
            if (field.size != 8 || field.type == 'f') refuse(i, value);
        } else if (PyBool_Check(object)) {
            if (field.size != 1) refuse(i, value);
            *to = object == Py_True;
        } else if (PyLong_Check(object)) {
            if (field.type == 'f' || field.size > 8) refuse(i, value);
            put_integer(i, to, value);
        } else if (PyFloat_CheckExact(object)) {
            // CuPy passes a Python float as eight bytes; a float parameter would read half of them.
            if (field.size != 8 || (field.type != 'f' && field.type != 'a')) refuse(i, value);
            double number = PyFloat_AS_DOUBLE(object);
            std::memcpy(to, &number, sizeof(number));
        } else if (!py::isinstance(value, generic_) || !put_scalar(field, to, value)) {
            refuse(i, value);
        }
    }

    void put_address(Parameters& all, size_t i, char* to, const py::array& array, long long offset,
                     py::handle value) const {
        if (!fields_[i].is_address()) refuse(i, value);
        constexpr uint64_t kHoldsObjects = 1;  // NPY_ITEM_REFCOUNT
        if (static_cast<uint64_t>(array.dtype().flags()) & kHoldsObjects)
            throw py::type_error(format("argument %zu is an array of Python objects", i));
        all.read_only |= fields_[i].written && !array.writeable();
        const char* address = static_cast<const char*>(array.data()) + offset;
        std::memcpy(to, &address, sizeof(address));
    }

    void put_integer(size_t i, char* to, py::handle value) const {
        const Field& field = fields_[i];
        const auto width = static_cast<unsigned>(8 * field.size);
        int beyond = 0;
        long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &beyond);
        bool fits = !beyond && (width >= 64 || (number >= -(1ll << (width - 1)) && number < 1ll << width));
        if (beyond > 0 && width == 64) {
            number = static_cast<long long>(PyLong_AsUnsignedLongLong(value.ptr()));
            fits = !PyErr_Occurred();
            PyErr_Clear();
        }
        if (!fits)
            throw py::value_error(format("%s: argument %zu is %s, which does not fit a %s", name_.c_str(),
                                         i, std::string(py::str(value)).c_str(), field.text.c_str()));
        std::memcpy(to, &number, field.size);
    }

    // A scalar of NumPy: of the size that is wanted, and no float for an integer or the other way.
    static bool put_scalar(const Field& field, char* to, py::handle value) {
        Py_buffer view;
        if (PyObject_GetBuffer(value.ptr(), &view, PyBUF_FORMAT) != 0) {  // of a type from elsewhere
            PyErr_Clear();
            auto bytes = value.attr("tobytes")().cast<std::string>();
            if (bytes.size() != field.size) return false;
            std::memcpy(to, bytes.data(), bytes.size());
            return true;
        }
        const char* f = view.format ? view.format : "B";
        bool is_float = std::strchr("efdg", f[0]) && !f[1];
        bool is_integer = std::strchr("bBhHiIlLqQ?", f[0]) && !f[1];
        bool of_integer = (field.type == 'u' || field.type == 's') && field.size >= 4;
        bool fits = static_cast<size_t>(view.len) == field.size &&
                    !(field.type == 'f' && is_integer) && !(of_integer && is_float);
        if (fits) std::memcpy(to, view.buf, field.size);
        PyBuffer_Release(&view);
        return fits;
    }

    std::string name_;
    size_t size_;
    std::vector<Field> fields_;
    py::object generic_;
};

}  // namespace

void bind_ptx_pack(py::module_& m) {
    py::class_<Parameters>(m, "PtxParameters")
        .def_readonly("address", &Parameters::address)
        .def_readonly("read_only", &Parameters::read_only);
    py::class_<Packer>(m, "PtxPacker")
        .def(py::init<std::string, size_t, const std::vector<Packer::Row>&>(), py::arg("name"),
             py::arg("size"), py::arg("rows"))
        .def("__call__", &Packer::pack, py::arg("arguments"));
}

}  // namespace pycnn_emu
