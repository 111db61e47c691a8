#include "ipa.hpp"
#include "../../kernels/ipa.cu"
#include "../../kernels/ipa_backward.cu"

/// Gradients, in the layout of what they belong to: keys with values, key points with value points.
struct IpaGradients {
    Values q, kv, qp, kvp, bias, weight, z;
};

template <class Z>
static IpaGradients plain_gradients(const IpaCase<Z>& c, const IpaOutputs& grad) {
    const IpaShape& s = c.s;
    IpaGradients g{Values(c.q.size()), Values(c.kv.size()), Values(c.qp.size()), Values(c.kvp.size()), Values(c.bias.size()), Values(s.heads), Values(c.z.size())};
    for (int i = 0; i < s.r; i++)
        for (int h = 0; h < s.heads; h++) {
            const Values p = c.probabilities(i, h);
            const size_t row = size_t(i) * s.heads + h;
            auto point = [&](int axis, int n) { return grad.points[(size_t(axis) * s.r * s.heads + row) * s.v_points + n]; };
            Values dp(s.r);
            double delta = 0;
            for (int j = 0; j < s.r; j++) {
                for (int n = 0; n < s.dv; n++) dp[j] += grad.o[row * s.dv + n] * c.kv[c.v_at(j, h) + n];
                for (int axis = 0; axis < 3; axis++)
                    for (int n = 0; n < s.v_points; n++) dp[j] += point(axis, n) * c.kvp[c.vp_at(axis, j, h) + n];
                for (int n = 0; n < s.cz; n++) dp[j] += grad.pair[row * s.cz + n] * c.z[c.z_at(i, j) + n];
                delta += p[j] * dp[j];
            }
            for (int j = 0; j < s.r; j++) {
                const double ds = p[j] * (dp[j] - delta);
                g.bias[(size_t(i) * s.r + j) * s.heads + h] = c.bias_scale * ds;
                g.weight[h] += ds * c.distance(i, j, h);
                for (int n = 0; n < s.d; n++) {
                    g.q[c.q_at(i, h) + n] += c.scale * ds * c.kv[c.k_at(j, h) + n];
                    g.kv[c.k_at(j, h) + n] += c.scale * ds * c.q[c.q_at(i, h) + n];
                }
                for (int n = 0; n < s.dv; n++) g.kv[c.v_at(j, h) + n] += p[j] * grad.o[row * s.dv + n];
                for (int axis = 0; axis < 3; axis++) {
                    for (int n = 0; n < s.points; n++) {
                        const double apart = 2 * c.weight[h] * ds * (c.qp[c.qp_at(axis, i, h) + n] - c.kvp[c.kp_at(axis, j, h) + n]);
                        g.qp[c.qp_at(axis, i, h) + n] += apart;
                        g.kvp[c.kp_at(axis, j, h) + n] -= apart;
                    }
                    for (int n = 0; n < s.v_points; n++) g.kvp[c.vp_at(axis, j, h) + n] += p[j] * point(axis, n);
                }
                for (int n = 0; n < s.cz; n++) g.z[c.z_at(i, j) + n] += p[j] * grad.pair[row * s.cz + n];
            }
        }
    return g;
}

static IpaOutputs noise_like(const IpaShape& s) {
    const size_t rows = size_t(s.r) * s.heads;
    return {noise(rows * s.dv, 50), noise(3 * rows * s.v_points, 51), noise(rows * s.cz, 52)};
}

/// The formulas above against central differences.
static void differences() {
    const IpaShape s{5, 3, 4, 3, 2, 4, 6, 0, 1, 1}; // beside the mask's 1e5, differences lose their digits
    IpaCase<float> c(s);
    const IpaOutputs grad = noise_like(s);
    const IpaGradients g = plain_gradients(c, grad);
    auto value = [&] {
        const IpaOutputs out = plain_ipa(c);
        double sum = 0;
        for (size_t i = 0; i < out.o.size(); i++) sum += out.o[i] * grad.o[i];
        for (size_t i = 0; i < out.points.size(); i++) sum += out.points[i] * grad.points[i];
        for (size_t i = 0; i < out.pair.size(); i++) sum += out.pair[i] * grad.pair[i];
        return sum;
    };
    Values* inputs[] = {&c.q, &c.kv, &c.qp, &c.kvp, &c.bias, &c.weight, &c.z};
    const Values* grads[] = {&g.q, &g.kv, &g.qp, &g.kvp, &g.bias, &g.weight, &g.z};
    const char* names[] = {"queries", "keys and values", "query points", "key and value points", "bias", "distance weights", "pairs"};
    for (int i = 0; i < 7; i++) {
        const Values at = *inputs[i], direction = noise(at.size(), 60 + unsigned(i));
        double values[2], along = 0;
        for (int side = 0; side < 2; side++) {
            for (size_t n = 0; n < at.size(); n++) (*inputs[i])[n] = at[n] + (side ? 1e-5 : -1e-5) * direction[n];
            values[side] = value();
        }
        *inputs[i] = at;
        for (size_t n = 0; n < at.size(); n++) along += direction[n] * (*grads[i])[n];
        compare(std::string("plain gradient of ") + names[i] + " against differences", {(values[1] - values[0]) / 2e-5}, {along}, 1e-7);
    }
}

template <class Z, class Forward, class Queries>
static void check(Forward forward, Queries queries, const IpaShape& s, bool before, double bound) {
    const IpaCase<Z> c(s);
    const size_t rows = size_t(s.r) * s.heads;
    IpaOutputs grad = noise_like(s);
    Values around = noise(c.z.size(), 70);
    Buffer<float> o(rows * s.dv), points(3 * rows * s.v_points), pair(rows * s.cz), stats(rows * 2);
    Buffer<float> d_o(grad.o), d_points(grad.points), d_pair(grad.pair);
    Buffer<float> dq(c.q.size()), dkv(c.kv.size()), dqp(c.qp.size()), dkvp(c.kvp.size()), weights(c.bias.size()), dlogits(c.bias.size()), dweight(rows);
    Buffer<Z> dz_before(around), fresh(c.z.size());
    Buffer<Z>& dz = before ? dz_before : fresh;
    IpaBackward<Z> t{};
    t.forward = c.arguments();
    t.forward.o = o.data(), t.forward.o_points = points.data(), t.forward.o_pair = pair.data(), t.forward.stats = stats.data();
    t.d_o = d_o.data(), t.d_points = d_points.data(), t.d_pair = d_pair.data();
    t.dq = dq.data(), t.dk = dkv.data(), t.dv = dkv.data() + s.d;
    t.dq_points = dqp.data(), t.dk_points = dkvp.data(), t.dv_points = dkvp.data() + s.points;
    t.weights = weights.data(), t.dlogits = dlogits.data(), t.dweight_rows = dweight.data();
    t.dz_before = before ? dz_before.data() : nullptr, t.dz = dz.data();
    const std::string name = "ipa_backward " + c.name();
    run(name + " forward", (s.r + IPA_QUERIES - 1) / IPA_QUERIES, IPA_THREADS, ipa_shared(s.heads, s.d, s.points),
        {&o.memory(), &points.memory(), &pair.memory(), &stats.memory()}, forward, t.forward);
    run(name + " queries", s.r, IPA_THREADS, ipa_backward_shared(s.heads, s.d, s.points, s.dv, s.v_points, s.cz),
        {&dq.memory(), &dqp.memory(), &weights.memory(), &dlogits.memory(), &dweight.memory(), &dz.memory()}, queries, t);
    IpaBackward<bf16> keys;
    static_assert(sizeof keys == sizeof t, "both types' arguments are alike");
    std::memcpy(static_cast<void*>(&keys), &t, sizeof t);
    run(name + " keys", (s.r + 3) / 4, IPA_THREADS, 4 * (5120 + 4 * s.heads * ipa_features(s.d, s.points)), {&dkv.memory(), &dkvp.memory()},
        ipa_backward_keys, keys);

    IpaGradients want = plain_gradients(c, grad);
    Values got_bias = dlogits.values(), got_weight(s.heads);
    for (double& x : got_bias) x *= c.bias_scale;
    for (size_t i = 0; i < rows; i++) got_weight[i % s.heads] += dweight[i];
    if (before)
        for (size_t i = 0; i < want.z.size(); i++) want.z[i] += around[i];
    // The only key's weight does not change: then these are zero, but for what dP and delta leave.
    const double floor = s.r == 1 ? std::sqrt(double(rows)) * s.cz : 0;
    compare(name + " dq", dq.values(), want.q, bound, floor * s.scalars);
    compare(name + " dkv", dkv.values(), want.kv, bound, floor * s.scalars);
    compare(name + " dq_points", dqp.values(), want.qp, bound, floor * s.space);
    compare(name + " dkv_points", dkvp.values(), want.kvp, bound, floor * s.space);
    compare(name + " dbias", got_bias, want.bias, bound, floor);
    compare(name + " dweight", got_weight, want.weight, bound * 3, floor * s.space * s.space);
    compare(name + " dz", dz.values(), want.z, std::is_same_v<Z, bf16> ? 3e-3 : bound);
}

template <class Z, class Forward, class Queries>
static void all(Forward forward, Queries queries) {
    check<Z>(forward, queries, {1, 12, 16, 16, 4, 8, 128, 0, 1, 1}, false, 5e-6);
    check<Z>(forward, queries, {2, 3, 8, 7, 2, 3, 24, 1, 1, 1}, true, 5e-6);
    check<Z>(forward, queries, {17, 12, 16, 16, 4, 8, 128, 1, 1, 2}, true, 5e-6);
    check<Z>(forward, queries, {33, 16, 5, 8, 1, 7, 2, 1, 1, 3}, false, 5e-6);
    check<Z>(forward, queries, {130, 2, 16, 24, 4, 5, 34, 1, 1, 2}, false, 1e-5);
    check<Z>(forward, queries, {35, 2, 16, 16, 4, 8, 40, 2, 1, 2}, true, 5e-6);
    check<Z>(forward, queries, {35, 3, 16, 16, 4, 8, 40, 1, 1e-6, 1e-6}, false, 1e-5);
}

int main() {
    start();
    differences();
    all<bf16>(ipa_bf16, ipa_backward_queries_bf16);
    all<float>(ipa_f32, ipa_backward_queries_f32);
    return finish();
}
