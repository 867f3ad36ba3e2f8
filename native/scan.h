// Time. A part is what one thread does: one direction, some sequences, some units. It cuts its sequences into
// tiles of rows and takes each tile through all steps, alone: no thread waits for another, unless units are
// shared out.
#pragma once

#include "program.h"
#include "threads.h"

namespace gated {
namespace GATED_TARGET {

// Memory in pieces, first counted (base == nullptr), then given.
struct Arena {
    char* base;
    size_t used = 0;
    template <class T>
    T* take(size_t n) {
        char* p = base == nullptr ? nullptr : base + used;
        used += (n * sizeof(T) + 63) / 64 * 64;
        return reinterpret_cast<T*>(p);
    }
};

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

template <class T>
inline void copy(T* to, const T* from, int64_t n) {
    if (n > 0) std::memcpy(to, from, size_t(n) * sizeof(T));
}

template <class T>
inline void zero(T* to, int64_t n) {
    if (n > 0) std::memset(to, 0, size_t(n) * sizeof(T));
}

// How a call is cut up; the same for all its parts.
struct Cut {
    int parts;   // of one direction
    bool apart;  // the two directions run at once
    bool units;  // parts share out units, not sequences
    int rows;    // of a tile
    int steps;   // of a chunk: what is recomputed at once, or whose gradients meet the weights at once
    int ahead;   // steps whose W x is computed at once; 0: step by step
    bool back;
};

template <class T>
struct Part {
    const Plan& plan;
    const Call& call;
    const Cut& cut;
    int d = 0;                       // direction
    const int64_t* order = nullptr;  // its sequences, longest first
    int64_t sequences = 0;
    int u0 = 0, U = 0;
    Weights<T> w{};
    Barrier* barrier = nullptr;
    int team = 1, member = 0;
    T* dx = nullptr;
    int64_t dxt = 0, dxb = 0;
    bool adds = false;  // to the dx that the other direction left

    // memory
    T *slots{}, *z{}, *carry[2]{}, *dcarry[2]{}, *constants{}, *local{}, *chunk{}, *xz{}, *spare{};
    T *CW{}, *CR{}, *CM[2]{}, *db{}, *dvectors{};  // gradients of the weights, transposed
    Rows<T>* refs[KINDS]{};
    ptrdiff_t *iota{}, *which{}, *time{}, *now{}, *before{}, *local_now{}, *local_before{}, *chunk_at{};
    const T **in{}, **from{}, **xrow{}, **a_x{}, **a_h{}, **a_m{}, **b_row{};
    T **out{}, **xz_row{}, **dx_row{};
    uint16_t* room{};    // for rows as bfloat16
    int64_t filled = 0;  // rows of chunk in use

    Part(const Plan& plan, const Call& call, const Cut& cut) : plan(plan), call(call), cut(cut) {}
    int H() const { return int(call.H); }
    int P() const { return int(call.P); }
    int I() const { return int(call.I); }
    int Hp() const { return padded<T>(H()); }
    int Up() const { return padded<T>(U); }
    int width(int state) const { return state == plan.h ? P() : H(); }
    int64_t row_size() const { return int64_t(plan.saved) * H() + plan.scalars; }
    int64_t chunk_row() const { return int64_t(plan.blocks() + plan.extras) * Hp(); }
    int64_t bound_size() const { return int64_t(plan.states - 1) * H(); }
    int bound(int state) const { return (state > plan.h ? state - 1 : state) * H(); }
    int64_t chunks() const { return call.chunk > 0 ? (call.T + call.chunk - 1) / call.chunk : 0; }
    bool recompute() const { return call.chunk > 0; }

    const T* s0(int k) const { return static_cast<const T*>(call.s0[k]) + d * call.B * width(k); }
    T* y() const { return static_cast<T*>(call.y) + d * call.P; }
    int64_t ld() const { return call.D * call.P; }
    T* saved() const { return static_cast<T*>(call.saved) + d * call.T * call.B * row_size(); }
    T* bounds(int64_t c) const {
        return static_cast<T*>(call.bounds) + (d * chunks() + c) * call.B * bound_size();
    }
    const T* weight(int k) const { return static_cast<const T*>(call.weights[d * plan.weights() + k]); }
    int64_t t_of(int64_t b, int64_t s) const { return d == 0 ? s : call.length(b) - 1 - s; }

    void lay_out(Arena& arena);
    void lay_out_sums(Arena& arena);
    void share_sums(const Part& other);
    void clear();
    void prepare();
    void forward();
    void backward();

   private:
    void at(Step<T>& s, const int64_t* rows, int n, int64_t step, int64_t from_step);
    void run_forward(Step<T>& s, const int64_t* rows, int n, int64_t begin, int64_t end, bool again);
    void ahead(Step<T>& s, const int64_t* rows, int64_t step, int64_t end);
    void gradients();
    Step<T> step();
};

template <class T>
void Part<T>::lay_out(Arena& arena) {
    const int n = cut.rows, kinds[KINDS] = {1,
                                            plan.slots[0] > plan.slots[1] ? plan.slots[0] : plan.slots[1],
                                            plan.blocks(),
                                            plan.states,
                                            plan.states,
                                            plan.saved,
                                            plan.vectors,
                                            int(plan.constants.size()),
                                            plan.states,
                                            plan.states,
                                            plan.saved,
                                            plan.extras,
                                            plan.scalars,
                                            plan.vectors,
                                            1,
                                            plan.watched};
    for (int k = 0; k < KINDS; ++k) refs[k] = arena.take<Rows<T>>(kinds[k]);
    const size_t tile = size_t(n) * Hp();
    slots = arena.take<T>(kinds[SLOT] * tile);
    z = arena.take<T>(size_t(n) * plan.blocks() * Hp());
    for (T*& c : carry) c = arena.take<T>(plan.states * tile);
    constants = arena.take<T>(plan.constants.size() * Hp());
    spare = arena.take<T>(tile);
    xz = arena.take<T>(size_t(cut.ahead) * n * plan.x_blocks() * Hp());
    local = arena.take<T>(recompute() ? size_t(cut.steps) * n * row_size() : 0);
    for (ptrdiff_t** p : {&iota, &which, &time, &now, &before, &local_now, &local_before, &chunk_at})
        *p = arena.take<ptrdiff_t>(n);
    const int many = n * (cut.ahead > 1 ? cut.ahead : 1);
    const int all = cut.back ? int(most(many, int64_t(n) * cut.steps)) : many;
    in = arena.take<const T*>(all), from = arena.take<const T*>(all), out = arena.take<T*>(all);
    xrow = arena.take<const T*>(many), xz_row = arena.take<T*>(n);
    if (call.bf16) {  // `all` rows of x, h or dz; in the backward pass pairs of rows of both sides of an
                      // outer product
        const int widest = int(most(most(I(), P()), int64_t(plan.blocks()) * Hp()));
        const int other = int(most(I(), P()));
        room = arena.take<uint16_t>(size_t(all + 1) * (widest + 1 + (cut.back ? other : 0)) + 64);
    }
    if (!cut.back) return;
    for (T*& c : dcarry) c = arena.take<T>(plan.states * tile);
    const size_t K = size_t(n) * cut.steps;
    a_x = arena.take<const T*>(K), a_h = arena.take<const T*>(K), b_row = arena.take<const T*>(K);
    a_m = arena.take<const T*>(K * plan.outer.size());
    dx_row = arena.take<T*>(K);
}

// dz of a chunk and sums over all steps: of one part, or shared by those that share out the units.
template <class T>
void Part<T>::lay_out_sums(Arena& arena) {
    chunk = arena.take<T>(size_t(cut.rows) * cut.steps * chunk_row());
    CW = arena.take<T>(size_t(I()) * plan.x_blocks() * Hp());
    CR = arena.take<T>(size_t(P()) * plan.h_blocks() * Hp());
    CM[0] = arena.take<T>(plan.project ? size_t(H()) * padded<T>(P()) : 0);
    CM[1] = arena.take<T>(plan.recur ? size_t(P()) * Hp() : 0);
    db = arena.take<T>(size_t(plan.blocks()) * Hp());
    dvectors = arena.take<T>(size_t(plan.vectors) * Hp());
}

template <class T>
void Part<T>::share_sums(const Part& other) {
    chunk = other.chunk, CW = other.CW, CR = other.CR, db = other.db, dvectors = other.dvectors;
    CM[0] = other.CM[0], CM[1] = other.CM[1];
}

// Zeros to add to: those of this part, or of its share of the units.
template <class T>
void Part<T>::clear() {
    const auto mine = [&](T* sums, int64_t n) {
        const int64_t begin = n * member / team, end = n * (member + 1) / team;
        zero(sums + begin, end - begin);
    };
    // What pads a block of dz is read, and never written.
    if (H() != Hp() || plan.project) mine(chunk, int64_t(cut.rows) * cut.steps * chunk_row());
    mine(CW, int64_t(I()) * plan.x_blocks() * Hp()), mine(CR, int64_t(P()) * plan.h_blocks() * Hp());
    mine(db, plan.blocks() * Hp()), mine(dvectors, plan.vectors * Hp());
    if (plan.project) mine(CM[0], int64_t(H()) * padded<T>(P()));
    if (plan.recur) mine(CM[1], int64_t(P()) * Hp());
    if (cut.units) barrier->wait(team);
}

// What does not change from tile to tile.
template <class T>
void Part<T>::prepare() {
    for (int r = 0; r < cut.rows; ++r) iota[r] = r;
    for (size_t k = 0; k < plan.constants.size(); ++k)
        for (int j = 0; j < Hp(); ++j) constants[k * Hp() + j] = T(plan.constants[k]);
    refs[NONE][0] = {nullptr, 0, iota};
    const ptrdiff_t tile = ptrdiff_t(cut.rows) * Hp();
    const int slots_both = plan.slots[0] > plan.slots[1] ? plan.slots[0] : plan.slots[1];
    for (int k = 0; k < slots_both; ++k) refs[SLOT][k] = {slots + k * tile, Hp(), iota};
    for (int k = 0; k < plan.vectors; ++k) refs[VECTOR][k] = {const_cast<T*>(weight(6 + k)) + u0, 0, iota};
    for (size_t k = 0; k < plan.constants.size(); ++k) refs[CONST][k] = {constants + k * Hp(), 0, iota};
    refs[Y][0] = {y() + u0, ld(), now};
    if (!cut.back) return;
    for (int k = 0; k < plan.saved; ++k)
        refs[DSEED][k] = {const_cast<T*>(static_cast<const T*>(call.dsaved)) +
                              (call.dsaved == nullptr ? 0 : d * call.T * call.B * row_size() + k * H() + u0),
                          row_size(), now};
    for (int k = 0; k < plan.vectors; ++k) refs[DVECTOR][k] = {dvectors + k * Hp() + u0, 0, iota};
    for (int k = 0; k < plan.watched; ++k)
        refs[WATCH][k] = {
            static_cast<T*>(call.watch) +
                (call.watch == nullptr ? 0 : d * call.T * call.B * plan.watched * H() + k * H() + u0),
            ptrdiff_t(plan.watched) * H(), now};
    for (int k = 0; k < plan.extras; ++k)
        refs[EXTRA][k] = {chunk + (plan.blocks() + k) * Hp() + u0, chunk_row(), chunk_at};
}

template <class T>
Step<T> Part<T>::step() {
    Step<T> s;
    s.plan = &plan, s.weights = &w;
    s.I = I(), s.H = H(), s.P = P(), s.Hp = Hp(), s.U = U, s.Up = Up(), s.first = u0;
    for (int k = 0; k < KINDS; ++k) s.refs[k] = refs[k];
    s.z = z, s.chunk = chunk, s.chunk_at = chunk_at, s.chunk_row = chunk_row();
    s.seed = call.seed == nullptr ? 0 : uint64_t(call.seed[d]);
    s.b = which, s.t = time, s.in = in, s.from = from, s.out = out, s.room = room;
    return s;
}

// Rows that exist at this step, and where each finds its x, y and saved values. `begin`: where local memory
// starts.
template <class T>
void Part<T>::at(Step<T>& s, const int64_t* rows, int n, int64_t step, int64_t begin) {
    s.rows = 0;
    while (s.rows < n && call.length(rows[s.rows]) > step) ++s.rows;
    for (int r = 0; r < s.rows; ++r) {
        const int64_t b = rows[r], t = t_of(b, step);
        which[r] = b, time[r] = t, now[r] = t * call.B + b;
        before[r] = now[r] + (d == 0 ? -call.B : call.B);
        local_now[r] = (step - begin) * n + r, local_before[r] = local_now[r] - n;
    }
}

// Where the old and new states are; at the first step of all, and of a chunk that is recomputed, the old ones
// come from elsewhere.
template <class T>
inline void states(Part<T>& p, int64_t step, int64_t begin, bool local, int turn) {
    const ptrdiff_t tile = ptrdiff_t(p.cut.rows) * p.Hp();
    const int64_t row = p.row_size();
    T* saved = local ? p.local : p.saved();
    const ptrdiff_t *now = local ? p.local_now : p.now, *before = local ? p.local_before : p.before;
    for (int k = 0; k < p.plan.saved; ++k) p.refs[SAVED][k] = {saved + k * p.H() + p.u0, ptrdiff_t(row), now};
    for (int k = 0; k < p.plan.scalars; ++k)
        p.refs[SCALAR][k] = {saved + p.plan.saved * p.H() + k, ptrdiff_t(row), now};
    for (int k = 0; k < p.plan.states; ++k) {
        const int where = p.plan.carry[k];
        p.refs[NEXT][k] = {p.carry[1 - turn] + k * tile, p.Hp(), p.iota};
        if (step == 0)
            p.refs[STATE][k] = {const_cast<T*>(p.s0(k)) + p.u0, p.width(k), p.which};
        else if (k == p.plan.h)
            p.refs[STATE][k] = {p.y() + p.u0, ptrdiff_t(p.ld()), p.before};
        else if (local && step == begin)
            p.refs[STATE][k] = {p.bounds(step / p.call.chunk) + p.bound(k), ptrdiff_t(p.bound_size()),
                                p.which};
        else if (kind(where) == SAVED)
            p.refs[STATE][k] = {saved + index(where) * p.H() + p.u0, ptrdiff_t(row), before};
        else
            p.refs[STATE][k] = {p.carry[turn] + k * tile, p.Hp(), p.iota};
    }
}

// W x + b of the next steps at once, so that a single row need not read all of W at every step.
template <class T>
void Part<T>::ahead(Step<T>& s, const int64_t* rows, int64_t step, int64_t end) {
    const int X = plan.x_blocks() * Up();
    int n = 0;
    for (int64_t k = step; k < least(step + cut.ahead, end); ++k)
        for (int r = 0; r < s.rows && call.length(rows[r]) > k; ++r, ++n) {
            xrow[n] = static_cast<const T*>(call.x) + t_of(rows[r], k) * call.xt + rows[r] * call.xb;
            out[n] = xz + ((k - step) * cut.rows + r) * X, from[n] = w.bias;
        }
    const int first = plan.h_first() * Up();
    if (first > 0) multiply<T>(out, from, xrow, w.Wx, n, I(), first, room);
    for (int r = 0; r < n; ++r) out[r] += first, from[r] += first;
    multiply<T>(out, from, xrow, w.W, n, I(), X - first, room);
}

// Steps [begin, end) of a tile. `again`: the backward pass computes them once more, into local memory.
template <class T>
void Part<T>::run_forward(Step<T>& s, const int64_t* rows, int n, int64_t begin, int64_t end, bool again) {
    const bool local = recompute();
    const int X = plan.x_blocks() * Up(), row = plan.blocks() * Up();
    const T* x = static_cast<const T*>(call.x);
    const Rows<T> y_ref = refs[Y][0];
    if (again) refs[Y][0] = {spare, Hp(), iota};
    for (int k = 0; k < plan.blocks(); ++k) refs[Z][k] = {z + k * Up(), row, iota};
    int turn = 0;
    for (int64_t step = begin; step < end; ++step, turn = 1 - turn) {
        at(s, rows, n, step, begin);
        states(*this, step, begin, local, turn);
        const int64_t past = cut.ahead > 0 ? (step - begin) % cut.ahead : 0;
        if (cut.ahead > 0) {
            if (past == 0) ahead(s, rows, step, end);
            T* base = xz + past * cut.rows * X;
            for (int r = 0; r < s.rows; ++r) xz_row[r] = base + ptrdiff_t(r) * X;
            for (int k = 0; k < plan.h_first(); ++k) refs[Z][k] = {base + k * Up(), X, iota};
            s.xz = xz_row;
        } else {
            for (int r = 0; r < s.rows; ++r) xrow[r] = x + time[r] * call.xt + which[r] * call.xb;
            s.x = xrow, s.xz = nullptr;
        }
        for (const Instruction& i : plan.forward) run(s, i);
        if (!again)
            for (int r = 0; r < s.rows; ++r) {
                const bool ends = call.length(rows[r]) == step + 1,
                           bounds_due = local && step + 1 == end && !ends;
                if (!ends && !bounds_due) continue;
                for (int k = 0; k < plan.states; ++k) {
                    const int where = plan.carry[k];
                    const T* last = refs[kind(where)][index(where)][r];
                    const int many = k == plan.h && plan.project ? P() : U;
                    if (ends)
                        copy(static_cast<T*>(call.finals[k]) + (d * call.B + which[r]) * width(k) + u0, last,
                             many);
                    if (bounds_due && k != plan.h)
                        copy(bounds(end / call.chunk) + which[r] * bound_size() + bound(k), last, many);
                }
            }
        if (cut.units) barrier->wait(team);  // h of all units
    }
    refs[Y][0] = y_ref;
}

template <class T>
void Part<T>::forward() {
    prepare();
    for (int64_t i = 0; i < sequences; ++i) {  // what no step reaches
        const int64_t b = order[i], n = call.length(b);
        for (int64_t t = n; t < call.T; ++t) zero(y() + (t * call.B + b) * ld() + u0, plan.project ? P() : U);
        if (n == 0)
            for (int k = 0; k < plan.states; ++k)
                copy(static_cast<T*>(call.finals[k]) + (d * call.B + b) * width(k) + u0,
                     s0(k) + b * width(k) + u0, k == plan.h && plan.project ? P() : U);
    }
    Step<T> s = step();
    for (int64_t r = 0; r < sequences; r += cut.rows) {
        const int64_t* rows = order + r;
        const int n = int(least(cut.rows, sequences - r));
        const int64_t steps = call.length(rows[0]), stride = recompute() ? call.chunk : steps;
        for (int64_t begin = 0; begin < steps; begin += stride)
            run_forward(s, rows, n, begin, least(begin + stride, steps), false);
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
