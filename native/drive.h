// A whole call: cut it into parts, pack the weights, run the parts, add up what they found for the weights.
#pragma once

#include "back.h"
#include "scratch.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
struct Drive {
    const Plan& plan;
    const Call& call;
    Cut cut{};
    int directions() const { return int(call.D); }
    int H() const { return int(call.H); }
    int P() const { return int(call.P); }
    int I() const { return int(call.I); }
    int Hp() const { return padded<T>(H()); }

    void cut_up(bool back);
    void lay_out(const Part<T>& part, Weights<T>& w, Arena& arena);
    void pack(const Part<T>& part, int thread, int team);
    void reduce(const Part<T>* parts, int thread, int team);
    Part<T>* divide(Arena arena, Barrier* barrier, size_t* size);
    void run(bool back);
};

template <class T>
void Drive<T>::cut_up(bool back) {
    const int64_t matrix = int64_t(plan.h_blocks()) * H() * P() * int64_t(sizeof(T));
    const int threads = call.threads;
    cut.back = back;
    cut.parts = int(most(1, least(call.B, threads)));
    cut.apart = call.D == 2 && 2 * cut.parts <= threads;
    // Few rows, many units: a part that reads only its share of R at each step is worth a barrier a step.
    cut.units = call.D == 1 && threads > 1 && call.B <= (matrix >= (512 << 10) ? 8 : 3) * threads &&
                call.T > 1 && call.lengths == nullptr && call.chunk == 0 && matrix >= (128 << 10) &&
                plan.unitwise();
    if (cut.units) cut.parts = int(least(threads, H() / lanes<T>));
    const int64_t each = cut.units ? call.B : (call.B + cut.parts - 1) / cut.parts;
    const int64_t tile = matrix > (384 << 10) ? 48 : 24;
    const int64_t tiles = most(1, (each + tile - 1) / tile);
    cut.rows = int(most(1, (each + tiles - 1) / tiles));
    cut.ahead = cut.rows < 4 ? int(most(1, least(call.T, 48 / cut.rows))) : 0;
    if (call.chunk > 0) cut.ahead = cut.ahead > 0 ? int(least(cut.ahead, call.chunk)) : 0;
    // Sums as large as the weights go through the cache once a chunk: the larger they are, the longer the
    // chunk.
    const int64_t together = matrix > (2 << 20) ? 512 : matrix > (384 << 10) ? 256 : 128;
    cut.steps = int(most(1, least(call.T, call.chunk > 0 ? call.chunk : together / cut.rows)));
}

template <class T>
void Drive<T>::lay_out(const Part<T>& part, Weights<T>& w, Arena& arena) {
    const int Up = part.Up(), both = plan.both * Up, only = plan.h_blocks() * Up - both,
              N = P() == H() ? part.U : P();
    w.bias = arena.take<T>(size_t(plan.x_blocks() * Up + only));
    w.Wx = arena.take<T>(packed_size<T>(I(), plan.h_first() * Up)),
    w.W = arena.take<T>(packed_size<T>(I(), both));
    w.R = arena.take<T>(packed_size<T>(P(), both)), w.Rh = arena.take<T>(packed_size<T>(P(), only));
    if (plan.project) w.M[0] = arena.take<T>(packed_size<T>(H(), P()));
    if (plan.recur) w.M[1] = arena.take<T>(packed_size<T>(P(), H()));
    if (!cut.back) return;
    w.Rt = arena.take<T>(packed_size<T>(plan.h_blocks() * Hp(), N));
    if (call.dx != nullptr && part.member == 0)
        w.Wt = arena.take<T>(packed_size<T>(plan.x_blocks() * Hp(), I()));
    if (plan.project) w.Mt[0] = arena.take<T>(packed_size<T>(P(), H()));
    if (plan.recur) w.Mt[1] = arena.take<T>(packed_size<T>(H(), P()));
}

// The weights of a part's direction and units; panels are shared out among the team.
template <class T>
void Drive<T>::pack(const Part<T>& part, int thread, int team) {
    const Weights<T>& w = part.w;
    const int U = part.U, Up = part.Up(), u0 = part.u0, X = plan.x_blocks(), first = plan.h_first(),
              L = lanes<T>;
    const int both = plan.both, only = plan.h_blocks() - both, N = P() == H() ? U : P(),
              p0 = P() == H() ? u0 : 0;
    const T *wih = part.weight(0), *whh = part.weight(1), *bih = part.weight(2), *bhh = part.weight(3);
    int job = 0;
    const auto mine = [&] { return job++ % team == thread; };
    if (mine())
        for (int k = 0; k < X + only; ++k)
            for (int j = 0; j < Up; ++j) {
                T sum = 0;
                if (j < U && k < X && bih != nullptr) sum += bih[plan.x_rows[k] * H() + u0 + j];
                if (j < U && k >= first && bhh != nullptr) sum += bhh[plan.h_rows[k - first] * H() + u0 + j];
                w.bias[k * Up + j] = sum;
            }
    const auto finish = [&](T* to, int K, int width, int c) {
        if constexpr (HAS_BF16 && sizeof(T) == 4)
            if (call.bf16) halve(to + size_t(K) * c, K, panel_width<T>(width, c));
    };
    // Matrices that rows are multiplied with from the left: block k, unit j of `weight` as column k Up + j.
    const auto columns = [&](T* to, const T* weight, const int* blocks, int many, int K) {
        for (int c = 0; c < many * Up; c += PANEL * L)
            if (mine()) {
                pack_transposed<T>(
                    to, K, many * Up, c, size_t(K),
                    [&](int n) { return weight + size_t(blocks[n / Up] * H() + u0 + n % Up) * K; },
                    [&](int n) { return U - n % Up; });
                finish(to, K, many * Up, c);
            }
    };
    if (!cut.back || call.chunk > 0) {
        columns(w.Wx, wih, plan.x_rows.data(), first, I());
        columns(w.W, wih, plan.x_rows.data() + first, both, I());
        columns(w.R, whh, plan.h_rows.data(), both, P());
        columns(w.Rh, whh, plan.h_rows.data() + both, only, P());
    }
    // Their transposes, which take dz: all units.
    const auto rows = [&](T* to, const T* weight, const int* blocks, int many, int ld, int from, int width,
                          auto turn) {
        for (int c = 0; c < width; c += PANEL * L)
            if (turn()) {
                pack_plain<T>(to, many * Hp(), width, c, [&](int k) {
                    const int unit = k % Hp();
                    return unit < H() ? weight + size_t(blocks[k / Hp()] * H() + unit) * ld + from : nullptr;
                });
                finish(to, many * Hp(), width, c);
            }
    };
    if (cut.back) {
        rows(w.Rt, whh, plan.h_rows.data(), plan.h_blocks(), P(), p0, N, mine);
        // Where units are shared out, so is the packing of what all of them use.
        int panel = 0;
        const auto ours = [&] { return cut.units ? panel++ % part.team == part.member : mine(); };
        if (call.dx != nullptr) rows(w.Wt, wih, plan.x_rows.data(), X, I(), 0, I(), ours);
    }
    for (int m = 0; m < 2; ++m) {  // project (P, H) and recur (H, P)
        if (!(m == 0 ? plan.project : plan.recur)) continue;
        const T* weight = part.weight(4 + m);
        const int out = m == 0 ? P() : H(), in = m == 0 ? H() : P();
        for (int c = 0; c < out; c += PANEL * L)
            if (mine())
                pack_transposed<T>(
                    w.M[m], in, out, c, size_t(in), [&](int n) { return weight + size_t(n) * in; },
                    [&](int n) { return out - n; });
        for (int c = 0; cut.back && c < in; c += PANEL * L)
            if (mine()) pack_plain<T>(w.Mt[m], out, in, c, [&](int k) { return weight + size_t(k) * in; });
    }
}

// to[j][i] = Σ parts from[i][j] for rows j of one block.
template <class T, class From>
inline void add_up(T* to, const Part<T>* parts, int many, int rows, int columns, size_t ld, From from) {
    constexpr int L = lanes<T>;
    for (int j = 0; j < rows; j += L)
        for (int i = 0; i < columns; i += L) {
            const int tall = least(L, rows - j), wide = least(L, columns - i);
            Vec<T> square[L];
            for (int k = 0; k < L; ++k) {
                square[k] = Vec<T>{};
                for (int p = 0; k < wide && p < many; ++p)
                    square[k] += load(from(parts[p]) + size_t(i + k) * ld + j);
            }
            transpose<T>(square);
            for (int k = 0; k < tall; ++k) {
                T* line = to + size_t(j + k) * columns + i;
                wide < L ? store(line, square[k], wide) : store(line, square[k]);
            }
        }
}

template <class T>
void Drive<T>::reduce(const Part<T>* parts, int thread, int team) {
    int job = 0;
    const auto mine = [&] { return job++ % team == thread; };
    const int X = plan.x_blocks() * Hp(), R = plan.h_blocks() * Hp(), many = cut.units ? 1 : cut.parts;
    if (cut.apart && call.dx != nullptr) {
        const T* other = parts[cut.parts].dx;
        for (int64_t row = call.T * thread * call.B / team; row < call.T * (thread + 1) * call.B / team;
             ++row) {
            T* to = static_cast<T*>(call.dx) + row / call.B * call.dxt + row % call.B * call.dxb;
            for (int i = 0; i < I(); ++i) to[i] += other[row * I() + i];
        }
    }
    for (int d = 0; d < directions(); ++d) {
        const Part<T>* of = parts + d * cut.parts;
        void* const* to = call.dweights.data() + d * plan.weights();
        T *dW = static_cast<T*>(to[0]), *dR = static_cast<T*>(to[1]);
        const auto vector = [&](void* given, int row, int at, int n, T* Part<T>::* from) {
            if (given == nullptr || !mine()) return;
            T* v = static_cast<T*>(given) + row;
            for (int j = 0; j < n; ++j) {
                v[j] = 0;
                for (int p = 0; p < many; ++p) v[j] += (of[p].*from)[at + j];
            }
        };
        for (int k = 0; k < plan.x_blocks(); ++k) {
            if (dW != nullptr && mine())
                add_up<T>(dW + size_t(plan.x_rows[k]) * H() * I(), of, many, H(), I(), X,
                          [&](const Part<T>& p) { return p.CW + k * Hp(); });
            vector(to[2], plan.x_rows[k] * H(), k * Hp(), H(), &Part<T>::db);
        }
        for (int k = 0; k < plan.h_blocks(); ++k) {
            if (dR != nullptr && mine())
                add_up<T>(dR + size_t(plan.h_rows[k]) * H() * P(), of, many, H(), P(), R,
                          [&](const Part<T>& p) { return p.CR + k * Hp(); });
            vector(to[3], plan.h_rows[k] * H(), (plan.h_first() + k) * Hp(), H(), &Part<T>::db);
        }
        for (int m = 0; m < 2; ++m)
            if ((m == 0 ? plan.project : plan.recur) && to[4 + m] != nullptr && mine())
                add_up<T>(static_cast<T*>(to[4 + m]), of, many, m == 0 ? P() : H(), m == 0 ? H() : P(),
                          m == 0 ? padded<T>(P()) : Hp(), [&](const Part<T>& p) { return p.CM[m]; });
        for (int k = 0; k < plan.vectors; ++k) vector(to[6 + k], 0, k * Hp(), H(), &Part<T>::dvectors);
    }
}

// The parts and their memory: counted where base is nullptr, then made.
template <class T>
Part<T>* Drive<T>::divide(Arena arena, Barrier* barrier, size_t* size) {
    const int many = directions() * cut.parts, registers = Hp() / lanes<T>;
    const bool make = arena.base != nullptr;
    Part<T>* parts = arena.take<Part<T>>(many);
    for (int i = 0; i < many; ++i) {
        const int p = i % cut.parts;
        Part<T> part(plan, call, cut);
        part.d = i / cut.parts;
        const Part<T>* leader = parts + part.d * cut.parts;
        part.U = H(), part.sequences = call.B;
        int64_t begin = 0, stride = 1;
        if (cut.units) {
            const int from = registers * p / cut.parts, to = registers * (p + 1) / cut.parts;
            part.u0 = from * lanes<T>, part.U = int(least(to * lanes<T>, H())) - part.u0;
            part.barrier = barrier, part.team = cut.parts, part.member = p;
        } else if (call.order != nullptr) {  // longest first: each part takes every parts-th
            begin = p, stride = cut.parts, part.sequences = (call.B - p + cut.parts - 1) / cut.parts;
        } else {
            begin = call.B * p / cut.parts, part.sequences = call.B * (p + 1) / cut.parts - begin;
        }
        part.dx = static_cast<T*>(call.dx), part.dxt = call.dxt, part.dxb = call.dxb, part.adds = part.d == 1;
        if (cut.apart && part.d == 1 && cut.back &&
            call.dx != nullptr) {  // both write at once: one of them here
            part.dxt = call.B * I(), part.dxb = I(), part.adds = false;
            part.dx = p == 0 ? arena.take<T>(size_t(call.T) * part.dxt) : make ? leader->dx : nullptr;
        }
        int64_t* order = arena.take<int64_t>(part.sequences);
        part.order = order;
        for (int64_t k = 0; make && k < part.sequences; ++k)
            order[k] = call.order != nullptr ? call.order[begin + k * stride] : begin + k;
        part.lay_out(arena);
        if (cut.units || p == 0) {
            lay_out(part, part.w, arena);
            if (make && p > 0) part.w.Wt = leader->w.Wt;
        } else if (make) {
            part.w = leader->w;
        }
        if (cut.back && (!cut.units || p == 0))
            part.lay_out_sums(arena);
        else if (cut.back && make)
            part.share_sums(*leader);
        if (make) new (parts + i) Part<T>(part);
    }
    *size = arena.used;
    return parts;
}

template <class T>
void Drive<T>::run(bool back) {
    cut_up(back);
    Barrier barrier;
    Scratch memory;
    size_t size = 0;
    divide(Arena{nullptr}, &barrier, &size);
    Part<T>* parts = divide(Arena{memory.of(size)}, &barrier, &size);
    const int many = directions() * cut.parts;
    const int crew = int(least(many, most(1, call.threads)));  // two directions may be one thread's
    const auto one = [&](Part<T>& p) { back ? p.backward() : p.forward(); };
    if (cut.units) {
        bool alone = false;
        parallel(many, [&](int thread, int team) {
            if (team != many) {  // the runtime gave fewer threads: none may wait for another
                alone = true;
                return;
            }
            pack(parts[thread], 0, 1);
            one(parts[thread]);
        });
        if (alone) {
            Call single = call;
            single.threads = 1;
            return Drive<T>{plan, single}.run(back);
        }
    } else {
        parallel(crew, [&](int thread, int team) {
            for (int d = 0; d < directions(); ++d) pack(parts[d * cut.parts], thread, team);
        });
        parallel(crew, [&](int thread, int team) {
            for (int i = thread; i < (cut.apart ? many : cut.parts); i += team)
                for (int k = i; k < many; k += cut.apart ? many : cut.parts) one(parts[k]);
        });
    }
    if (back) parallel(crew, [&](int thread, int team) { reduce(parts, thread, team); });
}

}  // namespace GATED_TARGET
}  // namespace gated
