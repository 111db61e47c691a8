// softmax(q·kᵀ + bias + mask)·v along one axis: MSA rows and columns, triangles around the starting and the ending node.
// AF2 Suppl. Alg. 7, 8, 13, 14; crates/nn/src/ops/attention.rs.
//
// limit: spills 0
//
// Shapes    q, k, v, o [batch, n, heads, d] through strides, so that either axis of [n0, n1, ..] may be attended along.
//           q comes times d^-½·log2 e, bias [heads, n, bias_stride0 ≥ n] in f32 times log2 e (layer_norm_project does both);
//           bias null: none. mask [batch, n] through strides, 1 = present, null: all. Masked keys get (mask - 1)·1e9, so
//           a fully masked row is uniform, as in AlphaFold.
// Idea      Four warps attend one batch row's 64 queries to tiles of 64 keys, with an online softmax from a finite floor;
//           R = threads / 128 batch rows of a block share the bias tile, whose traffic is the largest. K, V, bias and mask
//           come by cp.async one tile ahead. Probabilities go from accumulators straight into the second product.
//           Tiles of keys that are all there and unmasked skip the mask.
// Types     bf16: products in bf16. f32: two bf16 parts each (q, k, v and the probabilities), relative error 1e-5.
// Grid      groups · heads · ceil(n / 64) · in_group blocks of 128·R threads, in_group = min(8, ceil(batch / R)),
//           groups = ceil(ceil(batch / R) / in_group): neighbours in the grid share one bias tile, a group's K and V stay in L2.
// Shared    2·(18432 if bias + R·(256 + P·64·(D + 8)·4)), D = max(d, 16), P = 1 (bf16) or 2 (f32).
//           bf16, d = 32, R = 2, bias: 78,848 bytes.
// Limits    d 8, 16, 32 or 64 (one kernel each); R ≤ 4 (f32 and d = 64: 2); strides multiples of 8 elements, bias_stride0 of 4
//           floats (of 32 for full lines); 16-byte aligned pointers; bias and logits finite.
// Floor     exp: batch·heads·n² / 3.86e12 s; n = batch = 512, 4 heads: 0.139 ms.
#include "attention.cuh"

template <class W>
struct Attention {
    const W *q, *k, *v;
    const float *bias, *mask;
    W* o;
    float* stats; // [batch, heads, n, 2] or null: for the backward pass, each row's largest logit and 1 / sum
    i64 batch_stride, position_stride, head_stride;       // of q, k, v
    i64 o_batch_stride, o_position_stride, o_head_stride; // of o
    i64 bias_head_stride, bias_stride0;
    i64 mask_batch_stride, mask_position_stride;
    int batch, heads, n;
};

template <class W, int D>
DEVICE void attention(const Attention<W>& t) {
    using Tile = AttentionTile<W, D>;
    constexpr int KEYS = ATTENTION_TILE / 8;
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4;
    const int together = block_threads() / 128, mine = thread_index() / 128, warp = thread_index() / 32 % 4;

    const AttentionPlace place = attention_place(t.batch, t.heads, t.n);
    if (place.outside) return; // the whole block
    const int first_query = place.first, head = place.head, row_block = place.row_block;
    const bool idle = row_block * together + mine >= t.batch;
    const i64 batch = idle ? t.batch - 1 : row_block * together + mine; // idle warps do the last row again, and store nothing

    const W* q = t.q + batch * t.batch_stride + head * t.head_stride;
    const W* k = t.k + batch * t.batch_stride + head * t.head_stride;
    const W* v = t.v + batch * t.batch_stride + head * t.head_stride;
    const float* bias = t.bias ? t.bias + head * t.bias_head_stride : nullptr;
    const float* mask = t.mask ? t.mask + batch * t.mask_batch_stride : nullptr;

    constexpr int MASK = ATTENTION_TILE * 4, row_bytes = MASK + Tile::MATRICES;
    const int bias_bytes = bias ? Tile::BIAS : 0, stage_bytes = bias_bytes + together * row_bytes;
    auto copy_tile = [&](int tile) {
        unsigned char* stage = shared_memory() + tile % 2 * stage_bytes;
        const int first = tile * ATTENTION_TILE;
        if (bias) copy_bias(reinterpret_cast<float*>(stage), bias, t.bias_stride0, first_query, first, t.n);
        unsigned char* own = stage + bias_bytes + mine * row_bytes;
        if (mask) copy_floats(reinterpret_cast<float*>(own), mask, t.mask_position_stride, first, t.n);
        bf16* keys = reinterpret_cast<bf16*>(own + MASK);
        copy_rows<W, D>(keys, k, t.position_stride, first, t.n);
        copy_rows<W, D>(keys + Tile::PARTS * Tile::MATRIX, v, t.position_stride, first, t.n);
        copy_commit();
    };
    copy_tile(0);

    u32 queries[Tile::STEPS][Tile::PARTS][4];
    load_factor<W, D>(queries, q, t.position_stride, first_query + 16 * warp, t.n);

    float out[D / 8][4] = {};
    float largest[2] = {FLOOR, FLOOR}, sum[2] = {0.0f, 0.0f}; // of rows g and g + 8; `sum` of this lane's keys
    const int tiles = (t.n + ATTENTION_TILE - 1) / ATTENTION_TILE;
    for (int tile = 0; tile < tiles; tile++) {
        if (tile + 1 < tiles) {
            copy_tile(tile + 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        sync_block();
        const unsigned char* stage = shared_memory() + tile % 2 * stage_bytes;
        const float* biases = reinterpret_cast<const float*>(stage);
        const float* present = reinterpret_cast<const float*>(stage + bias_bytes + mine * row_bytes);
        const bf16* keys = reinterpret_cast<const bf16*>(stage + bias_bytes + mine * row_bytes + MASK);
        const bf16* values = keys + Tile::PARTS * Tile::MATRIX;

        float s[KEYS][4];
        logits<W, D>(s, queries, keys, bias ? biases + 16 * warp * BIAS_STRIDE : nullptr, mask ? present : nullptr,
                     t.n - tile * ATTENTION_TILE);

        float scale[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float top = largest[half];
#pragma unroll
            for (int n = 0; n < KEYS; n++) top = max_of(top, max_of(s[n][2 * half], s[n][2 * half + 1]));
            top = max_of(top, shuffle_xor(top, 1));
            top = max_of(top, shuffle_xor(top, 2));
            scale[half] = exp2_fast(largest[half] - top);
            largest[half] = top;
            sum[half] *= scale[half];
#pragma unroll
            for (int n = 0; n < KEYS; n++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const float p = exp2_fast(s[n][2 * half + i] - top);
                    s[n][2 * half + i] = p;
                    sum[half] += p;
                }
        }
#pragma unroll
        for (int n = 0; n < D / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) out[n][i] *= scale[i >> 1];

        weighted_sums<W, D>(out, s, values);
        sync_block(); // before this stage is filled again
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        float all = sum[half] + shuffle_xor(sum[half], 1);
        all += shuffle_xor(all, 2);
        const float inverse = 1.0f / all; // at least 1: the largest key counts 1
        const int row = first_query + 16 * warp + g + 8 * half;
        if (idle || row >= t.n) continue;
        if (t.stats && quad == 0)
            *reinterpret_cast<Pair*>(t.stats + ((batch * t.heads + head) * t.n + row) * 2) = Pair{largest[half], inverse};
        W* to = t.o + batch * t.o_batch_stride + row * t.o_position_stride + head * t.o_head_stride + 2 * quad;
#pragma unroll
        for (int n = 0; n < D / 8; n++) store_pair(to + 8 * n, out[n][2 * half] * inverse, out[n][2 * half + 1] * inverse);
    }
}

KERNEL __launch_bounds__(512) attention_bf16_8(const __grid_constant__ Attention<bf16> t) { attention<bf16, 8>(t); }
KERNEL __launch_bounds__(512) attention_bf16_16(const __grid_constant__ Attention<bf16> t) { attention<bf16, 16>(t); }
KERNEL __launch_bounds__(512) attention_bf16_32(const __grid_constant__ Attention<bf16> t) { attention<bf16, 32>(t); }
KERNEL __launch_bounds__(256) attention_bf16_64(const __grid_constant__ Attention<bf16> t) { attention<bf16, 64>(t); }
KERNEL __launch_bounds__(256) attention_f32_8(const __grid_constant__ Attention<float> t) { attention<float, 8>(t); }
KERNEL __launch_bounds__(256) attention_f32_16(const __grid_constant__ Attention<float> t) { attention<float, 16>(t); }
KERNEL __launch_bounds__(256) attention_f32_32(const __grid_constant__ Attention<float> t) { attention<float, 32>(t); }
KERNEL __launch_bounds__(256) attention_f32_64(const __grid_constant__ Attention<float> t) { attention<float, 64>(t); }
