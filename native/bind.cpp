// Python's door to the native core: types and checks only, no arithmetic.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "dispatch.h"

NB_MODULE(_native, m) {
    m.doc() = "The native core of gated.";
    m.def("isa_found", &gated::isa_found, "Instruction sets this processor offers, weakest first.");
    m.def("isa", &gated::isa, "Instruction set in use; GATED_ISA may lower it.");
}
