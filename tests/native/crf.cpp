// Sums and best paths over chains of tags, against all paths one by one.
#include "../../native/crf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"

namespace {

using gated::Chain;
using test::Dice;

constexpr double IMPOSSIBLE = -std::numeric_limits<double>::infinity();

bool close(double a, double b) { return a == b || std::abs(a - b) < 1e-9 * (1 + std::abs(b)); }

double score(const Chain& c, int64_t b, const std::vector<int64_t>& path) {
    const int64_t n = int64_t(path.size());
    if (n == 0) return 0;
    double s = c.start[path[0]] + c.end[path[n - 1]];
    for (int64_t t = 0; t < n; ++t) s += c.scores[(t * c.B + b) * c.K + path[t]];
    for (int64_t t = 1; t < n; ++t) s += c.transitions[path[t - 1] * c.K + path[t]];
    return s;
}

// Every path of n tags, with its score, best first.
std::vector<std::pair<double, std::vector<int64_t>>> paths(const Chain& c, int64_t b) {
    std::vector<std::pair<double, std::vector<int64_t>>> all;
    std::vector<int64_t> path(size_t(c.lengths[b]), 0);
    for (;;) {
        all.emplace_back(score(c, b, path), path);
        size_t t = 0;
        while (t < path.size() && ++path[t] == c.K) path[t++] = 0;
        if (t == path.size()) break;
    }
    std::stable_sort(all.begin(), all.end(), [](const auto& x, const auto& y) { return x.first > y.first; });
    return all;
}

void compare(int64_t T, int64_t B, int64_t K, double size, bool masked, Dice& dice) {
    const auto draw = [&](int64_t n, bool mask) {
        std::vector<double> out(static_cast<size_t>(n));
        for (double& x : out) x = mask && dice.below(3) == 0 ? IMPOSSIBLE : size * dice.number();
        return out;
    };
    const std::vector<double> scores = draw(T * B * K, false), end = draw(K, false);
    std::vector<double> transitions = draw(K * K, masked), start = draw(K, masked);
    start[0] = size;
    for (int64_t k = 0; k < K; ++k) transitions[k * K] = transitions[k] = 0;  // so that there is a path
    std::vector<int64_t> lengths;
    for (int64_t b = 0; b < B; ++b) lengths.push_back(b == 0 ? T : dice.below(int(T) + 1));
    const Chain c{T, B, K, scores.data(), transitions.data(), start.data(), end.data(), lengths.data()};

    std::vector<double> alpha(T * B * K), log_z(B), weight(B, 1), ds(T * B * K), da(K * K), d0(K), d1(K);
    gated::crf_forward(c, alpha.data(), log_z.data());
    gated::crf_backward(c, alpha.data(), log_z.data(), weight.data(), ds.data(), da.data(), d0.data(),
                        d1.data());
    constexpr int64_t N = 3;
    std::vector<int64_t> tags(N * T * B);
    std::vector<double> best(N * B);
    gated::crf_best(c, N, tags.data(), best.data());

    std::vector<double> marginals(T * B * K), pairs(K * K);
    for (int64_t b = 0; b < B; ++b) {
        const auto all = paths(c, b);
        double sum = 0;
        for (const auto& one : all) sum += std::exp(one.first - all[0].first);
        const double z = all[0].first + std::log(sum);
        EXPECT(close(log_z[b], z), "log z %g, got %g", z, log_z[b]);
        for (const auto& one : all)
            for (int64_t t = 0; t < lengths[b]; ++t) {
                const double p = std::exp(one.first - z);
                marginals[(t * B + b) * K + one.second[t]] += p;
                if (t > 0) pairs[one.second[t - 1] * K + one.second[t]] += p;
            }
        for (int64_t r = 0; r < N; ++r) {
            const double want = r < int64_t(all.size()) ? all[r].first : IMPOSSIBLE;
            EXPECT(close(best[r * B + b], want), "path %d of %g, got %g", int(r), want, best[r * B + b]);
            if (want == IMPOSSIBLE) continue;
            std::vector<int64_t> path;
            for (int64_t t = 0; t < lengths[b]; ++t) path.push_back(tags[(r * T + t) * B + b]);
            EXPECT(close(score(c, b, path), want), "path %d: its score %g, got %g", int(r), want,
                   score(c, b, path));
        }
        for (int64_t t = lengths[b]; t < T; ++t) EXPECT(tags[t * B + b] == -1, "no tag at step %d", int(t));
    }
    for (size_t k = 0; k < ds.size(); ++k)
        EXPECT(std::abs(ds[k] - marginals[k]) < 1e-9, "marginal %g, got %g", marginals[k], ds[k]);
    for (size_t k = 0; k < da.size(); ++k)
        EXPECT(std::abs(da[k] - pairs[k]) < 1e-9, "pair %g, got %g", pairs[k], da[k]);
}

}  // namespace

void test::all() {
    Dice dice{7};
    for (const double size : {1., 300., 2000.})
        for (const bool masked : {false, true})
            for (int n = 0; n < 8; ++n)
                compare(dice.below(5), 1 + dice.below(3), 1 + dice.below(4), size, masked, dice);
}
