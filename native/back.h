// Time backwards: the backward program at every step, and after every chunk of steps, while its dz is still
// in cache, what it means for the weights and the input.
#pragma once

#include "scan.h"

namespace gated {
namespace GATED_TARGET {

// dW += Σ dzᵀ x, dR += Σ dzᵀ h, db += Σ dz, dx = dz W, over the rows of a chunk. Weights' gradients are kept
// transposed: their rows then are whole blocks of units.
template <class T>
void Part<T>::gradients() {
    const int K = int(filled), X = plan.x_blocks() * Hp(), R = plan.h_blocks() * Hp(),
              first = plan.h_first() * Hp();
    const int runs = cut.units ? plan.blocks() : 1, N = cut.units ? Up() : plan.blocks() * Hp();
    if (!cut.units) {
        sum_outer<T>(CW, X, a_x, b_row, K, I(), 0, X, room);
        sum_outer<T>(CR, R, a_h, b_row, K, P(), first, R, room);
    } else {
        for (int k = 0; k < plan.blocks(); ++k) {
            const int n = k * Hp() + u0;
            if (k < plan.x_blocks()) sum_outer<T>(CW + n, X, a_x, b_row, K, I(), n, Up(), room);
            if (k >= plan.h_first()) sum_outer<T>(CR + n - first, R, a_h, b_row, K, P(), n, Up(), room);
        }
    }
    for (int k = 0; k < runs; ++k) {
        T* to = db + k * Hp() + u0;
        for (int i = 0; i < K; ++i) {
            const T* dz = b_row[i] + k * Hp() + u0;
            for (int j = 0; j < N; j += lanes<T>) store(to + j, load(to + j) + load(dz + j));
        }
    }
    for (size_t o = 0; o < plan.outer.size(); ++o) {
        const Outer& m = plan.outer[o];
        const int M = m.matrix == 0 ? H() : P(), n = m.matrix == 0 ? padded<T>(P()) : Hp();
        outer<T>(CM[m.matrix], n, a_m + o * size_t(cut.rows) * cut.steps, b_row, K, M,
                 (index(m.gradient) + (kind(m.gradient) == Z ? 0 : plan.blocks())) * Hp(), n);
    }
    const int begin = int(int64_t(K) * member / team), end = int(int64_t(K) * (member + 1) / team);
    if (cut.units) barrier->wait(team);  // dz of all units
    if (dx != nullptr)
        multiply<T>(dx_row + begin, adds ? dx_row + begin : nullptr, b_row + begin, w.Wt, end - begin, X, I(),
                    room);
    if (cut.units) barrier->wait(team);  // before dz is written again
}

template <class T>
void Part<T>::backward() {
    prepare();
    clear();
    const int64_t D = d * call.B;
    for (int64_t i = 0; i < sequences; ++i)  // what no step reaches
        for (int64_t b = order[i], t = call.length(b); t < call.T; ++t) {
            if (dx != nullptr) zero(dx + t * dxt + b * dxb, I());
            if (plan.watched > 0)
                zero(static_cast<T*>(call.watch) + ((d * call.T + t) * call.B + b) * plan.watched * H(),
                     plan.watched * H());
        }
    const T* x = static_cast<const T*>(call.x);
    const T* dy = call.dy == nullptr ? nullptr : static_cast<const T*>(call.dy) + d * call.P + u0;
    const ptrdiff_t tile = ptrdiff_t(cut.rows) * Hp();
    Step<T> s = step();
    for (int64_t first = 0; first < sequences; first += cut.rows) {
        const int64_t* rows = order + first;
        const int n = int(least(cut.rows, sequences - first));
        const int64_t steps = call.length(rows[0]);
        int turn = 0;
        for (int64_t begin = steps > 0 ? (steps - 1) / cut.steps * cut.steps : -1; begin >= 0;
             begin -= cut.steps) {
            const int64_t end = least(begin + cut.steps, steps);
            if (recompute()) run_forward(s, rows, n, begin, end, true);
            filled = 0;
            for (int64_t step = end - 1; step >= begin; --step, turn = 1 - turn) {
                at(s, rows, n, step, begin);
                states(*this, step, begin, recompute(), 0);
                for (int r = 0; r < s.rows; ++r) chunk_at[r] = filled + r;
                for (int k = 0; k < plan.blocks(); ++k)
                    refs[Z][k] = {chunk + k * Hp() + u0, ptrdiff_t(chunk_row()), chunk_at};
                for (int k = 0; k < plan.states; ++k) {
                    refs[DSTATE][k] = {dcarry[turn] + k * tile, Hp(), iota};
                    refs[DPREV][k] = {dcarry[1 - turn] + k * tile, Hp(), iota};
                    const int many = k == plan.h && plan.project ? P() : U;
                    for (int r = 0; r < s.rows; ++r) {
                        if (call.length(rows[r]) != step + 1) continue;
                        const T* given = static_cast<const T*>(call.dfinals[k]);
                        if (given == nullptr)
                            zero(refs[DSTATE][k][r], many);
                        else
                            copy(refs[DSTATE][k][r], given + (D + rows[r]) * width(k) + u0, many);
                    }
                }
                if (dy != nullptr)
                    for (int r = 0; r < s.rows; ++r) {
                        T* to = refs[DSTATE][plan.h][r];
                        const T* more = dy + now[r] * ld();
                        const int many = plan.project ? P() : U;
                        int j = 0;
                        for (; j + lanes<T> <= many; j += lanes<T>)
                            store(to + j, load(to + j) + load(more + j));
                        for (; j < many; ++j) to[j] += more[j];
                    }
                for (const Instruction& i : plan.backward) {
                    if (cut.units && i.op == DGATES) barrier->wait(team);  // dz of all units
                    run(s, i);
                }
                const Rows<T>& input = s(plan.main);
                for (int r = 0; r < s.rows; ++r) {
                    const int64_t k = filled + r;
                    a_x[k] = x + time[r] * call.xt + which[r] * call.xb;
                    a_h[k] = input[r] - u0;
                    b_row[k] = chunk + k * chunk_row();
                    dx_row[k] = dx == nullptr ? nullptr : dx + time[r] * dxt + which[r] * dxb;
                    for (size_t o = 0; o < plan.outer.size(); ++o)
                        a_m[o * size_t(cut.rows) * cut.steps + k] = s(plan.outer[o].input)[r];
                }
                filled += s.rows;
            }
            gradients();
        }
        for (int k = 0; k < plan.states; ++k)
            for (int r = 0; call.ds0[k] != nullptr && r < n; ++r) {
                const int many = k == plan.h && plan.project ? P() : U;
                T* to = static_cast<T*>(call.ds0[k]) + (D + rows[r]) * width(k) + u0;
                const T* given = static_cast<const T*>(call.dfinals[k]);
                if (call.length(rows[r]) > 0)
                    copy(to, dcarry[turn] + k * tile + ptrdiff_t(r) * Hp(), many);
                else if (given != nullptr)
                    copy(to, given + (D + rows[r]) * width(k) + u0, many);
                else
                    zero(to, many);
            }
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
