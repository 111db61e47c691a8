#include "check.hpp"
#include "../../kernels/layer_norm_project_backward.cu"
#include "../../kernels/sums.cu"
#include <memory>

struct Shape {
    int n0, n1, c;
    std::vector<int> widths;
    int heads;
    bool swapped, mask, column, grad, in_place;
    int warps, blocks;
};

/// LN' against central differences.
static void differences() {
    const int c = 7;
    const Values x = noise(c, 1), scale = noise(c, 2), offset = noise(c, 3), dy = noise(c, 4), direction = noise(c, 5);
    Values dscale(c), doffset(c), moved[2] = {x, x};
    const Values dx = plain::layer_norm_backward(x.data(), c, scale, dy, dscale, doffset);
    double value[2] = {}, along = 0;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < c; i++) moved[side][i] += (side ? 1e-6 : -1e-6) * direction[i];
        const Values y = plain::layer_norm(moved[side].data(), c, scale, offset);
        for (int i = 0; i < c; i++) value[side] += y[i] * dy[i];
    }
    for (int i = 0; i < c; i++) along += dx[i] * direction[i];
    compare("plain gradient of a layer norm against differences", {(value[1] - value[0]) / 2e-6}, {along}, 1e-7);
}

template <class X, class W, int MOST, class Kernel>
static void check(Kernel kernel, const Shape& asked, double size, double bound) {
    constexpr int P = Parts<W>::count, K = P == 1 ? 64 : 32;
    auto shared_of = [](const Shape& s) { return 4 * P * size_t(K * (MOST + 8) + s.warps * 16 * (K + 8)) + s.warps * (128 + 8 * MOST + 4608); };
    const Shape s = fitted(asked, shared_of);
    const int rows = s.n0 * s.n1, c = s.c, ld = s.n1 + 3;
    Values x = noise(size_t(rows) * c, 1, size, size), ns = noise(c, 2, 0.2, 1), no = noise(c, 3, 0.3), around = noise(size_t(rows) * c, 4);
    Values mask = coins(rows, 5, 0.7), share = noise(rows, 6), column_grad = noise(size_t(s.n1) * c, 7);
    Values heads_grad = noise(size_t(s.heads) * s.n0 * ld, 8), heads_weight = noise(size_t(s.heads) * c, 9, 0.3);
    Buffer<X> bx(x), baround(around), fresh(size_t(rows) * c);
    Buffer<float> bns(ns), bno(no), bmask(mask), bshare(share), bcolumn(column_grad), bheads(heads_grad);
    Buffer<W> bheads_weight(heads_weight), normed(size_t(rows) * c), turned(size_t(rows) * ((s.heads + 7) / 8 * 8));
    const int leaf_count = s.blocks * s.warps;
    Buffer<float> leaves(size_t(leaf_count) * 2 * c), sums(size_t(2) * c);
    LayerNormProjectBackward<X, W> t{};
    std::vector<Values> grads, weights;
    std::vector<std::unique_ptr<Buffer<W>>> buffers;
    for (size_t i = 0; i < s.widths.size(); i++) {
        const int width = s.widths[i], stride = width + 8 * int(i % 2);
        grads.push_back(noise(size_t(rows) * stride, 20 + unsigned(i)));
        weights.push_back(noise(size_t(width) * c, 30 + unsigned(i), 0.3));
        buffers.push_back(std::make_unique<Buffer<W>>(grads.back()));
        buffers.push_back(std::make_unique<Buffer<W>>(weights.back()));
        t.projected[i] = {buffers[2 * i]->data(), buffers[2 * i + 1]->data(), stride, width, i == 1 ? 0.25f : 1.0f};
    }
    Buffer<X>& out = s.in_place ? baround : fresh;
    t.x = bx.data(), t.norm_scale = bns.data(), t.norm_offset = bno.data(), t.count = int(s.widths.size()), t.heads = s.heads;
    if (s.heads) t.heads_grad = bheads.data(), t.heads_weight = bheads_weight.data(), t.heads_rows = turned.data(), t.heads_scale = LOG2E;
    t.heads_stride = i64(s.n0) * ld, t.heads_stride0 = ld;
    if (s.mask) t.mask = bmask.data();
    if (s.column) t.column_grad = bcolumn.data(), t.share = bshare.data();
    if (s.grad) t.grad = baround.data();
    t.dx = out.data(), t.normed = normed.data(), t.leaves = leaves.data();
    t.stride0 = s.swapped ? c : i64(s.n1) * c, t.stride1 = s.swapped ? i64(s.n0) * c : c;
    t.n0 = s.n0, t.n1 = s.n1, t.c = c;

    char text[200];
    std::snprintf(text, sizeof text, "layer_norm_project_backward %s/%s [%d,%d,%d] %d projections%s%s%s%s%s x~%g", type_name<X>(), type_name<W>(),
                  s.n0, s.n1, c, t.count, s.heads ? " heads" : "", s.swapped ? " swapped" : "", s.mask ? " mask" : "",
                  s.column ? " column" : "", s.grad ? s.in_place ? " grad in place" : " grad" : "", size);
    const std::string name = text;
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&out.memory(), &normed.memory(), &turned.memory(), &leaves.memory()}, kernel, t);
    run(name + " leaves", (2 * c + 255) / 256, 256, 0, {&sums.memory()}, sum_leaves, SumLeaves{{{leaves.data(), {sums.data()}, leaf_count, 2 * c, {2 * c, 2 * c, 2 * c, 2 * c}}}, 1});

    Values got, want, got_normed, want_normed, want_turned, dscale(c), doffset(c);
    for (int row = 0; row < rows; row++) {
        const i64 at = row / s.n1 * t.stride0 + row % s.n1 * t.stride1;
        Values dy(c);
        for (size_t i = 0; i < s.widths.size(); i++)
            for (int w = 0; w < s.widths[i]; w++)
                for (int n = 0; n < c; n++)
                    dy[n] += t.projected[i].scale * grads[i][row * t.projected[i].row_stride + w] * weights[i][size_t(w) * c + n];
        for (int h = 0; h < s.heads; h++)
            for (int n = 0; n < c; n++)
                dy[n] += LOG2E * heads_grad[h * t.heads_stride + row / s.n1 * ld + row % s.n1] * heads_weight[size_t(h) * c + n];
        for (int h = 0; s.heads && h < (s.heads + 7) / 8 * 8; h++)
            want_turned.push_back(h < s.heads ? heads_grad[h * t.heads_stride + row / s.n1 * ld + row % s.n1] : 0.0);
        for (int n = 0; n < c; n++) {
            if (s.mask) dy[n] *= mask[row];
            if (s.column) dy[n] += share[row] * column_grad[size_t(row % s.n1) * c + n];
        }
        const Values dx = plain::layer_norm_backward(&x[at], c, ns, dy, dscale, doffset), y = plain::layer_norm(&x[at], c, ns, no);
        for (int n = 0; n < c; n++) {
            want.push_back(dx[n] + (s.grad ? around[at + n] : 0.0));
            got.push_back(out[at + n]);
            want_normed.push_back(y[n] * (s.mask ? mask[row] : 1.0));
            got_normed.push_back(normed[size_t(row) * c + n]);
        }
    }
    dscale.insert(dscale.end(), doffset.begin(), doffset.end());
    compare(name + " dx", got, want, bound);
    compare(name + " normed", got_normed, want_normed, std::is_same_v<W, bf16> ? 3e-3 : 2e-6 * std::max(1.0, size));
    if (s.heads) compare(name + " heads", turned.values(), want_turned, std::is_same_v<W, bf16> ? 3e-3 : 0);
    compare(name + " norm", sums.values(), dscale, std::is_same_v<W, bf16> ? 2e-3 : 1.5e-5);
}

template <class X, class W, class Small, class Middle, class Large>
static void all(Small small, Middle middle, Large large) {
    const double bound = std::is_same_v<X, bf16> ? 4e-3 : std::is_same_v<W, bf16> ? 2e-3 : 2e-5;
    check<X, W, 128>(middle, {1, 1, 128, {128}, 0, false, false, false, true, false, 1, 1}, 1, bound);
    check<X, W, 64>(small, {2, 17, 64, {64, 8, 72}, 3, true, false, false, true, true, 2, 2}, 1, bound);
    check<X, W, 64>(small, {7, 33, 24, {16, 40}, 0, false, true, false, false, false, 4, 3}, 1, bound);
    check<X, W, 128>(middle, {17, 17, 128, {128, 128, 128, 128}, 4, true, false, false, true, true, 8, 2}, 1, bound);
    check<X, W, 128>(middle, {33, 5, 72, {8, 8, 64}, 0, false, false, true, true, false, 2, 2}, 1, bound);
    check<X, W, 256>(large, {5, 7, 256, {256, 104}, 0, false, false, false, false, false, 2, 1}, 1, bound);
    check<X, W, 256>(large, {3, 130, 136, {24}, 0, false, true, true, true, true, 8, 3}, 1, bound);
    check<X, W, 64>(small, {3, 17, 64, {64}, 0, false, false, false, false, false, 1, 1}, 1e6, bound);
    check<X, W, 64>(small, {3, 17, 64, {64}, 0, false, false, false, false, false, 1, 1}, 1e-6, bound);
}

int main() {
    start();
    differences();
    all<bf16, bf16>(layer_norm_project_backward_bf16_bf16_64, layer_norm_project_backward_bf16_bf16_128,
                    layer_norm_project_backward_bf16_bf16_256);
    all<float, bf16>(layer_norm_project_backward_f32_bf16_64, layer_norm_project_backward_f32_bf16_128, layer_norm_project_backward_f32_bf16_256);
    all<float, float>(layer_norm_project_backward_f32_f32_64, layer_norm_project_backward_f32_f32_128, layer_norm_project_backward_f32_f32_256);
    return finish();
}
