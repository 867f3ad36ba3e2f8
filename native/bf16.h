// Products of bfloat16 numbers, two at a time, summed up in float32. Matrices are packed as for float32 and
// then rounded in place: rows 2k and 2k + 1 of a panel become pairs.
#pragma once

#include "gemm.h"

namespace gated {
namespace GATED_TARGET {

#ifdef GATED_BF16
constexpr bool HAS_BF16 = true;

using Pairs = __m512i;

inline Pairs pairs(__m512 low, __m512 high) {
    const __m512i l = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
    const __m512i h = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
    return _mm512_or_si512(l, _mm512_slli_epi32(h, 16));
}

inline __m512 some(const float* p, int n) { return n >= 16 ? _mm512_loadu_ps(p) : (__m512)load(p, n); }

// A panel (K, width) of floats, in place: pair (2k, 2k + 1) of every column.
inline void to_pairs(float* panel, int K, int width) {
    uint32_t* to = reinterpret_cast<uint32_t*>(panel);
    for (int k = 0; k < K; k += 2)
        for (int j = 0; j < width; j += 16, to += 16) {
            const __m512 low = _mm512_loadu_ps(panel + size_t(k) * width + j);
            const __m512 high =
                k + 1 < K ? _mm512_loadu_ps(panel + size_t(k + 1) * width + j) : _mm512_setzero_ps();
            _mm512_storeu_si512(to, pairs(low, high));
        }
}

// K numbers as bfloat16, and zero up to an even count.
inline void round_row(uint16_t* to, const float* from, int K) {
    int k = 0;
    for (; k + 16 <= K; k += 16)
        _mm256_storeu_si256((__m256i*)(to + k), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + k)));
    if (k == K) return;
    uint16_t rest[16];
    _mm256_storeu_si256((__m256i*)rest, (__m256i)_mm512_cvtneps_pbh(some(from + k, K - k)));
    for (int j = k; j < K + K % 2; ++j) to[j] = rest[j - k];  // what is past K was loaded as zero
}

// Rows 2k and 2k + 1, n numbers each, as pairs.
inline void pair_rows(uint32_t* to, const float* low, const float* high, int n) {
    for (int j = 0; j < n; j += 16) {
        const __m512 l = some(low + j, n - j),
                     h = high == nullptr ? _mm512_setzero_ps() : some(high + j, n - j);
        if (n - j >= 16)
            _mm512_storeu_si512(to + j, pairs(l, h));
        else
            _mm512_mask_storeu_epi32(to + j, __mmask16((1u << (n - j)) - 1), pairs(l, h));
    }
}

inline Vec<float> plus_pairs(Vec<float> sum, Pairs a, Pairs b) {
    return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

template <int R, int V>
inline void tile_pairs(float* const* c, const float* const* from, const uint16_t* a, size_t lda,
                       const uint32_t* b, int K, int row, int column, int n) {
    Vec<float> acc[R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) {
            const float* f = from == nullptr ? nullptr : from[row + r] + column + v * 16;
            acc[r][v] = f == nullptr ? Vec<float>{} : v == V - 1 && n < 16 ? load(f, n) : load(f);
        }
    for (int k = 0; k < (K + 1) / 2; ++k) {
        Pairs bv[V];
        for (int v = 0; v < V; ++v) bv[v] = _mm512_loadu_si512(b + (size_t(k) * V + v) * 16);
        for (int r = 0; r < R; ++r) {
            int32_t two;
            std::memcpy(&two, a + (row + r) * lda + 2 * k, 4);
            const Pairs ar = _mm512_set1_epi32(two);
            for (int v = 0; v < V; ++v) acc[r][v] = plus_pairs(acc[r][v], ar, bv[v]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) {
            float* p = c[row + r] + column + v * 16;
            if (v == V - 1 && n < 16)
                store(p, acc[r][v], n);
            else
                store(p, acc[r][v]);
        }
}

// As `product`, of matrices packed and rounded; `rows16` holds rows (K + 1) numbers.
inline void product_bf16(float* const* c, const float* const* from, const float* const* a,
                         const float* packed, int rows, int K, int N, uint16_t* rows16) {
    const size_t lda = size_t(K + K % 2);
    for (int r = 0; r < rows; ++r) round_row(rows16 + r * lda, a[r], K);
    for_panels<float>(N, [&](int column, int V, int n) {
        const uint32_t* b = reinterpret_cast<const uint32_t*>(packed + size_t(K) * column);
        for_blocks(rows, [&](int r, int R) {
            for_sizes(R, V, [&](auto height, auto width) {
                tile_pairs<height.value, width.value>(c, from, rows16, lda, b, K, r, column, n);
            });
        });
    });
}

template <int M, int V>
inline void outer_pairs(float* C, size_t ldc, const uint32_t* a, size_t lda, const uint32_t* b, size_t ldb,
                        int K) {
    Vec<float> acc[M][V];
    for (int i = 0; i < M; ++i)
        for (int v = 0; v < V; ++v) acc[i][v] = load(C + i * ldc + v * 16);
    for (int k = 0; k < K; ++k, a += lda, b += ldb) {
        Pairs bv[V];
        for (int v = 0; v < V; ++v) bv[v] = _mm512_loadu_si512(b + v * 16);
        for (int i = 0; i < M; ++i) {
            const Pairs ai = _mm512_set1_epi32(int(a[i]));
            for (int v = 0; v < V; ++v) acc[i][v] = plus_pairs(acc[i][v], ai, bv[v]);
        }
    }
    for (int i = 0; i < M; ++i)
        for (int v = 0; v < V; ++v) store(C + i * ldc + v * 16, acc[i][v]);
}

// As `outer`; `rows16` holds K/2 rows of M and of N pairs.
inline void outer_bf16(float* C, size_t ldc, const float* const* a, const float* const* b, int K, int M,
                       int n0, int N, uint32_t* rows16) {
    const int half = (K + 1) / 2;
    uint32_t *pa = rows16, *pb = rows16 + size_t(half) * M;
    for (int k = 0; k < half; ++k) {
        const bool both = 2 * k + 1 < K;
        pair_rows(pa + size_t(k) * M, a[2 * k], both ? a[2 * k + 1] : nullptr, M);
        pair_rows(pb + size_t(k) * N, b[2 * k] + n0, both ? b[2 * k + 1] + n0 : nullptr, N);
    }
    for_panels<float>(N, [&](int n, int V, int) {
        for_blocks(M, [&](int m, int R) {
            for_sizes(R, V, [&](auto height, auto width) {
                outer_pairs<height.value, width.value>(C + m * ldc + n, ldc, pa + m, size_t(M), pb + n,
                                                       size_t(N), half);
            });
        });
    });
}
#else
constexpr bool HAS_BF16 = false;

inline void to_pairs(float*, int, int) {}
inline void product_bf16(float* const*, const float* const*, const float* const*, const float*, int, int, int,
                         uint16_t*) {}
inline void outer_bf16(float*, size_t, const float* const*, const float* const*, int, int, int, int,
                       uint32_t*) {}
#endif

// The products of a call that may have asked for bfloat16; `rows16` is nullptr if it has not.
template <class T>
inline void multiply(T* const* c, const T* const* from, const Factor<T>* factors, int count, int rows, int N,
                     uint16_t* rows16) {
    if constexpr (HAS_BF16 && sizeof(T) == 4)
        if (rows16 != nullptr) {
            for (int m = 0; m < count; ++m)
                product_bf16(c, m == 0 ? from : c, factors[m].a, factors[m].b, rows, factors[m].K, N, rows16);
            return;
        }
    product<T>(c, from, factors, count, rows, N);
}

template <class T>
inline void multiply(T* const* c, const T* const* from, const T* const* a, const T* b, int rows, int K, int N,
                     uint16_t* rows16) {
    const Factor<T> one{a, b, K};
    multiply<T>(c, from, &one, 1, rows, N, rows16);
}

template <class T>
inline void sum_outer(T* C, size_t ldc, const T* const* a, const T* const* b, int K, int M, int n0, int N,
                      uint16_t* rows16) {
    if constexpr (HAS_BF16 && sizeof(T) == 4)
        if (rows16 != nullptr)
            return outer_bf16(C, ldc, a, b, K, M, n0, N, reinterpret_cast<uint32_t*>(rows16));
    outer<T>(C, ldc, a, b, K, M, n0, N);
}

}  // namespace GATED_TARGET
}  // namespace gated
