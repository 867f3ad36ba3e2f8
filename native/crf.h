// A linear-chain conditional random field over T steps of K tags, for B sequences side by side:
//   score(y) = start[y_1] + sum_t scores[t][y_t] + sum_t transitions[y_t-1][y_t] + end[y_n],   log_z = log
//   sum_y exp score(y)
// Time grows with T and with K * K. A sequence without steps has one path, of score 0. -inf forbids.
#pragma once

#include <cstdint>

namespace gated {

struct Chain {
    int64_t T, B, K;
    const double* scores;       // [T][B][K]
    const double* transitions;  // [K][K], from the row's tag to the column's
    const double* start;        // [K]
    const double* end;          // [K]
    const int64_t* lengths;     // [B], each from 0 to T
};

// alpha[t][b][k] = log of the sum over all paths that are at tag k at step t, up to there; log_z[b].
void crf_forward(const Chain& c, double* alpha /* [T][B][K] */, double* log_z /* [B] */);

// The gradient of sum_b weight[b] * log_z[b]: dscores is weight times the marginals, 0 beyond a sequence's
// end.
void crf_backward(const Chain& c, const double* alpha /* [T][B][K] */, const double* log_z /* [B] */,
                  const double* weight /* [B] */, double* dscores /* [T][B][K] */,
                  double* dtransitions /* [K][K] */, double* dstart /* [K] */, double* dend /* [K] */);

// The N best paths of each sequence, best first: tags, -1 beyond a sequence's end, and the paths' scores;
// where there are fewer paths, the rest have -1 and -inf.
void crf_best(const Chain& c, int64_t N, int64_t* tags /* [N][T][B] */, double* score /* [N][B] */);

}  // namespace gated
