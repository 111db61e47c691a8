// What backward kernels share that make a layer's inner values again: two products of a tile's rows, 64 columns at a time.
#ifndef FOLDRY_BACKWARD
#define FOLDRY_BACKWARD
#include "stream.cuh"

constexpr int BACK_COLUMNS = 64;

/// The weights of both products, in turn: 64 rows of `first` [width, k1]; 64 rows of `second` [width, k2] or, TURNED, as many
/// columns of second [k2, width]. `sides` pairs of them, one after the other.
template <class W, bool TURNED>
struct TwoWeights {
    const W *first[2], *second[2];
    int width, k1, k2, sides;
    DEVICE int pairs_of_side() const { return (width + BACK_COLUMNS - 1) / BACK_COLUMNS; }
    DEVICE int chunks() const { return 2 * sides * pairs_of_side(); }
    /// Elements of one part of a slot.
    DEVICE int slot() const {
        return max_of(BACK_COLUMNS * stride_of(k1), TURNED ? padded_k(k2) * stride_of(BACK_COLUMNS) : BACK_COLUMNS * stride_of(k2));
    }
    DEVICE int rows(int chunk) const { return TURNED && chunk % 2 ? padded_k(k2) : BACK_COLUMNS; }
    DEVICE int columns(int chunk) const { return TURNED && chunk % 2 ? BACK_COLUMNS : padded_k(chunk % 2 ? k2 : k1); }
    DEVICE int stride(int chunk) const { return stride_of(columns(chunk)); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        const int side = chunk / 2 / pairs_of_side(), column = chunk / 2 % pairs_of_side() * BACK_COLUMNS;
        if (TURNED && chunk % 2) {
            k = r < k2 ? min_of(BACK_COLUMNS, width - column) : 0;
            return second[side] + i64(r < k2 ? r : 0) * width + column;
        }
        const int inputs = chunk % 2 ? k2 : k1;
        const bool inside = column + r < width;
        k = inside ? inputs : 0;
        return (chunk % 2 ? second : first)[side] + i64(inside ? column + r : 0) * inputs;
    }
};

/// `rows` rows of k channels (a multiple of 8) into a shared matrix, padded with zeros. One warp; row(r) as in normalise_rows.
template <int PARTS, class Row>
DEVICE void put_rows(bf16* to, int stride, int part, int rows, int k, Row row) {
    const int per_row = padded_k(k) / 8;
    for (int i = thread_index() % 32; i < rows * per_row; i += 32) {
        const int r = i / per_row, at = i % per_row * 8;
        auto from = row(r);
        float v[8] = {};
        if (from && at < k) load_eight(from + at, v);
#pragma unroll
        for (int j = 0; j < 8; j += 2) put_pair<PARTS>(to + r * stride + at + j, part, v[j], v[j + 1]);
    }
}

/// For a warp's 32 rows and all columns: finish(side, row, column, first, second) gets two neighbouring results of each product.
template <class W, bool TURNED, class Finish>
DEVICE void two_products(WeightStream<W, TwoWeights<W, TURNED>>& stream, const TwoWeights<W, TURNED>& w, const bf16* rows1, const bf16* rows2,
                         Finish finish) {
    constexpr int PARTS = Parts<W>::count;
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4, slot = w.slot();
    const int s1 = stride_of(w.k1), s2 = stride_of(w.k2);
    for (int pair = 0; pair < w.chunks() / 2; pair++) {
        float first[2][8][4], second[2][8][4];
        clear(first);
        clear(second);
        const bf16* weights = stream.acquire();
        multiply<PARTS>(first, rows1, s1, WARP_ROWS * s1, weights, s1, slot, padded_k(w.k1));
        weights = stream.acquire();
        multiply<PARTS, TURNED>(second, rows2, s2, WARP_ROWS * s2, weights, TURNED ? stride_of(BACK_COLUMNS) : s2, slot, padded_k(w.k2));
        const int side = pair / w.pairs_of_side(), column = pair % w.pairs_of_side() * BACK_COLUMNS;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    if (column + 8 * n + 2 * quad < w.width)
                        finish(side, 16 * m + 8 * half + g, column + 8 * n + 2 * quad, Pair{first[m][n][2 * half], first[m][n][2 * half + 1]},
                               Pair{second[m][n][2 * half], second[m][n][2 * half + 1]});
    }
}

#endif
