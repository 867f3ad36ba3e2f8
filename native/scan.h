// Time: the forward pass of one thread's share. It cuts its sequences into tiles of rows and takes each tile
// through all steps, alone: no thread waits for another, unless they divide the units.
#pragma once

#include "rows.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
struct Part {
    Share share;
    Weights<T> w{};
    Workspace<T> memory{};
    Sums<T> sums{};
    Operands<T> operands{};
    T* dx = nullptr;           // (T, B, I), or nullptr
    int64_t dxt = 0, dxb = 0;  // its strides
    bool adds = false;         // to the dx that the other direction left
    int64_t filled = 0;        // rows of the chunk in use

    explicit Part(const Share& share) : share(share) {}
    int Hp() const { return padded<T>(share.H()); }
    int Up() const { return padded<T>(share.U); }

    void allocate(Arena& arena) { memory.allocate(share, arena), operands.allocate(share, arena); }
    void forward();
    void backward();

   private:
    Step<T> step();
    void multiply_ahead(const Step<T>& s, const int64_t* rows, int64_t step, int64_t end);
    void run_forward(Step<T>& s, const int64_t* rows, int n, int64_t begin, int64_t end, bool again);
    void keep_states(const Step<T>& s, int64_t step, int64_t end);
    // back.h
    void run_backward(Step<T>& s, int64_t step, int turn);
    void note_rows(const Step<T>& s);
    void end_chunk();
    void give_first_states(const int64_t* rows, int n, int turn);
};

template <class T>
Step<T> Part<T>::step() {
    Step<T> s;
    s.plan = &share.plan, s.weights = &w;
    s.I = share.I(), s.H = share.H(), s.P = share.P(), s.Hp = Hp(), s.U = share.U, s.Up = Up();
    s.first = share.u0;
    for (int k = 0; k < KINDS; ++k) s.refs[k] = operands.refs[k];
    s.z = memory.z;
    s.chunk = sums.chunk, s.chunk_at = operands.chunk_at, s.chunk_row = Sums<T>::chunk_row(share);
    s.seed = share.call.seed == nullptr ? 0 : uint64_t(share.call.seed[share.d]);
    s.b = operands.b, s.t = operands.t;
    s.in = memory.in, s.from = memory.from, s.out = memory.out, s.rows16 = memory.rows16;
    return s;
}

// W x + b of the next steps at once, so that a single row need not read all of W at every step.
template <class T>
void Part<T>::multiply_ahead(const Step<T>& s, const int64_t* rows, int64_t step, int64_t end) {
    const Partition& cut = share.cut;
    const int X = share.plan.x_blocks() * Up(), first = share.plan.h_first() * Up();
    T** out = memory.out;
    const T** from = memory.from;
    int n = 0;
    for (int64_t k = step; k < min(step + cut.ahead, end); ++k)
        for (int r = 0; r < s.rows && share.call.length(rows[r]) > k; ++r, ++n) {
            memory.x[n] = share.x<T>(rows[r], share.time(rows[r], k));
            out[n] = memory.xz + ((k - step) * cut.rows + r) * X, from[n] = w.bias;
        }
    if (first > 0) multiply<T>(out, from, memory.x, w.Wx, n, share.I(), first, memory.rows16);
    for (int r = 0; r < n; ++r) out[r] += first, from[r] += first;
    multiply<T>(out, from, memory.x, w.W, n, share.I(), X - first, memory.rows16);
}

// The states of sequences that end at this step to the caller, and of those that go on, at the end of a chunk
// that is to be recomputed, to its bounds.
template <class T>
void Part<T>::keep_states(const Step<T>& s, int64_t step, int64_t end) {
    const Plan& plan = share.plan;
    const Call& call = share.call;
    for (int r = 0; r < s.rows; ++r) {
        const int64_t b = operands.b[r];
        const bool ends = call.length(b) == step + 1;
        if (!ends && !(share.recompute() && step + 1 == end)) continue;
        for (int k = 0; k < plan.states; ++k) {
            const T* state = s(plan.carry[k])[r];
            if (ends)
                copy(share.final<T>(k) + b * share.width(k), state, share.own(k));
            else if (k != plan.h)
                copy(share.bound<T>(end / call.chunk, k) + b * share.bound_row(), state, share.own(k));
        }
    }
}

// Steps [begin, end) of a tile. `again`: the backward pass computes them once more, into memory of its own.
template <class T>
void Part<T>::run_forward(Step<T>& s, const int64_t* rows, int n, int64_t begin, int64_t end, bool again) {
    const Plan& plan = share.plan;
    const Partition& cut = share.cut;
    const int X = plan.x_blocks() * Up(), row = plan.blocks() * Up();
    const Rows<T> y = operands(Y, 0);
    if (again) operands(Y, 0) = {memory.y, Hp(), operands.iota};
    for (int k = 0; k < plan.blocks(); ++k) operands(Z, k) = {memory.z + k * Up(), row, operands.iota};
    int turn = 0;
    for (int64_t step = begin; step < end; ++step, turn = 1 - turn) {
        s.rows = operands.find(share, rows, n, step, begin);
        operands.bind_states(share, memory, step, begin, turn);
        if (cut.ahead > 0) {
            const int64_t past = (step - begin) % cut.ahead;
            if (past == 0) multiply_ahead(s, rows, step, end);
            T* base = memory.xz + past * cut.rows * X;
            for (int r = 0; r < s.rows; ++r) memory.xz_row[r] = base + ptrdiff_t(r) * X;
            for (int k = 0; k < plan.h_first(); ++k) operands(Z, k) = {base + k * Up(), X, operands.iota};
            s.xz = memory.xz_row;
        } else {
            for (int r = 0; r < s.rows; ++r) memory.x[r] = share.x<T>(operands.b[r], operands.t[r]);
            s.x = memory.x, s.xz = nullptr;
        }
        for (const Instruction& i : plan.forward) run(s, i);
        if (!again) keep_states(s, step, end);
        share.wait();  // for h of all units
    }
    operands(Y, 0) = y;
}

template <class T>
void Part<T>::forward() {
    const Plan& plan = share.plan;
    const Call& call = share.call;
    operands.bind(share, memory, sums);
    for (int64_t i = 0; i < share.sequences; ++i) {  // what no step reaches
        const int64_t b = share.order[i], length = call.length(b);
        for (int64_t t = length; t < call.T; ++t)
            zero(share.y<T>() + (t * call.B + b) * share.y_row(), share.own(plan.h));
        if (length == 0)
            for (int k = 0; k < plan.states; ++k)
                copy(share.final<T>(k) + b * share.width(k), share.s0<T>(k) + b * share.width(k),
                     share.own(k));
    }
    Step<T> s = step();
    for (int64_t r = 0; r < share.sequences; r += share.cut.rows) {
        const int64_t* rows = share.order + r;
        const int n = int(min(share.cut.rows, share.sequences - r));
        const int64_t steps = call.length(rows[0]), stride = share.recompute() ? call.chunk : steps;
        for (int64_t begin = 0; begin < steps; begin += stride)
            run_forward(s, rows, n, begin, min(begin + stride, steps), false);
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
