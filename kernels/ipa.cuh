// What the kernels of invariant point attention share: arguments, features in shared memory, logits. See ipa.cu.
#ifndef FOLDRY_IPA
#define FOLDRY_IPA
#include "primitives.cuh"

constexpr int IPA_QUERIES = 4, IPA_KEYS = 32, IPA_HEADS = 16, IPA_THREADS = 256;
/// Output columns of scalars and points that a thread owns.
constexpr int IPA_COLUMNS = 2;
/// Logits [query][key][head], rows padded against bank conflicts.
constexpr int IPA_STRIDE = IPA_HEADS + 4;
constexpr float IPA_MASK = 1e5f * LOG2E;

/// An operand [r, heads, n] or [3, r, heads, n]: elements from axis to axis, row to row, head to head.
struct IpaStrides {
    i64 axis, row, head;
};

template <class Z>
struct InvariantPointAttention {
    const float *q, *k, *v;
    const float *q_points, *k_points, *v_points;
    const float* bias;        // [i, j, head] by bias_stride0, bias_stride1, bias_head_stride
    const float* head_weight; // [heads]: -softplus(w)·½·√(2 / (9·3·p)), as Alg. 22 and ipa.rs have it
    const float* mask;        // [r]
    const Z* z;               // [r, r, cz]
    float *o, *o_points, *o_pair;
    float* stats; // [r, heads, 2] or null: for the backward pass, the largest logit to base 2, and 1 / sum
    IpaStrides q_stride, k_stride, v_stride;                      // axis: unused
    IpaStrides q_points_stride, k_points_stride, v_points_stride; // of points
    i64 bias_stride0, bias_stride1, bias_head_stride;
    i64 o_stride, o_points_axis_stride, o_points_stride, o_pair_stride; // from row to row
    float scale, bias_scale;
    int r, heads, d, dv, points, v_points_count, cz;
};

/// Features of one head of a query or key: scalars, then points.
DEVICE constexpr int ipa_features(int d, int points) { return d + 3 * points; }
/// Rows of keys are odd in length, so that lanes that read one column fall into different banks.
DEVICE constexpr int ipa_key_stride(int heads, int d, int points) { return heads * ipa_features(d, points) | 1; }
DEVICE constexpr int ipa_shared(int heads, int d, int points) {
    return 4 * (IPA_QUERIES * IPA_KEYS * IPA_STRIDE + IPA_KEYS * ipa_key_stride(heads, d, points) +
                IPA_QUERIES * heads * ipa_features(d, points) + 3 * IPA_QUERIES * IPA_HEADS);
}

/// Feature `e` of a row of queries or keys: where it lies, but for row · row stride.
template <class Z>
DEVICE const float* ipa_feature(const InvariantPointAttention<Z>& t, bool keys, int e, i64& row_stride) {
    const int features = ipa_features(t.d, t.points), head = e / features, at = e % features;
    if (at < t.d) {
        const IpaStrides& s = keys ? t.k_stride : t.q_stride;
        row_stride = s.row;
        return (keys ? t.k : t.q) + head * s.head + at;
    }
    const IpaStrides& s = keys ? t.k_points_stride : t.q_points_stride;
    const int axis = (at - t.d) / t.points, point = (at - t.d) % t.points;
    row_stride = s.row;
    return (keys ? t.k_points : t.q_points) + axis * s.axis + head * s.head + point;
}

/// Column `c` of the values: heads·dv scalars, then 3·heads·pv coordinates, axis by axis.
template <class Z>
DEVICE const float* ipa_value(const InvariantPointAttention<Z>& t, int c, i64& row_stride, int& head) {
    if (c < t.heads * t.dv) {
        head = c / t.dv;
        row_stride = t.v_stride.row;
        return t.v + head * t.v_stride.head + c % t.dv;
    }
    c -= t.heads * t.dv;
    const int axis = c / (t.heads * t.v_points_count), at = c % (t.heads * t.v_points_count);
    head = at / t.v_points_count;
    row_stride = t.v_points_stride.row;
    return t.v_points + axis * t.v_points_stride.axis + head * t.v_points_stride.head + at % t.v_points_count;
}

/// Logit to base 2 of a key with each of the block's queries, and the squared distances of their points.
template <int QUERIES, class Z>
DEVICE void ipa_logits(const InvariantPointAttention<Z>& t, const float* queries, const float* key, int head, int first_query, int j,
                       float (&logit)[QUERIES], float (&distance)[QUERIES]) {
    const int features = ipa_features(t.d, t.points), width = t.heads * features;
    const float* q = queries + head * features;
    const float* k = key + head * features;
#pragma unroll
    for (int i = 0; i < QUERIES; i++) logit[i] = distance[i] = 0.0f;
    for (int c = 0; c < t.d; c++)
#pragma unroll
        for (int i = 0; i < QUERIES; i++) logit[i] += q[i * width + c] * k[c];
    for (int c = t.d; c < features; c++)
#pragma unroll
        for (int i = 0; i < QUERIES; i++) {
            const float apart = q[i * width + c] - k[c];
            distance[i] += apart * apart;
        }
    const float weight = t.head_weight[head], absent = (t.mask[j] - 1.0f) * IPA_MASK;
#pragma unroll
    for (int i = 0; i < QUERIES; i++) {
        const int row = min_of(first_query + i, t.r - 1);
        const float bias = t.bias[row * t.bias_stride0 + j * t.bias_stride1 + head * t.bias_head_stride];
        logit[i] = LOG2E * (t.scale * logit[i] + weight * distance[i] + t.bias_scale * bias) + t.mask[row] * absent;
    }
}

/// Features of rows `first` .. to shared memory, `stride` floats a row; rows that do not exist repeat the last one.
template <class Z>
DEVICE void copy_ipa_features(float* to, int stride, const InvariantPointAttention<Z>& t, bool keys, int first, int rows) {
    const int width = t.heads * ipa_features(t.d, t.points);
    for (int e = thread_index(); e < width; e += block_threads()) {
        i64 row_stride = 0;
        const float* from = ipa_feature(t, keys, e, row_stride);
#pragma unroll 8
        for (int i = 0; i < rows; i++) to[i * stride + e] = from[min_of(first + i, t.r - 1) * row_stride];
    }
}

#endif
