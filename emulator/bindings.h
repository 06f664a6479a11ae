// What the parts of the Python module share.
#pragma once

#include <pybind11/pybind11.h>

#include "launch.h"

namespace pycnn_emu {

pybind11::dict to_dict(const Report& report);
pybind11::dict to_dict(const Counters& counters);
// Report and counters of a launch, each None where there is none; raises where Python ended it.
pybind11::tuple to_tuple(const Outcome& outcome, bool checked);
// Whether Python wants the launch to end; to be asked on the thread that launches.
bool python_interrupts();

// Whether an argument is a pycnn.emulator.Pointer: an array and an offset in bytes.
bool is_pointer(pybind11::handle value);

void bind_ptx(pybind11::module_& m);
void bind_ptx_pack(pybind11::module_& m);

}  // namespace pycnn_emu
