// The inner loops of crf.cpp, over K tags before and after a step; compilers make vectors of them.
#pragma once

#include "plan.h"

namespace gated {
namespace GATED_TARGET {

// to[j] = sum_i x[i] * M[i][j]
inline void chain_sum(int64_t K, const double* x /* [K] */, const double* M /* [K][K] */,
                      double* to /* [K] */) {
    for (int64_t j = 0; j < K; ++j) to[j] = 0;
    for (int64_t i = 0; i < K; ++i) {
        const double v = x[i], *row = M + i * K;
        if (v == 0) continue;
        for (int64_t j = 0; j < K; ++j) to[j] += v * row[j];
    }
}

// M[i][j] += x[i] * y[j]
inline void chain_outer(int64_t K, const double* x /* [K] */, const double* y /* [K] */,
                        double* M /* [K][K] */) {
    for (int64_t i = 0; i < K; ++i) {
        const double v = x[i];
        double* row = M + i * K;
        if (v == 0) continue;
        for (int64_t j = 0; j < K; ++j) row[j] += v * y[j];
    }
}

// to[j] = max_i x[i] + M[i][j], and from[j] the first such i
inline void chain_best(int64_t K, const double* x /* [K] */, const double* M /* [K][K] */,
                       double* to /* [K] */, int64_t* from /* [K] */) {
    for (int64_t j = 0; j < K; ++j) to[j] = x[0] + M[j], from[j] = 0;
    for (int64_t i = 1; i < K; ++i) {
        const double v = x[i], *row = M + i * K;
        for (int64_t j = 0; j < K; ++j) {
            const double sum = v + row[j];
            const bool more = sum > to[j];
            to[j] = more ? sum : to[j];
            from[j] = more ? i : from[j];
        }
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
