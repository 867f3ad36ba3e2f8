// Which instruction sets this processor offers, and which one the library uses.
#pragma once

#include <string>
#include <vector>

namespace gated {

// Every set found, weakest first: "scalar", then "avx2", "avx512" or "neon". The first is always there.
std::vector<std::string> isa_found();

// The set in use: the strongest found. The environment variable GATED_ISA may lower the choice, never raise
// it. Throws std::invalid_argument when GATED_ISA names a set that was not found.
std::string isa();

}  // namespace gated
