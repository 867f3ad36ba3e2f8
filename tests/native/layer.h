// A layer with random numbers, and a call of the native core on it: all that it writes is poisoned before.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "../../native/dispatch.h"
#include "../../native/scratch.h"
#include "cells.h"
#include "naive.h"

namespace gated {
extern const Body body_scalar;
#if defined(__x86_64__)
extern const Body body_avx2, body_avx512, body_avx512bf16;
#elif defined(__aarch64__)
extern const Body body_neon;
#endif
}  // namespace gated

namespace test {

struct Set {
    std::string name;
    const Body* body;
};

// Every instruction set that was built and that this machine has.
inline std::vector<Set> sets() {
    std::vector<Set> all;
    for (const std::string& name : available_isas()) {
        const Body* body = &body_scalar;
#if defined(__x86_64__)
        if (name == "avx2") body = &body_avx2;
        if (name == "avx512") body = &body_avx512;
#elif defined(__aarch64__)
        if (name == "neon") body = &body_neon;
#endif
        all.push_back({name, body});
    }
    return all;
}

inline Row random(Dice& dice, size_t n, double scale = 1) {
    Row made(n);
    for (double& v : made) v = scale * float(dice.number());  // the same in either width
    return made;
}

struct Options {
    bool lengths = false, bias = true, gradients = true;  // gradients: of y and the last states
};

inline Given given(const Plan& plan, const std::vector<int>& seeds, const Sizes& n, Options how,
                   uint64_t seed = 1) {
    Dice dice{seed};
    Given g{plan, n, {}, {}, {}, {}, {}, {}, {}, {}};
    const double small = 1 / std::sqrt(double(n.H));
    for (int b = 0; how.lengths && b < n.B; ++b) g.lengths.push_back(b % 3 == 1 ? 0 : dice.below(n.T + 1));
    if (how.lengths && n.B > 2) g.lengths[2] = n.T;
    for (int d = 0; d < n.D; ++d) g.seed.push_back(int64_t(dice.next() >> 1));
    g.x = random(dice, size_t(n.T) * n.B * n.I);
    for (int k = 0; k < plan.states; ++k) g.s0.push_back(random(dice, size_t(n.D) * n.B * g.width(k)));
    for (int d = 0; d < n.D; ++d) {
        g.weights.push_back(random(dice, size_t(plan.x_blocks()) * n.H * n.I, small));
        g.weights.push_back(random(dice, size_t(plan.h_blocks()) * n.H * n.P, small));
        g.weights.push_back(random(dice, how.bias ? plan.x_blocks() * n.H : 0, small));
        g.weights.push_back(random(dice, how.bias ? plan.h_blocks() * n.H : 0, small));
        for (bool there : {plan.project, plan.recur})
            g.weights.push_back(random(dice, there ? n.P * n.H : 0, small));
        for (int k = 0; k < plan.vectors; ++k) g.weights.push_back(random(dice, n.H));
    }
    if (how.gradients) g.dy = random(dice, size_t(n.T) * n.B * n.D * n.P);
    for (const Row& s : g.s0) g.dfinals.push_back(how.gradients ? random(dice, s.size()) : Row());
    if (seeds.empty()) return g;
    g.dsaved.resize(size_t(n.D) * n.T * n.B * g.row());
    for (size_t row = 0; row < size_t(n.D) * n.T * n.B; ++row)
        for (int k : seeds)
            for (int j = 0; j < n.H; ++j) g.dsaved[row * g.row() + k * n.H + j] = dice.number();
    return g;
}

struct How {
    int threads = 1, chunk = 0;
    bool bf16 = false, batch_first = false;
};

template <class T>
std::vector<T> as(const Row& from) {
    return std::vector<T>(from.begin(), from.end());
}

template <class T>
Row back(const std::vector<T>& from) {
    return Row(from.begin(), from.end());
}

template <class T>
std::vector<T> poison(size_t n) {
    return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

template <class T>
const void* address(const std::vector<T>& of) {
    return of.empty() ? nullptr : of.data();
}
template <class T>
void* address(std::vector<T>& of) {
    return of.empty() ? nullptr : of.data();
}

// (T, B, I) to (B, T, I), or back.
inline Row turned(const Row& from, const Sizes& n, bool back) {
    Row made(from.size());
    for (int t = 0; t < n.T; ++t)
        for (int b = 0; b < n.B; ++b)
            for (int i = 0; i < n.I; ++i) {
                const size_t plain = (size_t(t) * n.B + b) * n.I + i, first = (size_t(b) * n.T + t) * n.I + i;
                made[back ? plain : first] = from[back ? first : plain];
            }
    return made;
}

// The arrays of a call in one width, and the call.
template <class T>
struct Native {
    const Given& g;
    std::vector<T> x, dy, dsaved, y, saved, bounds, dx, grad_trace;
    std::vector<std::vector<T>> s0, weights, dfinals, finals, ds0, dweights;
    std::vector<int64_t> order;
    Call c;

    Native(const Given& given, How how) : g(given) {
        const Sizes& n = g.n;
        const Result shape = blank(g);
        x = as<T>(how.batch_first ? turned(g.x, n, false) : g.x), dy = as<T>(g.dy), dsaved = as<T>(g.dsaved);
        y = poison<T>(shape.y.size()), dx = poison<T>(shape.dx.size()),
        grad_trace = poison<T>(shape.grad_trace.size());
        if (how.chunk == 0) saved = poison<T>(shape.saved.size());
        if (how.chunk > 0)
            bounds = poison<T>(size_t(n.D) * ((n.T + how.chunk - 1) / how.chunk) * n.B * (g.plan.states - 1) *
                               n.H);
        c.T = n.T, c.B = n.B, c.I = n.I, c.H = n.H, c.P = n.P, c.D = n.D;
        c.x = address(x), c.xt = how.batch_first ? n.I : n.B * n.I, c.xb = how.batch_first ? n.T * n.I : n.I;
        c.dx = address(dx), c.dxt = c.xt, c.dxb = c.xb;
        for (const Row& a : g.s0) {
            s0.push_back(as<T>(a)), finals.push_back(poison<T>(a.size())), ds0.push_back(poison<T>(a.size()));
            c.s0.push_back(address(s0.back())), c.finals.push_back(address(finals.back()));
            c.ds0.push_back(address(ds0.back()));
        }
        for (const Row& a : g.dfinals)
            dfinals.push_back(as<T>(a)), c.dfinals.push_back(address(dfinals.back()));
        for (const Row& a : g.weights) {
            weights.push_back(as<T>(a)), dweights.push_back(poison<T>(a.size()));
            c.weights.push_back(address(weights.back())), c.dweights.push_back(address(dweights.back()));
        }
        if (!g.lengths.empty()) {
            order.resize(g.lengths.size());
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(),
                             [&](int64_t a, int64_t b) { return g.lengths[a] > g.lengths[b]; });
            c.lengths = g.lengths.data(), c.order = order.data();
        }
        c.seed = g.seed.data(), c.y = address(y), c.saved = address(saved), c.bounds = address(bounds);
        c.chunk = how.chunk, c.bf16 = how.bf16, c.threads = how.threads;
        c.dy = address(dy), c.dsaved = address(dsaved), c.grad_trace = address(grad_trace);
    }
    Native(const Native&) = delete;

    Result run(const Body& body, bool backward, bool batch_first = false) {
        for (int pass = 0; pass < 1 + backward; ++pass) {
            Scratch memory;
            const size_t size = size_t(4) << 20;
            std::fill_n(memory.of(size), size, char(-1));  // NaN in either width
            (pass == 0 ? body.forward : body.backward)[sizeof(T) == 8](g.plan, c);
        }
        Result r;
        r.y = back(y), r.saved = back(saved), r.grad_trace = back(grad_trace), r.dx = back(dx);
        if (batch_first) r.dx = turned(r.dx, g.n, true);
        for (auto& a : finals) r.finals.push_back(back(a));
        for (auto& a : ds0) r.ds0.push_back(back(a));
        for (auto& a : dweights) r.dweights.push_back(back(a));
        return r;
    }
};

template <class T>
Result native(const Body& body, const Given& g, bool backward, How how = {}) {
    return Native<T>(g, how).run(body, backward, how.batch_first);
}

inline bool near(const Row& got, const Row& wanted, double close, const char* what,
                 const std::string& where) {
    if (!EXPECT(got.size() == wanted.size(), "%s of %s: %zu numbers, got %zu", what, where.c_str(),
                wanted.size(), got.size()))
        return false;
    double scale = 1;
    for (double v : wanted) scale = std::max(scale, std::fabs(v));
    for (size_t j = 0; j < got.size(); ++j)
        if (!EXPECT(std::fabs(got[j] - wanted[j]) <= close * scale, "%s of %s: %.9g at %zu, got %.9g", what,
                    where.c_str(), wanted[j], j, got[j]))
            return false;
    return true;
}

inline void near(const Given& g, const Result& got, const Result& wanted, bool backward, double close,
                 const std::string& where) {
    near(got.y, wanted.y, close, "y", where);
    for (size_t k = 0; k < wanted.finals.size(); ++k)
        near(got.finals[k], wanted.finals[k], close, "final", where);
    if (!got.saved.empty()) {  // steps that do not exist are not written
        Row seen = got.saved;
        for (int d = 0; d < g.n.D; ++d)
            for (int b = 0; b < g.n.B; ++b)
                for (int t = g.length(b); t < g.n.T; ++t)
                    std::fill_n(seen.begin() + ((d * g.n.T + t) * g.n.B + b) * g.row(), g.row(), 0.);
        near(seen, wanted.saved, close, "saved", where);
    }
    if (!backward) return;
    near(got.dx, wanted.dx, close, "dx", where),
        near(got.grad_trace, wanted.grad_trace, close, "grad_trace", where);
    for (size_t k = 0; k < wanted.ds0.size(); ++k) near(got.ds0[k], wanted.ds0[k], close, "ds0", where);
    for (size_t k = 0; k < wanted.dweights.size(); ++k)
        near(got.dweights[k], wanted.dweights[k], close, "dweight", where + ", weight " + std::to_string(k));
}

}  // namespace test
