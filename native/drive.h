// A whole call: partition it over threads, pack the weights, run, add up the gradients of the weights.
#pragma once

#include "back.h"
#include "scratch.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
struct Drive {
    const Plan& plan;
    const Call& call;
    Partition cut{};
    int directions() const { return int(call.D); }
    int H() const { return int(call.H); }
    int P() const { return int(call.P); }
    int I() const { return int(call.I); }
    int Hp() const { return padded<T>(H()); }

    void partition(bool back);
    void allocate(const Part<T>& part, Weights<T>& w, Arena& arena);
    void pack(const Part<T>& part, int thread, int team);
    void reduce(const Part<T>* parts, int thread, int team);
    Share share(int part, int64_t* begin, int64_t* stride, Barrier* barrier);
    Part<T>* make_parts(Arena arena, Barrier* barrier, size_t* size);
    void run(bool back);
};

template <class T>
void Drive<T>::partition(bool back) {
    const int64_t matrix = int64_t(plan.h_blocks()) * H() * P() * int64_t(sizeof(T));
    const int threads = call.threads;
    cut.back = back;
    cut.parts = int(max(1, min(call.B, threads)));
    cut.concurrent = call.D == 2 && 2 * cut.parts <= threads;
    // Few rows, many units: a part that reads only its share of R at each step is worth a barrier a step.
    cut.by_units = call.D == 1 && threads > 1 && call.B <= (matrix >= (512 << 10) ? 8 : 3) * threads &&
                   call.T > 1 && call.lengths == nullptr && call.chunk == 0 && matrix >= (128 << 10) &&
                   plan.unitwise();
    if (cut.by_units) cut.parts = int(min(threads, H() / lanes<T>));
    const int64_t each = cut.by_units ? call.B : (call.B + cut.parts - 1) / cut.parts;
    const int64_t tile = matrix > (384 << 10) ? 48 : 24;
    const int64_t tiles = max(1, (each + tile - 1) / tile);
    cut.rows = int(max(1, (each + tiles - 1) / tiles));
    cut.ahead = cut.rows < 4 ? int(max(1, min(call.T, 48 / cut.rows))) : 0;
    if (call.chunk > 0) cut.ahead = cut.ahead > 0 ? int(min(cut.ahead, call.chunk)) : 0;
    // Sums as large as the weights go through the cache once a chunk: the larger they are, the longer the
    // chunk.
    const int64_t chunk_rows = matrix > (2 << 20) ? 512 : matrix > (384 << 10) ? 256 : 128;
    cut.steps = int(max(1, min(call.T, call.chunk > 0 ? call.chunk : chunk_rows / cut.rows)));
}

template <class T>
void Drive<T>::allocate(const Part<T>& part, Weights<T>& w, Arena& arena) {
    const int Up = part.Up(), both = plan.both * Up, only = plan.h_blocks() * Up - both;
    const int N = P() == H() ? part.share.U : P();
    w.bias = arena.take<T>(size_t(plan.x_blocks() * Up + only));
    w.Wx = arena.take<T>(packed_size<T>(I(), plan.h_first() * Up)),
    w.W = arena.take<T>(packed_size<T>(I(), both));
    w.R = arena.take<T>(packed_size<T>(P(), both)), w.Rh = arena.take<T>(packed_size<T>(P(), only));
    if (plan.project) w.M[0] = arena.take<T>(packed_size<T>(H(), P()));
    if (plan.recur) w.M[1] = arena.take<T>(packed_size<T>(P(), H()));
    if (!cut.back) return;
    w.Rt = arena.take<T>(packed_size<T>(plan.h_blocks() * Hp(), N));
    if (call.dx != nullptr && part.share.member == 0)
        w.Wt = arena.take<T>(packed_size<T>(plan.x_blocks() * Hp(), I()));
    if (plan.project) w.Mt[0] = arena.take<T>(packed_size<T>(P(), H()));
    if (plan.recur) w.Mt[1] = arena.take<T>(packed_size<T>(H(), P()));
}

// The weights of a part's direction and units; panels are divided among the team.
template <class T>
void Drive<T>::pack(const Part<T>& part, int thread, int team) {
    const Weights<T>& w = part.w;
    const Share& share = part.share;
    const int U = share.U, Up = part.Up(), u0 = share.u0, X = plan.x_blocks(), first = plan.h_first(),
              L = lanes<T>;
    const int both = plan.both, only = plan.h_blocks() - both, N = P() == H() ? U : P(),
              p0 = P() == H() ? u0 : 0;
    const T *wih = share.weight<T>(WEIGHT_IH), *whh = share.weight<T>(WEIGHT_HH);
    const T *bih = share.weight<T>(BIAS_IH), *bhh = share.weight<T>(BIAS_HH);
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
            if (call.bf16) to_pairs(to + size_t(K) * c, K, panel_width<T>(width, c));
    };
    // Matrices that rows are multiplied with from the left: block k, unit j of `weight` as column k Up + j.
    const auto columns = [&](T* to, const T* weight, const int* blocks, int count, int K) {
        for (int c = 0; c < count * Up; c += PANEL * L)
            if (mine()) {
                pack_transposed<T>(
                    to, K, count * Up, c, size_t(K),
                    [&](int n) { return weight + size_t(blocks[n / Up] * H() + u0 + n % Up) * K; },
                    [&](int n) { return U - n % Up; });
                finish(to, K, count * Up, c);
            }
    };
    if (!cut.back || call.chunk > 0) {
        columns(w.Wx, wih, plan.x_rows.data(), first, I());
        columns(w.W, wih, plan.x_rows.data() + first, both, I());
        columns(w.R, whh, plan.h_rows.data(), both, P());
        columns(w.Rh, whh, plan.h_rows.data() + both, only, P());
    }
    // Their transposes, which take dz: all units.
    const auto rows = [&](T* to, const T* weight, const int* blocks, int count, int ld, int from, int width,
                          auto turn) {
        for (int c = 0; c < width; c += PANEL * L)
            if (turn()) {
                pack_plain<T>(to, count * Hp(), width, c, [&](int k) {
                    const int unit = k % Hp();
                    return unit < H() ? weight + size_t(blocks[k / Hp()] * H() + unit) * ld + from : nullptr;
                });
                finish(to, count * Hp(), width, c);
            }
    };
    if (cut.back) {
        rows(w.Rt, whh, plan.h_rows.data(), plan.h_blocks(), P(), p0, N, mine);
        // Where units are divided, so is the packing of what all of them use.
        int panel = 0;
        const auto ours = [&] { return cut.by_units ? panel++ % share.team == share.member : mine(); };
        if (call.dx != nullptr) rows(w.Wt, wih, plan.x_rows.data(), X, I(), 0, I(), ours);
    }
    for (int m = 0; m < 2; ++m) {  // project (P, H) and recur (H, P)
        if (!plan.has(m)) continue;
        const T* weight = share.weight<T>(PROJECT + m);
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
inline void sum_parts(T* to, const Part<T>* parts, int count, int rows, int columns, size_t ld, From from) {
    constexpr int L = lanes<T>;
    for (int j = 0; j < rows; j += L)
        for (int i = 0; i < columns; i += L) {
            const int tall = min(L, rows - j), wide = min(L, columns - i);
            Vec<T> square[L];
            for (int k = 0; k < L; ++k) {
                square[k] = Vec<T>{};
                for (int p = 0; k < wide && p < count; ++p)
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
    const int X = plan.x_blocks() * Hp(), R = plan.h_blocks() * Hp(), count = cut.by_units ? 1 : cut.parts;
    if (cut.concurrent && call.dx != nullptr) {
        const T* other = parts[cut.parts].dx;
        for (int64_t row = call.T * thread * call.B / team; row < call.T * (thread + 1) * call.B / team;
             ++row) {
            T* to = static_cast<T*>(call.dx) + row / call.B * call.dxt + row % call.B * call.dxb;
            for (int i = 0; i < I(); ++i) to[i] += other[row * I() + i];
        }
    }
    for (int d = 0; d < directions(); ++d) {
        const Part<T>* of = parts + d * cut.parts;
        void* const* to = call.dweights.data() + d * plan.parameters();
        const auto matrix = [&](int k, size_t row, int rows, int columns, size_t ld, auto from) {
            if (to[k] == nullptr || !mine()) return;
            sum_parts<T>(static_cast<T*>(to[k]) + row * columns, of, count, rows, columns, ld,
                         [&](const Part<T>& part) { return from(part.sums); });
        };
        const auto vector = [&](int k, int row, int at, T* Sums<T>::* from) {
            if (to[k] == nullptr || !mine()) return;
            T* v = static_cast<T*>(to[k]) + row;
            for (int j = 0; j < H(); ++j) {
                v[j] = 0;
                for (int p = 0; p < count; ++p) v[j] += (of[p].sums.*from)[at + j];
            }
        };
        for (int k = 0; k < plan.x_blocks(); ++k) {
            const int row = plan.x_rows[k] * H();
            matrix(WEIGHT_IH, row, H(), I(), X, [&](const Sums<T>& sums) { return sums.dW + k * Hp(); });
            vector(BIAS_IH, row, k * Hp(), &Sums<T>::db);
        }
        for (int k = 0; k < plan.h_blocks(); ++k) {
            const int row = plan.h_rows[k] * H();
            matrix(WEIGHT_HH, row, H(), P(), R, [&](const Sums<T>& sums) { return sums.dR + k * Hp(); });
            vector(BIAS_HH, row, (plan.h_first() + k) * Hp(), &Sums<T>::db);
        }
        if (plan.project)
            matrix(PROJECT, 0, P(), H(), padded<T>(P()), [](const Sums<T>& sums) { return sums.dM[0]; });
        if (plan.recur) matrix(RECUR, 0, H(), P(), Hp(), [](const Sums<T>& sums) { return sums.dM[1]; });
        for (int k = 0; k < plan.vectors; ++k) vector(FIXED + k, 0, k * Hp(), &Sums<T>::dvectors);
    }
}

// What part number i gets. Its sequences are `sequences` of the call's order, from `begin` on, `stride`
// apart.
template <class T>
Share Drive<T>::share(int i, int64_t* begin, int64_t* stride, Barrier* barrier) {
    const int p = i % cut.parts, registers = Hp() / lanes<T>;
    Share share(plan, call, cut);
    share.d = i / cut.parts, share.U = H(), share.sequences = call.B;
    *begin = 0, *stride = 1;
    if (cut.by_units) {
        const int first = registers * p / cut.parts, end = registers * (p + 1) / cut.parts;
        share.u0 = first * lanes<T>, share.U = int(min(end * lanes<T>, H())) - share.u0;
        share.barrier = barrier, share.team = cut.parts, share.member = p;
    } else if (call.order != nullptr) {  // longest first: each part takes every parts-th
        *begin = p, *stride = cut.parts, share.sequences = (call.B - p + cut.parts - 1) / cut.parts;
    } else {
        *begin = call.B * p / cut.parts, share.sequences = call.B * (p + 1) / cut.parts - *begin;
    }
    return share;
}

// The parts and their memory: counted where base is nullptr, then made.
template <class T>
Part<T>* Drive<T>::make_parts(Arena arena, Barrier* barrier, size_t* size) {
    const int count = directions() * cut.parts;
    const bool make = arena.base != nullptr;
    Part<T>* parts = arena.take<Part<T>>(count);
    for (int i = 0; i < count; ++i) {
        int64_t begin, stride;
        Part<T> part(share(i, &begin, &stride, barrier));
        const int d = part.share.d;
        const bool leads = i % cut.parts == 0;
        const Part<T>* leader = parts + d * cut.parts;
        part.dx = static_cast<T*>(call.dx), part.dxt = call.dxt, part.dxb = call.dxb, part.adds = d == 1;
        if (cut.concurrent && d == 1 && cut.back && call.dx != nullptr) {
            // Both directions write at once: the second one here.
            part.dxt = call.B * I(), part.dxb = I(), part.adds = false;
            part.dx = leads ? arena.take<T>(size_t(call.T) * part.dxt) : make ? leader->dx : nullptr;
        }
        int64_t* order = arena.take<int64_t>(part.share.sequences);
        part.share.order = order;
        for (int64_t k = 0; make && k < part.share.sequences; ++k)
            order[k] = call.order != nullptr ? call.order[begin + k * stride] : begin + k;
        part.allocate(arena);
        if (cut.by_units || leads) {
            allocate(part, part.w, arena);
            if (make && !leads) part.w.Wt = leader->w.Wt;
        } else if (make) {
            part.w = leader->w;
        }
        if (cut.back && (!cut.by_units || leads))
            part.sums.allocate(part.share, arena);
        else if (cut.back && make)
            part.sums = leader->sums;
        if (make) new (parts + i) Part<T>(part);
    }
    *size = arena.used;
    return parts;
}

template <class T>
void Drive<T>::run(bool back) {
    partition(back);
    Barrier barrier;
    Scratch memory;
    size_t size = 0;
    make_parts(Arena{nullptr}, &barrier, &size);
    Part<T>* parts = make_parts(Arena{memory.of(size)}, &barrier, &size);
    const int count = directions() * cut.parts;
    const int threads = int(min(count, max(1, call.threads)));  // two directions may be one thread's
    const auto run = [&](Part<T>& part) { back ? part.backward() : part.forward(); };
    if (cut.by_units) {
        bool too_few = false;
        parallel(count, [&](int thread, int team) {
            if (team != count) {  // the runtime gave fewer threads: none may wait for another
                too_few = true;
                return;
            }
            pack(parts[thread], 0, 1);
            run(parts[thread]);
        });
        if (too_few) {
            Call single = call;
            single.threads = 1;
            return Drive<T>{plan, single}.run(back);
        }
    } else {
        parallel(threads, [&](int thread, int team) {
            for (int d = 0; d < directions(); ++d) pack(parts[d * cut.parts], thread, team);
        });
        parallel(threads, [&](int thread, int team) {
            const int stride = cut.concurrent ? count : cut.parts;  // or the directions after one another
            for (int i = thread; i < stride; i += team)
                for (int k = i; k < count; k += stride) run(parts[k]);
        });
    }
    if (back) parallel(threads, [&](int thread, int team) { reduce(parts, thread, team); });
}

}  // namespace GATED_TARGET
}  // namespace gated
