// The contract of a plan, read slowly: one sequence, one step and one number after another, in double.
#pragma once

#include <cmath>
#include <map>
#include <vector>

#include "../../native/plan.h"
#include "check.h"

namespace test {

using namespace gated;
using Row = std::vector<double>;

struct Sizes {
    int T, B, I, H, P, D;
};

// What a call is given. An absent tensor is empty.
struct Given {
    Plan plan;
    Sizes n;
    std::vector<int64_t> lengths, seed;
    Row x, dy, dsaved;  // (T, B, I), (T, B, D P), (D, T, B, saved H + scalars)
    std::vector<Row> s0, dfinals, weights;
    int width(int state) const { return state == plan.h ? n.P : n.H; }
    int row() const { return plan.saved * n.H + plan.scalars; }
    int length(int b) const { return lengths.empty() ? n.T : int(lengths[b]); }
};

struct Result {
    Row y, saved, grad_trace, dx;
    std::vector<Row> finals, ds0, dweights;
};

inline uint32_t philox_word(const uint32_t counter[4], const uint32_t key[2], int word) {
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; ++round, k[0] += 0x9E3779B9u, k[1] += 0xBB67AE85u) {
        const uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        const uint32_t next[4] = {uint32_t(b >> 32) ^ c[1] ^ k[0], uint32_t(b),
                                  uint32_t(a >> 32) ^ c[3] ^ k[1], uint32_t(a)};
        for (int j = 0; j < 4; ++j) c[j] = next[j];
    }
    return c[word];
}

// Whether unit j of sequence b at time t is hit.
inline bool hit(double rate, int64_t seed, int b, uint32_t t, uint32_t stream, int j) {
    const uint32_t counter[4] = {uint32_t(j % 16 + 16 * (j / 64)), uint32_t(b), t, stream};
    const uint32_t key[2] = {uint32_t(seed), uint32_t(uint64_t(seed) >> 32)};
    return (philox_word(counter, key, j / 16 % 4) >> 8) < uint32_t(std::floor(rate * 16777216 + .5));
}

// One direction of one sequence.
class Naive {
   public:
    Naive(const Given& given, Result& result, int d, int b)
        : g(given), p(given.plan), n(given.n), to(result), d(d), b(b) {
        for (int k = 0; k < p.vectors; ++k) held[VECTOR * 256 + k] = weight(FIXED + k);
        for (size_t k = 0; k < p.constants.size(); ++k) held[CONST * 256 + int(k)] = Row(n.H, p.constants[k]);
    }

    void forward() {
        for (int k = 0; k < p.states; ++k) held[STATE * 256 + k] = part(g.s0[k], d * n.B + b, g.width(k));
        for (int s = 0; s < g.length(b); ++s) {
            t = d == 0 ? s : g.length(b) - 1 - s;
            for (const Instruction& i : p.forward) run(i);
            put(to.y, (t * n.B + b) * n.D + d, n.P, held[Y * 256]);
            const int row = (d * n.T + t) * n.B + b;
            for (int k = 0; k < p.saved; ++k)
                if (held.count(SAVED * 256 + k))
                    for (int j = 0; j < int(held[SAVED * 256 + k].size()); ++j)
                        to.saved[size_t(row) * g.row() + k * n.H + j] = held[SAVED * 256 + k][j];
            for (int k = 0; k < p.scalars; ++k)
                to.saved[size_t(row) * g.row() + p.saved * n.H + k] = held[SCALAR * 256 + k][0];
            steps.push_back(held);
            for (int k = 0; k < p.states; ++k) next[k] = held[p.carry[k]];
            for (int k = 0; k < p.states; ++k) held[STATE * 256 + k] = next[k];
        }
        for (int k = 0; k < p.states; ++k) put(to.finals[k], d * n.B + b, g.width(k), held[STATE * 256 + k]);
    }

    void backward() {
        std::map<int, Row> last;
        for (int k = 0; k < p.states; ++k)
            last[k] = g.dfinals[k].empty() ? Row(g.width(k)) : part(g.dfinals[k], d * n.B + b, g.width(k));
        for (int s = g.length(b) - 1; s >= 0; --s) {
            t = d == 0 ? s : g.length(b) - 1 - s;
            held = steps[s];
            const int row = (d * n.T + t) * n.B + b;
            for (int k = 0; k < p.states; ++k) held[DSTATE * 256 + k] = last[k];
            for (int j = 0; j < n.P && !g.dy.empty(); ++j)
                held[DSTATE * 256 + p.h][j] += g.dy[((t * n.B + b) * n.D + d) * n.P + j];
            for (int k = 0; k < p.saved; ++k) {
                Row& seed = held[DSEED * 256 + k] = Row(n.H);
                for (int j = 0; j < n.H && !g.dsaved.empty(); ++j)
                    seed[j] = g.dsaved[size_t(row) * g.row() + k * n.H + j];
            }
            for (const Instruction& i : p.backward) run(i);
            meet();
            for (int k = 0; k < p.traced; ++k)
                put(to.grad_trace, row * p.traced + k, n.H, held[DTRACE * 256 + k]);
            for (int k = 0; k < p.states; ++k) last[k] = held[DPREV * 256 + k];
        }
        for (int k = 0; k < p.states; ++k) put(to.ds0[k], d * n.B + b, g.width(k), last[k]);
    }

   private:
    const Given& g;
    const Plan& p;
    const Sizes& n;
    Result& to;
    int d, b, t = 0;
    std::map<int, Row> held, next;
    std::vector<std::map<int, Row>> steps;

    const Row& weight(int k) const { return g.weights[d * p.parameters() + k]; }
    Row& dweight(int k) { return to.dweights[d * p.parameters() + k]; }
    int first() const { return p.x_blocks() - p.both; }
    static Row part(const Row& from, int row, int width) {
        return Row(from.begin() + row * width, from.begin() + (row + 1) * width);
    }
    static void put(Row& into, int row, int width, const Row& from) {
        for (int j = 0; j < width; ++j) into[size_t(row) * width + j] = from[j];
    }
    const double* x() const { return g.x.data() + (t * n.B + b) * n.I; }

    void run(const Instruction& i) {
        const int W = i.narrow() ? n.P : n.H;
        const auto a = [&](int j) { return held[i.a][j]; };
        const auto second = [&](int j) { return held[i.b][j]; };
        const auto third = [&](int j) { return held[i.c][j]; };
        const auto each = [&](auto f) {
            Row made(W);
            for (int j = 0; j < W; ++j) made[j] = f(j);
            held[i.d] = made;
        };
        switch (i.op) {
            case COPY:
                return each([&](int j) { return a(j); });
            case ADD:
                return each([&](int j) { return a(j) + second(j); });
            case SUB:
                return each([&](int j) { return a(j) - second(j); });
            case MUL:
                return each([&](int j) { return a(j) * second(j); });
            case DIV:
                return each([&](int j) { return a(j) / second(j); });
            case NEG:
                return each([&](int j) { return -a(j); });
            case FMA:
                return each([&](int j) { return a(j) * second(j) + third(j); });
            case FMS:
                return each([&](int j) { return a(j) * second(j) - third(j); });
            case FNMA:
                return each([&](int j) { return third(j) - a(j) * second(j); });
            case SIGMOID:
                return each([&](int j) { return 1 / (1 + std::exp(-a(j))); });
            case TANH:
                return each([&](int j) { return std::tanh(a(j)); });
            case RELU:
                return each([&](int j) { return a(j) > 0 ? a(j) : 0; });
            case DSIGMOID:
                return each([&](int j) { return a(j) * second(j) * (1 - second(j)); });
            case DTANH:
                return each([&](int j) { return a(j) * (1 - second(j) * second(j)); });
            case DRELU:
                return each([&](int j) { return second(j) > 0 ? a(j) : 0; });
            case DSIGMOIDMUL:
                return each([&](int j) { return a(j) * third(j) * second(j) * (1 - second(j)); });
            case DTANHMUL:
                return each([&](int j) { return a(j) * third(j) * (1 - second(j) * second(j)); });
            case NORM: {
                double mean = 0, var = 0;
                for (int j = 0; j < W; ++j) mean += a(j) / W;
                for (int j = 0; j < W; ++j) var += (a(j) - mean) * (a(j) - mean) / W;
                const double scale = 1 / std::sqrt(var + EPSILON);
                each([&](int j) { return (a(j) - mean) * scale; });
                if (i.c != 0) held[i.c] = Row{scale};
                return;
            }
            case DNORM: {
                double mean = 0, along = 0;
                for (int j = 0; j < W; ++j) mean += a(j) / W, along += a(j) * second(j) / W;
                return each([&](int j) { return third(0) * (a(j) - mean - second(j) * along); });
            }
            case ACC:
            case ACCMUL:
                for (int j = 0; j < W; ++j)
                    dweight(FIXED + index(i.d))[j] += a(j) * (i.op == ACCMUL ? second(j) : 1);
                return;
            case NOISE: {
                const double rate = second(0);
                return each([&](int j) {
                    const bool is = hit(rate, g.seed[d], b, i.drop() ? 0xffffffffu : uint32_t(t),
                                        uint32_t(i.stream()), j);
                    return i.drop() ? (is ? 0 : 1 / (1 - rate)) : double(is);
                });
            }
            case GATES: {
                const Row h = held[i.a];
                for (int k = 0; k < p.blocks(); ++k) {
                    Row& z = held[Z * 256 + k] = Row(n.H);
                    for (int j = 0; j < n.H; ++j) {
                        if (k < p.x_blocks())
                            z[j] += dense(WEIGHT_IH, BIAS_IH, p.x_rows[k] * n.H + j, x(), n.I);
                        if (k >= first())
                            z[j] += dense(WEIGHT_HH, BIAS_HH, p.h_rows[k - first()] * n.H + j, h.data(), n.P);
                    }
                }
                return;
            }
            case DGATES: {
                Row made = i.b == 0 ? Row(n.P) : held[i.b];
                made.resize(n.P);
                for (int k = 0; k < p.h_blocks(); ++k)
                    for (int j = 0; j < n.H; ++j)
                        for (int q = 0; q < n.P; ++q)
                            made[q] += held[Z * 256 + first() + k][j] *
                                       weight(WEIGHT_HH)[(p.h_rows[k] * n.H + j) * n.P + q];
                held[i.d] = made;
                return;
            }
            case PRODUCT:
            case DPRODUCT: {
                const bool back = i.op == DPRODUCT, project = i.matrix() == 0;
                const int rows = project ? n.P : n.H, columns = project ? n.H : n.P;
                const Row& M = weight(project ? PROJECT : RECUR);
                Row made(back ? columns : rows);
                for (int r = 0; r < rows; ++r)
                    for (int c = 0; c < columns; ++c)
                        made[back ? c : r] += M[r * columns + c] * a(back ? r : c);
                for (size_t j = 0; back && i.b != 0 && j < made.size(); ++j) made[j] += second(int(j));
                held[i.d] = made;
                return;
            }
        }
    }

    double dense(int matrix, int bias, int row, const double* v, int width) const {
        double sum = weight(bias).empty() ? 0 : weight(bias)[row];
        for (int j = 0; j < width; ++j) sum += weight(matrix)[row * width + j] * v[j];
        return sum;
    }

    // What a step's dz means for x and the weights.
    void meet() {
        const Row main = held[p.main];
        for (int k = 0; k < p.blocks(); ++k)
            for (int j = 0; j < n.H; ++j) {
                const double dz = held[Z * 256 + k][j];
                if (k < p.x_blocks()) {
                    const int row = p.x_rows[k] * n.H + j;
                    for (int i = 0; i < n.I; ++i) {
                        dweight(WEIGHT_IH)[row * n.I + i] += dz * x()[i];
                        to.dx[(t * n.B + b) * n.I + i] += dz * weight(WEIGHT_IH)[row * n.I + i];
                    }
                    if (!weight(BIAS_IH).empty()) dweight(BIAS_IH)[row] += dz;
                }
                if (k >= first()) {
                    const int row = p.h_rows[k - first()] * n.H + j;
                    for (int q = 0; q < n.P; ++q) dweight(WEIGHT_HH)[row * n.P + q] += dz * main[q];
                    if (!weight(BIAS_HH).empty()) dweight(BIAS_HH)[row] += dz;
                }
            }
        for (const Outer& o : p.outer) {
            const int rows = o.matrix == 0 ? n.P : n.H, columns = o.matrix == 0 ? n.H : n.P;
            for (int r = 0; r < rows; ++r)
                for (int c = 0; c < columns; ++c)
                    dweight(PROJECT + o.matrix)[r * columns + c] += held[o.gradient][r] * held[o.input][c];
        }
    }
};

// Zeros in the shapes of what a call gives back.
inline Result blank(const Given& g) {
    const Sizes& n = g.n;
    Result r;
    r.y.resize(size_t(n.T) * n.B * n.D * n.P), r.dx.resize(g.x.size());
    r.saved.resize(size_t(n.D) * n.T * n.B * g.row()),
        r.grad_trace.resize(size_t(n.D) * n.T * n.B * g.plan.traced * n.H);
    for (const Row& s : g.s0) r.finals.emplace_back(s.size()), r.ds0.emplace_back(s.size());
    for (const Row& w : g.weights) r.dweights.emplace_back(w.size());
    return r;
}

inline Result naive(const Given& g, bool back) {
    Result r = blank(g);
    for (int d = 0; d < g.n.D; ++d)
        for (int b = 0; b < g.n.B; ++b) {
            Naive one(g, r, d, b);
            one.forward();
            if (back) one.backward();
        }
    return r;
}

}  // namespace test
