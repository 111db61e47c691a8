// Global column attention of the extra MSA: one query a column, the mean over its sequences, for keys and values without a
// head dimension. AF2 Suppl. Alg. 19; crates/nn/src/ops/global_attention.rs.
//
// limit: spills 0
//
// Order     layer_norm_project writes keys and values [s·r, 2·d] (weights [k; v], group 2·d); this kernel makes the mean of
//           LN(x), queries and o [r, heads·d]; gate_output with o_rows = r gates every row with its column's o.
// Shapes    x [s, r, c] and keys, values [s, r, d] through strides; mask [s, r], null: all present. A column without any
//           sequence has the mean query 0 and uniform weights, as in AlphaFold. The mean divides by count + 1e-10.
// Idea      A block takes a column: its warps sum LN rows, four at once, then each takes heads, a lane every 32nd sequence with
//           an online softmax of its own; lanes are merged at the end. Sums are in f32 and a fixed order.
// Types     names say x's type and the weights' (and k's, v's, o's): bf16_bf16, f32_bf16, f32_f32; and d: 8, 16, 32, 64.
// Grid      any number of blocks of 32·w threads (w ≤ 8), in turn over columns; as many as there are columns.
// Shared    4·(w·(c + 1) + c + heads·d) bytes; c = 64, heads·d = 64, w = 8: 2592.
// Limits    c a multiple of 8, at most 256; s·r < 2^31; 16-byte aligned pointers, strides multiples of 8.
// Floor     bytes: s·r·(c + 2·d)·2; s = 1024, r = 512, c = 64, d = 8: 0.020 ms at 4.3 TB/s.
#include "attention.cuh"
#include "tile.cuh"

constexpr float MEAN_EPS = 1e-10f;

template <class X, class W>
struct GlobalAttention {
    const X* x;
    const float *norm_scale, *norm_offset; // [c]
    const float* mask;                     // [s, r] or null
    const W* query_weight;                 // [heads·d, c]
    const W *k, *v;                        // [s, r, d] by kv_stride0, kv_stride1
    W* o;                                  // [r, heads·d]
    W* mean;                               // [r, c] or null, as the next two: for the backward pass
    float* queries;                        // [r, heads·d], times d^-½·log2 e
    float* stats;                          // [r, heads, 2]: largest logit, 1 / sum
    i64 stride0, stride1, kv_stride0, kv_stride1;
    int s, r, c, heads;
};

/// Σ over this warp's sequences of mask · LN without scale and offset, of this lane's channels, and of the mask.
template <class X, class W>
DEVICE void sum_of_column(const GlobalAttention<X, W>& t, int column, Pair (&sum)[FourRows::PAIRS], float& count) {
    const int warps = block_threads() / 32, warp = thread_index() / 32;
#pragma unroll
    for (int j = 0; j < FourRows::PAIRS; j++) sum[j] = Pair{0.0f, 0.0f};
    count = 0.0f;
    for (int i0 = 4 * warp; i0 < t.s; i0 += 4 * warps) {
        FourRows four;
        four.load(t.c, [&](int i) -> const X* { return i0 + i < t.s ? t.x + (i0 + i) * t.stride0 + column * t.stride1 : nullptr; });
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float present = i0 + i >= t.s ? 0.0f : t.mask ? t.mask[i64(i0 + i) * t.r + column] : 1.0f;
            const float factor = four.inverse[i] * present;
            count += present;
#pragma unroll
            for (int j = 0; j < FourRows::PAIRS; j++) {
                sum[j].x += (four.v[i][j].x - four.mean[i]) * factor;
                sum[j].y += (four.v[i][j].y - four.mean[i]) * factor;
            }
        }
    }
}

/// d values, 16-byte aligned.
template <int D, class W>
DEVICE void load_vector(const W* from, float (&v)[D]) {
#pragma unroll
    for (int c = 0; c < D; c += 8) {
        float eight[8];
        load_eight(from + c, eight);
#pragma unroll
        for (int i = 0; i < 8; i++) v[c + i] = eight[i];
    }
}

DEVICE float warp_largest(float x) {
    for (int mask = 16; mask > 0; mask /= 2) x = max_of(x, shuffle_xor(x, mask));
    return x;
}

template <class X, class W, int D>
DEVICE void global_attention(const GlobalAttention<X, W>& t) {
    const int lane = thread_index() % 32, warps = block_threads() / 32, warp = thread_index() / 32;
    const float scale = LOG2E * inverse_root(float(D));
    float* sums = reinterpret_cast<float*>(shared_memory()); // [w][c]
    float* mean = sums + warps * t.c;                        // [c]
    float* queries = mean + t.c;                             // [heads·d]
    float* counts = queries + t.heads * D;                   // [w]
    for (i64 column = block_index(); column < t.r; column += block_count()) {
        Pair sum[FourRows::PAIRS];
        float count;
        sum_of_column(t, int(column), sum, count);
#pragma unroll
        for (int j = 0; j < FourRows::PAIRS; j++)
            if (2 * (lane + 32 * j) < t.c) store_pair(sums + warp * t.c + 2 * (lane + 32 * j), sum[j].x, sum[j].y);
        if (lane == 0) counts[warp] = count;
        sync_block();
        for (int c = thread_index(); c < t.c; c += block_threads()) {
            float total = 0.0f, present = 0.0f;
            for (int w = 0; w < warps; w++) total += sums[w * t.c + c], present += counts[w];
            const float per = 1.0f / (present + MEAN_EPS);
            mean[c] = total * per * t.norm_scale[c] + present * per * t.norm_offset[c];
            if (t.mean) store_one(t.mean + column * t.c + c, mean[c]);
        }
        sync_block();
        for (int n = warp; n < t.heads * D; n += warps) {
            float q = 0.0f;
            for (int c = 2 * lane; c < t.c; c += 64) {
                const Pair w = load_pair(t.query_weight + i64(n) * t.c + c);
                q += w.x * mean[c] + w.y * mean[c + 1];
            }
            q = warp_sum(q) * scale;
            if (lane == 0) {
                queries[n] = q;
                if (t.queries) t.queries[column * t.heads * D + n] = q;
            }
        }
        sync_block();
        for (int head = warp; head < t.heads; head += warps) {
            const float* q = queries + head * D;
            float top = FLOOR, all = 0.0f, out[D] = {};
            for (int i = lane; i < t.s; i += 32) {
                const i64 at = i * t.kv_stride0 + column * t.kv_stride1;
                float k[D], v[D], logit = 0.0f;
                load_vector<D>(t.k + at, k);
                load_vector<D>(t.v + at, v);
#pragma unroll
                for (int c = 0; c < D; c++) logit += q[c] * k[c];
                if (t.mask) logit += (t.mask[i64(i) * t.r + column] - 1.0f) * MASK_LOGIT;
                if (logit > top) {
                    const float shrink = exp2_fast(top - logit);
                    top = logit;
                    all *= shrink;
#pragma unroll
                    for (int c = 0; c < D; c++) out[c] *= shrink;
                }
                const float p = exp2_fast(logit - top);
                all += p;
#pragma unroll
                for (int c = 0; c < D; c++) out[c] += p * v[c];
            }
            const float largest = warp_largest(top), share = exp2_fast(top - largest); // a lane without keys: 0
            const float inverse = 1.0f / warp_sum(all * share);
            if (t.stats && lane == 0) store_pair(t.stats + 2 * (column * t.heads + head), largest, inverse);
            W* to = t.o + (column * t.heads + head) * D;
#pragma unroll
            for (int c = 0; c < D; c++) {
                const float total = warp_sum(out[c] * share) * inverse;
                if (lane == c % 32) store_one(to + c, total);
            }
        }
        // The next column's first writes go to `sums` and `counts`, which nobody reads behind the second barrier above.
    }
}

#define GLOBAL_ATTENTION(X, W, NAME, D)                                                                                \
    KERNEL __launch_bounds__(256, 1) global_attention_##NAME##_##D(const __grid_constant__ GlobalAttention<X, W> t) { \
        global_attention<X, W, D>(t);                                                                                  \
    }
#define GLOBAL_ATTENTION_TYPES(D)                 \
    GLOBAL_ATTENTION(bf16, bf16, bf16_bf16, D)    \
    GLOBAL_ATTENTION(float, bf16, f32_bf16, D)    \
    GLOBAL_ATTENTION(float, float, f32_f32, D)

GLOBAL_ATTENTION_TYPES(8)
GLOBAL_ATTENTION_TYPES(16)
GLOBAL_ATTENTION_TYPES(32)
GLOBAL_ATTENTION_TYPES(64)
