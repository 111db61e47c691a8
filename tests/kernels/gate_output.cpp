#include "check.hpp"
#include "../../kernels/gate_output.cu"

struct Shape {
    int n0, n1, c, hv;
    bool swapped, residual, in_place;
    int warps, slots, blocks;
    bool shared_o = false; // o [n1, hv], the same for every i0
};

template <class X, class W, class Kernel>
static void check(Kernel kernel, const Shape& asked, double scale, double bound) {
    auto shared_of = [](const Shape& s) {
        constexpr int P = Parts<W>::count;
        const int chunks = (s.hv + 63) / 64 + (s.c + 63) / 64, slots = std::min(std::max(s.slots, 2), chunks);
        return size_t(slots) * P * 64 * std::max(stride_of(s.c), stride_of(s.hv)) * 2 +
               size_t(s.warps) * (P * 32 * (stride_of(s.c) + stride_of(s.hv)) * 2 + 4608);
    };
    const Shape s = fitted(asked, shared_of);
    const int rows = s.n0 * s.n1;
    Values x = noise(size_t(rows) * s.c, 1, scale), o = noise(size_t(s.shared_o ? s.n1 : rows) * s.hv, 2);
    Values wg = noise(size_t(s.hv) * s.c, 3, 0.3), wo = noise(size_t(s.c) * s.hv, 4, 0.3);
    Values ns = noise(s.c, 5, 0.2, 1), no = noise(s.c, 6, 0.3), bg = noise(s.hv, 7), bo = noise(s.c, 8);
    Buffer<X> bx(x), fresh(size_t(rows) * s.c);
    Buffer<W> bo_(o), bwg(wg), bwo(wo);
    Buffer<float> bns(ns), bno(no), bbg(bg), bbo(bo);
    Buffer<X>& out = s.in_place ? bx : fresh;

    GateOutput<X, W> t{};
    t.x = bx.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data();
    t.gate_weight = bwg.data(), t.gate_bias = bbg.data(), t.o = bo_.data(), t.out_weight = bwo.data(), t.out_bias = bbo.data();
    t.residual = s.residual ? bx.data() : nullptr, t.out = out.data();
    t.stride0 = s.swapped ? s.c : i64(s.n1) * s.c, t.stride1 = s.swapped ? i64(s.n0) * s.c : s.c;
    t.n0 = s.n0, t.n1 = s.n1, t.c = s.c, t.hv = s.hv, t.slots = s.slots;
    t.o_rows = s.shared_o ? s.n1 : 0;

    char name[160];
    std::snprintf(name, sizeof name, "gate_output %s/%s [%d,%d,%d] hv=%d%s%s%s%s x~%g", type_name<X>(), type_name<W>(), s.n0, s.n1, s.c,
                  s.hv, s.swapped ? " swapped" : "", s.residual ? " residual" : "", s.in_place ? " in place" : "",
                  s.shared_o ? " shared o" : "", scale);
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&out.memory()}, kernel, t);

    Values got, want;
    for (int row = 0; row < rows; row++) {
        const i64 at = row / s.n1 * t.stride0 + row % s.n1 * t.stride1;
        const Values y = plain::layer_norm(&x[at], s.c, ns, no);
        Values gated(s.hv);
        for (int n = 0; n < s.hv; n++)
            gated[n] = plain::sigmoid(plain::dot(y, wg, n) + bg[n]) * o[size_t(s.shared_o ? row % s.n1 : row) * s.hv + n];
        for (int n = 0; n < s.c; n++) {
            want.push_back(plain::dot(gated, wo, n) + bo[n] + (s.residual ? x[at + n] : 0.0));
            got.push_back(out[at + n]);
        }
    }
    compare(name, got, want, bound);
}

template <class X, class W, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<W, bf16> ? 6e-3 : 1.5e-5;
    check<X, W>(kernel, {1, 1, 128, 128, false, true, false, 1, 4, 1}, 1, bound);
    check<X, W>(kernel, {2, 17, 64, 64, true, true, true, 2, 2, 1}, 1, bound);
    check<X, W>(kernel, {17, 33, 128, 64, true, false, false, 4, 2, 2}, 1, bound);
    check<X, W>(kernel, {33, 2, 40, 24, false, true, true, 1, 2, 3}, 1, bound);
    check<X, W>(kernel, {5, 17, 256, 256, false, true, false, 2, 2, 1}, 1, bound);
    check<X, W>(kernel, {130, 33, 16, 72, true, true, true, 8, 4, 5}, 1, bound);
    check<X, W>(kernel, {7, 17, 64, 64, false, true, true, 2, 2, 2, true}, 1, bound);
    check<X, W>(kernel, {3, 17, 64, 32, false, false, false, 1, 2, 1}, 1e15, bound);
    check<X, W>(kernel, {3, 17, 64, 32, false, true, false, 1, 2, 1}, 1e-6, bound);
}

int main() {
    start();
    all<bf16, bf16>(gate_output_bf16_bf16);
    all<float, bf16>(gate_output_f32_bf16);
    all<float, float>(gate_output_f32_f32);
    return finish();
}
