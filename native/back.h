// Time backwards: the backward program at every step, and after every chunk of steps, while its dz is still
// in cache, the gradients of the weights and the input.
#pragma once

#include "scan.h"

namespace gated {
namespace GATED_TARGET {

// dW += Σ dzᵀ x, dR += Σ dzᵀ h, db += Σ dz, dx = dz W, over the rows of a chunk.
template <class T>
void Part<T>::end_chunk() {
    const Plan& plan = share.plan;
    const Partition& cut = share.cut;
    const int K = int(filled), I = share.I(), P = share.P(), u0 = share.u0;
    const int X = plan.x_blocks() * Hp(), R = plan.h_blocks() * Hp(), first = plan.h_first() * Hp();
    const T **x = memory.chunk_x, **h = memory.chunk_h, **dz = memory.chunk_dz;
    uint16_t* rows16 = memory.rows16;
    if (!cut.by_units) {
        sum_outer<T>(sums.dW, X, x, dz, K, I, 0, X, rows16);
        sum_outer<T>(sums.dR, R, h, dz, K, P, first, R, rows16);
    } else {
        for (int k = 0; k < plan.blocks(); ++k) {
            const int n = k * Hp() + u0;
            if (k < plan.x_blocks()) sum_outer<T>(sums.dW + n, X, x, dz, K, I, n, Up(), rows16);
            if (k >= plan.h_first()) sum_outer<T>(sums.dR + n - first, R, h, dz, K, P, n, Up(), rows16);
        }
    }
    const int runs = cut.by_units ? plan.blocks() : 1, N = cut.by_units ? Up() : plan.blocks() * Hp();
    for (int k = 0; k < runs; ++k) {
        T* to = sums.db + k * Hp() + u0;
        for (int i = 0; i < K; ++i) {
            const T* row = dz[i] + k * Hp() + u0;
            for (int j = 0; j < N; j += lanes<T>) store(to + j, load(to + j) + load(row + j));
        }
    }
    for (size_t o = 0; o < plan.outer.size(); ++o) {
        const Outer& m = plan.outer[o];
        const int M = m.matrix == 0 ? share.H() : P, n = m.matrix == 0 ? padded<T>(P) : Hp();
        outer<T>(sums.dM[m.matrix], n, memory.chunk_outer + o * size_t(cut.rows) * cut.steps, dz, K, M,
                 (index(m.gradient) + (kind(m.gradient) == Z ? 0 : plan.blocks())) * Hp(), n);
    }
    share.wait();  // for dz of all units
    if (dx != nullptr) {
        const int begin = int(int64_t(K) * share.member / share.team);
        const int end = int(int64_t(K) * (share.member + 1) / share.team);
        T** to = memory.chunk_dx + begin;
        multiply<T>(to, adds ? to : nullptr, dz + begin, w.Wt, end - begin, X, I, rows16);
    }
    share.wait();  // before dz is written again
}

// The backward program at one step of a tile: `turn` says which carry of gradients is of the new states.
template <class T>
void Part<T>::run_backward(Step<T>& s, int64_t step, int turn) {
    const Plan& plan = share.plan;
    const Call& call = share.call;
    const ptrdiff_t tile = ptrdiff_t(share.cut.rows) * Hp(), row = ptrdiff_t(Sums<T>::chunk_row(share));
    for (int r = 0; r < s.rows; ++r) operands.chunk_at[r] = filled + r;
    for (int k = 0; k < plan.blocks(); ++k)
        operands(Z, k) = {sums.chunk + k * Hp() + share.u0, row, operands.chunk_at};
    for (int k = 0; k < plan.states; ++k) {
        const Rows<T>& gradient = operands(DSTATE, k) = {memory.dcarry[turn] + k * tile, Hp(), operands.iota};
        operands(DPREV, k) = {memory.dcarry[1 - turn] + k * tile, Hp(), operands.iota};
        for (int r = 0; r < s.rows; ++r) {
            const int64_t b = operands.b[r];
            if (call.length(b) != step + 1) continue;
            if (const T* given = share.dfinal<T>(k))
                copy(gradient[r], given + b * share.width(k), share.own(k));
            else
                zero(gradient[r], share.own(k));
        }
    }
    if (const T* dy = share.dy<T>())
        for (int r = 0; r < s.rows; ++r) {
            T* to = operands(DSTATE, plan.h)[r];
            const T* more = dy + operands.now[r] * share.y_row();
            const int n = share.own(plan.h);
            int j = 0;
            for (; j + lanes<T> <= n; j += lanes<T>) store(to + j, load(to + j) + load(more + j));
            for (; j < n; ++j) to[j] += more[j];
        }
    for (const Instruction& i : plan.backward) {
        if (i.op == DGATES) share.wait();  // for dz of all units
        run(s, i);
    }
}

// Where the rows of this step are, for the end of the chunk.
template <class T>
void Part<T>::note_rows(const Step<T>& s) {
    const Plan& plan = share.plan;
    const int64_t chunk = int64_t(share.cut.rows) * share.cut.steps, row = Sums<T>::chunk_row(share);
    const Rows<T>& h = s(plan.main);
    for (int r = 0; r < s.rows; ++r) {
        const int64_t k = filled + r, b = operands.b[r], t = operands.t[r];
        memory.chunk_x[k] = share.x<T>(b, t);
        memory.chunk_h[k] = h[r] - share.u0;
        memory.chunk_dz[k] = sums.chunk + k * row;
        memory.chunk_dx[k] = dx == nullptr ? nullptr : dx + t * dxt + b * dxb;
        for (size_t o = 0; o < plan.outer.size(); ++o)
            memory.chunk_outer[o * chunk + k] = s(plan.outer[o].input)[r];
    }
    filled += s.rows;
}

template <class T>
void Part<T>::give_first_states(const int64_t* rows, int n, int turn) {
    const ptrdiff_t tile = ptrdiff_t(share.cut.rows) * Hp();
    for (int k = 0; k < share.plan.states; ++k) {
        const T* given = share.dfinal<T>(k);
        for (int r = 0; share.call.ds0[k] != nullptr && r < n; ++r) {
            T* to = share.ds0<T>(k) + rows[r] * share.width(k);
            if (share.call.length(rows[r]) > 0)
                copy(to, memory.dcarry[turn] + k * tile + ptrdiff_t(r) * Hp(), share.own(k));
            else if (given != nullptr)
                copy(to, given + rows[r] * share.width(k), share.own(k));
            else
                zero(to, share.own(k));
        }
    }
}

template <class T>
void Part<T>::backward() {
    const Plan& plan = share.plan;
    const Call& call = share.call;
    const Partition& cut = share.cut;
    operands.bind(share, memory, sums);
    sums.clear(share);
    for (int64_t i = 0; i < share.sequences; ++i)  // what no step reaches
        for (int64_t b = share.order[i], t = call.length(b); t < call.T; ++t) {
            if (dx != nullptr) zero(dx + t * dxt + b * dxb, share.I());
            if (plan.traced > 0)
                zero(share.grad_trace<T>() + (t * call.B + b) * share.trace_row(), share.trace_row());
        }
    Step<T> s = step();
    for (int64_t r = 0; r < share.sequences; r += cut.rows) {
        const int64_t* rows = share.order + r;
        const int n = int(min(cut.rows, share.sequences - r));
        const int64_t steps = call.length(rows[0]);
        int turn = 0;
        for (int64_t begin = steps > 0 ? (steps - 1) / cut.steps * cut.steps : -1; begin >= 0;
             begin -= cut.steps) {
            const int64_t end = min(begin + cut.steps, steps);
            if (share.recompute()) run_forward(s, rows, n, begin, end, true);
            filled = 0;
            for (int64_t step = end - 1; step >= begin; --step, turn = 1 - turn) {
                s.rows = operands.find(share, rows, n, step, begin);
                operands.bind_states(share, memory, step, begin, 0);
                run_backward(s, step, turn);
                note_rows(s);
            }
            end_chunk();
        }
        give_first_states(rows, n, turn);
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
