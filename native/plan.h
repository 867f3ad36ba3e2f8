// A plan: a step program and its backward program, lowered to instructions over rows of numbers.
// `kernels/cpu/plan.py` makes it from a cell's equations. A row is one sequence's numbers at one step; every
// operand is a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gated {

enum Kind {
#define KIND(name) name,
#include "table.h"
    KINDS
};

enum Op {
#define OP(name, reads, inplace) name,
#include "table.h"
    OPS
};

enum Parameter {
#define PARAMETER(name) name,
#include "table.h"
    FIXED  // the first of the cell's own vectors, (H) each
};

constexpr double EPSILON = 1e-5;  // of NORM

struct Instruction {
    int op, d, a, b, c, imm;  // operands: kind * 256 + index

    bool narrow() const { return imm & 1; }  // rows of P numbers, not H
    bool drop() const { return imm & 2; }    // NOISE: one mask for all steps, scaled
    int stream() const { return imm >> 8; }  // NOISE: of random numbers
    int matrix() const { return imm >> 8; }  // PRODUCT, DPRODUCT: 0 project, 1 recur
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
    int vectors = 0, saved = 0, scalars = 0, extras = 0, traced = 0;
    int slots[2] = {0, 0};  // of the forward and the backward program
    std::vector<double> constants;
    std::vector<Instruction> forward, backward;
    std::vector<int> carry;    // by state: the operand that the next step finds it in
    std::vector<Outer> outer;  // products for the gradients of project and recur
    int main = 0;              // operand that R multiplies

    int x_blocks() const { return int(x_rows.size()); }
    int h_blocks() const { return int(h_rows.size()); }
    int h_first() const { return x_blocks() - both; }
    int blocks() const { return x_blocks() + h_blocks() - both; }
    int max_slots() const { return slots[0] > slots[1] ? slots[0] : slots[1]; }
    int parameters() const { return FIXED + vectors; }  // of one direction
    bool has(int matrix) const { return matrix == 0 ? project : recur; }
    // Whether every unit is computed by itself but for GATES and DGATES, so that threads may divide the
    // units.
    bool unitwise() const;
    // Throws std::invalid_argument if an instruction reaches outside what the plan declares: a program may
    // come from a file.
    void check() const;
};

// One call, addresses as Python gave them; an address 0 is absent. T and B may be 0.
struct Call {
    Call();
    Call(const Call&);
    ~Call();

    int64_t T = 0, B = 0, I = 0, H = 0, P = 0, D = 0;
    const void* x = nullptr;           // (T, B, I)
    int64_t xt = 0, xb = 0;            // strides of x
    std::vector<const void*> s0;       // of each state, (D, B, H), of h (D, B, P)
    std::vector<const void*> weights;  // by direction, as `Parameter` lists them, then vectors (H)
    const int64_t* lengths = nullptr;  // (B)
    const int64_t* order = nullptr;    // (B): sequences, longest first; where there are lengths
    const int64_t* seed = nullptr;     // (D)
    void* y = nullptr;                 // (T, B, D P)
    std::vector<void*> finals;         // as s0
    void* saved = nullptr;             // (D, T, B, saved H + scalars)
    void* bounds = nullptr;  // (D, chunks, B, (states - 1) H): the states but h at each chunk's start
    int64_t chunk = 0;       // steps; 0: everything is saved, nothing recomputed
    bool bf16 = false;       // products in bfloat16
    int threads = 1;
    // backward: gradients given, nullptr for zeros, and gradients wanted
    const void* dy = nullptr;          // as y
    std::vector<const void*> dfinals;  // as finals
    const void* dsaved = nullptr;      // as saved
    void* dx = nullptr;                // (T, B, I)
    int64_t dxt = 0, dxb = 0;          // strides of dx
    std::vector<void*> ds0, dweights;  // as s0 and weights
    void* grad_trace = nullptr;        // (D, T, B, traced H)

    int64_t length(int64_t b) const { return lengths == nullptr ? T : lengths[b]; }
};

}  // namespace gated
