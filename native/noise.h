// Random masks from a counter (Philox4x32-10, Salmon et al. 2011): the number for (seed, stream, t, b, j) is
// the same whichever thread, tile or chunk asks for it.
#pragma once

#include "vec.h"

namespace gated {
namespace GATED_TARGET {

// The words of units 64 g + 16 w + l, for l < 16 and w < 4: word w of counter (16 g + l, b, t, stream).
inline void philox(uint32_t (*words)[16], uint64_t seed, uint32_t group, uint32_t b, uint32_t t,
                   uint32_t stream) {
    uint32_t c0[16], c1[16], c2[16], c3[16];
    for (int l = 0; l < 16; ++l) c0[l] = 16 * group + l, c1[l] = b, c2[l] = t, c3[l] = stream;
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int l = 0; l < 16; ++l) {
            const uint64_t p0 = uint64_t(0xD2511F53u) * c0[l], p1 = uint64_t(0xCD9E8D57u) * c2[l];
            const uint32_t h0 = uint32_t(p0 >> 32), h1 = uint32_t(p1 >> 32);
            c0[l] = h1 ^ c1[l] ^ k0, c1[l] = uint32_t(p1), c2[l] = h0 ^ c3[l] ^ k1, c3[l] = uint32_t(p0);
        }
    for (int l = 0; l < 16; ++l)
        words[0][l] = c0[l], words[1][l] = c1[l], words[2][l] = c2[l], words[3][l] = c3[l];
}

// to[j] = hit with probability rate, else miss, for units [first, first + n).
template <class T>
inline void noise(T* to, int first, int n, double rate, T hit, T miss, uint64_t seed, uint32_t b, uint32_t t,
                  uint32_t stream) {
    const uint32_t below = uint32_t(rate * 16777216. + .5);
    uint32_t words[4][16];
    for (int j = first, end = first + n; j < end;) {
        philox(words, seed, uint32_t(j / 64), b, t, stream);
        const int stop = (j / 64 + 1) * 64 < end ? (j / 64 + 1) * 64 : end;
        for (; j < stop; ++j) *to++ = (words[j % 64 / 16][j % 16] >> 8) < below ? hit : miss;
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
