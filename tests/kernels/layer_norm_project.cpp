#include "check.hpp"
#include "../../kernels/layer_norm_project.cu"

struct Shape {
    int n0, n1, c, width, heads, group, scaled;
    bool swapped, bias, mask;
    int warps, slots, blocks;
};

/// x times `scale` plus `shift`: huge, tiny and far from 0.
template <class X, class W, class Kernel>
static void check(Kernel kernel, const Shape& asked, double scale, double shift, double bound) {
    auto shared_of = [](const Shape& s) {
        constexpr int P = Parts<W>::count;
        const int chunks = (s.width + s.heads + 63) / 64, slots = std::min(std::max(s.slots, 2), std::max(chunks, 2));
        return size_t(slots) * P * 64 * stride_of(s.c) * 2 + size_t(s.warps) * (P * 32 * stride_of(s.c) * 2 + 4608);
    };
    const Shape s = fitted(asked, shared_of);
    const int rows = s.n0 * s.n1, columns = s.width + s.heads;
    Values x = noise(size_t(rows) * s.c, 1, scale, shift), w = noise(size_t(columns) * s.c, 2, 0.3);
    Values ns = noise(s.c, 3, 0.2, 1), no = noise(s.c, 4, 0.3), b = noise(columns, 5), mask = coins(rows, 6, 0.8);
    Buffer<X> bx(x);
    Buffer<W> bw(w), out(size_t(rows) * s.width);
    Buffer<float> bns(ns), bno(no), bb(b), bm(mask);
    const int ld = (s.n1 + 31) / 32 * 32;
    Buffer<float> heads(size_t(s.heads) * s.n0 * ld);

    LayerNormProject<X, W> t{};
    t.x = bx.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data(), t.weight = bw.data();
    t.bias = s.bias ? bb.data() : nullptr, t.mask = s.mask ? bm.data() : nullptr;
    t.out = out.data(), t.heads_out = heads.data();
    t.n0 = s.n0, t.n1 = s.n1, t.c = s.c, t.width = s.width, t.heads = s.heads, t.scaled = s.scaled, t.slots = s.slots;
    t.group = s.group ? s.group : 8, t.group_stride = i64(rows) * s.group;
    // Swapped: memory is [n1, n0, c].
    t.stride0 = s.swapped ? s.c : i64(s.n1) * s.c, t.stride1 = s.swapped ? i64(s.n0) * s.c : s.c;
    t.heads_stride = i64(s.n0) * ld, t.heads_stride0 = ld;
    t.scale = 0.37f, t.heads_scale = LOG2E;

    char name[160];
    std::snprintf(name, sizeof name, "layer_norm_project %s/%s [%d,%d,%d]%s -> %d+%d x~%g+%g", type_name<X>(), type_name<W>(), s.n0,
                  s.n1, s.c, s.swapped ? " swapped" : "", s.width, s.heads, scale, shift);
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&out.memory(), &heads.memory()}, kernel, t);

    Values got, want, got_heads, want_heads;
    bool pad = true;
    for (int i = 0; i < s.n0; i++) {
        for (int j = 0; j < s.n1; j++) {
            const int row = i * s.n1 + j;
            const Values y = plain::layer_norm(&x[i * t.stride0 + j * t.stride1], s.c, ns, no);
            for (int n = 0; n < columns; n++) {
                const double v = plain::dot(y, w, n) + (s.bias ? b[n] : 0.0);
                if (n < s.width) {
                    want.push_back(v * (n < s.scaled ? double(t.scale) : 1.0) * (s.mask ? mask[row] : 1.0));
                    got.push_back(out[(n / s.group) * t.group_stride + size_t(row) * s.group + n % s.group]);
                } else {
                    want_heads.push_back(v * double(LOG2E));
                    got_heads.push_back(heads[(n - s.width) * t.heads_stride + size_t(i) * ld + j]);
                }
            }
        }
        for (int h = 0; h < s.heads; h++)
            for (int j = s.n1; j < ld; j++) pad &= heads.untouched(h * t.heads_stride + size_t(i) * ld + j);
    }
    if (s.width) compare(name, got, want, bound);
    if (s.heads) compare(std::string(name) + " heads", got_heads, want_heads, bound);
    if (!pad) verdict(false, name, "wrote into the padding of the pair bias");
}

template <class X, class W, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 6e-3 : 1.5e-5;
    // Triangle attention: queries, keys, values and the pair bias; both orientations.
    check<X, W>(kernel, {1, 1, 128, 3 * 128, 4, 128, 128, false, false, false, 1, 2, 1}, 1, 0, bound);
    check<X, W>(kernel, {2, 17, 64, 3 * 24, 3, 24, 24, true, false, false, 2, 2, 1}, 1, 0, bound);
    check<X, W>(kernel, {17, 33, 128, 3 * 64, 4, 64, 64, true, false, false, 4, 99, 2}, 1, 0, bound);
    check<X, W>(kernel, {33, 17, 24, 3 * 40, 5, 40, 40, false, false, false, 3, 2, 3}, 1, 0, bound);
    // MSA attention, widest channels; pair bias alone.
    check<X, W>(kernel, {5, 33, 256, 3 * 64, 0, 64, 64, false, false, false, 2, 2, 2}, 1, 0, bound);
    check<X, W>(kernel, {130, 130, 16, 0, 8, 0, 0, false, false, false, 8, 2, 7}, 1, 0, bound);
    check<X, W>(kernel, {2, 1, 8, 0, 1, 0, 0, true, false, false, 1, 2, 3}, 1, 0, bound);
    // Factors of the outer product: bias and mask.
    check<X, W>(kernel, {7, 130, 64, 64, 0, 32, 0, false, true, true, 4, 2, 3}, 1, 0, bound);
    // Huge, tiny, and far from zero.
    check<X, W>(kernel, {3, 17, 64, 48, 2, 16, 16, false, false, false, 1, 2, 1}, 1e15, 0, bound);
    check<X, W>(kernel, {3, 17, 64, 48, 2, 16, 16, false, false, false, 1, 2, 1}, 1e-3, 0, bound);
    check<X, W>(kernel, {3, 17, 64, 48, 2, 16, 16, false, false, false, 1, 2, 1}, 1e-30, 0, bound);
    check<X, W>(kernel, {3, 17, 64, 48, 2, 16, 16, false, false, false, 1, 2, 1}, 3, 1000, bound * 8);
}

int main() {
    start();
    all<bf16, bf16>(layer_norm_project_bf16_bf16);
    all<float, bf16>(layer_norm_project_f32_bf16);
    all<float, float>(layer_norm_project_f32_f32);
    return finish();
}
