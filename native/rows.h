// Where an operand's rows are at step t: what the instructions of a plan read and write.
#pragma once

#include "workspace.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
struct Operands {
    Rows<T>* refs[KINDS]{};
    // Of each row of a tile (n): which row of an array is its own.
    ptrdiff_t* iota{};          // r: of the tile's own arrays
    ptrdiff_t* b{};             // the sequence
    ptrdiff_t* t{};             // the time
    ptrdiff_t* now{};           // t B + b
    ptrdiff_t* before{};        // that of the step before
    ptrdiff_t* local_now{};     // the row of a recomputed chunk
    ptrdiff_t* local_before{};  // that of the step before
    ptrdiff_t* chunk_at{};      // the row of dz

    Rows<T>& operator()(int kind, int index) { return refs[kind][index]; }

    void allocate(const Share& share, Arena& arena) {
        const Plan& plan = share.plan;
        int counts[KINDS] = {};
        counts[NONE] = counts[Y] = 1, counts[SLOT] = plan.max_slots(), counts[Z] = plan.blocks();
        counts[STATE] = counts[NEXT] = counts[DSTATE] = counts[DPREV] = plan.states;
        counts[SAVED] = counts[DSEED] = plan.saved, counts[SCALAR] = plan.scalars;
        counts[VECTOR] = counts[DVECTOR] = plan.vectors, counts[CONST] = int(plan.constants.size());
        counts[EXTRA] = plan.extras, counts[DTRACE] = plan.traced;
        for (int k = 0; k < KINDS; ++k) refs[k] = arena.take<Rows<T>>(counts[k]);
        for (ptrdiff_t** p : {&iota, &b, &t, &now, &before, &local_now, &local_before, &chunk_at})
            *p = arena.take<ptrdiff_t>(share.cut.rows);
    }

    // What does not change from tile to tile.
    void bind(const Share& share, const Workspace<T>& memory, const Sums<T>& sums) {
        const Plan& plan = share.plan;
        const int H = share.H(), Hp = padded<T>(H), u0 = share.u0;
        const ptrdiff_t tile = ptrdiff_t(share.cut.rows) * Hp;
        for (int r = 0; r < share.cut.rows; ++r) iota[r] = r;
        refs[NONE][0] = {nullptr, 0, iota};
        for (int k = 0; k < plan.max_slots(); ++k) refs[SLOT][k] = {memory.slots + k * tile, Hp, iota};
        for (int k = 0; k < plan.vectors; ++k)
            refs[VECTOR][k] = {const_cast<T*>(share.weight<T>(FIXED + k)) + u0, 0, iota};
        for (size_t k = 0; k < plan.constants.size(); ++k) {
            T* constant = memory.constants + k * Hp;
            for (int j = 0; j < Hp; ++j) constant[j] = T(plan.constants[k]);
            refs[CONST][k] = {constant, 0, iota};
        }
        refs[Y][0] = {share.y<T>(), ptrdiff_t(share.y_row()), now};
        if (!share.cut.back) return;
        T* const dsaved = share.dsaved<T>();
        T* const trace = share.grad_trace<T>();
        const ptrdiff_t row = ptrdiff_t(Sums<T>::chunk_row(share));
        for (int k = 0; k < plan.saved; ++k)
            refs[DSEED][k] = {dsaved == nullptr ? nullptr : dsaved + k * H + u0, ptrdiff_t(share.saved_row()),
                              now};
        for (int k = 0; k < plan.traced; ++k)
            refs[DTRACE][k] = {trace == nullptr ? nullptr : trace + k * H + u0, ptrdiff_t(share.trace_row()),
                               now};
        for (int k = 0; k < plan.vectors; ++k) refs[DVECTOR][k] = {sums.dvectors + k * Hp + u0, 0, iota};
        for (int k = 0; k < plan.extras; ++k)
            refs[EXTRA][k] = {sums.chunk + (plan.blocks() + k) * Hp + u0, row, chunk_at};
    }

    // The rows of a tile that exist at a step, and which row of each array is theirs. `begin`: the first step
    // of a recomputed chunk.
    int find(const Share& share, const int64_t* sequences, int n, int64_t step, int64_t begin) {
        int rows = 0;
        while (rows < n && share.call.length(sequences[rows]) > step) ++rows;
        for (int r = 0; r < rows; ++r) {
            b[r] = sequences[r], t[r] = share.time(b[r], step);
            now[r] = t[r] * share.call.B + b[r];
            before[r] = now[r] + (share.d == 0 ? -share.call.B : share.call.B);
            local_now[r] = (step - begin) * n + r, local_before[r] = local_now[r] - n;
        }
        return rows;
    }

    // Old and new states, and what is saved: `turn` says which of the two carries is old. At the first step
    // of all, and of a chunk that is recomputed, the old states come from elsewhere.
    void bind_states(const Share& share, const Workspace<T>& memory, int64_t step, int64_t begin, int turn) {
        const Plan& plan = share.plan;
        const bool local = share.recompute();
        const int H = share.H(), Hp = padded<T>(H), u0 = share.u0;
        const ptrdiff_t tile = ptrdiff_t(share.cut.rows) * Hp, row = ptrdiff_t(share.saved_row());
        T* saved = local ? memory.saved : share.saved<T>();
        const ptrdiff_t *here = local ? local_now : now, *last = local ? local_before : before;
        for (int k = 0; k < plan.saved; ++k) refs[SAVED][k] = {saved + k * H + u0, row, here};
        for (int k = 0; k < plan.scalars; ++k) refs[SCALAR][k] = {saved + plan.saved * H + k, row, here};
        for (int k = 0; k < plan.states; ++k) {
            const int where = plan.carry[k];
            refs[NEXT][k] = {memory.carry[1 - turn] + k * tile, Hp, iota};
            if (step == 0)
                refs[STATE][k] = {const_cast<T*>(share.s0<T>(k)), share.width(k), b};
            else if (k == plan.h)
                refs[STATE][k] = {share.y<T>(), ptrdiff_t(share.y_row()), before};
            else if (local && step == begin)
                refs[STATE][k] = {share.bound<T>(step / share.call.chunk, k), ptrdiff_t(share.bound_row()),
                                  b};
            else if (kind(where) == SAVED)
                refs[STATE][k] = {saved + index(where) * H + u0, row, last};
            else
                refs[STATE][k] = {memory.carry[turn] + k * tile, Hp, iota};
        }
    }
};

}  // namespace GATED_TARGET
}  // namespace gated
