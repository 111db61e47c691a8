#include "check.hpp"
#include "../../kernels/transition.cu"

struct Shape {
    int rows, c, w;
    bool residual, in_place;
    int warps, slots, blocks;
};

template <class X, class W, int MOST, class Kernel>
static void check(Kernel kernel, const Shape& asked, double scale, double bound) {
    auto shared_of = [](const Shape& s) {
        constexpr int P = Parts<W>::count;
        const int chunks = 2 * ((s.w + 63) / 64), slots = std::min(std::max(s.slots, 2), chunks);
        return size_t(slots) * P * std::max(64 * stride_of(s.c), MOST * 72) * 2 +
               size_t(s.warps) * (P * 16 * (stride_of(s.c) + 72) * 2 + 4608);
    };
    const Shape s = fitted(asked, shared_of);
    Values x = noise(size_t(s.rows) * s.c, 1, scale), w1 = noise(size_t(s.w) * s.c, 2, 0.3), w2 = noise(size_t(s.c) * s.w, 3, 0.3);
    Values ns = noise(s.c, 4, 0.2, 1), no = noise(s.c, 5, 0.3), b1 = noise(s.w, 6), b2 = noise(s.c, 7);
    Buffer<X> bx(x), fresh(size_t(s.rows) * s.c);
    Buffer<W> bw1(w1), bw2(w2);
    Buffer<float> bns(ns), bno(no), bb1(b1), bb2(b2);
    Buffer<X>& out = s.in_place ? bx : fresh;
    Transition<X, W> t{};
    t.x = bx.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data();
    t.widen = bw1.data(), t.widen_bias = bb1.data(), t.narrow = bw2.data(), t.narrow_bias = bb2.data();
    t.residual = s.residual ? bx.data() : nullptr, t.out = out.data();
    t.rows = s.rows, t.c = s.c, t.w = s.w, t.slots = s.slots;

    char name[160];
    std::snprintf(name, sizeof name, "transition %s/%s [%d,%d] w=%d%s%s x~%g", type_name<X>(), type_name<W>(), s.rows, s.c, s.w,
                  s.residual ? " residual" : "", s.in_place ? " in place" : "", scale);
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&out.memory()}, kernel, t);

    Values want;
    for (int row = 0; row < s.rows; row++) {
        const Values y = plain::layer_norm(&x[size_t(row) * s.c], s.c, ns, no);
        Values hidden(s.w);
        for (int n = 0; n < s.w; n++) hidden[n] = std::max(plain::dot(y, w1, n) + b1[n], 0.0);
        for (int n = 0; n < s.c; n++)
            want.push_back(plain::dot(hidden, w2, n) + b2[n] + (s.residual ? x[size_t(row) * s.c + n] : 0.0));
    }
    compare(name, out.values(), want, bound);
}

template <class X, class W, class Small, class Middle, class Large>
static void all(Small small, Middle middle, Large large) {
    const double bound = std::is_same_v<W, bf16> ? 6e-3 : 1.5e-5;
    check<X, W, 128>(middle, {1, 128, 512, true, false, 1, 2, 1}, 1, bound);
    check<X, W, 64>(small, {17, 64, 256, true, true, 1, 2, 2}, 1, bound);
    check<X, W, 64>(small, {33, 24, 40, false, false, 2, 2, 1}, 1, bound);
    check<X, W, 128>(middle, {130, 72, 200, true, true, 4, 99, 2}, 1, bound);
    check<X, W, 256>(large, {130, 256, 1024, true, true, 2, 2, 3}, 1, bound);
    check<X, W, 256>(large, {2, 136, 72, false, false, 8, 2, 1}, 1, bound);
    check<X, W, 64>(small, {35, 64, 64, false, false, 1, 2, 1}, 1e15, bound);
    check<X, W, 64>(small, {35, 64, 64, true, false, 1, 2, 1}, 1e-6, bound);
}

int main() {
    start();
    all<bf16, bf16>(transition_bf16_bf16_64, transition_bf16_bf16_128, transition_bf16_bf16_256);
    all<float, bf16>(transition_f32_bf16_64, transition_f32_bf16_128, transition_f32_bf16_256);
    all<float, float>(transition_f32_f32_64, transition_f32_f32_128, transition_f32_f32_256);
    return finish();
}
