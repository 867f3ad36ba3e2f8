// Which instruction sets this processor offers, and the body compiled for the one in use.
#pragma once

#include <string>
#include <vector>

#include "plan.h"

namespace gated {

// The sets this processor offers, weakest first: "scalar", then "avx2", "avx512" or "neon". The first is
// always there.
std::vector<std::string> available_isas();

// The set in use: the strongest available. The environment variable GATED_ISA may lower the choice, never
// raise it. Throws std::invalid_argument when GATED_ISA names a set that is not available.
std::string isa();

// A layer that takes one step, or some, after another.
class Stream {
   public:
    virtual ~Stream() = default;
    // x (steps, B, I) with strides xt and xb, y (steps, B, P).
    virtual void run(const void* x, int64_t steps, int64_t xt, int64_t xb, void* y) = 0;
};

// The entries of one instruction set, for float and double.
struct Body {
    void (*forward[2])(const Plan&, const Call&);
    void (*backward[2])(const Plan&, const Call&);
    Stream* (*stream[2])(const Plan&, const Call&);
    void (*apply_float)(int op, const float* from, float* to,
                        int64_t n);  // SIGMOID, TANH, else e^x for x <= 0
    void (*apply_double)(int op, const double* from, double* to, int64_t n);
    // chain.h
    void (*chain_sum)(int64_t K, const double* x, const double* M, double* to);
    void (*chain_outer)(int64_t K, const double* x, const double* y, double* M);
    void (*chain_best)(int64_t K, const double* x, const double* M, double* to, int64_t* from);
};

// Whether this processor, with the set in use, multiplies bfloat16 numbers.
bool bf16();

// The body of the set in use, chosen at the first call; that with products of bfloat16 numbers if
// asked for and there.
const Body& body(bool with_bf16 = false);

}  // namespace gated
