#include "check.hpp"
#include "../../kernels/global_attention.cu"

struct Shape {
    int s, r, c, heads;
    bool mask;
    int warps, blocks;
};

template <class X, class W, int D, class Kernel>
static void check(Kernel kernel, const Shape& s, double scale, double logits, double bound) {
    const int rows = s.s * s.r, hd = s.heads * D;
    Values x = noise(size_t(rows) * s.c, 1, scale, 0.5 * scale), ns = noise(s.c, 2, 0.2, 1), no = noise(s.c, 3, 0.3);
    Values wq = noise(size_t(hd) * s.c, 4, logits / std::sqrt(s.c)), kv = noise(size_t(rows) * 2 * D, 5), mask = coins(rows, 6, 0.7);
    for (int i = 0; i < s.s; i++) mask[size_t(i) * s.r + s.r - 1] = 0; // a column that nothing has
    Buffer<X> bx(x);
    Buffer<W> bwq(wq), bkv(kv), o(size_t(s.r) * hd), mean(size_t(s.r) * s.c);
    Buffer<float> bns(ns), bno(no), bmask(mask), queries(size_t(s.r) * hd), stats(size_t(s.r) * s.heads * 2);
    GlobalAttention<X, W> t{};
    t.x = bx.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data(), t.mask = s.mask ? bmask.data() : nullptr;
    t.query_weight = bwq.data(), t.k = bkv.data(), t.v = bkv.data() + D, t.o = o.data(), t.mean = mean.data();
    t.queries = queries.data(), t.stats = stats.data();
    t.stride0 = i64(s.r) * s.c, t.stride1 = s.c, t.kv_stride0 = i64(s.r) * 2 * D, t.kv_stride1 = 2 * D;
    t.s = s.s, t.r = s.r, t.c = s.c, t.heads = s.heads;

    char text[160];
    std::snprintf(text, sizeof text, "global_attention %s/%s d=%d [%d,%d,%d] heads=%d%s x~%g logits~%g", type_name<X>(), type_name<W>(), D,
                  s.s, s.r, s.c, s.heads, s.mask ? " mask" : "", scale, logits);
    const std::string name = text;
    run(name, s.blocks, 32 * s.warps, 4 * (size_t(s.warps) * (s.c + 1) + s.c + hd),
        {&o.memory(), &mean.memory(), &queries.memory(), &stats.memory()}, kernel, t);

    Values want(size_t(s.r) * hd), want_mean(size_t(s.r) * s.c);
    bool sums = true;
    for (int column = 0; column < s.r; column++) {
        Values m(s.c);
        double count = 1e-10;
        auto present = [&](int i) { return s.mask ? mask[size_t(i) * s.r + column] : 1.0; };
        for (int i = 0; i < s.s; i++) {
            const Values y = plain::layer_norm(&x[(size_t(i) * s.r + column) * s.c], s.c, ns, no);
            count += present(i);
            for (int c = 0; c < s.c; c++) m[c] += present(i) * y[c];
        }
        for (int c = 0; c < s.c; c++) want_mean[size_t(column) * s.c + c] = m[c] /= count;
        for (int h = 0; h < s.heads; h++) {
            Values q(D), p(s.s);
            for (int c = 0; c < D; c++) q[c] = plain::dot(m, wq, h * D + c) / std::sqrt(double(D));
            double top = -INFINITY, sum = 0;
            for (int i = 0; i < s.s; i++) {
                for (int c = 0; c < D; c++) p[i] += q[c] * kv[(size_t(i) * s.r + column) * 2 * D + c];
                // As in f32, where beside -1e9 a logit is rounded away.
                if (present(i) != 1.0) p[i] = float(float(p[i]) - 1e9f);
                top = std::max(top, p[i]);
            }
            for (double& x : p) sum += x = std::exp(x - top);
            for (int c = 0; c < D; c++) {
                double out = 0;
                for (int i = 0; i < s.s; i++) out += p[i] * kv[(size_t(i) * s.r + column) * 2 * D + D + c];
                want[size_t(column) * hd + h * D + c] = out / sum;
            }
            sums &= std::fabs(stats[(size_t(column) * s.heads + h) * 2 + 1] * sum - 1) < 1e-3 * std::max(1.0, logits);
        }
    }
    compare(name, o.values(), want, bound);
    compare(name + " mean", mean.values(), want_mean, std::is_same_v<W, bf16> ? 4e-3 : 1e-6, 1e-6);
    if (!sums) verdict(false, name, "sums for the backward pass");
}

template <class X, class W, int D, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 3e-3 : 2e-6;
    check<X, W, D>(kernel, {1, 1, 64, 2, false, 1, 1}, 1, 1, bound);
    check<X, W, D>(kernel, {2, 3, 64, 8, true, 4, 2}, 1, 1, bound);
    check<X, W, D>(kernel, {33, 5, 40, 3, true, 2, 2}, 1, 1, bound);
    check<X, W, D>(kernel, {130, 17, 256, 4, true, 8, 5}, 1, 1, bound);
    check<X, W, D>(kernel, {65, 2, 8, 9, false, 8, 2}, 1e15, 1, bound);
    check<X, W, D>(kernel, {70, 2, 72, 1, true, 3, 1}, 1e-5, 1e-6, bound);
    check<X, W, D>(kernel, {70, 2, 64, 2, true, 4, 1}, 1, 100, std::is_same_v<W, bf16> ? bound : 1e-4);
}

#define ALL(D)                                                   \
    all<bf16, bf16, D>(global_attention_bf16_bf16_##D);          \
    all<float, bf16, D>(global_attention_f32_bf16_##D);          \
    all<float, float, D>(global_attention_f32_f32_##D);

int main() {
    start();
    ALL(8)
    ALL(16)
    ALL(32)
    ALL(64)
    return finish();
}
