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

/// Where a column of an operand lies, from row 0: `offset` in the scalars, or in the points.
struct IpaColumn {
    bool points;
    int head;
    i64 offset, row_stride;
    DEVICE const float* from(const float* scalars, const float* of_points) const { return (points ? of_points : scalars) + offset; }
    DEVICE float* to(float* scalars, float* of_points) const { return (points ? of_points : scalars) + offset; }
};

/// Feature `e` of queries or keys: heads, of each d scalars and 3·points coordinates.
template <class Z>
DEVICE IpaColumn ipa_feature(const InvariantPointAttention<Z>& t, bool keys, int e) {
    const int features = ipa_features(t.d, t.points), head = e / features, at = e % features;
    if (at < t.d) {
        const IpaStrides& s = keys ? t.k_stride : t.q_stride;
        return IpaColumn{false, head, head * s.head + at, s.row};
    }
    const IpaStrides& s = keys ? t.k_points_stride : t.q_points_stride;
    const int axis = (at - t.d) / t.points, point = (at - t.d) % t.points;
    return IpaColumn{true, head, axis * s.axis + head * s.head + point, s.row};
}

/// Column `c` of the values, or (of_results) of o and o_points: heads·dv scalars, then 3·heads·pv coordinates, axis by axis.
template <class Z>
DEVICE IpaColumn ipa_value(const InvariantPointAttention<Z>& t, bool of_results, int c) {
    const int scalars = t.heads * t.dv, of_axis = t.heads * t.v_points_count;
    if (c < scalars) {
        const int head = c / t.dv;
        return of_results ? IpaColumn{false, head, c, t.o_stride} : IpaColumn{false, head, head * t.v_stride.head + c % t.dv, t.v_stride.row};
    }
    const int axis = (c - scalars) / of_axis, at = (c - scalars) % of_axis, head = at / t.v_points_count;
    if (of_results) return IpaColumn{true, head, axis * t.o_points_axis_stride + at, t.o_points_stride};
    return IpaColumn{true, head, axis * t.v_points_stride.axis + head * t.v_points_stride.head + at % t.v_points_count, t.v_points_stride.row};
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
        const IpaColumn column = ipa_feature(t, keys, e);
        const float* from = column.from(keys ? t.k : t.q, keys ? t.k_points : t.q_points);
#pragma unroll 8
        for (int i = 0; i < rows; i++) to[i * stride + e] = from[min_of(first + i, t.r - 1) * column.row_stride];
    }
}

#endif
