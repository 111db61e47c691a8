#include "check.hpp"
#include "../../kernels/transition_backward.cu"

struct Shape {
    int rows, c, w;
    bool grad_rows;
    int warps, slots, blocks;
};

template <class X, class W, class Kernel>
static void check(Kernel kernel, const Shape& asked, double scale, double bound) {
    auto shared_of = [](const Shape& s) {
        constexpr int P = Parts<W>::count;
        const int chunks = 2 * ((s.w + 63) / 64), slots = std::min(std::max(s.slots, 2), chunks);
        return size_t(slots) * P * 2 * std::max(64 * stride_of(s.c), 72 * padded_k(s.c)) + size_t(s.warps) * P * 128 * stride_of(s.c);
    };
    const Shape s = fitted(asked, shared_of);
    Values x = noise(size_t(s.rows) * s.c, 1, scale), grad = noise(size_t(s.rows) * s.c, 2), w1 = noise(size_t(s.w) * s.c, 3, 0.3);
    Values w2 = noise(size_t(s.c) * s.w, 4, 0.3), ns = noise(s.c, 5, 0.2, 1), no = noise(s.c, 6, 0.3), b1 = noise(s.w, 7);
    Buffer<X> bx(x), bgrad(grad);
    Buffer<W> bw1(w1), bw2(w2), hidden(size_t(s.rows) * s.w), dhidden(hidden.size()), grad_rows(size_t(s.rows) * s.c);
    Buffer<float> bns(ns), bno(no), bb1(b1);
    TransitionBackward<X, W> t{};
    t.x = bx.data(), t.grad = bgrad.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data(), t.widen = bw1.data(), t.widen_bias = bb1.data();
    t.narrow = bw2.data(), t.hidden = hidden.data(), t.dhidden = dhidden.data(), t.grad_rows = s.grad_rows ? grad_rows.data() : nullptr;
    t.rows = s.rows, t.c = s.c, t.w = s.w, t.slots = s.slots;
    char text[160];
    std::snprintf(text, sizeof text, "transition_backward %s/%s [%d,%d] w=%d x~%g", type_name<X>(), type_name<W>(), s.rows, s.c, s.w, scale);
    const std::string name = text;
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&hidden.memory(), &dhidden.memory(), &grad_rows.memory()}, kernel, t);

    // Near its kink relu' is decided by rounding: such elements may be off, and are few.
    Values want, got_back, want_back;
    int near = 0;
    for (int row = 0; row < s.rows; row++) {
        const Values y = plain::layer_norm(&x[size_t(row) * s.c], s.c, ns, no);
        for (int n = 0; n < s.w; n++) {
            const double wide = plain::dot(y, w1, n) + b1[n];
            double back = 0;
            for (int c = 0; c < s.c; c++) back += grad[size_t(row) * s.c + c] * w2[size_t(c) * s.w + n];
            want.push_back(std::max(wide, 0.0));
            if (std::fabs(wide) < (std::is_same_v<W, bf16> ? 3e-2 : 1e-4)) {
                near++;
                continue;
            }
            got_back.push_back(dhidden[size_t(row) * s.w + n]);
            want_back.push_back(wide > 0 ? back : 0);
        }
    }
    compare(name + " hidden", hidden.values(), want, bound);
    compare(name + " dhidden", got_back, want_back, bound);
    if (near > s.rows * s.w / 20 + 2) verdict(false, name, "too many elements near the kink");
    if (s.grad_rows) compare(name + " rows", grad_rows.values(), grad, std::is_same_v<X, W> ? 0 : 3e-3);
}

template <class X, class W, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 6e-3 : 1.5e-5;
    check<X, W>(kernel, {1, 128, 512, true, 1, 2, 1}, 1, bound);
    check<X, W>(kernel, {17, 64, 256, true, 1, 2, 2}, 1, bound);
    check<X, W>(kernel, {33, 24, 40, false, 2, 2, 1}, 1, bound);
    check<X, W>(kernel, {130, 72, 200, true, 4, 99, 2}, 1, bound);
    check<X, W>(kernel, {130, 256, 328, true, 2, 2, 2}, 1, bound);
    check<X, W>(kernel, {2, 136, 72, false, 8, 2, 1}, 1, bound);
    check<X, W>(kernel, {35, 64, 64, false, 1, 2, 1}, 1e15, bound);
    check<X, W>(kernel, {35, 64, 64, true, 1, 2, 1}, 1e-6, bound);
}

int main() {
    start();
    all<bf16, bf16>(transition_backward_bf16_bf16);
    all<float, bf16>(transition_backward_f32_bf16);
    all<float, float>(transition_backward_f32_f32);
    return finish();
}
