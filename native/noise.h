// Random masks from a counter (Philox4x32-10, Salmon et al. 2011): the number for (seed, stream, t, b, j) is
// the same whichever thread, tile or chunk asks for it.
#pragma once

#include "vec.h"

namespace gated {
namespace GATED_TARGET {

// Whole numbers below 2^32, each in 64 bits, where a product of two has room; what is above them is not
// looked at.
constexpr int COUNTERS = lanes<double>;
typedef uint64_t Counters __attribute__((vector_size(COUNTERS * sizeof(uint64_t))));

inline Counters times(Counters a, uint64_t b) {
#if defined(GATED_AVX) && GATED_BYTES == 64
    return (Counters)_mm512_maskz_mul_epu32(0xff, (__m512i)a, _mm512_set1_epi64(int64_t(b)));
#elif defined(GATED_AVX) && GATED_BYTES == 32
    return (Counters)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(int64_t(b)));
#else
    return (a & 0xffffffffu) * b;
#endif
}

// The words of units 64 g + 16 w + l, for l < 16 and w < 4: word w of counter (16 g + l, b, t, stream).
inline void philox(uint32_t (*words)[16], uint64_t seed, uint32_t group, uint32_t b, uint32_t t,
                   uint32_t stream) {
    constexpr int N = 16 / COUNTERS;  // side by side, for each round waits for the one before
    Counters c0[N], c1[N], c2[N], c3[N];
    for (int n = 0; n < N; ++n) {
        uint64_t units[COUNTERS];
        for (int l = 0; l < COUNTERS; ++l) units[l] = 16 * group + uint32_t(n * COUNTERS + l);
        std::memcpy(&c0[n], units, sizeof units);
        c1[n] = Counters{} + b, c2[n] = Counters{} + t, c3[n] = Counters{} + stream;
    }
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int n = 0; n < N; ++n) {
            const Counters p0 = times(c0[n], 0xD2511F53u), p1 = times(c2[n], 0xCD9E8D57u);
            c0[n] = (p1 >> 32) ^ c1[n] ^ k0, c1[n] = p1, c2[n] = (p0 >> 32) ^ c3[n] ^ k1, c3[n] = p0;
        }
    for (int n = 0; n < N; ++n)
        for (int l = 0; l < COUNTERS; ++l) {
            const int at = n * COUNTERS + l;
            words[0][at] = uint32_t(c0[n][l]), words[1][at] = uint32_t(c1[n][l]);
            words[2][at] = uint32_t(c2[n][l]), words[3][at] = uint32_t(c3[n][l]);
        }
}

// hit where the upper 24 bits of a word are below a bound.
inline void choose(double* mask, const uint32_t* words, uint32_t below, double hit, double miss) {
    for (int l = 0; l < 16; ++l) mask[l] = (words[l] >> 8) < below ? hit : miss;
}

inline void choose(float* mask, const uint32_t* words, uint32_t below, float hit, float miss) {
    typedef uint32_t Words __attribute__((vector_size(sizeof(Vec<float>))));
    for (int l = 0; l < 16; l += lanes<float>) {
        Words some;
        std::memcpy(&some, words + l, sizeof some);
        const Int<float> upper = (Int<float>)(some >> 8);
        store(mask + l, upper < int32_t(below) ? splat<float>(hit) : splat<float>(miss));
    }
}

// to[j] = hit with probability rate, else miss, for units [first, first + n).
template <class T>
inline void noise(T* to, int first, int n, double rate, T hit, T miss, uint64_t seed, uint32_t b, uint32_t t,
                  uint32_t stream) {
    const uint32_t below = uint32_t(rate * 16777216. + .5);
    uint32_t words[4][16];
    for (int j = first / 64 * 64, end = first + n; j < end; j += 64) {
        philox(words, seed, uint32_t(j / 64), b, t, stream);
        for (int w = 0; w < 4; ++w) {
            T mask[16];
            choose(mask, words[w], below, hit, miss);
            const int begin = j + 16 * w;
            if (begin >= first && begin + 16 <= end)
                std::memcpy(to + begin - first, mask, sizeof mask);
            else
                for (int l = 0; l < 16; ++l)
                    if (begin + l >= first && begin + l < end) to[begin + l - first] = mask[l];
        }
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
