// Inputs of invariant point attention and its plain mathematics, for the cases of ipa.cu and ipa_backward.cu.
#pragma once
#include "check.hpp"
#include "../../kernels/ipa.cuh"

struct IpaShape {
    int r, heads, d, dv, points, v_points, cz;
    int mask; // 0 all present, 1 some, 2 none
    double scalars, space; // sizes of features and of coordinates
};

/// Inputs as float64 and where the kernels read them; scalars [r, heads, d + dv] hold keys and values, as the projections leave them.
template <class Z>
struct IpaCase {
    IpaShape s;
    Values q, kv, qp, kvp, bias, weight, mask, z;
    Buffer<float> bq, bkv, bqp, bkvp, bbias, bweight, bmask;
    Buffer<Z> bz;
    double scale, bias_scale;

    explicit IpaCase(const IpaShape& s)
        : s(s), q(noise(size_t(s.r) * s.heads * s.d, 1, s.scalars)), kv(noise(size_t(s.r) * s.heads * (s.d + s.dv), 2, s.scalars)),
          qp(noise(size_t(3) * s.r * s.heads * s.points, 3, s.space)), kvp(noise(size_t(3) * s.r * s.heads * (s.points + s.v_points), 4, s.space)),
          bias(noise(size_t(s.r) * s.r * s.heads, 5)), weight(noise(s.heads, 6, 0.02, -0.08)),
          mask(s.mask == 2 ? Values(s.r, 0.0) : s.mask ? coins(s.r, 7, 0.7) : Values(s.r, 1.0)), z(noise(size_t(s.r) * s.r * s.cz, 8)), bq(q), bkv(kv),
          bqp(qp), bkvp(kvp), bbias(bias), bweight(weight), bmask(mask), bz(z), scale(float(std::sqrt(1.0 / (3 * s.d)))),
          bias_scale(float(std::sqrt(1.0 / 3))) {}

    InvariantPointAttention<Z> arguments() const {
        InvariantPointAttention<Z> t{};
        const i64 kv_row = i64(s.heads) * (s.d + s.dv), kvp_row = i64(s.heads) * (s.points + s.v_points), qp_row = i64(s.heads) * s.points;
        t.q = bq.data(), t.k = bkv.data(), t.v = bkv.data() + s.d;
        t.q_points = bqp.data(), t.k_points = bkvp.data(), t.v_points = bkvp.data() + s.points;
        t.bias = bbias.data(), t.head_weight = bweight.data(), t.mask = bmask.data(), t.z = bz.data();
        t.q_stride = {0, i64(s.heads) * s.d, s.d}, t.k_stride = t.v_stride = {0, kv_row, s.d + s.dv};
        t.q_points_stride = {s.r * qp_row, qp_row, s.points};
        t.k_points_stride = t.v_points_stride = {s.r * kvp_row, kvp_row, s.points + s.v_points};
        t.bias_stride0 = i64(s.r) * s.heads, t.bias_stride1 = s.heads, t.bias_head_stride = 1;
        t.o_stride = i64(s.heads) * s.dv, t.o_points_stride = i64(s.heads) * s.v_points, t.o_points_axis_stride = s.r * t.o_points_stride;
        t.o_pair_stride = i64(s.heads) * s.cz;
        t.scale = float(scale), t.bias_scale = float(bias_scale);
        t.r = s.r, t.heads = s.heads, t.d = s.d, t.dv = s.dv, t.points = s.points, t.v_points_count = s.v_points, t.cz = s.cz;
        return t;
    }

    size_t q_at(int i, int h) const { return (size_t(i) * s.heads + h) * s.d; }
    size_t k_at(int i, int h) const { return (size_t(i) * s.heads + h) * (s.d + s.dv); }
    size_t v_at(int i, int h) const { return k_at(i, h) + s.d; }
    size_t qp_at(int axis, int i, int h) const { return ((size_t(axis) * s.r + i) * s.heads + h) * s.points; }
    size_t kp_at(int axis, int i, int h) const { return ((size_t(axis) * s.r + i) * s.heads + h) * (s.points + s.v_points); }
    size_t vp_at(int axis, int i, int h) const { return kp_at(axis, i, h) + s.points; }
    size_t z_at(int i, int j) const { return (size_t(i) * s.r + j) * s.cz; }

    double distance(int i, int j, int h) const {
        double sum = 0;
        for (int axis = 0; axis < 3; axis++)
            for (int p = 0; p < s.points; p++) {
                const double apart = qp[qp_at(axis, i, h) + p] - kvp[kp_at(axis, j, h) + p];
                sum += apart * apart;
            }
        return sum;
    }
    /// Weights of row i's keys, as Alg. 22 writes them.
    Values probabilities(int i, int h) const {
        Values p(s.r);
        double top = -INFINITY, sum = 0;
        for (int j = 0; j < s.r; j++) {
            double dot = 0;
            for (int c = 0; c < s.d; c++) dot += q[q_at(i, h) + c] * kv[k_at(j, h) + c];
            p[j] = scale * dot + weight[h] * distance(i, j, h) + bias_scale * bias[(size_t(i) * s.r + j) * s.heads + h] +
                   (mask[i] * mask[j] - 1) * 1e5;
            top = std::max(top, p[j]);
        }
        for (double& x : p) sum += x = std::exp(x - top);
        for (double& x : p) x /= sum;
        return p;
    }
    std::string name() const {
        char text[200];
        std::snprintf(text, sizeof text, "%s r=%d heads=%d d=%d/%d points=%d/%d cz=%d mask %d features~%g coordinates~%g", type_name<Z>(), s.r,
                      s.heads, s.d, s.dv, s.points, s.v_points, s.cz, s.mask, s.scalars, s.space);
        return text;
    }
};

/// What ipa.cu gives: [r, heads, dv], [3, r, heads, pv], [r, heads, cz].
struct IpaOutputs {
    Values o, points, pair;
};
template <class Z>
IpaOutputs plain_ipa(const IpaCase<Z>& c) {
    const IpaShape& s = c.s;
    IpaOutputs out{Values(size_t(s.r) * s.heads * s.dv), Values(size_t(3) * s.r * s.heads * s.v_points), Values(size_t(s.r) * s.heads * s.cz)};
    for (int i = 0; i < s.r; i++)
        for (int h = 0; h < s.heads; h++) {
            const Values p = c.probabilities(i, h);
            const size_t row = size_t(i) * s.heads + h;
            for (int j = 0; j < s.r; j++) {
                for (int n = 0; n < s.dv; n++) out.o[row * s.dv + n] += p[j] * c.kv[c.v_at(j, h) + n];
                for (int axis = 0; axis < 3; axis++)
                    for (int n = 0; n < s.v_points; n++)
                        out.points[(size_t(axis) * s.r * s.heads + row) * s.v_points + n] += p[j] * c.kvp[c.vp_at(axis, j, h) + n];
                for (int n = 0; n < s.cz; n++) out.pair[row * s.cz + n] += p[j] * c.z[c.z_at(i, j) + n];
            }
        }
    return out;
}
