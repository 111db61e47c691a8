#include "check.hpp"
#include "../../kernels/gate_output_backward.cu"

struct Shape {
    int n0, n1, c, hv;
    bool swapped, grad_rows;
    int warps, slots, blocks;
    bool shared_o = false; // o [n1, hv], the same for every i0
};

template <class X, class W, class Kernel>
static void check(Kernel kernel, const Shape& asked, double scale, double bound) {
    auto shared_of = [](const Shape& s) {
        constexpr int P = Parts<W>::count;
        const int chunks = 2 * ((s.hv + 63) / 64), slots = std::min(std::max(s.slots, 2), chunks);
        return size_t(slots) * P * 2 * std::max(64 * stride_of(s.c), 72 * padded_k(s.c)) + size_t(s.warps) * P * 128 * stride_of(s.c);
    };
    const Shape s = fitted(asked, shared_of);
    const int rows = s.n0 * s.n1;
    Values x = noise(size_t(rows) * s.c, 1, scale), grad = noise(size_t(rows) * s.c, 2), o = noise(size_t(s.shared_o ? s.n1 : rows) * s.hv, 3);
    Values wg = noise(size_t(s.hv) * s.c, 4, 0.3), wo = noise(size_t(s.c) * s.hv, 5, 0.3), ns = noise(s.c, 6, 0.2, 1), no = noise(s.c, 7, 0.3), bg = noise(s.hv, 8);
    Buffer<X> bx(x), bgrad(grad);
    Buffer<W> b_o(o), bwg(wg), bwo(wo), d_o(size_t(rows) * s.hv), dgate(d_o.size()), gated(d_o.size()), grad_rows(size_t(rows) * s.c);
    Buffer<float> bns(ns), bno(no), bbg(bg);
    GateOutputBackward<X, W> t{};
    t.x = bx.data(), t.grad = bgrad.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data(), t.gate_weight = bwg.data(), t.gate_bias = bbg.data();
    t.o = b_o.data(), t.out_weight = bwo.data(), t.d_o = d_o.data(), t.dgate = dgate.data(), t.gated = gated.data();
    t.grad_rows = s.grad_rows ? grad_rows.data() : nullptr;
    t.stride0 = s.swapped ? s.c : i64(s.n1) * s.c, t.stride1 = s.swapped ? i64(s.n0) * s.c : s.c;
    t.n0 = s.n0, t.n1 = s.n1, t.c = s.c, t.hv = s.hv, t.slots = s.slots, t.o_rows = s.shared_o ? s.n1 : 0;
    char text[160];
    std::snprintf(text, sizeof text, "gate_output_backward %s/%s [%d,%d,%d] hv=%d%s%s x~%g", type_name<X>(), type_name<W>(), s.n0, s.n1, s.c, s.hv,
                  s.swapped ? " swapped" : "", s.shared_o ? " shared o" : "", scale);
    const std::string name = text;
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&d_o.memory(), &dgate.memory(), &gated.memory(), &grad_rows.memory()}, kernel, t);

    Values want_o, want_gate, want_gated, want_rows;
    for (int row = 0; row < rows; row++) {
        const i64 at = row / s.n1 * t.stride0 + row % s.n1 * t.stride1;
        const Values y = plain::layer_norm(&x[at], s.c, ns, no);
        for (int n = 0; n < s.hv; n++) {
            double back = 0;
            for (int c = 0; c < s.c; c++) back += grad[at + c] * wo[size_t(c) * s.hv + n];
            const double gate = plain::sigmoid(plain::dot(y, wg, n) + bg[n]), value = o[size_t(s.shared_o ? row % s.n1 : row) * s.hv + n];
            want_o.push_back(back * gate);
            want_gate.push_back(back * value * gate * (1 - gate));
            want_gated.push_back(value * gate);
        }
        for (int c = 0; c < s.c; c++) want_rows.push_back(grad[at + c]);
    }
    compare(name + " do", d_o.values(), want_o, bound);
    compare(name + " dgate", dgate.values(), want_gate, bound);
    compare(name + " gated", gated.values(), want_gated, bound);
    if (s.grad_rows) compare(name + " rows", grad_rows.values(), want_rows, std::is_same_v<X, W> ? 0 : 3e-3);
}

template <class X, class W, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 8e-3 : 3e-5;
    check<X, W>(kernel, {1, 1, 128, 128, false, true, 1, 4, 1}, 1, bound);
    check<X, W>(kernel, {2, 17, 64, 64, true, true, 2, 2, 1}, 1, bound);
    check<X, W>(kernel, {17, 33, 128, 72, true, false, 4, 2, 2}, 1, bound);
    check<X, W>(kernel, {33, 2, 40, 24, false, true, 1, 2, 3}, 1, bound);
    check<X, W>(kernel, {5, 17, 256, 256, false, false, 2, 2, 1}, 1, bound);
    check<X, W>(kernel, {130, 5, 16, 136, true, true, 8, 6, 5}, 1, bound);
    check<X, W>(kernel, {7, 17, 64, 64, false, true, 2, 2, 2, true}, 1, bound);
    check<X, W>(kernel, {3, 17, 64, 32, false, false, 1, 2, 1}, 1e15, bound);
    check<X, W>(kernel, {3, 17, 64, 32, false, false, 1, 2, 1}, 1e-6, bound);
}

int main() {
    start();
    all<bf16, bf16>(gate_output_backward_bf16_bf16);
    all<float, bf16>(gate_output_backward_f32_bf16);
    all<float, float>(gate_output_backward_f32_f32);
    return finish();
}
