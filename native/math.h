// e^x, sigmoid and tanh on vectors. Largest errors over all float32 (make exhaustive): exp 1.02,
// sigmoid 2.41, tanh 2.5 units in the last place of the result rounded from float64. NaN gives NaN, ±∞ the
// limits.
//
//     e^x = 2^n e^r        n = round(x / ln 2)        r = x - n ln 2, |r| <= ln 2 / 2
#pragma once

#include "vec.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
struct Exp;
template <>
struct Exp<float> {
    static constexpr float log2e = 1.44269504f, high = 0.693359375f, low = -2.12194440e-4f;
    static constexpr float magic = 12582912.f;  // 1.5 * 2^23: adding it leaves round(x) in the last bits
    static constexpr float lowest = -104.f;     // e^-104 rounds to 0
    static constexpr int shift = 23, bias = 127;
    // e^r - 1, minimax (Cephes)
    static Vec<float> rest(Vec<float> r) {
        Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        return p * (r * r) + r;
    }
};
template <>
struct Exp<double> {
    static constexpr double log2e = 1.4426950408889634, high = 6.93145751953125e-1,
                            low = 1.42860682030941723212e-6;
    static constexpr double magic = 6755399441055744.;
    static constexpr double lowest = -746.;
    static constexpr int shift = 52, bias = 1023;
    // e^r - 1 by its series; the next term is below 2^-57
    static Vec<double> rest(Vec<double> r) {
        Vec<double> p = r * (1. / 6227020800) + 1. / 479001600;
        p = p * r + 1. / 39916800;
        p = p * r + 1. / 3628800;
        p = p * r + 1. / 362880;
        p = p * r + 1. / 40320;
        p = p * r + 1. / 5040;
        p = p * r + 1. / 720;
        p = p * r + 1. / 120;
        p = p * r + 1. / 24;
        p = p * r + 1. / 6;
        p = p * r + .5;
        return p * (r * r) + r;
    }
};

// 2^n v for the whole number n = t - magic, down to where the result is no longer normal.
template <class T>
inline Vec<T> scale(Vec<T> v, Vec<T> t) {
    using E = Exp<T>;
#if defined(GATED_AVX) && GATED_BYTES == 64
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)_mm512_maskz_scalef_ps(0xffff, (__m512)v, (__m512)(t - E::magic));
    else
        return (Vec<T>)_mm512_maskz_scalef_pd(0xff, (__m512d)v, (__m512d)(t - E::magic));
#else
    const Int<T> n = (Int<T>)t - (Int<T>)splat<T>(E::magic),
                 half = n >> 1;  // 2^n itself may not be normal: two steps
    return v * bits<T>((half + E::bias) << E::shift) * bits<T>((n - half + E::bias) << E::shift);
#endif
}

// e^x for x <= 0.
template <class T>
inline Vec<T> exp_negative(Vec<T> x) {
    using E = Exp<T>;
    x = x < E::lowest ? splat<T>(E::lowest) : x;  // in this order NaN stays
    const Vec<T> t = x * E::log2e + E::magic, n = t - E::magic;
    return scale<T>(E::rest(x - n * E::high - n * E::low) + T(1), t);
}

template <class T>
inline Vec<T> negative_size(Vec<T> x) {  // -|x|
    const Int<T> sign = (Int<T>)splat<T>(T(-0.));
    return bits<T>((Int<T>)x | sign);
}

// 1 / (1 + e^-x), from e^-|x| so that neither end loses digits.
template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
    const Vec<T> e = exp_negative<T>(negative_size<T>(x));
    return (x < T(0) ? e : splat<T>(1)) / (e + T(1));
}

// m / (2 + m) with m = e^{-2|x|} - 1, under the sign of x. m = 2^n (e^r - 1) + (2^n - 1) loses no digits near
// 0.
template <class T>
inline Vec<T> tanh(Vec<T> x) {
    using E = Exp<T>;
    constexpr T end = sizeof(T) == 4 ? T(-20) : T(-44);  // 1 from there on
    Vec<T> y = negative_size<T>(x) * T(2);
    y = y < end ? splat<T>(end) : y;
    const Vec<T> t = y * E::log2e + E::magic, n = t - E::magic;
    const Vec<T> power = bits<T>(((Int<T>)t - (Int<T>)splat<T>(E::magic) + E::bias) << E::shift);
    const Vec<T> m = E::rest(y - n * E::high - n * E::low) * power + (power - T(1));
    const Int<T> sign = (Int<T>)splat<T>(T(-0.));
    const Vec<T> size = m / (m + T(2));  // negative
    return bits<T>(((Int<T>)size & ~sign) | ((Int<T>)x & sign));
}

template <class T>
inline Vec<T> relu(Vec<T> x) {
    return x < T(0) ? splat<T>(0) : x;
}

}  // namespace GATED_TARGET
}  // namespace gated
