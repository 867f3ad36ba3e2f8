// How a call is partitioned over threads, and what one of them gets: a direction, and in it some of the
// sequences or some of the hidden units.
#pragma once

#include "program.h"
#include "threads.h"

namespace gated {
namespace GATED_TARGET {

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// The same for all shares of a call.
struct Partition {
    int parts;        // of one direction
    bool concurrent;  // the two directions run at the same time
    bool by_units;    // parts divide the units, not the sequences
    int rows;         // of a tile
    int steps;        // of a chunk: recomputed together, or multiplied with the weights' gradients together
    int ahead;        // steps whose W x is computed together; 0: step by step
    bool back;
};

struct Share {
    const Plan& plan;
    const Call& call;
    const Partition& cut;
    int d = 0;                       // direction
    const int64_t* order = nullptr;  // (sequences): which, longest first
    int64_t sequences = 0;
    int u0 = 0, U = 0;         // units [u0, u0 + U)
    int team = 1, member = 0;  // of the threads that divide the units
    Barrier* barrier = nullptr;

    Share(const Plan& plan, const Call& call, const Partition& cut) : plan(plan), call(call), cut(cut) {}
    int I() const { return int(call.I); }
    int H() const { return int(call.H); }
    int P() const { return int(call.P); }
    int width(int state) const { return state == plan.h ? P() : H(); }
    // Numbers of a state that this thread computes: its units, or all of a projected h.
    int own(int state) const { return state == plan.h && plan.project ? P() : U; }
    int64_t y_row() const { return call.D * call.P; }
    int64_t saved_row() const { return int64_t(plan.saved) * H() + plan.scalars; }
    int64_t trace_row() const { return int64_t(plan.traced) * H(); }
    int64_t bound_row() const { return int64_t(plan.states - 1) * H(); }
    int64_t chunks() const { return call.chunk > 0 ? (call.T + call.chunk - 1) / call.chunk : 0; }
    bool recompute() const { return call.chunk > 0; }
    int64_t time(int64_t b, int64_t step) const { return d == 0 ? step : call.length(b) - 1 - step; }
    void wait() const {
        if (cut.by_units) barrier->wait(team);
    }

    // The caller's arrays from this direction on; those of units from u0 on.
    template <class T>
    const T* s0(int k) const {  // (B, width)
        return static_cast<const T*>(call.s0[k]) + d * call.B * width(k) + u0;
    }
    template <class T>
    T* final(int k) const {  // (B, width)
        return static_cast<T*>(call.finals[k]) + d * call.B * width(k) + u0;
    }
    template <class T>
    const T* dfinal(int k) const {  // (B, width), or nullptr
        const T* all = static_cast<const T*>(call.dfinals[k]);
        return all == nullptr ? nullptr : all + d * call.B * width(k) + u0;
    }
    template <class T>
    T* ds0(int k) const {  // (B, width), or nullptr
        T* all = static_cast<T*>(call.ds0[k]);
        return all == nullptr ? nullptr : all + d * call.B * width(k) + u0;
    }
    template <class T>
    T* y() const {  // (T B, y_row)
        return static_cast<T*>(call.y) + d * call.P + u0;
    }
    template <class T>
    const T* dy() const {  // (T B, y_row), or nullptr
        return call.dy == nullptr ? nullptr : static_cast<const T*>(call.dy) + d * call.P + u0;
    }
    template <class T>
    T* saved() const {  // (T B, saved_row)
        return static_cast<T*>(call.saved) + d * call.T * call.B * saved_row();
    }
    template <class T>
    T* dsaved() const {  // (T B, saved_row), or nullptr
        if (call.dsaved == nullptr) return nullptr;
        return const_cast<T*>(static_cast<const T*>(call.dsaved)) + d * call.T * call.B * saved_row();
    }
    template <class T>
    T* grad_trace() const {  // (T B, trace_row), or nullptr
        if (call.grad_trace == nullptr) return nullptr;
        return static_cast<T*>(call.grad_trace) + d * call.T * call.B * trace_row();
    }
    template <class T>
    T* bound(int64_t chunk, int state) const {  // (B, bound_row), of any state but h
        T* first = static_cast<T*>(call.bounds) + (d * chunks() + chunk) * call.B * bound_row();
        return first + (state > plan.h ? state - 1 : state) * H();
    }
    template <class T>
    const T* weight(int k) const {  // as `Parameter` lists them, or nullptr
        return static_cast<const T*>(call.weights[d * plan.parameters() + k]);
    }
    template <class T>
    const T* x(int64_t b, int64_t t) const {  // (I)
        return static_cast<const T*>(call.x) + t * call.xt + b * call.xb;
    }
};

}  // namespace GATED_TARGET
}  // namespace gated
