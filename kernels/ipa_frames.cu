// Both ends of invariant point attention, residue by residue: from its projections to points in space, and from what was attended to the
// features of its output layer; and their gradients. AF2 Suppl. Alg. 22 lines 2, 3, 8, 10, 11; crates/nn/src/ops/ipa/project.rs.
//
// limit: spills 0
//
// Shapes    A residue's row of projections: q [h·d], kv [h·(d + dv)], points of q [3, h·p], of kv [3, h·(p + pv)]; its row of features: o [h·dv],
//           points [3, h·pv], norms [h·pv], pairs [h·cz], of which o and pairs are ipa.cu's. All f32, rows `width` and `features` long.
//           rotation [r, 3, 3], translation [r, 3]: a point x of residue i lies at rotationᵢ·x + translationᵢ.
// ipa_place            adds the bias to local [r, width] where it lies; ready: the same with points in space. May be local.
//                      Block 0 makes head_weight [heads] = factor·softplus(head_weights).
// ipa_finish           o_points [3, r, h·pv] in space to points and norms of the features.
// ipa_finish_backward  gradients d_features of points and norms to d_points [3, r, h·pv] in space; frames [r, 12]: to rotation and translation.
// ipa_place_backward   gradients d_ready's points, turned back where they lie to those of the projections; what they and `frames` give to
//                      d_rotation, d_translation (null: not wanted). Block 0 makes d_head_weights [heads] from d_head_weight, and zeros to
//                      d_bias [heads]: what all logits of a query have in common changes nothing.
// Grid      a warp a residue: ceil(r / 8) blocks of 256 threads.
// Shared    none.
// Limits    heads ≤ 256.
// Floor     latency: r = 1024 has 128 blocks.
#include "primitives.cuh"

struct IpaFrames {
    float *local, *ready; // [r, width]
    const float *bias, *rotation, *translation;
    const float* head_weights;
    float* head_weight;
    const float* o_points;
    float* features; // [r, features_width]
    // Gradients.
    const float* d_features;
    float *d_points, *frames, *d_ready, *d_rotation, *d_translation;
    const float* d_head_weight;
    float *d_head_weights, *d_bias;
    int r, heads, width, first_points, query_points, key_points, value_points, features_width, values;
    // first_points: where points begin in a row; query_points h·p, key_points h·(p + pv), value_points h·pv; values h·dv.
    float factor;
};

constexpr float IPA_NORM_EPS = 1e-8f;

struct SpacePoint {
    float v[3];
};
DEVICE SpacePoint point_at(const float* p, i64 step) { return SpacePoint{{p[0], p[step], p[2 * step]}}; }
DEVICE void put_point(float* p, i64 step, const SpacePoint& x) {
    p[0] = x.v[0];
    p[step] = x.v[1];
    p[2 * step] = x.v[2];
}

struct IpaFrame {
    float rotation[9], shift[3];
    DEVICE IpaFrame(const IpaFrames& t, i64 residue) {
#pragma unroll
        for (int i = 0; i < 9; i++) rotation[i] = t.rotation[9 * residue + i];
#pragma unroll
        for (int i = 0; i < 3; i++) shift[i] = t.translation[3 * residue + i];
    }
    /// rotation·x.
    DEVICE SpacePoint turn(const SpacePoint& x) const {
        SpacePoint y;
#pragma unroll
        for (int a = 0; a < 3; a++) y.v[a] = rotation[3 * a] * x.v[0] + rotation[3 * a + 1] * x.v[1] + rotation[3 * a + 2] * x.v[2];
        return y;
    }
    /// rotationᵀ·x.
    DEVICE SpacePoint turn_back(const SpacePoint& x) const {
        SpacePoint y;
#pragma unroll
        for (int a = 0; a < 3; a++) y.v[a] = rotation[a] * x.v[0] + rotation[3 + a] * x.v[1] + rotation[6 + a] * x.v[2];
        return y;
    }
    DEVICE SpacePoint relative(const SpacePoint& x) const { return SpacePoint{{x.v[0] - shift[0], x.v[1] - shift[1], x.v[2] - shift[2]}}; }
};

/// What a warp adds up for a frame: rotation row by row, then translation.
struct FrameSums {
    float v[12] = {};
    /// rows ⊗ columns to the rotation, `shift` to the translation.
    DEVICE void add(const SpacePoint& rows, const SpacePoint& columns, const SpacePoint& shift) {
#pragma unroll
        for (int a = 0; a < 3; a++) {
#pragma unroll
            for (int b = 0; b < 3; b++) v[3 * a + b] += rows.v[a] * columns.v[b];
            v[9 + a] += shift.v[a];
        }
    }
    DEVICE void over_lanes() {
#pragma unroll
        for (int i = 0; i < 12; i++) v[i] = warp_sum(v[i]);
    }
};

DEVICE i64 ipa_residue() { return block_index() * (block_threads() / 32) + thread_index() / 32; }

/// Point `e` of a residue's row, those of queries first: where its x lies, and how far y is.
DEVICE i64 ipa_point(const IpaFrames& t, int e, int& step) {
    step = e < t.query_points ? t.query_points : t.key_points;
    return e < t.query_points ? t.first_points + e : t.first_points + 3 * t.query_points + e - t.query_points;
}

KERNEL __launch_bounds__(256) ipa_place(const __grid_constant__ IpaFrames t) {
    if (block_index() == 0 && thread_index() < t.heads) {
        const float w = t.head_weights[thread_index()];
        t.head_weight[thread_index()] = t.factor * (max_of(w, 0.0f) + log_1_plus(exp_exact(w > 0.0f ? -w : w)));
    }
    const i64 residue = ipa_residue();
    if (residue >= t.r) return;
    const int lane = thread_index() % 32;
    float *local = t.local + residue * t.width, *ready = t.ready + residue * t.width;
    for (int i = lane; i < t.first_points; i += 32) ready[i] = local[i] = local[i] + t.bias[i];
    const IpaFrame frame(t, residue);
    for (int e = lane; e < t.query_points + t.key_points; e += 32) {
        int step;
        const i64 at = ipa_point(t, e, step);
        SpacePoint x = point_at(local + at, step);
        const SpacePoint bias = point_at(t.bias + at, step);
#pragma unroll
        for (int a = 0; a < 3; a++) x.v[a] += bias.v[a];
        put_point(local + at, step, x);
        x = frame.turn(x);
#pragma unroll
        for (int a = 0; a < 3; a++) x.v[a] += frame.shift[a];
        put_point(ready + at, step, x);
    }
}

KERNEL __launch_bounds__(256) ipa_finish(const __grid_constant__ IpaFrames t) {
    const i64 residue = ipa_residue(), n = t.value_points;
    if (residue >= t.r) return;
    const IpaFrame frame(t, residue);
    float* points = t.features + residue * t.features_width + t.values;
    for (int e = thread_index() % 32; e < n; e += 32) {
        const SpacePoint x = frame.turn_back(frame.relative(point_at(t.o_points + residue * n + e, t.r * n)));
        put_point(points + e, n, x);
        points[3 * n + e] = square_root(x.v[0] * x.v[0] + x.v[1] * x.v[1] + x.v[2] * x.v[2] + IPA_NORM_EPS);
    }
}

KERNEL __launch_bounds__(256) ipa_finish_backward(const __grid_constant__ IpaFrames t) {
    const i64 residue = ipa_residue(), n = t.value_points;
    if (residue >= t.r) return;
    const IpaFrame frame(t, residue);
    const float *points = t.features + residue * t.features_width + t.values, *grads = t.d_features + residue * t.features_width + t.values;
    FrameSums sums;
    for (int e = thread_index() % 32; e < n; e += 32) {
        const SpacePoint local = point_at(points + e, n);
        const float of_norm = grads[3 * n + e] / points[3 * n + e];
        SpacePoint grad = point_at(grads + e, n);
#pragma unroll
        for (int a = 0; a < 3; a++) grad.v[a] += of_norm * local.v[a];
        const SpacePoint in_space = frame.turn(grad);
        const SpacePoint away = frame.relative(point_at(t.o_points + residue * n + e, t.r * n));
        sums.add(away, grad, SpacePoint{{-in_space.v[0], -in_space.v[1], -in_space.v[2]}});
        put_point(t.d_points + residue * n + e, t.r * n, in_space);
    }
    sums.over_lanes();
    if (thread_index() % 32 == 0)
#pragma unroll
        for (int i = 0; i < 12; i++) t.frames[12 * residue + i] = sums.v[i];
}

KERNEL __launch_bounds__(256) ipa_place_backward(const __grid_constant__ IpaFrames t) {
    if (block_index() == 0 && thread_index() < t.heads) {
        const int head = thread_index();
        if (t.d_head_weights) t.d_head_weights[head] = t.d_head_weight[head] * t.factor / (1.0f + exp_exact(-t.head_weights[head]));
        if (t.d_bias) t.d_bias[head] = 0.0f;
    }
    const i64 residue = ipa_residue();
    if (residue >= t.r) return;
    const IpaFrame frame(t, residue);
    const float* local = t.local + residue * t.width;
    float* grads = t.d_ready + residue * t.width;
    FrameSums sums;
    for (int e = thread_index() % 32; e < t.query_points + t.key_points; e += 32) {
        int step;
        const i64 at = ipa_point(t, e, step);
        const SpacePoint grad = point_at(grads + at, step);
        sums.add(grad, point_at(local + at, step), grad);
        put_point(grads + at, step, frame.turn_back(grad));
    }
    sums.over_lanes();
    if (thread_index() % 32 != 0) return;
#pragma unroll
    for (int i = 0; i < 12; i++) {
        const float sum = t.frames[12 * residue + i] + sums.v[i];
        if (i < 9 && t.d_rotation) t.d_rotation[9 * residue + i] = sum;
        if (i >= 9 && t.d_translation) t.d_translation[3 * residue + i - 9] = sum;
    }
}
