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

template <int N>
struct Size {
    static constexpr int value = N;
};

template <int V, class F>
inline void for_rows(int R, F f) {
    switch (R) {
        case 1:
            return f(Size<1>{}, Size<V>{});
        case 2:
            return f(Size<2>{}, Size<V>{});
        case 3:
            return f(Size<3>{}, Size<V>{});
        case 4:
            return f(Size<4>{}, Size<V>{});
        case 5:
            return f(Size<5>{}, Size<V>{});
        default:
            return f(Size<6>{}, Size<V>{});
    }
}

// f(rows, registers) of a tile of R rows and V registers, as constants.
template <class F>
inline void for_sizes(int R, int V, F f) {
    switch (V) {
        case 1:
            return for_rows<1>(R, f);
#if GATED_BYTES == 32
        default:
            return for_rows<2>(R, f);
#else
        case 2:
            return for_rows<2>(R, f);
        case 3:
            return for_rows<3>(R, f);
        default:
            return for_rows<4>(R, f);
#endif
    }
}

// f(first, count) for blocks of at most ROWS of n rows, as even as they come: 8 rows are 4 and 4.
template <class F>
inline void for_blocks(int n, F f) {
    const int blocks = (n + ROWS - 1) / ROWS;
    for (int k = 0, r = 0; k < blocks; ++k) {
        const int R = (n - r + blocks - k - 1) / (blocks - k);
        f(r, R);
        r += R;
    }
}

// f(first, registers, numbers of the last) for panels of N columns.
template <class T, class F>
inline void for_panels(int N, F f) {
    constexpr int L = lanes<T>;
    for (int column = 0; column < N; column += PANEL * L) {
        const int left = N - column, V = left >= PANEL * L ? PANEL : (left + L - 1) / L;
        f(column, V, left >= V * L ? L : left - (V - 1) * L);
    }
}

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
inline void tile(T* const* c, const T* const* from, const Factor<T>* factors, int count, int row, int column,
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
    for (int m = 0; m < count; ++m) {
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

// c[r][0..N) = from[r][0..N) + Σ factors a[r] b for all rows; b as `pack_…` left it; from == nullptr: from
// zero.
template <class T>
inline void product(T* const* c, const T* const* from, const Factor<T>* factors, int count, int rows, int N) {
    for_panels<T>(N, [&](int column, int V, int n) {
        for_blocks(rows, [&](int r, int R) {
            for_sizes(R, V, [&](auto height, auto width) {
                tile<T, height.value, width.value>(c, from, factors, count, r, column, n);
            });
        });
    });
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
        for (int k = 0; k < K; k += L) {
            const int count = K - k < L ? K - k : L;
            Vec<T> square[L];
            for (int j = 0; j < L; ++j) {
                const T* line = from + j * ld + k;
                square[j] = j >= n ? Vec<T>{} : count < L ? load(line, count) : load(line);
            }
            transpose<T>(square);
            for (int i = 0; i < count; ++i) store(p + size_t(k + i) * width + v, square[i]);
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
        for (int j = 0; j < width; j += lanes<T>) {
            const int left = from == nullptr ? 0 : n - j;
            store(p + j, left >= lanes<T> ? load(from + column + j)
                         : left > 0       ? load(from + column + j, left)
                                          : Vec<T>{});
        }
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

// C (M, N), row length ldc, += Σ_k a[k][0..M)ᵀ b[k][n0..n0+N); N whole registers, C its own column n0 at
// C[0].
template <class T>
inline void outer(T* C, size_t ldc, const T* const* a, const T* const* b, int K, int M, int n0, int N) {
    for_panels<T>(N, [&](int n, int V, int) {
        for_blocks(M, [&](int m, int R) {
            for_sizes(R, V, [&](auto height, auto width) {
                outer_tile<T, height.value, width.value>(C + m * ldc + n, ldc, a, b, K, m, n0 + n);
            });
        });
    });
}

}  // namespace GATED_TARGET
}  // namespace gated
