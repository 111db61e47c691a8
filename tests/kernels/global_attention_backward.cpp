#include "check.hpp"
#include "../../kernels/global_attention_backward.cu"

struct Shape {
    int s, r, c, heads;
    bool mask;
    int warps, blocks;
    double logits;
};

template <class W, int D, class Kernel>
static void check(Kernel kernel, const Shape& s, double bound) {
    const int rows = s.s * s.r, hd = s.heads * D;
    Values kv = noise(size_t(rows) * 2 * D, 1), mask = coins(rows, 2, 0.7), wq = noise(size_t(hd) * s.c, 3, 0.3), grad = noise(size_t(s.r) * hd, 4);
    Values q = noise(size_t(s.r) * hd, 5, LOG2E / std::sqrt(D) * s.logits), stats(size_t(s.r) * s.heads * 2);
    for (int i = 0; i < s.s; i++) mask[size_t(i) * s.r + s.r - 1] = 0; // a column that nothing has
    auto present = [&](int i, int column) { return s.mask ? mask[size_t(i) * s.r + column] : 1.0; };
    Buffer<W> bkv(kv), bwq(wq), dkv(kv.size()), dq(q.size());
    Buffer<float> bmask(mask), bq(q), bgrad(grad), column_grad(size_t(s.r) * s.c);

    Values want_kv(kv.size()), want_q(q.size()), want_column(column_grad.size());
    for (int column = 0; column < s.r; column++) {
        auto at = [&](int i) { return (size_t(i) * s.r + column) * 2 * D; };
        double count = 1e-10;
        for (int i = 0; i < s.s; i++) count += present(i, column);
        for (int h = 0; h < s.heads; h++) {
            const size_t head = size_t(column) * hd + h * D;
            Values p(s.s), dp(s.s);
            double top = -INFINITY, sum = 0, delta = 0;
            for (int i = 0; i < s.s; i++) {
                for (int c = 0; c < D; c++) {
                    p[i] += q[head + c] * kv[at(i) + c];
                    dp[i] += grad[head + c] * kv[at(i) + D + c];
                }
                // As in f32, where beside -1e9 a logit is rounded away.
                if (present(i, column) != 1.0) p[i] = float(float(p[i]) - 1e9f * LOG2E);
                top = std::max(top, p[i]);
            }
            for (double& x : p) sum += x = std::exp2(x - top);
            for (int i = 0; i < s.s; i++) delta += (p[i] /= sum) * dp[i];
            stats[(size_t(column) * s.heads + h) * 2] = top;
            stats[(size_t(column) * s.heads + h) * 2 + 1] = 1 / sum;
            for (int i = 0; i < s.s; i++) {
                const double ds = p[i] * (dp[i] - delta);
                for (int c = 0; c < D; c++) {
                    want_q[head + c] += ds * kv[at(i) + c] / std::sqrt(double(D));
                    want_kv[at(i) + c] += ds * q[head + c] / LOG2E;
                    want_kv[at(i) + D + c] += p[i] * grad[head + c];
                }
            }
            for (int c = 0; c < D; c++)
                for (int n = 0; n < s.c; n++) want_column[size_t(column) * s.c + n] += want_q[head + c] * wq[size_t(h * D + c) * s.c + n] / count;
        }
    }
    Buffer<float> bstats(stats);
    GlobalAttentionBackward<W> t{};
    t.mask = s.mask ? bmask.data() : nullptr, t.query_weight = bwq.data(), t.k = bkv.data(), t.v = bkv.data() + D;
    t.queries = bq.data(), t.stats = bstats.data(), t.d_o = bgrad.data(), t.dk = dkv.data(), t.dv = dkv.data() + D, t.dq = dq.data();
    t.column_grad = column_grad.data(), t.kv_stride0 = i64(s.r) * 2 * D, t.kv_stride1 = 2 * D, t.s = s.s, t.r = s.r, t.c = s.c, t.heads = s.heads;
    char text[160];
    std::snprintf(text, sizeof text, "global_attention_backward %s d=%d [%d,%d,%d] heads=%d%s logits~%g", type_name<W>(), D, s.s, s.r, s.c, s.heads,
                  s.mask ? " mask" : "", s.logits);
    const std::string name = text;
    run(name, s.blocks, 32 * s.warps, 4 * size_t(3 * hd + s.heads + 1), {&dkv.memory(), &dq.memory(), &column_grad.memory()}, kernel, t);

    Values got_k, want_k, got_v, want_v, got[2], want[2];
    for (size_t i = 0; i < kv.size(); i++) {
        (i / D % 2 ? got_v : got_k).push_back(dkv[i]);
        (i / D % 2 ? want_v : want_k).push_back(want_kv[i]);
    }
    // The mean of a column without sequences divides by 1e-10: compared apart.
    for (size_t i = 0; i < column_grad.size(); i++) {
        const bool alone = s.mask && int(i / s.c) == s.r - 1;
        got[alone].push_back(column_grad[i]);
        want[alone].push_back(want_column[i]);
    }
    // The only sequence's weight does not change: then these are zero, but for what dP and delta leave.
    const double floor = s.s == 1 ? std::sqrt(double(D) * rows) : 0;
    compare(name + " dk", got_k, want_k, bound, floor);
    compare(name + " dv", got_v, want_v, bound);
    compare(name + " dq", dq.values(), want_q, bound, floor);
    if (!got[0].empty()) compare(name + " column", got[0], want[0], bound, floor * s.c);
    if (!got[1].empty()) compare(name + " column without sequences", got[1], want[1], bound, floor * s.c * 1e10);
}

template <class W, int D, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 3e-3 : 5e-6;
    check<W, D>(kernel, {1, 1, 64, 2, false, 1, 1, 1}, bound);
    check<W, D>(kernel, {2, 3, 64, 8, true, 4, 2, 1}, bound);
    check<W, D>(kernel, {33, 5, 40, 3, true, 2, 2, 1}, bound);
    check<W, D>(kernel, {130, 17, 256, 4, true, 8, 5, 1}, bound);
    check<W, D>(kernel, {300, 2, 8, 9, false, 8, 2, 3}, bound);
    check<W, D>(kernel, {70, 2, 72, 1, true, 3, 1, 1e-5}, bound);
}

int main() {
    start();
    all<bf16, 8>(global_attention_backward_bf16_8);
    all<bf16, 16>(global_attention_backward_bf16_16);
    all<bf16, 32>(global_attention_backward_bf16_32);
    all<bf16, 64>(global_attention_backward_bf16_64);
    all<float, 8>(global_attention_backward_f32_8);
    all<float, 16>(global_attention_backward_f32_16);
    all<float, 32>(global_attention_backward_f32_32);
    all<float, 64>(global_attention_backward_f32_64);
    return finish();
}
