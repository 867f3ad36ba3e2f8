// Products of one instruction set against plain loops in double, at sizes that fill no register or panel.
#include "../../native/gemm.h"

#include <cmath>
#include <limits>
#include <vector>

#include "../../native/bf16.h"
#include "target.h"

namespace {

using namespace gated::GATED_TARGET;
using test::Dice;

const double NOTHING = std::numeric_limits<double>::quiet_NaN();

// Rows that lie apart, each with room of its own, so that a number too many is seen.
template <class T>
struct Matrix {
    std::vector<std::vector<T>> rows;
    std::vector<T*> at;
    Matrix(int R, int N, Dice* dice = nullptr) : rows(R, std::vector<T>(N, T(NOTHING))) {
        for (auto& row : rows) {
            for (T& v : row)
                if (dice != nullptr) v = T(float(dice->number()));
            at.push_back(row.data());
        }
    }
    const T* const* get() const { return at.data(); }
};

template <class T>
double close() {
    return sizeof(T) == 4 ? 1e-5 : 1e-13;
}

template <class T>
std::vector<T> packed(const Matrix<T>& b, int K, int N, bool turned) {
    std::vector<T> to(packed_size<T>(K, N), T(NOTHING));
    std::vector<T> flat(size_t(K) * N);  // the transpose: row n has K numbers
    for (int k = 0; k < K; ++k)
        for (int n = 0; n < N; ++n) flat[size_t(n) * K + k] = b.rows[k][n];
    for (int c = 0; c < N; c += PANEL * lanes<T>)
        if (turned)
            pack_transposed<T>(
                to.data(), K, N, c, size_t(K), [&](int n) { return flat.data() + size_t(n) * K; },
                [&](int n) { return N - n; });
        else
            pack_plain<T>(to.data(), K, N, c, [&](int k) { return b.rows[k].data(); });
    return to;
}

template <class T>
void products(int rows, int K, int N, bool from, bool twice) {
    Dice dice{uint64_t(rows * 10007 + K * 101 + N)};
    const Matrix<T> a(rows, K, &dice), b(K, N, &dice), start(rows, N, &dice), a2(rows, K + 1, &dice),
        b2(K + 1, N, &dice);
    Matrix<T> c(rows, N);
    const auto pack = packed(b, K, N, false), turned = packed(b, K, N, true),
               pack2 = packed(b2, K + 1, N, true);
    EXPECT(pack == turned, "both ways to pack (%d, %d) agree", K, N);
    const Factor<T> factors[2] = {{a.get(), pack.data(), K}, {a2.get(), pack2.data(), K + 1}};
    product<T>(c.at.data(), from ? start.get() : nullptr, factors, 1 + twice, rows, N);
    for (int r = 0; r < rows; ++r)
        for (int n = 0; n < N; ++n) {
            double sum = from ? start.rows[r][n] : 0;
            for (int k = 0; k < K; ++k) sum += double(a.rows[r][k]) * b.rows[k][n];
            for (int k = 0; twice && k < K + 1; ++k) sum += double(a2.rows[r][k]) * b2.rows[k][n];
            if (!EXPECT(std::fabs(c.rows[r][n] - sum) <= close<T>() * (K + 1),
                        "(%d, %d) of (%d, %d, %d): %.9g, got %.9g", r, n, rows, K, N, sum,
                        double(c.rows[r][n])))
                return;
        }
}

template <class T>
void outers(int K, int M, int registers, int n0) {
    Dice dice{uint64_t(K * 10007 + M * 101 + registers)};
    const int N = registers * lanes<T>;
    const Matrix<T> a(K, M, &dice), b(K, n0 + N, &dice), start(M, N, &dice);
    std::vector<T> C;
    for (const auto& row : start.rows) C.insert(C.end(), row.begin(), row.end());
    outer<T>(C.data(), size_t(N), a.get(), b.get(), K, M, n0, N);
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) {
            double sum = start.rows[m][n];
            for (int k = 0; k < K; ++k) sum += double(a.rows[k][m]) * b.rows[k][n0 + n];
            if (!EXPECT(std::fabs(C[size_t(m) * N + n] - sum) <= close<T>() * (K + 1),
                        "(%d, %d) of (%d, %d, %d): %.9g, got %.9g", m, n, K, M, N, sum,
                        double(C[size_t(m) * N + n])))
                return;
        }
}

template <class T>
void squares() {
    constexpr int L = lanes<T>;
    Vec<T> square[L];
    for (int i = 0; i < L; ++i)
        for (int j = 0; j < L; ++j) square[i][j] = T(i * L + j);
    transpose<T>(square);
    for (int i = 0; i < L; ++i)
        for (int j = 0; j < L; ++j) EXPECT(square[i][j] == T(j * L + i), "square of %d at (%d, %d)", L, i, j);
    std::vector<T> line(L, T(1));
    for (int n = 1; n < L; ++n) {
        std::vector<T> some(n, T(2)), out(n, T(0));
        const Vec<T> v = load(some.data(), n);
        for (int j = 0; j < L; ++j) EXPECT(v[j] == T(j < n ? 2 : 0), "load of %d of %d, number %d", n, L, j);
        store(out.data(), v, n);
        EXPECT(out == some, "store of %d of %d", n, L);
    }
    EXPECT(sum<T>(load(line.data())) == T(L), "sum of %d ones", L);
}

template <class T>
void width() {
    squares<T>();
    constexpr int L = lanes<T>;
    const int sizes[] = {1, 2, 3, L, L + 1, PANEL * L, PANEL * L + 1, 2 * PANEL * L + L + 3};
    for (int rows : {1, 2, 3, 5, 6, 7, 8, 13})
        for (int K : {1, 2, 5, 8, 19})
            for (int N : sizes)
                for (int how = 0; how < 4; ++how) products<T>(rows, K, N, how & 1, how & 2);
    products<T>(3, 4, 0, true, true);
    for (int K : {1, 2, 5, 33})
        for (int M : {1, 2, 6, 7, 20})
            for (int registers : {1, 2, 3, 5, 9})
                for (int n0 : {0, 2 * L}) outers<T>(K, M, registers, n0);
    outers<T>(0, 3, 2, 0);
}

#ifdef GATED_BF16
float rounded(float v) {  // to the nearest of the numbers with 8 bits, to the even of two
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    std::memcpy(&v, &bits, 4);
    return v;
}

void product_of_bf16(int rows, int K, int N, bool from) {
    Dice dice{uint64_t(rows * 10007 + K * 101 + N)};
    const Matrix<float> a(rows, K, &dice), b(K, N, &dice), start(rows, N, &dice);
    Matrix<float> c(rows, N);
    auto pack = packed(b, K, N, true);
    for (int column = 0; column < N; column += PANEL * 16)
        to_pairs(pack.data() + size_t(K) * column, K, panel_width<float>(N, column));
    std::vector<uint16_t> room(size_t(rows) * (K + 1));
    product_bf16(c.at.data(), from ? start.get() : nullptr, a.get(), pack.data(), rows, K, N, room.data());
    for (int r = 0; r < rows; ++r)
        for (int n = 0; n < N; ++n) {
            double sum = from ? start.rows[r][n] : 0;
            for (int k = 0; k < K; ++k) sum += double(rounded(a.rows[r][k])) * rounded(b.rows[k][n]);
            if (!EXPECT(std::fabs(c.rows[r][n] - sum) <= 1e-5 * (K + 1),
                        "(%d, %d) of (%d, %d, %d): %.9g, got %.9g", r, n, rows, K, N, sum,
                        double(c.rows[r][n])))
                return;
        }
}

void outer_of_bf16(int K, int M, int N, int n0) {
    Dice dice{uint64_t(K * 10007 + M * 101 + N)};
    const Matrix<float> a(K, M, &dice), b(K, n0 + N, &dice);
    std::vector<float> C(size_t(M) * N, 1);
    std::vector<uint32_t> room(size_t((K + 1) / 2) * (M + N));
    outer_bf16(C.data(), size_t(N), a.get(), b.get(), K, M, n0, N, room.data());
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) {
            double sum = 1;
            for (int k = 0; k < K; ++k) sum += double(rounded(a.rows[k][m])) * rounded(b.rows[k][n0 + n]);
            if (!EXPECT(std::fabs(C[size_t(m) * N + n] - sum) <= 1e-5 * (K + 1),
                        "(%d, %d) of (%d, %d, %d): %.9g, got %.9g", m, n, K, M, N, sum,
                        double(C[size_t(m) * N + n])))
                return;
        }
}
#endif

}  // namespace

void target::gemm() {
    width<float>();
    width<double>();
#ifdef GATED_BF16
    for (int rows : {1, 5, 6, 13})
        for (int K : {1, 2, 5, 16, 33})
            for (int N : {1, 15, 16, 65, 130})
                for (bool from : {false, true}) product_of_bf16(rows, K, N, from);
    for (int K : {1, 2, 5, 16})
        for (int M : {1, 7, 33})
            for (int N : {16, 48, 80}) outer_of_bf16(K, M, N, 16);
#endif
}
