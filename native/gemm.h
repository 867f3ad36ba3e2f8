// Small matrix products with rows anywhere in memory: every row of a, of c and of what c starts from is a
// pointer.
//
//     product   c[r] = from[r] + a[r] b        b (K, N) packed in panels: a step's product, W x, dz R, dz W
//     outer     C   += Σ_k a[k]ᵀ b[k]          a, b as they lie: gradients of weights
//
// The inner tile is ROWS rows of up to PANEL registers, which it fills but does not spill.
#pragma once

#include "vec.h"

namespace gated {
namespace GATED_TARGET {

#if GATED_BYTES == 32
constexpr int ROWS = 6, PANEL = 2;  // 16 registers
#else
constexpr int ROWS = 6, PANEL = 4;  // 32 registers
#endif

template <class T>
constexpr int padded(int n) {
    return (n + lanes<T> - 1) / lanes<T> * lanes<T>;
}

// A product's left rows, the packed right matrix, and how many numbers they share.
template <class T>
struct Factor {
    const T* const* a;
    const T* b;
    int K;
};

// Rows r < R of from + a b (+ a' b') for one panel of V registers, the last of which has n numbers to store.
template <class T, int R, int V>
inline void tile(T* const* c, const T* const* from, const Factor<T>* factors, int many, int row, int column,
                 int n) {
    constexpr int L = lanes<T>;
    // One or two rows alone would wait for each addition: several sums side by side.
    constexpr int SIDE = R * V >= 8 ? 1 : R * V >= 4 ? 2 : 4;
    Vec<T> acc[SIDE][R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) {
            for (int s = 0; s < SIDE; ++s) acc[s][r][v] = Vec<T>{};
            if (from == nullptr) continue;
            const T* f = from[row + r] + column + v * L;
            acc[0][r][v] = v == V - 1 && n < L ? load(f, n) : load(f);
        }
    for (int m = 0; m < many; ++m) {
        const int K = factors[m].K;
        const T *const *a = factors[m].a + row, *b = factors[m].b + size_t(K) * column;
        int k = 0;
        for (; k + SIDE <= K; k += SIDE)
            for (int s = 0; s < SIDE; ++s) {
                Vec<T> bv[V];
                for (int v = 0; v < V; ++v) bv[v] = load(b + (size_t(k + s) * V + v) * L);
                for (int r = 0; r < R; ++r) {
                    const Vec<T> ar = splat<T>(a[r][k + s]);
                    for (int v = 0; v < V; ++v) acc[s][r][v] += ar * bv[v];
                }
            }
        for (; k < K; ++k)
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v)
                    acc[0][r][v] += splat<T>(a[r][k]) * load(b + (size_t(k) * V + v) * L);
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) {
            Vec<T> sum = acc[0][r][v];
            for (int s = 1; s < SIDE; ++s) sum += acc[s][r][v];
            T* p = c[row + r] + column + v * L;
            if (v == V - 1 && n < L)
                store(p, sum, n);
            else
                store(p, sum);
        }
}

template <class T, int V>
inline void tiles(T* const* c, const T* const* from, const Factor<T>* factors, int many, int rows, int column,
                  int n) {
    const int blocks = (rows + ROWS - 1) / ROWS;
    for (int k = 0, r = 0; k < blocks; ++k) {  // blocks as even as they come: 8 rows are 4 and 4
        const int R = (rows - r + blocks - k - 1) / (blocks - k);
        switch (R) {
            case 1:
                tile<T, 1, V>(c, from, factors, many, r, column, n);
                break;
            case 2:
                tile<T, 2, V>(c, from, factors, many, r, column, n);
                break;
            case 3:
                tile<T, 3, V>(c, from, factors, many, r, column, n);
                break;
            case 4:
                tile<T, 4, V>(c, from, factors, many, r, column, n);
                break;
            case 5:
                tile<T, 5, V>(c, from, factors, many, r, column, n);
                break;
            default:
                tile<T, 6, V>(c, from, factors, many, r, column, n);
        }
        r += R;
    }
}

// c[r][0..N) = from[r][0..N) + Σ factors a[r] b for all rows; b as `pack_…` left it; from == nullptr: from
// zero.
template <class T>
inline void product(T* const* c, const T* const* from, const Factor<T>* factors, int many, int rows, int N) {
    constexpr int L = lanes<T>;
    for (int column = 0; column < N; column += PANEL * L) {
        const int left = N - column, V = left >= PANEL * L ? PANEL : (left + L - 1) / L;
        const int n = left >= V * L ? L : left - (V - 1) * L;
        switch (V) {
            case 1:
                tiles<T, 1>(c, from, factors, many, rows, column, n);
                break;
            case 2:
                tiles<T, 2>(c, from, factors, many, rows, column, n);
                break;
#if GATED_BYTES != 32
            case 3:
                tiles<T, 3>(c, from, factors, many, rows, column, n);
                break;
            case 4:
                tiles<T, 4>(c, from, factors, many, rows, column, n);
                break;
#endif
        }
    }
}

template <class T>
inline void product(T* const* c, const T* const* from, const T* const* a, const T* b, int rows, int K,
                    int N) {
    const Factor<T> one{a, b, K};
    product<T>(c, from, &one, 1, rows, N);
}

// Numbers that a packed (K, N) matrix takes.
template <class T>
inline size_t packed_size(int K, int N) {
    return size_t(K) * padded<T>(N);
}

// How many numbers wide the panel that begins at `column` is.
template <class T>
inline int panel_width(int N, int column) {
    const int left = padded<T>(N) - column, full = PANEL * lanes<T>;
    return left < full ? left : full;
}

// Packs one panel of b = aᵀ: column n of b is a row of K numbers, row(n), or nullptr for zeros. Rows lie `ld`
// apart within a register, so that only row(n) of each register's first column is asked for, and `rows(n)`
// how many exist.
template <class T, class Row, class Count>
inline void pack_transposed(T* packed, int K, int N, int column, size_t ld, Row row, Count rows) {
    constexpr int L = lanes<T>;
    const int width = panel_width<T>(N, column);
    T* p = packed + size_t(K) * column;
    for (int v = 0; v < width; v += L) {
        const T* from = row(column + v);
        const int n = rows(column + v);
        for (int k = 0; k < K; k += 16) {  // by cache lines of the source
            const int end = K < k + 16 ? K : k + 16;
            for (int j = 0; j < L; ++j)
                for (int i = k; i < end; ++i) p[size_t(i) * width + v + j] = j < n ? from[j * ld + i] : T(0);
        }
    }
}

// Packs one panel of b whose row k is row(k), N numbers, or nullptr for zeros.
template <class T, class Row>
inline void pack_plain(T* packed, int K, int N, int column, Row row) {
    const int width = panel_width<T>(N, column), n = N - column < width ? N - column : width;
    T* p = packed + size_t(K) * column;
    for (int k = 0; k < K; ++k, p += width) {
        const T* from = row(k);
        int j = 0;
        if (from != nullptr)
            for (; j < n; ++j) p[j] = from[column + j];
        for (; j < width; ++j) p[j] = T(0);
    }
}

// C[m][0..V registers) += Σ_k a[k][m] b[k][...] for m < M rows of C.
template <class T, int M, int V>
inline void outer_tile(T* C, size_t ldc, const T* const* a, const T* const* b, int K, int m, int n) {
    constexpr int L = lanes<T>;
    Vec<T> acc[M][V];
    for (int i = 0; i < M; ++i)
        for (int v = 0; v < V; ++v) acc[i][v] = load(C + i * ldc + v * L);
    for (int k = 0; k < K; ++k) {
        const T *ak = a[k] + m, *bk = b[k] + n;
        Vec<T> bv[V];
        for (int v = 0; v < V; ++v) bv[v] = load(bk + v * L);
        for (int i = 0; i < M; ++i) {
            const Vec<T> ai = splat<T>(ak[i]);
            for (int v = 0; v < V; ++v) acc[i][v] += ai * bv[v];
        }
    }
    for (int i = 0; i < M; ++i)
        for (int v = 0; v < V; ++v) store(C + i * ldc + v * L, acc[i][v]);
}

template <class T, int V>
inline void outer_tiles(T* C, size_t ldc, const T* const* a, const T* const* b, int K, int M, int n) {
    const int blocks = (M + ROWS - 1) / ROWS;
    for (int k = 0, m = 0; k < blocks; ++k) {
        const int R = (M - m + blocks - k - 1) / (blocks - k);
        T* c = C + m * ldc;
        switch (R) {
            case 1:
                outer_tile<T, 1, V>(c, ldc, a, b, K, m, n);
                break;
            case 2:
                outer_tile<T, 2, V>(c, ldc, a, b, K, m, n);
                break;
            case 3:
                outer_tile<T, 3, V>(c, ldc, a, b, K, m, n);
                break;
            case 4:
                outer_tile<T, 4, V>(c, ldc, a, b, K, m, n);
                break;
            case 5:
                outer_tile<T, 5, V>(c, ldc, a, b, K, m, n);
                break;
            default:
                outer_tile<T, 6, V>(c, ldc, a, b, K, m, n);
        }
        m += R;
    }
}

// C (M, N), row length ldc, += Σ_k a[k][0..M)ᵀ b[k][n0..n0+N); N whole registers, C its own column n0 at
// C[0].
template <class T>
inline void outer(T* C, size_t ldc, const T* const* a, const T* const* b, int K, int M, int n0, int N) {
    constexpr int L = lanes<T>;
    for (int n = 0; n < N; n += PANEL * L) {
        const int V = N - n >= PANEL * L ? PANEL : (N - n) / L;
        switch (V) {
            case 1:
                outer_tiles<T, 1>(C + n, ldc, a, b, K, M, n0 + n);
                break;
            case 2:
                outer_tiles<T, 2>(C + n, ldc, a, b, K, M, n0 + n);
                break;
#if GATED_BYTES != 32
            case 3:
                outer_tiles<T, 3>(C + n, ldc, a, b, K, M, n0 + n);
                break;
            case 4:
                outer_tiles<T, 4>(C + n, ldc, a, b, K, M, n0 + n);
                break;
#endif
        }
    }
}

}  // namespace GATED_TARGET
}  // namespace gated
