// Products of a warp's rows with weights in shared memory, and the rows themselves.
//
// Shared matrices are bf16 with rows of stride(k) elements: 16 bytes beyond a multiple of 32 bytes, so that the eight rows
// of an ldmatrix fall into different banks. An f32 value is kept as two such matrices, `part` elements apart.
#ifndef FOLDRY_TILE
#define FOLDRY_TILE
#include "primitives.cuh"

/// Rows of one warp: two products of 16.
constexpr int WARP_ROWS = 32;
/// Channels a layer norm can take.
constexpr int MAX_CHANNELS = 256;
/// A warp's stage, on which results are turned before they are stored: 16 rows × 64 columns.
constexpr int STAGE_STRIDE = 72;
constexpr int STAGE_FLOATS = 16 * STAGE_STRIDE;

DEVICE constexpr int padded_k(int k) { return (k + 15) / 16 * 16; }
DEVICE constexpr int stride_of(int k) { return padded_k(k) + 8; }

/// acc[m][n] += rows 16m.. of A times rows 8n.. of B, over k columns (k a multiple of 16, both padded with zeros).
/// TURNED: times columns 8n.. of B, over its k rows. One warp; NT even.
template <int PARTS, bool TURNED = false, int MT, int NT>
DEVICE void multiply(float (&acc)[MT][NT][4], const bf16* a, int a_stride, int a_part, const bf16* b, int b_stride,
                     int b_part, int k) {
    const int lane = thread_index() % 32;
    const bf16* a_row = a + (lane % 16) * a_stride + lane / 16 * 8;
    const bf16* b_row = TURNED ? b + lane % 16 * b_stride + lane / 16 * 8 : b + (lane / 16 * 8 + lane % 8) * b_stride + lane / 8 % 2 * 8;
#pragma unroll 2
    for (int k0 = 0; k0 < k; k0 += 16) {
        u32 af[PARTS][MT][4];
#pragma unroll
        for (int p = 0; p < PARTS; p++)
#pragma unroll
            for (int m = 0; m < MT; m++) load_matrices(af[p][m], a_row + p * a_part + m * 16 * a_stride + k0);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            u32 bf[PARTS][4];
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
                if constexpr (TURNED) load_matrices_transposed(bf[p], b_row + p * b_part + k0 * b_stride + n * 8);
                else load_matrices(bf[p], b_row + p * b_part + n * 8 * b_stride + k0);
            }
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    mma(acc[m][n + h], af[0][m], bf[0][2 * h], bf[0][2 * h + 1]);
                    if constexpr (PARTS == 2) {
                        mma(acc[m][n + h], af[0][m], bf[1][2 * h], bf[1][2 * h + 1]);
                        mma(acc[m][n + h], af[1][m], bf[0][2 * h], bf[0][2 * h + 1]);
                    }
                }
        }
    }
}

template <int MT, int NT>
DEVICE void clear(float (&acc)[MT][NT][4]) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) acc[m][n][i] = 0.0f;
}

/// Two neighbouring values of a shared matrix.
template <int PARTS>
DEVICE void put_pair(bf16* to, int part, float x, float y) {
    u32 words[PARTS];
    split<PARTS>(x, y, words);
#pragma unroll
    for (int p = 0; p < PARTS; p++) *reinterpret_cast<u32*>(to + p * part) = words[p];
}

/// Four rows of up to MAX_CHANNELS channels over the lanes of a warp, with their statistics: f32, two passes.
struct FourRows {
    static constexpr int PAIRS = MAX_CHANNELS / 64;
    Pair v[4][PAIRS]; // lane l: channels 2·(l + 32·j) and the next, zeros behind c
    float mean[4], inverse[4];

    /// row(i) is where row i lies, or null for a row of zeros. c even.
    template <class Row>
    DEVICE void load(int c, Row row) {
        const int lane = thread_index() % 32;
        const float per_c = 1.0f / float(c);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            auto from = row(i);
            mean[i] = 0.0f;
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
                const int at = 2 * (lane + 32 * j);
                v[i][j] = from && at < c ? load_pair(from + at) : Pair{0.0f, 0.0f};
                mean[i] += v[i][j].x + v[i][j].y;
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) mean[i] = warp_sum(mean[i]) * per_c;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
                const int at = 2 * (lane + 32 * j);
                const float x = v[i][j].x - mean[i], y = v[i][j].y - mean[i];
                if (at < c) sum += x * x + y * y;
            }
            inverse[i] = inverse_root(warp_sum(sum) * per_c + LAYER_NORM_EPS);
        }
    }
};

/// LN of `rows` rows (a multiple of 4) of c channels into a shared matrix.
/// row(r) is where row r lies, or null for a row of zeros. One warp; c even, at most MAX_CHANNELS.
template <int PARTS, class Row>
DEVICE void normalise_rows(bf16* to, int stride, int part, int rows, int c, const float* scale, const float* offset,
                           Row row) {
    const int lane = thread_index() % 32, padded = padded_k(c);
    for (int r0 = 0; r0 < rows; r0 += 4) {
        FourRows four;
        four.load(c, [&](int i) { return row(r0 + i); });
#pragma unroll
        for (int j = 0; j < FourRows::PAIRS; j++) {
            const int at = 2 * (lane + 32 * j);
            if (at >= padded) continue;
            const bool inside = at < c;
            const Pair s = inside ? load_pair(scale + at) : Pair{0.0f, 0.0f};
            const Pair o = inside ? load_pair(offset + at) : Pair{0.0f, 0.0f};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float x = (four.v[i][j].x - four.mean[i]) * four.inverse[i] * s.x + o.x;
                float y = (four.v[i][j].y - four.mean[i]) * four.inverse[i] * s.y + o.y;
                if (!inside) x = y = 0.0f; // pad
                put_pair<PARTS>(to + (r0 + i) * stride + at, part, x, y);
            }
        }
    }
}

/// 16 rows × 8·NT columns of accumulators to the warp's stage, row-major. Between two sync_warp() of the caller's.
template <int NT>
DEVICE void stage_rows(float* stage, const float (&acc)[NT][4]) {
    const int lane = thread_index() % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int n = 0; n < NT; n++) {
        store_pair(stage + g * STAGE_STRIDE + 8 * n + 2 * t, acc[n][0], acc[n][1]);
        store_pair(stage + (g + 8) * STAGE_STRIDE + 8 * n + 2 * t, acc[n][2], acc[n][3]);
    }
}

/// Eight neighbouring values at once, 16-byte aligned.
DEVICE void load_eight(const bf16* from, float (&v)[8]) {
    const Words w = *reinterpret_cast<const Words*>(from);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = low_f32(w.w[i]);
        v[2 * i + 1] = high_f32(w.w[i]);
    }
}
DEVICE void load_eight(const float* from, float (&v)[8]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const Words w = *reinterpret_cast<const Words*>(from + 4 * i);
#pragma unroll
        for (int j = 0; j < 4; j++) v[4 * i + j] = as_f32(w.w[j]);
    }
}
DEVICE void store_eight(bf16* to, const float (&v)[8]) {
    Words w;
#pragma unroll
    for (int i = 0; i < 4; i++) w.w[i] = pack(v[2 * i], v[2 * i + 1]);
    *reinterpret_cast<Words*>(to) = w;
}
DEVICE void store_eight(float* to, const float (&v)[8]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        Words w;
#pragma unroll
        for (int j = 0; j < 4; j++) w.w[j] = as_u32(v[4 * i + j]);
        *reinterpret_cast<Words*>(to + 4 * i) = w;
    }
}

/// Eight values to a shared matrix: later (bf16), or at once and split in two (f32). Outside: zeros.
DEVICE void copy_eight(bf16* to, int, const bf16* from, bool inside) { copy_async(to, from, inside ? 16 : 0); }
DEVICE void copy_eight(bf16* to, int part, const float* from, bool inside) {
    float v[8] = {};
    if (inside) load_eight(from, v);
#pragma unroll
    for (int j = 0; j < 8; j += 2) put_pair<2>(to + j, part, v[j], v[j + 1]);
}

#endif
