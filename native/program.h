// One step of a plan on a tile of rows: instruction by instruction, each a loop over the tile, which stays in
// cache.
#pragma once

#include "bf16.h"
#include "gemm.h"
#include "math.h"
#include "noise.h"
#include "plan.h"

namespace gated {
namespace GATED_TARGET {

// Rows of numbers: row r begins at base + at[r] * stride.
template <class T>
struct Rows {
    T* base;
    ptrdiff_t stride;
    const ptrdiff_t* at;
    T* operator[](int r) const { return base + at[r] * stride; }
};

// What the rows of one direction see of the weights, packed. U units of H: all, or the share of one thread.
template <class T>
struct Weights {
    // forward
    T* bias;  // (blocks Up)
    T* Wx;    // (I, x-only Up)
    T* W;     // (I, both Up)
    T* R;     // (P, both Up)
    T* Rh;    // (P, h-only Up)
    // backward
    T* Wt;  // (x_blocks Hp, I)
    T* Rt;  // (h_blocks Hp, P or its share)
    // project and recur, and their transposes for the backward pass
    T* M[2];   // (H, P), (P, H)
    T* Mt[2];  // (P, H), (H, P)
};

// Everything an instruction may need.
template <class T>
struct Step {
    const Plan* plan;
    const Weights<T>* weights;
    int I, H, P, Hp, U, Up;               // units, padded to whole registers; U of them here
    int first = 0;                        // the first of these units
    int rows = 0;                         // at this step
    Rows<T>* refs[KINDS];                 // by operand
    T* z = nullptr;                       // (rows, blocks Up)
    const T* const* x = nullptr;          // (rows) of (I), unless W x stands in xz
    T* const* xz = nullptr;               // (rows) of (x_blocks Up): W x + b
    T* chunk = nullptr;                   // (·, blocks + extras, Hp): dz and what stands beside it
    const ptrdiff_t* chunk_at = nullptr;  // (rows): row of chunk
    ptrdiff_t chunk_row = 0;              // numbers of a row of chunk
    uint64_t seed = 0;
    const ptrdiff_t* b = nullptr;  // (rows): sequence
    const ptrdiff_t* t = nullptr;  // (rows): time
    const T** in = nullptr;        // (rows): for pointers to rows that a product reads,
    const T** from = nullptr;      // (rows): starts from
    T** out = nullptr;             // (rows): and writes
    uint16_t* rows16 = nullptr;    // for rows as bfloat16, if the products are

    const Rows<T>& operator()(int operand) const { return refs[kind(operand)][index(operand)]; }
    int width(const Instruction& i) const { return i.narrow() ? (P == H ? U : P) : U; }
};

template <class T, int N, class F>
inline void each(const Step<T>& s, const Instruction& i, F f) {
    constexpr int L = lanes<T>;
    const Rows<T>&d = s(i.d), &a = s(i.a), &b = s(N > 1 ? i.b : i.a), &c = s(N > 2 ? i.c : i.a);
    const int n = s.width(i), whole = n / L * L;
    for (int r = 0; r < s.rows; ++r) {
        T* pd = d[r];
        const T *pa = a[r], *pb = b[r], *pc = c[r];
        for (int j = 0; j < whole; j += L) store(pd + j, f(load(pa + j), load(pb + j), load(pc + j)));
        if (whole < n) {
            const int k = n - whole;
            store(pd + whole, f(load(pa + whole, k), load(pb + whole, k), load(pc + whole, k)), k);
        }
    }
}

inline float root(float a) { return __builtin_sqrtf(a); }
inline double root(double a) { return __builtin_sqrt(a); }

template <class T>
inline void norm(const Step<T>& s, const Instruction& i) {
    const int n = s.width(i);
    const Rows<T>&d = s(i.d), &a = s(i.a);
    for (int r = 0; r < s.rows; ++r) {
        T* to = d[r];
        const T* p = a[r];
        constexpr int L = lanes<T>;
        const int whole = n / L * L, rest = n - whole;
        Vec<T> total{}, squares{};
        for (int j = 0; j < whole; j += L) total += load(p + j);
        if (rest) total += load(p + whole, rest);
        const T mean = sum<T>(total) / T(n);
        for (int j = 0; j < whole; j += L) {
            const Vec<T> v = load(p + j) - mean;
            squares += v * v;
        }
        T last = 0;
        for (int j = whole; j < n; ++j) last += (p[j] - mean) * (p[j] - mean);
        const T inverse = T(1) / root((sum<T>(squares) + last) / T(n) + T(EPSILON));
        for (int j = 0; j < whole; j += L) store(to + j, (load(p + j) - mean) * inverse);
        for (int j = whole; j < n; ++j) to[j] = (p[j] - mean) * inverse;
        if (kind(i.c) == SCALAR) *s(i.c)[r] = inverse;
    }
}

template <class T>
inline void dnorm(const Step<T>& s, const Instruction& i) {
    constexpr int L = lanes<T>;
    const int n = s.width(i), whole = n / L * L, rest = n - whole;
    const Rows<T>&d = s(i.d), &a = s(i.a), &b = s(i.b), &c = s(i.c);
    for (int r = 0; r < s.rows; ++r) {
        T* to = d[r];
        const T *pa = a[r], *pb = b[r];
        Vec<T> plain{}, along{};
        for (int j = 0; j < whole; j += L) plain += load(pa + j), along += load(pa + j) * load(pb + j);
        if (rest) plain += load(pa + whole, rest), along += load(pa + whole, rest) * load(pb + whole, rest);
        const T m = sum<T>(plain) / T(n), k = sum<T>(along) / T(n), scale = *c[r];
        for (int j = 0; j < whole; j += L) store(to + j, (load(pa + j) - m - load(pb + j) * k) * scale);
        for (int j = whole; j < n; ++j) to[j] = (pa[j] - m - pb[j] * k) * scale;
    }
}

// d += Σ rows a (⊙ b)
template <class T>
inline void accumulate(const Step<T>& s, const Instruction& i) {
    constexpr int L = lanes<T>;
    const int n = s.width(i);
    T* to = s(i.d)[0];
    const Rows<T>&a = s(i.a), &b = s(i.op == ACCMUL ? i.b : i.a);
    for (int j = 0; j < n; j += L) {
        const int k = n - j < L ? n - j : L;
        const auto at = [&](const T* row) { return k < L ? load(row + j, k) : load(row + j); };
        Vec<T> sum = at(to);
        if (i.op == ACCMUL)
            for (int r = 0; r < s.rows; ++r) sum += at(a[r]) * at(b[r]);
        else
            for (int r = 0; r < s.rows; ++r) sum += at(a[r]);
        k < L ? store(to + j, sum, k) : store(to + j, sum);
    }
}

template <class T>
inline void draw(const Step<T>& s, const Instruction& i) {
    const bool drop = i.drop();
    const T rate = s(i.b)[0][0];
    const T hit = drop ? T(0) : T(1), miss = !drop ? T(0) : rate < T(1) ? T(1) / (T(1) - rate) : T(0);
    for (int r = 0; r < s.rows; ++r)
        noise<T>(s(i.d)[r], s.first, s.width(i), rate, hit, miss, s.seed, uint32_t(s.b[r]),
                 drop ? 0xffffffffu : uint32_t(s.t[r]), uint32_t(i.stream()));
}

// z = W x + b + R a + b', x-only and h-only blocks with their own half. In xz stands W x + b, if it was
// computed ahead.
template <class T>
inline void gates(const Step<T>& s, const Instruction& i) {
    const Plan& plan = *s.plan;
    const Weights<T>& w = *s.weights;
    const int row = plan.blocks() * s.Up, first = plan.h_first() * s.Up, both = plan.both * s.Up;
    const int only = plan.h_blocks() * s.Up - both;
    const Rows<T>& a = s(i.a);
    for (int r = 0; r < s.rows; ++r) {
        s.out[r] = s.z + ptrdiff_t(r) * row;
        s.from[r] = w.bias;
        s.in[r] = a[r] - s.first;  // h of all units
    }
    if (s.xz == nullptr && first > 0) multiply<T>(s.out, s.from, s.x, w.Wx, s.rows, s.I, first, s.rows16);
    for (int r = 0; r < s.rows; ++r)
        s.out[r] += first, s.from[r] = (s.xz == nullptr ? w.bias : s.xz[r]) + first;
    const Factor<T> factors[2] = {{s.in, w.R, s.P}, {s.x, w.W, s.I}};
    multiply<T>(s.out, s.from, factors, s.xz == nullptr ? 2 : 1, s.rows, both, s.rows16);
    if (only == 0) return;
    for (int r = 0; r < s.rows; ++r) s.out[r] += both, s.from[r] = w.bias + first + both;
    multiply<T>(s.out, s.from, s.in, w.Rh, s.rows, s.P, only, s.rows16);
}

template <class T>
inline void dgates(const Step<T>& s, const Instruction& i) {
    const Plan& plan = *s.plan;
    const bool add = i.b != NONE;
    for (int r = 0; r < s.rows; ++r) {
        s.out[r] = s(i.d)[r];
        s.from[r] = add ? s(i.b)[r] : nullptr;
        s.in[r] = s.chunk + s.chunk_at[r] * s.chunk_row + plan.h_first() * s.Hp;
    }
    multiply<T>(s.out, add ? s.from : nullptr, s.in, s.weights->Rt, s.rows, plan.h_blocks() * s.Hp,
                s.P == s.H ? s.U : s.P, s.rows16);
}

// d = M a, or d = Mᵀ a + b: project is (P, H), recur (H, P)
template <class T>
inline void map(const Step<T>& s, const Instruction& i) {
    const bool back = i.op == DPRODUCT, add = back && i.b != NONE, project = i.matrix() == 0;
    const bool narrows = project != back;  // H in, P out
    for (int r = 0; r < s.rows; ++r) {
        s.out[r] = s(i.d)[r], s.in[r] = s(i.a)[r];
        s.from[r] = add ? s(i.b)[r] : nullptr;
    }
    const T* packed = back ? s.weights->Mt[i.matrix()] : s.weights->M[i.matrix()];
    product<T>(s.out, add ? s.from : nullptr, s.in, packed, s.rows, narrows ? s.H : s.P, narrows ? s.P : s.H);
}

template <class T>
inline void run(const Step<T>& s, const Instruction& i) {
    using V = Vec<T>;
    switch (i.op) {
        case COPY:
            return each<T, 1>(s, i, [](V a, V, V) { return a; });
        case ADD:
            return each<T, 2>(s, i, [](V a, V b, V) { return a + b; });
        case SUB:
            return each<T, 2>(s, i, [](V a, V b, V) { return a - b; });
        case MUL:
            return each<T, 2>(s, i, [](V a, V b, V) { return a * b; });
        case DIV:
            return each<T, 2>(s, i, [](V a, V b, V) { return a / b; });
        case NEG:
            return each<T, 1>(s, i, [](V a, V, V) { return -a; });
        case FMA:
            return each<T, 3>(s, i, [](V a, V b, V c) { return a * b + c; });
        case FMS:
            return each<T, 3>(s, i, [](V a, V b, V c) { return a * b - c; });
        case FNMA:
            return each<T, 3>(s, i, [](V a, V b, V c) { return c - a * b; });
        case SIGMOID:
            return each<T, 1>(s, i, [](V a, V, V) { return sigmoid<T>(a); });
        case TANH:
            return each<T, 1>(s, i, [](V a, V, V) { return tanh<T>(a); });
        case RELU:
            return each<T, 1>(s, i, [](V a, V, V) { return relu<T>(a); });
        case DSIGMOID:
            return each<T, 2>(s, i, [](V a, V b, V) { return a * b * (T(1) - b); });
        case DTANH:
            return each<T, 2>(s, i, [](V a, V b, V) { return a * (T(1) - b * b); });
        case DSIGMOIDMUL:
            return each<T, 3>(s, i, [](V a, V b, V c) { return a * c * (b * (T(1) - b)); });
        case DTANHMUL:
            return each<T, 3>(s, i, [](V a, V b, V c) { return a * c * (T(1) - b * b); });
        case DRELU:
            return each<T, 2>(s, i, [](V a, V b, V) { return b > T(0) ? a : V{}; });
        case NORM:
            return norm(s, i);
        case DNORM:
            return dnorm(s, i);
        case ACC:
        case ACCMUL:
            return accumulate(s, i);
        case NOISE:
            return draw(s, i);
        case GATES:
            return gates(s, i);
        case DGATES:
            return dgates(s, i);
        case PRODUCT:
        case DPRODUCT:
            return map(s, i);
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
