// Gradients of attention.cu: to queries, keys, values and the pair bias; no atomics, so the same bits every time.
//
// limit: spills 0
// limit: spills 128 attention_backward_keys_f32_64
//
// With S = q·kᵀ + bias + mask (base 2), P = 2^(S - largest) / sum, dP = do·vᵀ and delta_i = Σ_c o_ic·do_ic:
//   dv = Pᵀ·do    dS = ln 2 · P ∘ (dP - delta)    dq = dS·k    dk = dSᵀ·q    dbias = Σ_batch dS
// for q and bias as attention.cu takes them, that is times d^-½·log2 e and log2 e: the gradients are to those.
// P is made again from `stats`, which hold the largest logit and 1 / sum apart: their log-sum-exp in one f32 would lose the
// sum of a fully masked row beside -1.4e9.
//
// Order     attention_delta, then the other three in any order or at once; _bias only where there is a bias.
// Types     d = 8, 16, 32, 64 in bf16 and f32, as in attention.cu; gradients of q, k, v in W, of the bias in f32.
// Grid      _queries, _keys: as attention.cu, 128·R threads, R ≤ 2 (f32, d = 64: 1); _bias: heads · tiles² blocks of 128·R
//           threads, R ≤ 2, whose groups of four warps share the batch rows; delta: any number of blocks of 256 threads.
// Shared    M = P·64·(D + 8)·4, D = max(d, 16), P = 1 (bf16) or 2 (f32). _queries: 2·(18432 if bias + R·(256 + M));
//           _keys: 2·(18432 if bias + R·(768 + M)); _bias: 18432 + 2·R·(256 + M).
// Limits    as attention.cu; o, do through the o strides, dq, dk, dv through those of q, k, v.
// Floor     exp: three times attention.cu's; FLOPs: 9 products of batch·heads·n²·d·2, where 5 are needed at least.
#include "attention.cuh"

template <class W>
struct AttentionBackward {
    const W *q, *k, *v, *o, *d_o;
    const float *bias, *mask;
    const float* stats; // [batch, heads, n, 2] from attention.cu
    float* delta;       // [batch, heads, n], written by attention_delta
    W *dq, *dk, *dv;
    float* dbias; // [heads, n, bias_stride0]
    i64 batch_stride, position_stride, head_stride;
    i64 o_batch_stride, o_position_stride, o_head_stride;
    i64 bias_head_stride, bias_stride0;
    i64 mask_batch_stride, mask_position_stride;
    int batch, heads, n;
};

constexpr float LN2 = 0.6931471805599453f;

template <class W, int D>
DEVICE void attention_delta(const AttentionBackward<W>& t) {
    const i64 all = i64(t.batch) * t.n * t.heads;
    for (i64 i = block_index() * block_threads() + thread_index(); i < all; i += block_count() * block_threads()) {
        const i64 head = i % t.heads, row = i / t.heads % t.n, batch = i / t.heads / t.n;
        const i64 at = batch * t.o_batch_stride + row * t.o_position_stride + head * t.o_head_stride;
        float sum = 0.0f;
#pragma unroll
        for (int c = 0; c < D; c += 2) {
            const Pair o = load_pair(t.o + at + c), g = load_pair(t.d_o + at + c);
            sum += o.x * g.x + o.y * g.y;
        }
        t.delta[(batch * t.heads + head) * t.n + row] = sum;
    }
}

/// What is known of the two rows of a lane; rows that do not exist have inverse 0.
struct RowStats {
    float largest[2], inverse[2], delta[2];
};
template <class W>
DEVICE RowStats row_stats(const AttentionBackward<W>& t, i64 batch, int head, int first) {
    RowStats r;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = first + thread_index() % 32 / 4 + 8 * half;
        const i64 at = (batch * t.heads + head) * t.n + row;
        const Pair s = row < t.n ? load_pair(t.stats + 2 * at) : Pair{0.0f, 0.0f};
        r.largest[half] = s.x;
        r.inverse[half] = s.y;
        r.delta[half] = row < t.n ? t.delta[at] : 0.0f;
    }
    return r;
}

/// ds = gradient to the logits of 16 queries with a tile of keys.
template <class W, int D>
DEVICE void logit_gradients(float (&ds)[8][4], const u32 (&queries)[AttentionTile<W, D>::STEPS][Parts<W>::count][4],
                            const u32 (&grads)[AttentionTile<W, D>::STEPS][Parts<W>::count][4], const bf16* keys,
                            const bf16* values, const float* biases, const float* present, int left, const RowStats& rows) {
    float s[8][4];
    logits<W, D>(s, queries, keys, biases, present, left);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            s[n][i] = exp2_fast(s[n][i] - rows.largest[i >> 1]) * rows.inverse[i >> 1] * LN2;
            ds[n][i] = 0.0f;
        }
    inner_products<W, D>(ds, grads, values);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) ds[n][i] = s[n][i] * (ds[n][i] - rows.delta[i >> 1]);
}

/// 16 rows of results from row `first`.
template <class W, int D>
DEVICE void store_rows(W* to, i64 position_stride, int first, int n, const float (&v)[D / 8][4]) {
    const int lane = thread_index() % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = first + lane / 4 + 8 * half;
        if (row >= n) continue;
#pragma unroll
        for (int c = 0; c < D / 8; c++)
            store_pair(to + row * position_stride + 8 * c + 2 * (lane % 4), v[c][2 * half], v[c][2 * half + 1]);
    }
}

template <class W, int D>
DEVICE void attention_backward_queries(const AttentionBackward<W>& t) {
    using Tile = AttentionTile<W, D>;
    const int together = block_threads() / 128, mine = thread_index() / 128, warp = thread_index() / 32 % 4;
    const AttentionPlace place = attention_place(t.batch, t.heads, t.n);
    if (place.outside) return;
    const bool idle = place.row_block * together + mine >= t.batch;
    const i64 batch = idle ? t.batch - 1 : place.row_block * together + mine;
    const int head = place.head, first_row = place.first + 16 * warp;
    const i64 at = batch * t.batch_stride + head * t.head_stride;
    const float* bias = t.bias ? t.bias + head * t.bias_head_stride : nullptr;
    const float* mask = t.mask ? t.mask + batch * t.mask_batch_stride : nullptr;

    constexpr int MASK = ATTENTION_TILE * 4, row_bytes = MASK + Tile::MATRICES;
    const int bias_bytes = bias ? Tile::BIAS : 0, stage_bytes = bias_bytes + together * row_bytes;
    auto copy_tile = [&](int tile) {
        unsigned char* stage = shared_memory() + tile % 2 * stage_bytes;
        unsigned char* own = stage + bias_bytes + mine * row_bytes;
        const int first = tile * ATTENTION_TILE;
        if (bias) copy_bias(reinterpret_cast<float*>(stage), bias, t.bias_stride0, place.first, first, t.n);
        if (mask) copy_floats(reinterpret_cast<float*>(own), mask, t.mask_position_stride, first, t.n);
        bf16* keys = reinterpret_cast<bf16*>(own + MASK);
        copy_rows<W, D>(keys, t.k + at, t.position_stride, first, t.n);
        copy_rows<W, D>(keys + Tile::PARTS * Tile::MATRIX, t.v + at, t.position_stride, first, t.n);
        copy_commit();
    };
    copy_tile(0);

    u32 queries[Tile::STEPS][Tile::PARTS][4], grads[Tile::STEPS][Tile::PARTS][4];
    load_factor<W, D>(queries, t.q + at, t.position_stride, first_row, t.n);
    load_factor<W, D>(grads, t.d_o + batch * t.o_batch_stride + head * t.o_head_stride, t.o_position_stride, first_row, t.n);
    const RowStats rows = row_stats(t, batch, head, first_row);

    float dq[D / 8][4] = {};
    const int tiles = (t.n + ATTENTION_TILE - 1) / ATTENTION_TILE;
    for (int tile = 0; tile < tiles; tile++) {
        copy_wait<0>();
        sync_block(); // this tile is there, and nobody reads the other stage any more
        if (tile + 1 < tiles) copy_tile(tile + 1);
        const unsigned char* stage = shared_memory() + tile % 2 * stage_bytes;
        const unsigned char* own = stage + bias_bytes + mine * row_bytes;
        const bf16* keys = reinterpret_cast<const bf16*>(own + MASK);
        float ds[8][4];
        logit_gradients<W, D>(ds, queries, grads, keys, keys + Tile::PARTS * Tile::MATRIX,
                              bias ? reinterpret_cast<const float*>(stage) + 16 * warp * BIAS_STRIDE : nullptr,
                              mask ? reinterpret_cast<const float*>(own) : nullptr, t.n - tile * ATTENTION_TILE, rows);
        weighted_sums<W, D>(dq, ds, keys);
    }
    if (!idle) store_rows<W, D>(t.dq + at, t.position_stride, first_row, t.n, dq);
}

template <class W, int D>
DEVICE void attention_backward_keys(const AttentionBackward<W>& t) {
    using Tile = AttentionTile<W, D>;
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4;
    const int together = block_threads() / 128, mine = thread_index() / 128, warp = thread_index() / 32 % 4;
    const AttentionPlace place = attention_place(t.batch, t.heads, t.n);
    if (place.outside) return;
    const bool idle = place.row_block * together + mine >= t.batch;
    const i64 batch = idle ? t.batch - 1 : place.row_block * together + mine;
    const int head = place.head, first_row = place.first + 16 * warp; // keys
    const i64 at = batch * t.batch_stride + head * t.head_stride;
    const i64 grad_at = batch * t.o_batch_stride + head * t.o_head_stride, row_at = (batch * t.heads + head) * t.n;
    const float* bias = t.bias ? t.bias + head * t.bias_head_stride : nullptr;

    // Of each query tile: 64 × (largest, inverse), 64 × delta, queries, gradients of the output.
    constexpr int STATS = 3 * ATTENTION_TILE * 4, row_bytes = STATS + Tile::MATRICES;
    const int bias_bytes = bias ? Tile::BIAS : 0, stage_bytes = bias_bytes + together * row_bytes;
    auto copy_tile = [&](int tile) {
        unsigned char* stage = shared_memory() + tile % 2 * stage_bytes;
        unsigned char* own = stage + bias_bytes + mine * row_bytes;
        const int first = tile * ATTENTION_TILE, i = thread_index() % 128;
        if (bias) copy_bias(reinterpret_cast<float*>(stage), bias, t.bias_stride0, first, place.first, t.n);
        float* stats = reinterpret_cast<float*>(own);
        const bool inside = first + i / 2 < t.n; // queries that do not exist have inverse 0
        copy_async_word(stats + i, t.stats + (inside ? 2 * (row_at + first) + i : 0), inside ? 4 : 0);
        copy_floats(stats + 2 * ATTENTION_TILE, t.delta + row_at, 1, first, t.n);
        bf16* queries = reinterpret_cast<bf16*>(own + STATS);
        copy_rows<W, D>(queries, t.q + at, t.position_stride, first, t.n);
        copy_rows<W, D>(queries + Tile::PARTS * Tile::MATRIX, t.d_o + grad_at, t.o_position_stride, first, t.n);
        copy_commit();
    };
    copy_tile(0);

    u32 keys[Tile::STEPS][Tile::PARTS][4], values[Tile::STEPS][Tile::PARTS][4];
    load_factor<W, D>(keys, t.k + at, t.position_stride, first_row, t.n);
    load_factor<W, D>(values, t.v + at, t.position_stride, first_row, t.n);
    float masked[2] = {0.0f, 0.0f};
    for (int half = 0; half < 2; half++) {
        const int key = first_row + g + 8 * half;
        if (t.mask && key < t.n)
            masked[half] = (t.mask[batch * t.mask_batch_stride + key * t.mask_position_stride] - 1.0f) * MASK_LOGIT;
    }

    float dk[D / 8][4] = {}, dv[D / 8][4] = {};
    const int tiles = (t.n + ATTENTION_TILE - 1) / ATTENTION_TILE;
    for (int tile = 0; tile < tiles; tile++) {
        copy_wait<0>();
        sync_block(); // this tile is there, and nobody reads the other stage any more
        if (tile + 1 < tiles) copy_tile(tile + 1);
        const unsigned char* stage = shared_memory() + tile % 2 * stage_bytes;
        const float* biases = reinterpret_cast<const float*>(stage);
        const float* stats = reinterpret_cast<const float*>(stage + bias_bytes + mine * row_bytes);
        const bf16* queries = reinterpret_cast<const bf16*>(stage + bias_bytes + mine * row_bytes + STATS);
        const bf16* grads = queries + Tile::PARTS * Tile::MATRIX;

        // Turned: rows are this warp's keys, columns the tile's queries.
        float p[8][4];
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                p[n][i] = bias ? biases[(8 * n + 2 * quad + (i & 1)) * BIAS_STRIDE + 16 * warp + g + 8 * (i >> 1)] : 0.0f;
        inner_products<W, D>(p, keys, queries);
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const Pair s = load_pair(stats + 2 * (8 * n + 2 * quad + (i & 1)));
                p[n][i] = exp2_fast(p[n][i] + masked[i >> 1] - s.x) * s.y;
            }
        weighted_sums<W, D>(dv, p, grads);
        float ds[8][4] = {};
        inner_products<W, D>(ds, values, grads);
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                ds[n][i] = LN2 * p[n][i] * (ds[n][i] - stats[2 * ATTENTION_TILE + 8 * n + 2 * quad + (i & 1)]);
        weighted_sums<W, D>(dk, ds, queries);
    }
    if (idle) return;
    store_rows<W, D>(t.dk + at, t.position_stride, first_row, t.n, dk);
    store_rows<W, D>(t.dv + at, t.position_stride, first_row, t.n, dv);
}

template <class W, int D>
DEVICE void attention_backward_bias(const AttentionBackward<W>& t) {
    using Tile = AttentionTile<W, D>;
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4;
    const int together = block_threads() / 128, mine = thread_index() / 128, warp = thread_index() / 32 % 4;
    const int tiles = (t.n + ATTENTION_TILE - 1) / ATTENTION_TILE;
    const int first_key = int(block_index() % tiles) * ATTENTION_TILE;
    const int first_query = int(block_index() / tiles % tiles) * ATTENTION_TILE, head = int(block_index() / tiles / tiles);
    const float* bias = t.bias + head * t.bias_head_stride;

    constexpr int MASK = ATTENTION_TILE * 4, row_bytes = MASK + Tile::MATRICES;
    float* biases = reinterpret_cast<float*>(shared_memory());
    auto stage_of = [&](int turn) { return shared_memory() + Tile::BIAS + (turn % 2 * together + mine) * row_bytes; };
    auto copy_turn = [&](int turn) {
        const i64 batch = min_of(turn * together + mine, t.batch - 1);
        const i64 at = batch * t.batch_stride + head * t.head_stride;
        if (turn == 0) copy_bias(biases, bias, t.bias_stride0, first_query, first_key, t.n);
        if (t.mask)
            copy_floats(reinterpret_cast<float*>(stage_of(turn)), t.mask + batch * t.mask_batch_stride, t.mask_position_stride, first_key,
                      t.n);
        bf16* keys = reinterpret_cast<bf16*>(stage_of(turn) + MASK);
        copy_rows<W, D>(keys, t.k + at, t.position_stride, first_key, t.n);
        copy_rows<W, D>(keys + Tile::PARTS * Tile::MATRIX, t.v + at, t.position_stride, first_key, t.n);
        copy_commit();
    };
    copy_turn(0);

    float sum[8][4] = {};
    const int turns = (t.batch + together - 1) / together, first_row = first_query + 16 * warp;
    for (int turn = 0; turn < turns; turn++) {
        const bool idle = turn * together + mine >= t.batch;
        const i64 batch = min_of(turn * together + mine, t.batch - 1);
        u32 queries[Tile::STEPS][Tile::PARTS][4], grads[Tile::STEPS][Tile::PARTS][4];
        load_factor<W, D>(queries, t.q + batch * t.batch_stride + head * t.head_stride, t.position_stride, first_row, t.n);
        load_factor<W, D>(grads, t.d_o + batch * t.o_batch_stride + head * t.o_head_stride, t.o_position_stride, first_row, t.n);
        const RowStats rows = row_stats(t, batch, head, first_row);
        copy_wait<0>();
        sync_block(); // this turn's keys are there, and nobody reads the other stage any more
        if (turn + 1 < turns) copy_turn(turn + 1);
        const bf16* keys = reinterpret_cast<const bf16*>(stage_of(turn) + MASK);
        float ds[8][4];
        logit_gradients<W, D>(ds, queries, grads, keys, keys + Tile::PARTS * Tile::MATRIX, biases + 16 * warp * BIAS_STRIDE,
                              t.mask ? reinterpret_cast<const float*>(stage_of(turn)) : nullptr, t.n - first_key, rows);
        if (idle) continue;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) sum[n][i] += ds[n][i];
    }

    // The groups' sums, one after the other, where the bias was.
    for (int group = 0; group < together; group++) {
        sync_block();
        if (mine != group) continue;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float* to = biases + (16 * warp + g + 8 * half) * BIAS_STRIDE + 8 * n + 2 * quad;
                const Pair before = group ? load_pair(to) : Pair{0.0f, 0.0f};
                store_pair(to, before.x + sum[n][2 * half], before.y + sum[n][2 * half + 1]);
            }
    }
    sync_block();
    for (int i = thread_index(); i < ATTENTION_TILE * ATTENTION_TILE; i += block_threads()) {
        const int q = first_query + i / ATTENTION_TILE, k = first_key + i % ATTENTION_TILE;
        if (q < t.n && k < t.n)
            t.dbias[head * t.bias_head_stride + q * t.bias_stride0 + k] = biases[i / ATTENTION_TILE * BIAS_STRIDE + i % ATTENTION_TILE];
    }
}

#define BACKWARD(W, NAME, D)                                                                                     \
    KERNEL __launch_bounds__(256) attention_delta_##NAME##_##D(const __grid_constant__ AttentionBackward<W> t) { \
        attention_delta<W, D>(t);                                                                                \
    }                                                                                                            \
    KERNEL __launch_bounds__(256, 1) attention_backward_queries_##NAME##_##D(const __grid_constant__ AttentionBackward<W> t) { \
        attention_backward_queries<W, D>(t);                                                                     \
    }                                                                                                            \
    KERNEL __launch_bounds__(256, 1) attention_backward_keys_##NAME##_##D(const __grid_constant__ AttentionBackward<W> t) { \
        attention_backward_keys<W, D>(t);                                                                        \
    }                                                                                                            \
    KERNEL __launch_bounds__(256, 1) attention_backward_bias_##NAME##_##D(const __grid_constant__ AttentionBackward<W> t) { \
        attention_backward_bias<W, D>(t);                                                                        \
    }

BACKWARD(bf16, bf16, 8)
BACKWARD(bf16, bf16, 16)
BACKWARD(bf16, bf16, 32)
BACKWARD(bf16, bf16, 64)
BACKWARD(float, f32, 8)
BACKWARD(float, f32, 16)
BACKWARD(float, f32, 32)
BACKWARD(float, f32, 64)
