#include "check.hpp"
#include "../../kernels/attention.cu"
#include "../../kernels/attention_backward.cu"

struct Shape {
    int batch, n, heads, along; // along: which axis of [n0, n1, heads·d] is attended
    bool bias;
    int mask; // 0 none, 1 random with a fully masked batch row
    int together;
    double size; // of the logits
};

/// The mathematics in float64, for logits to base 2 as the kernels have them.
struct Plain {
    int batch, n, heads, d, ld, along;
    bool masks;
    Values q, k, v, bias, mask, grad; // bias empty: none

    size_t position(int b, int i) const { return along ? size_t(b) * n + i : size_t(i) * batch + b; }
    size_t at(int b, int i, int h) const { return (position(b, i) * heads + h) * d; }

    Values probabilities(int b, int h, int i) const {
        Values p(n);
        double top = -INFINITY, sum = 0;
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int c = 0; c < d; c++) s += q[at(b, i, h) + c] * k[at(b, j, h) + c];
            if (!bias.empty()) s += bias[(size_t(h) * n + i) * ld + j];
            // As in f32, where beside -1e9 a logit is rounded away.
            if (masks && mask[position(b, j)] != 1.0) s = float(float(s) + float((mask[position(b, j)] - 1.0) * 1e9 * LOG2E));
            p[j] = s;
            top = std::max(top, s);
        }
        for (double& x : p) sum += x = std::exp2(x - top);
        for (double& x : p) x /= sum;
        return p;
    }
    /// Σ o·grad over everything.
    double value() const {
        double sum = 0;
        for (int b = 0; b < batch; b++)
            for (int h = 0; h < heads; h++)
                for (int i = 0; i < n; i++) {
                    const Values p = probabilities(b, h, i);
                    for (int j = 0; j < n; j++)
                        for (int c = 0; c < d; c++) sum += p[j] * v[at(b, j, h) + c] * grad[at(b, i, h) + c];
                }
        return sum;
    }
    void gradients(Values& dq, Values& dk, Values& dv, Values& dbias) const {
        dq.assign(q.size(), 0), dk = dv = dq, dbias.assign(size_t(heads) * n * ld, 0);
        for (int b = 0; b < batch; b++)
            for (int h = 0; h < heads; h++)
                for (int i = 0; i < n; i++) {
                    const Values p = probabilities(b, h, i);
                    const size_t row = at(b, i, h);
                    Values dp(n);
                    double delta = 0;
                    for (int j = 0; j < n; j++) {
                        for (int c = 0; c < d; c++) dp[j] += grad[row + c] * v[at(b, j, h) + c];
                        delta += p[j] * dp[j];
                    }
                    for (int j = 0; j < n; j++) {
                        const double ds = std::log(2.0) * p[j] * (dp[j] - delta);
                        dbias[(size_t(h) * n + i) * ld + j] += ds;
                        for (int c = 0; c < d; c++) {
                            dv[at(b, j, h) + c] += p[j] * grad[row + c];
                            dq[row + c] += ds * k[at(b, j, h) + c];
                            dk[at(b, j, h) + c] += ds * q[row + c];
                        }
                    }
                }
    }
};

/// The formulas above against central differences.
static void differences() {
    Plain p{2, 5, 2, 3, 5, 1, true, noise(60, 1), noise(60, 2), noise(60, 3), noise(50, 4), {1, 0, 1, 1, 1, 1, 1, 1, 0, 1}, noise(60, 5)};
    Values dq, dk, dv, db;
    p.gradients(dq, dk, dv, db);
    Values Plain::* inputs[] = {&Plain::q, &Plain::k, &Plain::v, &Plain::bias};
    const Values* grads[] = {&dq, &dk, &dv, &db};
    const char* names[] = {"queries", "keys", "values", "bias"};
    for (int i = 0; i < 4; i++) {
        const Values direction = noise((p.*inputs[i]).size(), 20 + i);
        auto moved = [&](double step) {
            Plain m = p;
            for (size_t j = 0; j < direction.size(); j++) (m.*inputs[i])[j] += step * direction[j];
            return m.value();
        };
        double along = 0;
        for (size_t j = 0; j < direction.size(); j++) along += direction[j] * (*grads[i])[j];
        compare(std::string("plain gradient of ") + names[i] + " against differences", {(moved(1e-5) - moved(-1e-5)) / 2e-5}, {along}, 1e-7);
    }
}

template <class W>
struct Kernels {
    void (*forward)(const Attention<W>);
    void (*delta)(const AttentionBackward<W>);
    void (*queries)(const AttentionBackward<W>);
    void (*keys)(const AttentionBackward<W>);
    void (*bias)(const AttentionBackward<W>);
};

template <class W, int D>
static void check(const Kernels<W>& kernels, const Shape& s, double bound) {
    const int hd = s.heads * D, n0 = s.along ? s.batch : s.n, n1 = s.along ? s.n : s.batch, ld = (s.n + 31) / 32 * 32;
    const size_t elements = size_t(n0) * n1 * hd;
    Plain p{s.batch, s.n, s.heads, D, ld, s.along, s.mask != 0, noise(elements, 1, s.size * LOG2E / std::sqrt(D)), noise(elements, 2),
            noise(elements, 3, 1, 0.5), noise(size_t(s.heads) * s.n * ld, 4), Values(size_t(n0) * n1, 1.0), noise(elements, 6)};
    const Values flips = coins(p.mask.size(), 5, 0.7);
    for (int b = 0; b < s.batch; b++)
        for (int i = 0; i < s.n; i++)
            if (s.mask) p.mask[p.position(b, i)] = b == s.batch - 1 ? 0.0 : flips[p.position(b, i)];
    Buffer<W> q(p.q), k(p.k), v(p.v), grad(p.grad), o(elements), dq(elements), dk(elements), dv(elements);
    Buffer<float> bias(p.bias), mask(p.mask), stats(2 * size_t(s.batch) * s.heads * s.n), delta(size_t(s.batch) * s.heads * s.n);
    Buffer<float> dbias(p.bias.size());

    Attention<W> f{};
    f.q = q.data(), f.k = k.data(), f.v = v.data(), f.o = o.data(), f.stats = stats.data();
    f.bias = s.bias ? bias.data() : nullptr, f.mask = s.mask ? mask.data() : nullptr;
    f.batch_stride = f.o_batch_stride = s.along ? i64(n1) * hd : hd;
    f.position_stride = f.o_position_stride = s.along ? hd : i64(n1) * hd;
    f.head_stride = f.o_head_stride = D;
    f.bias_head_stride = i64(s.n) * ld, f.bias_stride0 = ld;
    f.mask_batch_stride = s.along ? n1 : 1, f.mask_position_stride = s.along ? 1 : n1;
    f.batch = s.batch, f.heads = s.heads, f.n = s.n;
    AttentionBackward<W> t{};
    t.q = f.q, t.k = f.k, t.v = f.v, t.o = o.data(), t.d_o = grad.data(), t.bias = f.bias, t.mask = f.mask, t.stats = stats.data();
    t.delta = delta.data(), t.dq = dq.data(), t.dk = dk.data(), t.dv = dv.data(), t.dbias = dbias.data();
    t.batch_stride = f.batch_stride, t.position_stride = f.position_stride, t.head_stride = D;
    t.o_batch_stride = f.batch_stride, t.o_position_stride = f.position_stride, t.o_head_stride = D;
    t.bias_head_stride = f.bias_head_stride, t.bias_stride0 = ld;
    t.mask_batch_stride = f.mask_batch_stride, t.mask_position_stride = f.mask_position_stride;
    t.batch = s.batch, t.heads = s.heads, t.n = s.n;

    constexpr int P = Parts<W>::count, M = P * 64 * ((D < 16 ? 16 : D) + 8) * 4;
    const size_t bias_bytes = s.bias ? 18432 : 0, forward = 2 * (bias_bytes + s.together * (256 + M));
    const int row_blocks = (s.batch + s.together - 1) / s.together, in_group = std::min(8, row_blocks), tiles = (s.n + 63) / 64;
    const long blocks = long((row_blocks + in_group - 1) / in_group) * in_group * s.heads * tiles;
    const int threads = 128 * s.together;
    char text[160];
    std::snprintf(text, sizeof text, "attention_backward %s d=%d batch=%d n=%d heads=%d axis %d%s mask %d R=%d logits~%g", type_name<W>(), D,
                  s.batch, s.n, s.heads, s.along, s.bias ? " bias" : "", s.mask, s.together, s.size);
    const std::string name = text;
    run(name + " forward", blocks, threads, forward, {&o.memory(), &stats.memory()}, kernels.forward, f);
    run(name + " delta", 3, 256, 16, {&delta.memory()}, kernels.delta, t);
    run(name + " queries", blocks, threads, forward, {&dq.memory()}, kernels.queries, t);
    run(name + " keys", blocks, threads, 2 * (bias_bytes + s.together * (768 + M)), {&dk.memory(), &dv.memory()},
        kernels.keys, t);
    if (s.bias)
        run(name + " bias", long(s.heads) * tiles * tiles, threads, 18432 + 2 * s.together * (256 + M), {&dbias.memory()},
            kernels.bias, t);

    if (!s.bias) p.bias.clear();
    Values wq, wk, wv, wb;
    p.gradients(wq, wk, wv, wb);
    // The only key's probability does not change: then these are zero, but for what dP and delta, of this size, leave.
    const double floor = s.n == 1 ? std::sqrt(double(D) * elements) : 0;
    compare(name + " dq", dq.values(), wq, bound, floor);
    compare(name + " dk", dk.values(), wk, bound, floor);
    compare(name + " dv", dv.values(), wv, bound);
    if (!s.bias) return;
    Values got, want;
    bool pad = true;
    for (size_t i = 0; i < wb.size(); i++) {
        if (int(i % ld) < s.n) got.push_back(dbias[i]), want.push_back(wb[i]);
        else pad &= dbias.untouched(i);
    }
    compare(name + " dbias", got, want, bound, floor);
    if (!pad) verdict(false, name, "wrote into the padding of the gradient of the bias");
}

template <class W, int D>
static void all(const Kernels<W>& kernels) {
    const double bound = std::is_same_v<W, bf16> ? 1e-2 : 3e-5;
    check<W, D>(kernels, {1, 1, 2, 1, true, 0, 1, 1}, bound);
    check<W, D>(kernels, {3, 2, 1, 0, true, 1, 1, 1}, bound);
    check<W, D>(kernels, {5, 17, 2, 1, true, 1, 2, 1}, bound);
    check<W, D>(kernels, {2, 33, 1, 0, false, 1, 2, 3}, bound);
    check<W, D>(kernels, {3, 130, 1, 1, true, 1, 2, 1}, bound);
}

#define KERNELS(NAME, D)                                                                                            \
    {attention_##NAME##_##D, attention_delta_##NAME##_##D, attention_backward_queries_##NAME##_##D,                 \
     attention_backward_keys_##NAME##_##D, attention_backward_bias_##NAME##_##D}

int main() {
    start();
    differences();
    all<bf16, 8>(KERNELS(bf16, 8));
    all<bf16, 16>(KERNELS(bf16, 16));
    all<bf16, 32>(KERNELS(bf16, 32));
    all<bf16, 64>(KERNELS(bf16, 64));
    all<float, 8>(KERNELS(f32, 8));
    all<float, 16>(KERNELS(f32, 16));
    all<float, 32>(KERNELS(f32, 32));
    all<float, 64>(KERNELS(f32, 64));
    return finish();
}
