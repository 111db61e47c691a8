// What the attention kernels share: tiles of 64 queries or keys in shared memory, and products with values of one or two parts.
#ifndef FOLDRY_ATTENTION
#define FOLDRY_ATTENTION
#include "primitives.cuh"

constexpr int ATTENTION_TILE = 64;
constexpr int BIAS_STRIDE = 72;
/// Below every logit: what keys that do not exist have.
constexpr float NO_KEY = -3e38f;
/// The running maximum before the first key.
constexpr float FLOOR = -1e38f;
constexpr float MASK_LOGIT = 1e9f * LOG2E;

template <class W, int D>
struct AttentionTile {
    static constexpr int PARTS = Parts<W>::count;
    static constexpr int WIDE = D < 16 ? 16 : D; // padded with zeros
    static constexpr int STRIDE = WIDE + 8;
    static constexpr int MATRIX = ATTENTION_TILE * STRIDE;        // elements of one part
    static constexpr int STEPS = WIDE / 16;                       // products along d
    static constexpr int MATRICES = 2 * PARTS * MATRIX * 2;       // bytes of two matrices, as keys and values
    static constexpr int BIAS = ATTENTION_TILE * BIAS_STRIDE * 4; // bytes
};

/// 64 rows of queries, keys, … from row `first` to shared memory, by 128 threads; what lies behind n or d is zeros.
template <class W, int D>
DEVICE void copy_rows(bf16* to, const W* from, i64 position_stride, int first, int n) {
    using Tile = AttentionTile<W, D>;
    constexpr int PER_ROW = Tile::WIDE / 8;
    for (int i = thread_index() % 128; i < ATTENTION_TILE * PER_ROW; i += 128) {
        const int r = i / PER_ROW, at = i % PER_ROW * 8;
        const bool inside = first + r < n && at < D;
        const W* source = from + (inside ? (first + r) * position_stride + at : 0);
        bf16* slot = to + r * Tile::STRIDE + at;
        if constexpr (Tile::PARTS == 1) {
            copy_async(slot, source, inside ? 16 : 0);
        } else {
#pragma unroll
            for (int j = 0; j < 8; j += 2) {
                const Pair x = inside ? load_pair(source + j) : Pair{0.0f, 0.0f};
                u32 words[2];
                split<2>(x.x, x.y, words);
                *reinterpret_cast<u32*>(slot + j) = words[0];
                *reinterpret_cast<u32*>(slot + j + Tile::MATRIX) = words[1];
            }
        }
    }
}

/// Pairs of probabilities as the first factor of a product over 16 keys.
template <int PARTS>
DEVICE void probabilities(const float (&left)[4], const float (&right)[4], u32 (&a)[PARTS][4]) {
    u32 words[PARTS];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float* from = i < 2 ? left : right;
        split<PARTS>(from[2 * (i & 1)], from[2 * (i & 1) + 1], words);
#pragma unroll
        for (int p = 0; p < PARTS; p++) a[p][i] = words[p];
    }
}

/// acc += a·b with all parts but low·low.
template <int PARTS>
DEVICE void mma_parts(float (&acc)[4], const u32 (&a)[PARTS][4], const u32 (&b)[PARTS][4], int half) {
    mma(acc, a[0], b[0][2 * half], b[0][2 * half + 1]);
    if constexpr (PARTS == 2) {
        mma(acc, a[0], b[1][2 * half], b[1][2 * half + 1]);
        mma(acc, a[1], b[0][2 * half], b[0][2 * half + 1]);
    }
}

/// 16 rows from row `first` as the first factor of products: this lane's words, straight from global memory.
template <class W, int D>
DEVICE void load_factor(u32 (&to)[AttentionTile<W, D>::STEPS][Parts<W>::count][4], const W* from, i64 position_stride, int first,
                        int n) {
    const int lane = thread_index() % 32;
#pragma unroll
    for (int s = 0; s < AttentionTile<W, D>::STEPS; s++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = first + lane / 4 + 8 * (i & 1), at = 16 * s + 2 * (lane % 4) + 8 * (i >> 1);
            const Pair x = row < n && at < D ? load_pair(from + row * position_stride + at) : Pair{0.0f, 0.0f};
            u32 words[Parts<W>::count];
            split<Parts<W>::count>(x.x, x.y, words);
#pragma unroll
            for (int p = 0; p < Parts<W>::count; p++) to[s][p][i] = words[p];
        }
}

/// s[n] += a · rows 8n.. of a tile: 16 × 64 inner products over d.
template <class W, int D>
DEVICE void inner_products(float (&s)[8][4], const u32 (&a)[AttentionTile<W, D>::STEPS][Parts<W>::count][4], const bf16* rows) {
    using Tile = AttentionTile<W, D>;
    const int lane = thread_index() % 32;
    const bf16* row = rows + (lane / 16 * 8 + lane % 8) * Tile::STRIDE + lane / 8 % 2 * 8;
#pragma unroll
    for (int step = 0; step < Tile::STEPS; step++)
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
            u32 b[Tile::PARTS][4];
#pragma unroll
            for (int p = 0; p < Tile::PARTS; p++) load_matrices(b[p], row + p * Tile::MATRIX + n * 8 * Tile::STRIDE + 16 * step);
            mma_parts<Tile::PARTS>(s[n], a[step], b, 0);
            mma_parts<Tile::PARTS>(s[n + 1], a[step], b, 1);
        }
}

/// out += p · rows of a tile: 16 × d sums over the tile's 64 rows, weighted by p.
template <class W, int D>
DEVICE void weighted_sums(float (&out)[D / 8][4], const float (&p)[8][4], const bf16* rows) {
    using Tile = AttentionTile<W, D>;
    const int lane = thread_index() % 32;
    const bf16* row = rows + lane % 16 * Tile::STRIDE + lane / 16 * 8;
#pragma unroll
    for (int step = 0; step < ATTENTION_TILE / 16; step++) {
        u32 a[Tile::PARTS][4];
        probabilities<Tile::PARTS>(p[2 * step], p[2 * step + 1], a);
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            u32 b[Tile::PARTS][4];
#pragma unroll
            for (int q = 0; q < Tile::PARTS; q++)
                load_matrices_transposed(b[q], row + q * Tile::MATRIX + 16 * step * Tile::STRIDE + 8 * n);
            mma_parts<Tile::PARTS>(out[n], a, b, 0);
            if constexpr (D > 8) mma_parts<Tile::PARTS>(out[n + 1], a, b, 1);
        }
    }
}

/// Logits, times log2 e, of a warp's 16 queries with a tile of keys, of which `left` exist. `biases`: the warp's 16 rows of the
/// bias tile, or null; `present`: the mask of the keys, or null.
template <class W, int D>
DEVICE void logits(float (&s)[8][4], const u32 (&queries)[AttentionTile<W, D>::STEPS][Parts<W>::count][4], const bf16* keys,
                   const float* biases, const float* present, int left) {
    const int lane = thread_index() % 32, quad = lane % 4;
#pragma unroll
    for (int n = 0; n < 8; n++) {
        Pair upper{0.0f, 0.0f}, lower{0.0f, 0.0f};
        if (biases) {
            const float* from = biases + lane / 4 * BIAS_STRIDE + 8 * n + 2 * quad;
            upper = load_pair(from);
            lower = load_pair(from + 8 * BIAS_STRIDE);
        }
        s[n][0] = upper.x, s[n][1] = upper.y, s[n][2] = lower.x, s[n][3] = lower.y;
    }
    inner_products<W, D>(s, queries, keys);
    // The mask is added after the products: near -1e9 a tensor core's sums are not rounded to nearest.
    const bool some_masked = present && any_lane(present[lane] != 1.0f || present[lane + 32] != 1.0f);
    if (left < ATTENTION_TILE || some_masked) {
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int key = 8 * n + 2 * quad + (i & 1);
                if (present) s[n][i] += (present[key] - 1.0f) * MASK_LOGIT;
                if (key >= left) s[n][i] = NO_KEY;
            }
    }
}

/// A tile of the bias to shared memory, by all threads: queries from `first_query`, keys from `first_key`.
DEVICE void copy_bias(float* to, const float* bias, i64 stride, int first_query, int first_key, int n) {
    for (int i = thread_index(); i < ATTENTION_TILE * 16; i += block_threads()) {
        const int r = i / 16, at = i % 16 * 4;
        const int bytes = first_query + r < n ? 4 * max_of(0, min_of(4, n - first_key - at)) : 0;
        copy_async(to + r * BIAS_STRIDE + at, bias + (bytes ? (first_query + r) * stride + first_key + at : 0), bytes);
    }
}

/// 64 of n values `stride` apart to shared memory, as of a mask, by 128 threads; zeros behind the last.
DEVICE void copy_floats(float* to, const float* from, i64 stride, int first, int n) {
    const int i = thread_index() % 128;
    if (i < ATTENTION_TILE) copy_async_word(to + i, from + (first + i < n ? (first + i) * stride : 0), first + i < n ? 4 : 0);
}

/// Where a block works: heads · tiles of 64 · groups of batch rows, see the grid in attention.cu.
struct AttentionPlace {
    int first, head, row_block; // first row of the tile
    bool outside;               // beyond the last batch row: nothing to do
};
DEVICE AttentionPlace attention_place(int batch, int heads, int n) {
    const int together = block_threads() / 128, row_blocks = (batch + together - 1) / together, in_group = min_of(8, row_blocks);
    const int tiles = (n + ATTENTION_TILE - 1) / ATTENTION_TILE;
    i64 index = block_index();
    const int within = int(index % in_group);
    index /= in_group;
    const int first = int(index % tiles) * ATTENTION_TILE;
    index /= tiles;
    const int row_block = int(index / heads) * in_group + within;
    return AttentionPlace{first, int(index % heads), row_block, row_block >= row_blocks};
}

#endif
