#include "check.hpp"
#include "../../kernels/attention.cu"

struct Shape {
    int batch, n, heads, along; // along: which axis of [n0, n1, heads·d] is attended
    bool bias;
    int mask;       // 0 none, 1 random with a fully masked batch row, 2 the second half of the keys
    int together;   // batch rows a block
    double size;    // of the logits
    double bias_size;
};

template <class W, int D, class Kernel>
static void check(Kernel kernel, const Shape& s, double bound) {
    const int hd = s.heads * D, n0 = s.along ? s.batch : s.n, n1 = s.along ? s.n : s.batch;
    const size_t elements = size_t(n0) * n1 * hd;
    Values q = noise(elements, 1, s.size * LOG2E / std::sqrt(D)), k = noise(elements, 2), v = noise(elements, 3, 1, 0.5);
    const int ld = (s.n + 31) / 32 * 32;
    Values bias = noise(size_t(s.heads) * s.n * ld, 4, s.bias_size), mask(size_t(n0) * n1, 1.0);
    auto position = [&](int b, int i) { return s.along ? size_t(b) * n1 + i : size_t(i) * n1 + b; };
    Values flips = coins(mask.size(), 5, 0.7);
    for (int b = 0; b < s.batch; b++)
        for (int i = 0; i < s.n; i++)
            if (s.mask == 1) mask[position(b, i)] = b == s.batch - 1 ? 0.0 : flips[position(b, i)];
            else if (s.mask == 2) mask[position(b, i)] = i <= s.n / 2 ? 1.0 : 0.0;
    Buffer<W> bq(q), bk(k), bv(v), out(elements);
    Buffer<float> bb(bias), bm(mask);
    for (size_t i = 0; i < bias.size(); i++)
        if (int(i % ld) >= s.n) bb.data()[i] = NAN; // padding of the rows

    Attention<W> t{};
    t.q = bq.data(), t.k = bk.data(), t.v = bv.data(), t.o = out.data();
    t.bias = s.bias ? bb.data() : nullptr, t.mask = s.mask ? bm.data() : nullptr;
    t.batch_stride = t.o_batch_stride = s.along ? i64(n1) * hd : hd;
    t.position_stride = t.o_position_stride = s.along ? hd : i64(n1) * hd;
    t.head_stride = t.o_head_stride = D;
    t.bias_head_stride = i64(s.n) * ld, t.bias_stride0 = ld;
    t.mask_batch_stride = s.along ? n1 : 1, t.mask_position_stride = s.along ? 1 : n1;
    t.batch = s.batch, t.heads = s.heads, t.n = s.n;

    constexpr int P = Parts<W>::count, wide = D < 16 ? 16 : D;
    const size_t shared = 2 * ((s.bias ? 18432 : 0) + size_t(s.together) * (256 + P * 64 * (wide + 8) * 4));
    const int row_blocks = (s.batch + s.together - 1) / s.together, in_group = std::min(8, row_blocks);
    const long blocks = long((row_blocks + in_group - 1) / in_group) * in_group * s.heads * ((s.n + 63) / 64);
    char name[160];
    std::snprintf(name, sizeof name, "attention %s d=%d batch=%d n=%d heads=%d axis %d%s mask %d R=%d logits~%g", type_name<W>(), D,
                  s.batch, s.n, s.heads, s.along, s.bias ? " bias" : "", s.mask, s.together, s.size);
    run(name, blocks, 128 * s.together, shared, {&out.memory()}, kernel, t);

    Values want(elements);
    for (int b = 0; b < s.batch; b++)
        for (int h = 0; h < s.heads; h++)
            for (int i = 0; i < s.n; i++) {
                Values p(s.n);
                double top = -INFINITY, sum = 0;
                for (int j = 0; j < s.n; j++) {
                    double logit = 0;
                    for (int c = 0; c < D; c++) logit += q[position(b, i) * hd + h * D + c] * k[position(b, j) * hd + h * D + c];
                    if (s.bias) logit += bias[(size_t(h) * s.n + i) * ld + j];
                    logit /= LOG2E;
                    // As in f32, where beside -1e9 a logit is rounded away.
                    if (s.mask && mask[position(b, j)] != 1.0) logit = float(logit) + float((mask[position(b, j)] - 1.0) * 1e9);
                    p[j] = s.mask && mask[position(b, j)] != 1.0 ? double(float(logit)) : logit;
                    top = std::max(top, p[j]);
                }
                for (double& x : p) sum += x = std::exp(x - top);
                for (int c = 0; c < D; c++) {
                    double o = 0;
                    for (int j = 0; j < s.n; j++) o += p[j] * v[position(b, j) * hd + h * D + c];
                    want[position(b, i) * hd + h * D + c] = o / sum;
                }
            }
    compare(name, out.values(), want, bound);
}

template <class W, int D, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 6e-3 : 2e-5;
    check<W, D>(kernel, {1, 1, 1, 1, true, 0, 1, 1, 1}, bound);
    check<W, D>(kernel, {3, 2, 2, 0, true, 1, 1, 1, 1}, bound);
    check<W, D>(kernel, {5, 17, 3, 1, true, 1, 2, 1, 1}, bound);
    check<W, D>(kernel, {2, 33, 1, 0, false, 1, 2, 1, 0}, bound);
    check<W, D>(kernel, {3, 130, 2, 1, true, 1, 2, 1, 2}, bound);
    check<W, D>(kernel, {2, 130, 1, 0, true, 2, 1, 1, 2}, bound);
    check<W, D>(kernel, {11, 65, 1, 1, false, 0, 1, 1, 0}, bound);
    // Logits of a hundred, and next to none; a bias that decides alone.
    check<W, D>(kernel, {1, 130, 1, 1, true, 2, 1, 100, 1}, std::is_same_v<W, bf16> ? bound : 2e-4);
    check<W, D>(kernel, {1, 130, 1, 1, true, 2, 1, 1e-6, 1e-6}, bound);
    check<W, D>(kernel, {1, 66, 1, 0, true, 0, 1, 1, 3000}, bound);
}

int main() {
    start();
    all<bf16, 8>(attention_bf16_8);
    all<bf16, 16>(attention_bf16_16);
    all<bf16, 32>(attention_bf16_32);
    all<bf16, 64>(attention_bf16_64);
    all<float, 8>(attention_f32_8);
    all<float, 16>(attention_f32_16);
    all<float, 32>(attention_f32_32);
    all<float, 64>(attention_f32_64);
    return finish();
}
