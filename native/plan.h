// A plan: a step program and its backward program, lowered to instructions over rows of numbers.
// `kernels/lower.py` makes it from a cell's equations. A row is one sequence's numbers at one step; every
// operand is a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gated {

enum Kind {
    NONE,
    SLOT,     // temporary
    Z,        // block of z; of dz in the backward program
    STATE,    // old state
    NEXT,     // new state, but for h
    SAVED,    // column kept for the backward program or the caller
    VECTOR,   // the cell's own vector, the same for all rows
    CONST,    // constant
    DSTATE,   // gradient of the new state
    DPREV,    // gradient of the old state
    DSEED,    // the caller's gradient of a saved column
    EXTRA,    // column beside dz
    SCALAR,   // one number a row
    DVECTOR,  // gradient of the cell's own vector
    Y,        // new h
    WATCH,    // gradient that the caller wants to see
    KINDS
};

enum Op {
    COPY,
    ADD,
    SUB,
    MUL,
    DIV,
    NEG,
    FMA,   // a b + c
    FMS,   // a b - c
    FNMA,  // c - a b
    SIGMOID,
    TANH,
    RELU,
    DSIGMOID,     // a b (1 - b)
    DTANH,        // a (1 - b b)
    DRELU,        // a where b > 0
    NORM,         // (a - mean) / √(var + 1e-5); c gets the divisor's inverse
    DNORM,        // c (a - mean a - b mean(a b))
    ACC,          // d += Σ rows a
    ACCMUL,       // d += Σ rows a b
    NOISE,        // mask
    GATES,        // z = W x + b + R a + b'
    DGATES,       // d = Rᵀ dz + b
    PRODUCT,      // d = M a
    DPRODUCT,     // d = Mᵀ a + b
    DSIGMOIDMUL,  // a c b (1 - b)
    DTANHMUL,     // a c (1 - b b)
    OPS
};

struct Instruction {
    int op, d, a, b, c, imm;  // operands: kind * 256 + index
};

struct Outer {
    int matrix, input, gradient;  // dM += Σ gradientᵀ input
};

constexpr int kind(int operand) { return operand / 256; }
constexpr int index(int operand) { return operand % 256; }

// Made and unmade in plan.cpp alone: what a target's file compiled must never serve another processor.
struct Plan {
    Plan();
    Plan(const Plan&);
    ~Plan();

    // z: blocks that see x only, both, h only; each a block of rows of weight_ih and weight_hh
    std::vector<int> x_rows, h_rows;
    int both = 0;
    int states = 0, h = 0;
    bool project = false, recur = false;
    int vectors = 0, saved = 0, scalars = 0, extras = 0, watched = 0;
    int slots[2] = {0, 0};
    std::vector<double> constants;
    std::vector<Instruction> forward, backward;
    std::vector<int> carry;
    std::vector<Outer> outer;
    int main = 0;

    int x_blocks() const { return int(x_rows.size()); }
    int h_blocks() const { return int(h_rows.size()); }
    int h_first() const { return x_blocks() - both; }
    int blocks() const { return x_blocks() + h_blocks() - both; }
    int weights() const { return 6 + vectors; }  // of one direction
    // Whether every unit is computed by itself but for GATES and DGATES, so that threads may share out the
    // units.
    bool unitwise() const;
    // Throws std::invalid_argument if an instruction reaches outside what the plan declares: a program may
    // come from a file.
    void check() const;
};

// One call, addresses as Python gave them; an address 0 is absent. B and T may be 0.
struct Call {
    Call();
    Call(const Call&);
    ~Call();

    int64_t T = 0, B = 0, I = 0, H = 0, P = 0, D = 0;
    const void* x = nullptr;
    int64_t xt = 0, xb = 0;  // strides of x
    std::vector<const void*> s0, weights;
    const int64_t* lengths = nullptr;
    const int64_t* order = nullptr;  // sequences, longest first; where there are lengths
    const int64_t* seed = nullptr;
    void* y = nullptr;
    std::vector<void*> finals;
    void *saved = nullptr, *bounds = nullptr;
    int64_t chunk = 0;
    bool bf16 = false;
    int threads = 1;
    // backward
    const void* dy = nullptr;
    std::vector<const void*> dfinals;
    const void* dsaved = nullptr;
    void* dx = nullptr;
    int64_t dxt = 0, dxb = 0;
    std::vector<void*> ds0, dweights;
    void* watch = nullptr;

    int64_t length(int64_t b) const { return lengths == nullptr ? T : lengths[b]; }
};

}  // namespace gated
