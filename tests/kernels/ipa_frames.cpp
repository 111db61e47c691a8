// Cases of kernels/ipa_frames.cu: both ends of point attention and their gradients, against float64. Rotations are any matrices.
#include "check.hpp"
#include "../../kernels/ipa_frames.cu"

struct Shape {
    int r, heads, d, dv, points, v_points, cz;
};

static void check(const Shape& s) {
    const int q = s.heads * s.d, kv = s.heads * (s.d + s.dv), qp = s.heads * s.points, kp = s.heads * (s.points + s.v_points), vp = s.heads * s.v_points;
    const int first = q + kv, width = first + 3 * (qp + kp), values = s.heads * s.dv, features = values + 4 * vp + s.heads * s.cz;
    const std::string name = "ipa_frames r=" + std::to_string(s.r) + " heads=" + std::to_string(s.heads);
    const long blocks = (s.r + 7) / 8;
    const double factor = -0.1;
    Values made = noise(size_t(s.r) * width, 1), bias = noise(width, 2), rotation = noise(size_t(s.r) * 9, 3), shift = noise(size_t(s.r) * 3, 4, 3);
    Values weights = noise(s.heads, 5, 20), o_points = noise(size_t(3) * s.r * vp, 6, 4), given = noise(size_t(s.r) * features, 7);
    Values d_features = noise(size_t(s.r) * features, 8), d_ready = noise(size_t(s.r) * width, 9), d_weight = noise(s.heads, 10);
    Buffer<float> local(made), ready(made), bb(bias), br(rotation), bs(shift), bw(weights), weight(s.heads), op(o_points), bf(given), df(d_features);
    Buffer<float> dp(size_t(3) * s.r * vp), frames(size_t(s.r) * 12), dr(d_ready), d_rotation(size_t(s.r) * 9), d_shift(size_t(s.r) * 3);
    Buffer<float> dw(d_weight), d_weights(s.heads), d_bias(s.heads);
    IpaFrames t{};
    t.local = local.data(), t.ready = ready.data(), t.bias = bb.data(), t.rotation = br.data(), t.translation = bs.data();
    t.head_weights = bw.data(), t.head_weight = weight.data(), t.o_points = op.data(), t.features = bf.data(), t.d_features = df.data();
    t.d_points = dp.data(), t.frames = frames.data(), t.d_ready = dr.data(), t.d_rotation = d_rotation.data(), t.d_translation = d_shift.data();
    t.d_head_weight = dw.data(), t.d_head_weights = d_weights.data(), t.d_bias = d_bias.data();
    t.r = s.r, t.heads = s.heads, t.width = width, t.first_points = first, t.query_points = qp, t.key_points = kp, t.value_points = vp;
    t.features_width = features, t.values = values, t.factor = float(factor);

    // Everything by hand.
    Values with_bias(made), placed, want(given), dwant_points(dp.size()), dwant_ready(d_ready), dwant_frames(size_t(s.r) * 12), of_finish;
    for (size_t i = 0; i < with_bias.size(); i++) with_bias[i] += bias[i % width];
    placed = with_bias;
    auto each = [&](int i, auto body) { // every point of residue i: where its x lies, how far y is
        for (int e = 0; e < qp; e++) body(size_t(i) * width + first + e, qp);
        for (int e = 0; e < kp; e++) body(size_t(i) * width + first + 3 * qp + e, kp);
    };
    for (int i = 0; i < s.r; i++) {
        const double *R = &rotation[9 * i], *T = &shift[3 * i];
        each(i, [&](size_t at, int n) {
            for (int a = 0; a < 3; a++) {
                placed[at + a * n] = T[a];
                for (int b = 0; b < 3; b++) placed[at + a * n] += R[3 * a + b] * with_bias[at + b * n];
            }
        });
        for (int e = 0; e < vp; e++) {
            double *to = &want[size_t(i) * features + values + e], away[3], x[3], square = 1e-8;
            for (int a = 0; a < 3; a++) away[a] = o_points[(size_t(a) * s.r + i) * vp + e] - T[a];
            for (int b = 0; b < 3; b++) {
                x[b] = R[b] * away[0] + R[3 + b] * away[1] + R[6 + b] * away[2];
                square += x[b] * x[b];
                to[b * vp] = x[b];
            }
            const double norm = to[3 * vp] = std::sqrt(square);
            const double* g = &d_features[size_t(i) * features + values + e];
            double grad[3], space[3] = {};
            for (int b = 0; b < 3; b++) grad[b] = g[b * vp] + g[3 * vp] * x[b] / norm;
            for (int a = 0; a < 3; a++) {
                for (int b = 0; b < 3; b++) {
                    space[a] += R[3 * a + b] * grad[b];
                    dwant_frames[12 * i + 3 * a + b] += away[a] * grad[b];
                }
                dwant_frames[12 * i + 9 + a] -= space[a];
                dwant_points[(size_t(a) * s.r + i) * vp + e] = space[a];
            }
        }
    }
    of_finish = dwant_frames;
    for (int i = 0; i < s.r; i++)
        each(i, [&](size_t at, int n) {
            const double* R = &rotation[9 * i];
            double grad[3];
            for (int a = 0; a < 3; a++) grad[a] = d_ready[at + a * n];
            for (int b = 0; b < 3; b++) dwant_ready[at + b * n] = R[b] * grad[0] + R[3 + b] * grad[1] + R[6 + b] * grad[2];
            for (int a = 0; a < 3; a++) {
                for (int b = 0; b < 3; b++) dwant_frames[12 * i + 3 * a + b] += grad[a] * with_bias[at + b * n];
                dwant_frames[12 * i + 9 + a] += grad[a];
            }
        });

    run(name + " place", blocks, 256, 0, {&local.memory(), &ready.memory(), &weight.memory()}, ipa_place, t);
    compare(name + " local", local.values(), with_bias, 1e-7);
    compare(name + " ready", ready.values(), placed, 3e-7);
    Values softplus(s.heads), slope(s.heads);
    for (int h = 0; h < s.heads; h++) {
        softplus[h] = factor * std::log1p(std::exp(weights[h]));
        slope[h] = d_weight[h] * factor / (1 + std::exp(-weights[h]));
    }
    compare(name + " weights", weight.values(), softplus, 3e-7);
    run(name + " finish", blocks, 256, 0, {&bf.memory()}, ipa_finish, t);
    compare(name + " features", bf.values(), want, 1e-6);
    run(name + " finish backward", blocks, 256, 0, {&dp.memory(), &frames.memory()}, ipa_finish_backward, t);
    compare(name + " points' gradients", dp.values(), dwant_points, 1e-6);
    compare(name + " first gradients of frames", frames.values(), of_finish, 3e-6);
    run(name + " place backward", blocks, 256, 0,
        {&dr.memory(), &d_rotation.memory(), &d_shift.memory(), &d_weights.memory(), &d_bias.memory()}, ipa_place_backward, t);
    compare(name + " gradients of projections", dr.values(), dwant_ready, 1e-6);
    Values of_rotation, of_shift;
    for (size_t i = 0; i < dwant_frames.size(); i++) (i % 12 < 9 ? of_rotation : of_shift).push_back(dwant_frames[i]);
    compare(name + " gradients of rotations", d_rotation.values(), of_rotation, 3e-6);
    compare(name + " gradients of translations", d_shift.values(), of_shift, 3e-6);
    compare(name + " gradients of weights", d_weights.values(), slope, 3e-7);
    compare(name + " gradients of the bias", d_bias.values(), Values(s.heads, 0.0), 0, 1);
    // In place, as forward alone does it.
    Buffer<float> again(made);
    t.local = t.ready = again.data();
    run(name + " in place", blocks, 256, 0, {&again.memory()}, ipa_place, t);
    if (again.values() != ready.values()) verdict(false, name, "in place differs");
}

int main() {
    start();
    check({1, 1, 4, 5, 1, 2, 6});
    check({9, 3, 4, 5, 2, 3, 7});
    check({33, 12, 16, 16, 4, 8, 4});
    check({130, 2, 5, 7, 3, 1, 2});
    return finish();
}
