// The memory of one thread's share, for the length of a call: a shape beside every pointer. n is a tile's
// rows, Hp is H and Up is U padded to whole registers.
#pragma once

#include "share.h"

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

template <class T>
inline void copy(T* to, const T* from, int64_t n) {
    if (n > 0) std::memcpy(to, from, size_t(n) * sizeof(T));
}

template <class T>
inline void zero(T* to, int64_t n) {
    if (n > 0) std::memset(to, 0, size_t(n) * sizeof(T));
}

template <class T>
struct Workspace {
    T* slots{};      // (slots, n, Hp): temporaries
    T* z{};          // (n, blocks Up)
    T* carry[2]{};   // (states, n, Hp): old and new states, which change places at every step
    T* dcarry[2]{};  // (states, n, Hp): their gradients
    T* constants{};  // (constants, Hp)
    T* xz{};         // (ahead, n, x_blocks Up): W x + b of the next steps
    T* saved{};      // (steps n, saved H + scalars): of a chunk that is recomputed
    T* y{};          // (n, Hp): h of a step that is recomputed
    // pointers to rows, for products
    const T** in{};      // (n max(ahead, 1, steps))
    const T** from{};    // (n max(ahead, 1, steps))
    T** out{};           // (n max(ahead, 1, steps))
    const T** x{};       // (n max(ahead, 1)) of (I)
    T** xz_row{};        // (n) of (x_blocks Up)
    uint16_t* rows16{};  // rows of one product as bfloat16, if products are
    // pointers to the rows of a whole chunk, for the gradients of the weights
    const T** chunk_x{};      // (steps n) of (I)
    const T** chunk_h{};      // (steps n) of (P): what R multiplied
    const T** chunk_outer{};  // (outer, steps n) of (H) or (P): what project or recur multiplied
    const T** chunk_dz{};     // (steps n) of (blocks + extras, Hp)
    T** chunk_dx{};           // (steps n) of (I)

    void allocate(const Share& share, Arena& arena) {
        const Plan& plan = share.plan;
        const Partition& cut = share.cut;
        const size_t n = size_t(cut.rows), Hp = size_t(padded<T>(share.H())), tile = n * Hp;
        slots = arena.take<T>(plan.max_slots() * tile);
        z = arena.take<T>(n * plan.blocks() * Hp);
        for (T*& c : carry) c = arena.take<T>(plan.states * tile);
        constants = arena.take<T>(plan.constants.size() * Hp);
        xz = arena.take<T>(size_t(cut.ahead) * n * plan.x_blocks() * Hp);
        saved = arena.take<T>(share.recompute() ? size_t(cut.steps) * n * share.saved_row() : 0);
        y = arena.take<T>(tile);
        const size_t chunk = n * cut.steps, some = n * max(cut.ahead, 1);
        const size_t all = cut.back && chunk > some ? chunk : some;
        in = arena.take<const T*>(all), from = arena.take<const T*>(all), out = arena.take<T*>(all);
        x = arena.take<const T*>(some), xz_row = arena.take<T*>(n);
        if (share.call.bf16) {
            // `all` rows of x, h or dz; in the backward pass pairs of rows of both sides of an outer product
            const int64_t other = max(share.I(), share.P());
            const int64_t widest = max(other, int64_t(plan.blocks()) * int64_t(Hp));
            rows16 = arena.take<uint16_t>((all + 1) * size_t(widest + 1 + (cut.back ? other : 0)) + 64);
        }
        if (!cut.back) return;
        for (T*& c : dcarry) c = arena.take<T>(plan.states * tile);
        chunk_x = arena.take<const T*>(chunk), chunk_h = arena.take<const T*>(chunk);
        chunk_outer = arena.take<const T*>(chunk * plan.outer.size());
        chunk_dz = arena.take<const T*>(chunk), chunk_dx = arena.take<T*>(chunk);
    }
};

// dz of a chunk, and sums over all steps: of one thread, or shared by those that divide the units. Gradients
// of weights are kept transposed: their rows then are whole blocks of units.
template <class T>
struct Sums {
    T* chunk{};     // (steps n, blocks + extras, Hp): dz, and the columns beside it
    T* dW{};        // (I, x_blocks Hp)
    T* dR{};        // (P, h_blocks Hp)
    T* dM[2]{};     // project (H, Pp), recur (P, Hp)
    T* db{};        // (blocks Hp)
    T* dvectors{};  // (vectors, Hp)

    static int64_t chunk_row(const Share& share) {
        return int64_t(share.plan.blocks() + share.plan.extras) * padded<T>(share.H());
    }

    void allocate(const Share& share, Arena& arena) {
        each(share, [&](T*& sums, int64_t n) { sums = arena.take<T>(size_t(n)); });
    }

    // Zeros to add to: all, or this thread's share.
    void clear(const Share& share) {
        each(share, [&](T*& sums, int64_t n) {
            // dz is written before it is read, but for what pads a block
            if (&sums == &chunk && share.H() == padded<T>(share.H()) && !share.plan.project) return;
            const int64_t begin = n * share.member / share.team, end = n * (share.member + 1) / share.team;
            zero(sums + begin, end - begin);
        });
        share.wait();
    }

   private:
    template <class F>
    void each(const Share& share, F f) {
        const Plan& plan = share.plan;
        const int64_t I = share.I(), P = share.P(), H = share.H(), Hp = padded<T>(share.H());
        f(chunk, int64_t(share.cut.rows) * share.cut.steps * chunk_row(share));
        f(dW, I * plan.x_blocks() * Hp), f(dR, P * plan.h_blocks() * Hp);
        f(dM[0], plan.project ? H * padded<T>(share.P()) : 0), f(dM[1], plan.recur ? P * Hp : 0);
        f(db, plan.blocks() * Hp), f(dvectors, plan.vectors * Hp);
    }
};

}  // namespace GATED_TARGET
}  // namespace gated
