// Gradients of ipa.cu: to queries, keys, values, their points, the pair bias, the weights of distances, and the pairs.
// AF2 Suppl. Alg. 22; crates/fold/src/ipa.rs.
//
// limit: spills 0
//
// With weights P and logits S of ipa.cu, dP_ij = do_i·v_j + do_points_i·v_points_j + do_pair_i·z_ij, and dS = P ∘ (dP - delta),
// delta_i = do_i·o_i + …:
//   _queries  dq = scale·Σ_j dS·k, dq_points = 2·head_weight·Σ_j dS·(q_points - k_points), dlogits = dS (the bias's gradient is bias_scale·dS),
//             dweight_rows [r, heads] = Σ_j dS·distance (column_sums give head_weight's), dz_ij = dz_before_ij + Σ_h P·do_pair_i
//   _keys     dk = scale·Σ_i dS·q, dk_points = -2·head_weight·Σ_i dS·(q_points - k_points), dv = Σ_i P·do, dv_points = Σ_i P·do_points
// Differences of points are summed as they are, in f32; no atomics.
//
// Order     _queries, which leaves P and dS in `weights` and `dlogits`, then _keys.
// Shapes    as ipa.cu, and gradients as what they belong to, through its strides; weights, dlogits [r, r, heads]. dz may be
//           dz_before, or null if nobody wants it.
// Types     ipa_backward_queries_bf16, _f32: z's and dz's type; ipa_backward_keys takes either's arguments.
// Grid      _queries: r blocks of 256 threads; _keys: ceil(r / 4) blocks of 256 threads.
// Shared    ipa_backward_shared below; 12 heads, d = dv = 16, 4 and 8 points, cz = 128: 135,872 bytes. _keys: 4·(5120 + 4·heads·(d + 3·p)).
// Limits    as ipa.cu, heads·(d + 3·p) ≤ 512.
// Floor     latency; bytes: r²·(2·cz·2 + 4·heads·4), r = 384: 0.024 ms at 4.3 TB/s.
#include "ipa.cuh"

template <class Z>
struct IpaBackward {
    InvariantPointAttention<Z> forward;     // with results and stats
    const float *d_o, *d_points, *d_pair;   // as o, o_points, o_pair
    float *dq, *dk, *dv;                    // as q, k, v
    float *dq_points, *dk_points, *dv_points;
    float *weights, *dlogits; // [r, r, heads]
    float* dweight_rows;      // [r, heads]
    const Z* dz_before;       // [r, r, cz] or null
    Z* dz;              // or null: not wanted
};

DEVICE constexpr int ipa_backward_shared(int heads, int d, int points, int dv, int v_points, int cz) {
    const int features = heads * ipa_features(d, points), values = heads * (dv + 3 * v_points);
    return 4 * (features + values + heads * cz + 2 * IPA_HEADS + 2 * IPA_KEYS * IPA_STRIDE +
                IPA_KEYS * ((features | 1) + (values | 1) + (cz | 1)));
}

/// dP of one key but for its pair: results' gradients times values.
template <class Z>
DEVICE float value_products(const InvariantPointAttention<Z>& t, const float* grads, const float* values, int head) {
    float sum = 0.0f;
    for (int c = head * t.dv; c < (head + 1) * t.dv; c++) sum += grads[c] * values[c];
    for (int axis = 0; axis < 3; axis++) {
        const int first = t.heads * t.dv + (axis * t.heads + head) * t.v_points_count;
        for (int c = first; c < first + t.v_points_count; c++) sum += grads[c] * values[c];
    }
    return sum;
}

template <class Z>
DEVICE void ipa_backward_queries(const IpaBackward<Z>& b) {
    const InvariantPointAttention<Z>& t = b.forward;
    const int lane = thread_index() % 32, warp = thread_index() / 32, warps = IPA_THREADS / 32;
    const i64 query = block_index();
    const int features = t.heads * ipa_features(t.d, t.points), values_width = t.heads * (t.dv + 3 * t.v_points_count);
    const int key_stride = features | 1, value_stride = values_width | 1, pair_stride = t.cz | 1;
    float* q = reinterpret_cast<float*>(shared_memory()); // [features]
    float* grads = q + features;                          // [values]: gradients of o and o_points
    float* pair_grads = grads + values_width;             // [heads][cz]
    float* deltas = pair_grads + t.heads * t.cz;          // [heads]
    float* distances = deltas + IPA_HEADS;                // [heads]: Σ dS·distance
    float* p = distances + IPA_HEADS;                     // [key][head]
    float* ds = p + IPA_KEYS * IPA_STRIDE;
    float* keys = ds + IPA_KEYS * IPA_STRIDE; // [key][features]
    float* values = keys + IPA_KEYS * key_stride;
    float* pairs = values + IPA_KEYS * value_stride; // [key][cz]

    copy_ipa_features(q, features, t, false, int(query), 1);
    for (int c = thread_index(); c < values_width; c += IPA_THREADS) {
        const IpaColumn column = ipa_value(t, true, c);
        grads[c] = column.from(b.d_o, b.d_points)[query * column.row_stride];
        keys[c] = column.from(t.o, t.o_points)[query * column.row_stride]; // the results, for delta
    }
    for (int c = thread_index(); c < t.heads * t.cz; c += IPA_THREADS) pair_grads[c] = b.d_pair[query * t.o_pair_stride + c];
    sync_block();
    for (int head = warp; head < t.heads; head += warps) {
        float delta = 0.0f;
        for (int c = lane; c < t.cz; c += 32) delta += pair_grads[head * t.cz + c] * t.o_pair[query * t.o_pair_stride + head * t.cz + c];
        delta = warp_sum(delta);
        if (lane == 0) {
            deltas[head] = delta + value_products(t, grads, keys, head);
            distances[head] = 0.0f;
        }
    }

    // What this thread adds up: features of dq.
    IpaColumn column[IPA_COLUMNS];
    float sum[IPA_COLUMNS] = {};
    const int channel = 2 * (thread_index() % 64);
    for (int i = 0; i < IPA_COLUMNS; i++) column[i] = ipa_feature(t, false, min_of(thread_index() + i * IPA_THREADS, features - 1));
    for (int first = 0; first < t.r; first += IPA_KEYS) {
        const int here = min_of(IPA_KEYS, t.r - first);
        sync_block(); // nobody reads the tile before this one any more
        copy_ipa_features(keys, key_stride, t, true, first, IPA_KEYS);
        for (int c = thread_index(); c < values_width; c += IPA_THREADS) {
            const IpaColumn value = ipa_value(t, false, c);
            const float* from = value.from(t.v, t.v_points);
#pragma unroll 8
            for (int j = 0; j < IPA_KEYS; j++) values[j * value_stride + c] = from[min_of(first + j, t.r - 1) * value.row_stride];
        }
        for (int v = thread_index(); v < IPA_KEYS * t.cz / 2; v += IPA_THREADS) {
            const int j = v / (t.cz / 2), at = v % (t.cz / 2) * 2;
            const Pair z = load_pair(t.z + (query * t.r + min_of(first + j, t.r - 1)) * t.cz + at);
            pairs[j * pair_stride + at] = z.x;
            pairs[j * pair_stride + at + 1] = z.y;
        }
        sync_block();
        for (int head = warp; head < t.heads; head += warps) {
            float logit[1], distance[1];
            ipa_logits<1>(t, q, keys + lane * key_stride, head, int(query), min_of(first + lane, t.r - 1), logit, distance);
            const Pair stats = load_pair(t.stats + 2 * (query * t.heads + head));
            const float weight = lane < here ? exp2_fast(logit[0] - stats.x) * stats.y : 0.0f;
            float grad = value_products(t, grads, values + lane * value_stride, head);
            for (int c = 0; c < t.cz; c++) grad += pair_grads[head * t.cz + c] * pairs[lane * pair_stride + c];
            grad = weight * (grad - deltas[head]);
            p[lane * IPA_STRIDE + head] = weight;
            ds[lane * IPA_STRIDE + head] = grad;
            const float apart = warp_sum(grad * distance[0]);
            if (lane == 0) distances[head] += apart;
        }
        sync_block();
#pragma unroll
        for (int i = 0; i < IPA_COLUMNS; i++) {
            const int e = min_of(thread_index() + i * IPA_THREADS, features - 1);
            const float own = column[i].points ? q[e] : 0.0f, sign = column[i].points ? -1.0f : 1.0f;
            for (int j = 0; j < here; j++) sum[i] += ds[j * IPA_STRIDE + column[i].head] * (own + sign * keys[j * key_stride + e]);
        }
        if (b.dz && channel < t.cz)
            for (int j = thread_index() / 64; j < here; j += IPA_THREADS / 64) {
                const i64 at = (query * t.r + first + j) * t.cz + channel;
                Pair z = b.dz_before ? load_pair(b.dz_before + at) : Pair{0.0f, 0.0f};
                for (int h = 0; h < t.heads; h++) {
                    const float weight = p[j * IPA_STRIDE + h];
                    z.x += weight * pair_grads[h * t.cz + channel];
                    z.y += weight * pair_grads[h * t.cz + channel + 1];
                }
                store_pair(b.dz + at, z.x, z.y);
            }
        for (int v = thread_index(); v < here * t.heads; v += IPA_THREADS) {
            const int from = v / t.heads * IPA_STRIDE + v % t.heads;
            b.weights[(query * t.r + first) * t.heads + v] = p[from];
            b.dlogits[(query * t.r + first) * t.heads + v] = ds[from];
        }
    }
    for (int i = 0; i < IPA_COLUMNS; i++)
        if (thread_index() + i * IPA_THREADS < features)
            column[i].to(b.dq, b.dq_points)[query * column[i].row_stride] =
                sum[i] * (column[i].points ? 2.0f * t.head_weight[column[i].head] : t.scale);
    if (thread_index() < t.heads) b.dweight_rows[query * t.heads + thread_index()] = distances[thread_index()];
}

/// Nothing here reads z: bf16's arguments serve both.
DEVICE void ipa_backward_keys_of(const IpaBackward<bf16>& b) {
    constexpr int KEYS = 4, QUERIES = 32;
    const InvariantPointAttention<bf16>& t = b.forward;
    const int first_key = int(block_index()) * KEYS;
    const int features = t.heads * ipa_features(t.d, t.points), values = t.heads * (t.dv + 3 * t.v_points_count);
    float* p = reinterpret_cast<float*>(shared_memory()); // [query][key][head]
    float* ds = p + QUERIES * KEYS * IPA_STRIDE;
    float* keys = ds + QUERIES * KEYS * IPA_STRIDE; // [key][features]
    copy_ipa_features(keys, features, t, true, first_key, KEYS);

    // What this thread adds up: features of dk, columns of dv.
    IpaColumn query[IPA_COLUMNS], value[IPA_COLUMNS];
    float dk[IPA_COLUMNS][KEYS] = {}, dv[IPA_COLUMNS][KEYS] = {};
    for (int i = 0; i < IPA_COLUMNS; i++) {
        query[i] = ipa_feature(t, false, min_of(thread_index() + i * IPA_THREADS, features - 1));
        value[i] = ipa_value(t, true, min_of(thread_index() + i * IPA_THREADS, values - 1));
    }
    for (int first = 0; first < t.r; first += QUERIES) {
        const int here = min_of(QUERIES, t.r - first);
        sync_block(); // nobody reads the tile before this one any more
        for (int v = thread_index(); v < here * KEYS * t.heads; v += IPA_THREADS) {
            const int i = v / (KEYS * t.heads), key = v / t.heads % KEYS, head = v % t.heads;
            const bool inside = first_key + key < t.r;
            const i64 from = (i64(first + i) * t.r + (inside ? first_key + key : 0)) * t.heads + head;
            p[(i * KEYS + key) * IPA_STRIDE + head] = inside ? b.weights[from] : 0.0f;
            ds[(i * KEYS + key) * IPA_STRIDE + head] = inside ? b.dlogits[from] : 0.0f;
        }
        sync_block();
#pragma unroll
        for (int i = 0; i < IPA_COLUMNS; i++) {
            const int e = min_of(thread_index() + i * IPA_THREADS, features - 1);
            const float* of_query = query[i].from(t.q, t.q_points) + first * query[i].row_stride;
            const float* of_grad = value[i].from(b.d_o, b.d_points) + first * value[i].row_stride;
            float own[KEYS];
#pragma unroll
            for (int key = 0; key < KEYS; key++) own[key] = query[i].points ? keys[key * features + e] : 0.0f;
#pragma unroll 4
            for (int j = 0; j < here; j++) {
                const float x = of_query[j * query[i].row_stride], grad = of_grad[j * value[i].row_stride];
#pragma unroll
                for (int key = 0; key < KEYS; key++) {
                    dk[i][key] += ds[(j * KEYS + key) * IPA_STRIDE + query[i].head] * (x - own[key]);
                    dv[i][key] += p[(j * KEYS + key) * IPA_STRIDE + value[i].head] * grad;
                }
            }
        }
    }
    for (int i = 0; i < IPA_COLUMNS; i++) {
        const int e = thread_index() + i * IPA_THREADS;
        const IpaColumn of_key = ipa_feature(t, true, min_of(e, features - 1)), of_value = ipa_value(t, false, min_of(e, values - 1));
        const float factor = of_key.points ? -2.0f * t.head_weight[of_key.head] : t.scale;
#pragma unroll
        for (int key = 0; key < KEYS; key++) {
            const i64 row = first_key + key;
            if (row >= t.r) continue;
            if (e < features) of_key.to(b.dk, b.dk_points)[row * of_key.row_stride] = dk[i][key] * factor;
            if (e < values) of_value.to(b.dv, b.dv_points)[row * of_value.row_stride] = dv[i][key];
        }
    }
}

KERNEL __launch_bounds__(256, 1) ipa_backward_queries_bf16(const __grid_constant__ IpaBackward<bf16> t) { ipa_backward_queries(t); }
KERNEL __launch_bounds__(256, 1) ipa_backward_queries_f32(const __grid_constant__ IpaBackward<float> t) { ipa_backward_queries(t); }
KERNEL __launch_bounds__(256, 2) ipa_backward_keys(const __grid_constant__ IpaBackward<bf16> t) { ipa_backward_keys_of(t); }
