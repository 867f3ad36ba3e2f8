// Vec<T>: as many numbers as one register of the target holds. One body for every instruction set: a file of
// isa/ names a target (GATED_TARGET, GATED_BYTES) and includes the body, which lives in a namespace of its
// own, so that no function compiled for one processor is ever linked for another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef GATED_AVX
#include <immintrin.h>
#endif

namespace gated {
namespace GATED_TARGET {

template <class T>
constexpr int lanes = GATED_BYTES / sizeof(T) > 0 ? GATED_BYTES / sizeof(T) : 1;

template <class T>
struct Wide;
template <>
struct Wide<float> {
    typedef float type __attribute__((vector_size(lanes<float> * sizeof(float))));
    typedef int32_t whole __attribute__((vector_size(lanes<float> * sizeof(float))));
};
template <>
struct Wide<double> {
    typedef double type __attribute__((vector_size(lanes<double> * sizeof(double))));
    typedef int64_t whole __attribute__((vector_size(lanes<double> * sizeof(double))));
};
template <class T>
using Vec = typename Wide<T>::type;
template <class T>
using Int = typename Wide<T>::whole;

template <class T>
inline Vec<T> splat(T a) {
    return a - Vec<T>{};  // not +: -0 stays
}

template <class T>
inline Vec<T> load(const T* p) {
    Vec<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
inline void store(T* p, Vec<T> v) {
    std::memcpy(p, &v, sizeof v);
}

// The first n numbers, 0 < n < lanes; the others are zero, and nothing past them is touched.
template <class T>
inline Vec<T> load(const T* p, int n) {
    Vec<T> v{};
    for (int j = 0; j < n; ++j) v[j] = p[j];
    return v;
}

template <class T>
inline void store(T* p, Vec<T> v, int n) {
    for (int j = 0; j < n; ++j) p[j] = v[j];
}

#if defined(GATED_AVX) && GATED_BYTES == 64
template <>
inline Vec<float> load(const float* p, int n) {
    return (Vec<float>)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
}
template <>
inline Vec<double> load(const double* p, int n) {
    return (Vec<double>)_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p);
}
template <>
inline void store(float* p, Vec<float> v, int n) {
    _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
}
template <>
inline void store(double* p, Vec<double> v, int n) {
    _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), (__m512d)v);
}
#elif defined(GATED_AVX) && GATED_BYTES == 32
inline __m256i first(int n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i*)(ones + 8 - n));
}
template <>
inline Vec<float> load(const float* p, int n) {
    return (Vec<float>)_mm256_maskload_ps(p, first(n));
}
template <>
inline Vec<double> load(const double* p, int n) {
    return (Vec<double>)_mm256_maskload_pd(p, first(2 * n));
}
template <>
inline void store(float* p, Vec<float> v, int n) {
    _mm256_maskstore_ps(p, first(n), (__m256)v);
}
template <>
inline void store(double* p, Vec<double> v, int n) {
    _mm256_maskstore_pd(p, first(2 * n), (__m256d)v);
}
#endif

// Number j of the result is number at[j] of a and b, one after the other.
template <class T>
inline Vec<T> shuffle(Vec<T> a, Vec<T> b, Int<T> at) {
#if defined(__clang__)
    Vec<T> c;
    for (int j = 0; j < lanes<T>; ++j) c[j] = at[j] < lanes<T> ? a[at[j]] : b[at[j] - lanes<T>];
    return c;
#else
    return __builtin_shuffle(a, b, at);
#endif
}

template <class T, int HALF = lanes<T> / 2>
inline T sum(Vec<T> v) {
    if constexpr (HALF > 0) {
        Int<T> at{};
        for (int j = 0; j < lanes<T>; ++j) at[j] = (j + HALF) % lanes<T>;
        return sum<T, HALF / 2>(v + shuffle<T>(v, v, at));
    } else {
        return v[0];
    }
}

// A square of registers, its rows for its columns: log2(lanes) perfect shuffles.
template <class T>
inline void transpose(Vec<T>* v) {
    constexpr int L = lanes<T>;
    if constexpr (L > 1) {
        Int<T> low, high;
        for (int j = 0; j < L; ++j) low[j] = j / 2 + j % 2 * L, high[j] = low[j] + L / 2;
        for (int stage = 1; stage < L; stage *= 2) {
            Vec<T> w[L];
            for (int i = 0; i < L / 2; ++i) {
                w[2 * i] = shuffle<T>(v[i], v[i + L / 2], low);
                w[2 * i + 1] = shuffle<T>(v[i], v[i + L / 2], high);
            }
            for (int i = 0; i < L; ++i) v[i] = w[i];
        }
    }
}

template <class T>
inline Vec<T> bits(Int<T> v) {
    return (Vec<T>)v;
}

}  // namespace GATED_TARGET
}  // namespace gated
