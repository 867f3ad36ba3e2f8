// What a file of isa/ compiles for its target.
#pragma once

#include "chain.h"
#include "dispatch.h"
#include "drive.h"
#include "stream.h"

namespace gated {
namespace GATED_TARGET {

template <class T>
void forward(const Plan& plan, const Call& call) {
    Drive<T>{plan, call}.run(false);
}

template <class T>
void backward(const Plan& plan, const Call& call) {
    Drive<T>{plan, call}.run(true);
}

template <class T>
void apply(int op, const T* from, T* to, int64_t n) {
    constexpr int L = lanes<T>;
    for (int64_t i = 0; i < n; i += L) {
        const int left = n - i < L ? int(n - i) : L;
        const Vec<T> v = left < L ? load(from + i, left) : load(from + i);
        const Vec<T> w = op == SIGMOID ? sigmoid<T>(v) : op == TANH ? tanh<T>(v) : exp_negative<T>(v);
        left < L ? store(to + i, w, left) : store(to + i, w);
    }
}

}  // namespace GATED_TARGET

#define GATED_BODY(target)                                                           \
    extern const Body body_##target;                                                 \
    const Body body_##target = {{target::forward<float>, target::forward<double>},   \
                                {target::backward<float>, target::backward<double>}, \
                                {target::stream<float>, target::stream<double>},     \
                                target::apply<float>,                                \
                                target::apply<double>,                               \
                                target::chain_sum,                                   \
                                target::chain_outer,                                 \
                                target::chain_best};

}  // namespace gated
