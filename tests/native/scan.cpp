// Whole layers, forward and backward: every instruction set, width and way to cut a call up gives what the
// plan, read slowly, gives; and that reading's gradients are those of finite differences.
#include "layer.h"

namespace {

using namespace test;

double loss(const Given& g) {
    const Result r = naive(g, false);
    double sum = 0;
    for (size_t j = 0; j < r.y.size(); ++j) sum += r.y[j] * g.dy[j];
    for (size_t k = 0; k < g.s0.size(); ++k)
        for (size_t j = 0; j < g.s0[k].size(); ++j) sum += r.finals[k][j] * g.dfinals[k][j];
    for (size_t j = 0; j < g.dsaved.size(); ++j) sum += r.saved[j] * g.dsaved[j];
    return sum;
}

// d loss / d of every number of `of`, by central differences.
void slope(Given& g, Row& of, const Row& gradient, const char* what, const char* cell) {
    const double step = 1e-5;
    for (size_t j = 0; j < of.size(); ++j) {
        const double kept = of[j];
        of[j] = kept + step;
        const double high = loss(g);
        of[j] = kept - step;
        const double low = loss(g);
        of[j] = kept;
        if (!EXPECT(std::fabs((high - low) / (2 * step) - gradient[j]) < 1e-7,
                    "%s of %s: %.9g at %zu, got %.9g", what, cell, (high - low) / (2 * step), j, gradient[j]))
            return;
    }
}

void gradients_are_slopes() {
    for (const Cell& cell : CELLS) {
        std::vector<int> seeds;
        const Plan plan = plan_of(cell, &seeds);
        Given g = given(plan, seeds, {3, 3, 2, 4, plan.project ? 3 : 4, 2}, {true});
        const Result r = naive(g, true);
        slope(g, g.x, r.dx, "dx", cell.name);
        for (size_t k = 0; k < g.s0.size(); ++k) slope(g, g.s0[k], r.ds0[k], "ds0", cell.name);
        for (size_t k = 0; k < g.weights.size(); ++k)
            slope(g, g.weights[k], r.dweights[k], "dweight", cell.name);
    }
}

std::string label(const Set& set, const Cell& cell, const Sizes& n, const How& how, int bytes) {
    char made[200];
    std::snprintf(made, sizeof made, "%s, %s%d, T %d B %d I %d H %d P %d D %d, %d threads, chunk %d%s",
                  cell.name, set.name.c_str(), bytes * 8, n.T, n.B, n.I, n.H, n.P, n.D, how.threads,
                  how.chunk, how.batch_first ? ", batch first" : "");
    return made;
}

// Both widths of every set, in every way, against one slow reading.
void same(const Cell& cell, const Sizes& n, Options options, const std::vector<How>& ways) {
    std::vector<int> seeds;
    const Plan plan = plan_of(cell, &seeds);
    const bool backward = !plan.backward.empty();
    const Given g = given(plan, seeds, n, options);
    const Result wanted = naive(g, backward);
    for (const Set& set : sets())
        for (const How& how : ways) {
            near(g, native<float>(*set.body, g, backward, how), wanted, backward, 2e-5,
                 label(set, cell, n, how, 4));
            near(g, native<double>(*set.body, g, backward, how), wanted, backward, 1e-12,
                 label(set, cell, n, how, 8));
        }
}

void every_cell() {
    const std::vector<How> ways{{1, 0}, {2, 0, false, true}, {4, 0}, {2, 2}, {1, 1 << 30}};
    for (const Cell& cell : CELLS) {
        const bool project = std::string(cell.name).find("projection") != std::string::npos;
        for (const bool lengths : {false, true})
            for (const int D : {1, 2}) {
                same(cell, {5, 1, 1, 1, 1, D}, {lengths}, ways);
                same(cell, {5, 3, 3, 17, project ? 7 : 17, D}, {lengths, !lengths}, ways);
                same(cell, {3, 15, 5, 37, project ? 16 : 37, D}, {lengths, true, !lengths}, ways);
            }
        same(cell, {0, 2, 3, 5, project ? 2 : 5, 2}, {}, ways);
        same(cell, {2, 0, 3, 5, project ? 2 : 5, 2}, {}, ways);
        same(cell, {40, 2, 2, 6, project ? 3 : 6, 2}, {true}, ways);
    }
    same(LSTM_FORWARD, {5, 3, 3, 17, 17, 2}, {true}, {{1, 0}, {2, 0}});
}

// Few rows, many units: threads share out the units and meet at every step.
void shared_units() {
    const std::vector<How> ways{{2, 0}, {3, 0}};
    for (const Cell& cell : {LSTM, GRU, RNN, PEEPHOLE, LSTM_FORWARD})
        for (const int B : {1, 3}) {
            const int H = cell.name == RNN.name ? 190 : 105;  // R of 128 KiB and more
            same(cell, {4, B, 3, H, H, 1}, {}, ways);
        }
}

// What is recomputed has the bits of what was kept.
void chunks_keep_every_bit() {
    for (const Cell& cell : CELLS) {
        std::vector<int> seeds;
        const Plan plan = plan_of(cell, &seeds);
        const Given g = given(plan, seeds, {7, 5, 3, 20, plan.project ? 9 : 20, 2}, {true});
        for (const Set& set : sets()) {
            const Result kept = native<float>(*set.body, g, true, {1, 0});
            for (const int chunk : {1, 3, 7}) {
                const Result again = native<float>(*set.body, g, true, {1, chunk});
                EXPECT(again.y == kept.y && again.finals == kept.finals, "%s, %s, chunk %d", cell.name,
                       set.name.c_str(), chunk);
                EXPECT(again.ds0 == kept.ds0, "%s, %s, chunk %d", cell.name, set.name.c_str(), chunk);
                near(again.dx, kept.dx, 1e-6, "dx",
                     std::string(cell.name) + ", chunks");  // its sums are per chunk
            }
        }
    }
}

// The same call gives the same bits; how many threads it had changes the last of them at most.
void threads_keep_results() {
    for (const Cell& cell : CELLS) {
        std::vector<int> seeds;
        const Plan plan = plan_of(cell, &seeds);
        const Given g = given(plan, seeds, {6, 9, 3, 20, plan.project ? 9 : 20, 2}, {true});
        for (const Set& set : sets()) {
            const Result one = native<float>(*set.body, g, true);
            const Result again = native<float>(*set.body, g, true);
            EXPECT(one.y == again.y && one.dx == again.dx && one.dweights == again.dweights, "%s, %s",
                   cell.name, set.name.c_str());
            near(g, native<float>(*set.body, g, true, {3, 2}), naive(g, true), true, 2e-5, cell.name);
        }
    }
}

// Eight bits of mantissa: a hundredth of the largest.
void bfloat16_products() {
#if defined(__x86_64__)
    if (!bf16()) return;
    for (const Cell& cell : CELLS)
        for (const int H : {1, 17, 40})
            for (const int threads : {1, 2}) {
                std::vector<int> seeds;
                const Plan plan = plan_of(cell, &seeds);
                const Sizes n{5, 7, 3, H, plan.project ? (H + 1) / 2 : H, 2};
                const Given g = given(plan, seeds, n, {threads == 2});
                const double close = std::string(cell.name).find("norm") != std::string::npos ? .1 : .02;
                const bool smooth = cell.name != RECTIFIED.name;  // a sign near 0 may turn
                near(g, native<float>(body_avx512bf16, g, true, {threads, threads == 2 ? 2 : 0, true}),
                     naive(g, true), smooth, close, std::string("bfloat16 ") + cell.name);
            }
    const Plan plan = plan_of(LSTM);
    const Given wide = given(plan, {}, {4, 2, 5, 105, 105, 1}, {});
    near(wide, native<float>(body_avx512bf16, wide, true, {2, 0, true}), naive(wide, true), true, .02,
         "bfloat16, units");
#endif
}

}  // namespace

void test::all() {
    gradients_are_slopes();
    every_cell();
    shared_units();
    chunks_keep_every_bit();
    threads_keep_results();
    bfloat16_products();
}
