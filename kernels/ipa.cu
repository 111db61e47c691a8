// Invariant point attention between its projections: logits from scalars, distances of points and pairs, softmax, and the
// sums over values, value points and pairs. AF2 Suppl. Alg. 22 lines 7 to 11; crates/fold/src/ipa.rs.
//
// limit: spills 0
//
// Shapes    q, k [r, heads, d], v [r, heads, dv]; points in the global frame, x, y and z apart, [3, r, heads, p] (queries and
//           keys) and [3, r, heads, pv]; bias [r, r, heads]; all f32 through strides, whose last axis is contiguous. mask [r].
//           z [r, r, cz] in Z. o [r, heads·dv], o_points [3, r, heads·pv] (global frame), o_pair [r, heads·cz], f32.
// Logits    scale·q·k + head_weight·Σ_p |q_p - k_p|² + bias_scale·bias + mask_i·(mask_j - 1)·1e5. Distances are summed from
//           differences in f32. Alg. 22 masks by mask_i·mask_j - 1, which is this and a constant along j: softmax drops it,
//           and rows that are masked keep their digits.
// Idea      A block takes four queries and all heads, so that a pair's channels are read once: for 32 keys at a time, warps
//           make logits (a lane a key), an online softmax gives weights, and threads that own an output column add up.
// Types     ipa_bf16, ipa_f32: z's type. Everything else is f32.
// Grid      ceil(r / 4) blocks of 256 threads.
// Shared    ipa_shared(heads, d, p) of ipa.cuh; 12 heads, d = 16, p = 4: 59,520 bytes.
// Limits    heads ≤ 16; cz even, at most 128; heads·(dv + 3·pv) ≤ 512; rows of z 4-byte aligned (8 for f32).
// Floor     latency: r = 256 is 64 blocks of 8 tiles. Bytes: r²·cz·2; r = 1024: 0.062 ms at 4.3 TB/s.
#include "ipa.cuh"

template <class Z>
DEVICE void ipa(const InvariantPointAttention<Z>& t) {
    const int lane = thread_index() % 32, warp = thread_index() / 32, warps = IPA_THREADS / 32;
    const int first_query = int(block_index()) * IPA_QUERIES, key_stride = ipa_key_stride(t.heads, t.d, t.points);
    float* weights = reinterpret_cast<float*>(shared_memory());     // logits, then exp2(logit - largest): [query][key][head]
    float* queries = weights + IPA_QUERIES * IPA_KEYS * IPA_STRIDE; // [query][head, feature]
    float* largest = queries + IPA_QUERIES * t.heads * ipa_features(t.d, t.points); // [query][head], and the next two
    float* sums = largest + IPA_QUERIES * IPA_HEADS;
    float* shrink = sums + IPA_QUERIES * IPA_HEADS;
    float* keys = shrink + IPA_QUERIES * IPA_HEADS; // [key][head, feature]
    copy_ipa_features(queries, t.heads * ipa_features(t.d, t.points), t, false, first_query, IPA_QUERIES);
    for (int i = thread_index(); i < IPA_QUERIES * IPA_HEADS; i += IPA_THREADS) {
        largest[i] = -1e38f;
        sums[i] = 0.0f;
        shrink[i] = 1.0f;
    }

    // What this thread adds up: columns of values for all queries, and two channels of the pairs of one query for all heads.
    const int columns = t.heads * (t.dv + 3 * t.v_points_count);
    const float* value[IPA_COLUMNS];
    i64 value_stride[IPA_COLUMNS];
    int value_head[IPA_COLUMNS];
    float out[IPA_COLUMNS][IPA_QUERIES] = {};
#pragma unroll
    for (int i = 0; i < IPA_COLUMNS; i++) {
        const IpaColumn column = ipa_value(t, false, min_of(thread_index() + i * IPA_THREADS, columns - 1));
        value[i] = column.from(t.v, t.v_points);
        value_stride[i] = column.row_stride;
        value_head[i] = column.head;
    }
    constexpr int PER_QUERY = IPA_THREADS / IPA_QUERIES;
    const int my_query = thread_index() / PER_QUERY, channel = 2 * (thread_index() % PER_QUERY);
    const bool has_pairs = channel < t.cz && first_query + my_query < t.r;
    const Z* pairs = t.z + (has_pairs ? i64(first_query + my_query) * t.r * t.cz + channel : 0);
    Pair pair_out[IPA_HEADS] = {};

    for (int first = 0; first < t.r; first += IPA_KEYS) {
        const int here = min_of(IPA_KEYS, t.r - first);
        copy_ipa_features(keys, key_stride, t, true, first, IPA_KEYS);
        sync_block();
        for (int head = warp; head < t.heads; head += warps) {
            float logit[IPA_QUERIES], distance[IPA_QUERIES];
            ipa_logits<IPA_QUERIES>(t, queries, keys + lane * key_stride, head, first_query, min_of(first + lane, t.r - 1), logit, distance);
            // The online softmax of this head: its logits lie in this warp's lanes.
#pragma unroll
            for (int i = 0; i < IPA_QUERIES; i++) {
                const int at = i * IPA_HEADS + head;
                if (lane >= here) logit[i] = -3e38f;
                float top = logit[i];
                for (int mask = 16; mask > 0; mask /= 2) top = max_of(top, shuffle_xor(top, mask));
                const float before = largest[at], now = max_of(before, top);
                const float p = exp2_fast(logit[i] - now), factor = exp2_fast(before - now), sum = warp_sum(p);
                weights[(i * IPA_KEYS + lane) * IPA_STRIDE + head] = p;
                sync_warp(); // every lane has read `largest`
                if (lane == 0) {
                    largest[at] = now;
                    shrink[at] = factor;
                    sums[at] = sums[at] * factor + sum;
                }
            }
        }
        sync_block();
#pragma unroll
        for (int i = 0; i < IPA_COLUMNS; i++) {
            const float* from = value[i] + first * value_stride[i];
            const float* p = weights + value_head[i];
#pragma unroll
            for (int q = 0; q < IPA_QUERIES; q++) out[i][q] *= shrink[q * IPA_HEADS + value_head[i]];
#pragma unroll 4
            for (int j = 0; j < here; j++) {
                const float v = from[j * value_stride[i]];
#pragma unroll
                for (int q = 0; q < IPA_QUERIES; q++) out[i][q] += p[(q * IPA_KEYS + j) * IPA_STRIDE] * v;
            }
        }
        if (has_pairs) {
            const float* p = weights + my_query * IPA_KEYS * IPA_STRIDE;
#pragma unroll
            for (int h = 0; h < IPA_HEADS; h++) {
                if (h >= t.heads) break;
                pair_out[h].x *= shrink[my_query * IPA_HEADS + h];
                pair_out[h].y *= shrink[my_query * IPA_HEADS + h];
            }
#pragma unroll 4
            for (int j = 0; j < here; j++) {
                const Pair v = load_pair(pairs + i64(first + j) * t.cz);
#pragma unroll
                for (int h = 0; h < IPA_HEADS; h++) {
                    if (h >= t.heads) break;
                    pair_out[h].x += p[j * IPA_STRIDE + h] * v.x;
                    pair_out[h].y += p[j * IPA_STRIDE + h] * v.y;
                }
            }
        }
    }

#pragma unroll
    for (int i = 0; i < IPA_COLUMNS; i++) {
        if (thread_index() + i * IPA_THREADS >= columns) continue;
        const IpaColumn column = ipa_value(t, true, thread_index() + i * IPA_THREADS);
        float* to = column.to(t.o, t.o_points);
#pragma unroll
        for (int q = 0; q < IPA_QUERIES; q++) {
            const i64 row = first_query + q;
            if (row < t.r) to[row * column.row_stride] = out[i][q] / sums[q * IPA_HEADS + value_head[i]];
        }
    }
    if (has_pairs) {
        float* to = t.o_pair + (first_query + my_query) * t.o_pair_stride + channel;
#pragma unroll
        for (int h = 0; h < IPA_HEADS; h++) {
            if (h >= t.heads) break;
            const float inverse = 1.0f / sums[my_query * IPA_HEADS + h];
            to[h * t.cz] = pair_out[h].x * inverse;
            to[h * t.cz + 1] = pair_out[h].y * inverse;
        }
    }
    if (t.stats)
        for (int i = thread_index(); i < IPA_QUERIES * t.heads; i += IPA_THREADS) {
            const int q = i / t.heads, head = i % t.heads;
            if (first_query + q < t.r)
                store_pair(t.stats + 2 * (i64(first_query + q) * t.heads + head), largest[q * IPA_HEADS + head], 1.0f / sums[q * IPA_HEADS + head]);
        }
}

KERNEL __launch_bounds__(256, 2) ipa_bf16(const __grid_constant__ InvariantPointAttention<bf16> t) { ipa(t); }
KERNEL __launch_bounds__(256, 2) ipa_f32(const __grid_constant__ InvariantPointAttention<float> t) { ipa(t); }
