#include "crf.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dispatch.h"

namespace gated {

namespace {

using Numbers = std::vector<double>;

constexpr double IMPOSSIBLE = -std::numeric_limits<double>::infinity();
// A sum of products of exponentials below this may have lost terms that matter, and is computed from
// logarithms.
constexpr double TINY = 1e-280;
constexpr double LARGE = 600;  // the logarithm of a factor that is still far from overflow

// exp(x - m) for each, 0 for -inf; returns m, their maximum.
double exponentials(double* out, const double* x, int64_t n) {
    double m = IMPOSSIBLE;
    for (int64_t k = 0; k < n; ++k) m = std::max(m, x[k]);
    for (int64_t k = 0; k < n; ++k) out[k] = x[k] == IMPOSSIBLE ? 0 : std::exp(x[k] - m);
    return m;
}

// log sum_k exp(a[k] + b[k * stride])
double log_sum(const double* a, const double* b, int64_t stride, int64_t n) {
    double m = IMPOSSIBLE, s = 0;
    for (int64_t k = 0; k < n; ++k) m = std::max(m, a[k] + b[k * stride]);
    if (m == IMPOSSIBLE) return IMPOSSIBLE;
    for (int64_t k = 0; k < n; ++k) s += std::exp(a[k] + b[k * stride] - m);
    return m + std::log(s);
}

Numbers transpose(const double* M, int64_t K) {
    Numbers out(K * K);
    for (int64_t i = 0; i < K; ++i)
        for (int64_t j = 0; j < K; ++j) out[j * K + i] = M[i * K + j];
    return out;
}

}  // namespace

void crf_forward(const Chain& c, double* alpha, double* log_z) {
    const int64_t K = c.K, row = c.B * K;
    const Body& inner = body();
    Numbers e(K * K), p(K), sum(K);  // e: exp(transitions - top)
    const double top = exponentials(e.data(), c.transitions, K * K);
    for (int64_t b = 0; b < c.B; ++b) {
        const int64_t n = c.lengths[b];
        for (int64_t t = 0; t < n; ++t) {
            const double* x = c.scores + t * row + b * K;
            double* a = alpha + t * row + b * K;
            if (t == 0) {
                for (int64_t k = 0; k < K; ++k) a[k] = c.start[k] + x[k];
                continue;
            }
            const double* before = a - row;
            const double m = exponentials(p.data(), before, K) + top;
            inner.chain_sum(K, p.data(), e.data(), sum.data());
            for (int64_t j = 0; j < K; ++j)
                a[j] =
                    x[j] + (sum[j] < TINY ? log_sum(before, c.transitions + j, K, K) : m + std::log(sum[j]));
        }
        log_z[b] = n == 0 ? 0 : log_sum(alpha + (n - 1) * row + b * K, c.end, 1, K);
    }
}

void crf_backward(const Chain& c, const double* alpha, const double* log_z, const double* weight,
                  double* dscores, double* dtransitions, double* dstart, double* dend) {
    const int64_t K = c.K, row = c.B * K;
    const Body& inner = body();
    Numbers e(K * K), beta(K), after(K), u(K), q(K), s(K);
    Numbers sum(K * K);  // of dtransitions, without the factor e
    const double top = exponentials(e.data(), c.transitions, K * K);
    const Numbers columns = transpose(e.data(), K);
    std::fill(dscores, dscores + c.T * row, 0);
    std::fill(dtransitions, dtransitions + K * K, 0);
    std::fill(dstart, dstart + K, 0), std::fill(dend, dend + K, 0);
    for (int64_t b = 0; b < c.B; ++b) {
        const int64_t n = c.lengths[b];
        std::copy(c.end, c.end + K, beta.begin());
        for (int64_t t = n - 1; t >= 0; --t) {
            const int64_t here = t * row + b * K;
            const double* a = alpha + here;
            if (t < n - 1) {
                for (int64_t j = 0; j < K; ++j) after[j] = c.scores[here + row + j] + beta[j];
                const double mq = exponentials(q.data(), after.data(), K), mu = exponentials(u.data(), a, K);
                inner.chain_sum(K, q.data(), columns.data(), s.data());
                for (int64_t i = 0; i < K; ++i)
                    beta[i] = s[i] < TINY ? log_sum(after.data(), c.transitions + i * K, 1, K)
                                          : mq + top + std::log(s[i]);
                const double factor = mu + mq + top - log_z[b];
                if (factor < LARGE) {
                    for (int64_t i = 0; i < K; ++i) u[i] *= weight[b] * std::exp(factor);
                    inner.chain_outer(K, u.data(), q.data(), sum.data());
                } else {  // the best of both sides do not go together
                    for (int64_t i = 0; i < K; ++i)
                        for (int64_t j = 0; j < K; ++j)
                            dtransitions[i * K + j] +=
                                weight[b] * std::exp(a[i] + c.transitions[i * K + j] + after[j] - log_z[b]);
                }
            }
            for (int64_t k = 0; k < K; ++k) {
                const double d = dscores[here + k] = weight[b] * std::exp(a[k] + beta[k] - log_z[b]);
                if (t == 0) dstart[k] += d;
                if (t == n - 1) dend[k] += d;
            }
        }
    }
    for (int64_t k = 0; k < K * K; ++k) dtransitions[k] += sum[k] * e[k];
}

void crf_best(const Chain& c, int64_t N, int64_t* tags, double* score) {
    const int64_t K = c.K;
    const Body& inner = body();
    const Numbers columns = transpose(c.transitions, K);
    Numbers best(K * N), next(K * N), last(N);        // best[k]: of the paths to k, best first
    std::vector<int64_t> from(c.T * K * N), ends(N);  // [T][K][N]: tag and rank before, as tag * N + rank
    std::fill(tags, tags + N * c.T * c.B, -1);
    // Puts a path among the N best of a list that falls; the earlier of equals stays ahead.
    const auto put = [N](double* list, int64_t* origins, double value, int64_t origin) {
        int64_t r = N - 1;
        for (; r > 0 && value > list[r - 1]; --r) list[r] = list[r - 1], origins[r] = origins[r - 1];
        list[r] = value, origins[r] = origin;
    };
    for (int64_t b = 0; b < c.B; ++b) {
        const int64_t n = c.lengths[b];
        std::fill(last.begin(), last.end(), IMPOSSIBLE), std::fill(ends.begin(), ends.end(), 0);
        if (n == 0) last[0] = 0;
        for (int64_t t = 0; t < n; ++t) {
            const double* x = c.scores + (t * c.B + b) * K;
            int64_t* origins = from.data() + t * K * N;
            std::fill(origins, origins + K * N, 0), std::fill(next.begin(), next.end(), IMPOSSIBLE);
            if (t > 0 && N == 1) inner.chain_best(K, best.data(), c.transitions, next.data(), origins);
            for (int64_t j = 0; j < K; ++j) {
                double* list = next.data() + j * N;
                if (t == 0) list[0] = c.start[j];
                for (int64_t i = 0; t > 0 && N > 1 && i < K; ++i)
                    for (int64_t r = 0; r < N; ++r) {
                        const double value = best[i * N + r] + columns[j * K + i];
                        if (!(value > list[N - 1])) break;  // those behind are no better
                        put(list, origins + j * N, value, i * N + r);
                    }
                for (int64_t r = 0; r < N; ++r) list[r] += x[j];
            }
            std::swap(best, next);
        }
        for (int64_t k = 0; n > 0 && k < K; ++k)
            for (int64_t r = 0; r < N; ++r) {
                const double value = best[k * N + r] + c.end[k];
                if (!(value > last[N - 1])) break;
                put(last.data(), ends.data(), value, k * N + r);
            }
        for (int64_t r = 0; r < N; ++r) {
            score[r * c.B + b] = last[r];
            if (last[r] == IMPOSSIBLE) continue;
            int64_t at = ends[r];
            for (int64_t t = n - 1; t >= 0; --t) {
                tags[(r * c.T + t) * c.B + b] = at / N;
                at = from[t * K * N + at];
            }
        }
    }
}

}  // namespace gated
