// Cases of kernels/layer_norm.cu.
#include "check.hpp"
#include "../../kernels/layer_norm.cu"

static void check(int rows, int c, double size, double shift) {
    const size_t all = size_t(rows) * c;
    Values x = noise(all, 1, size, shift), scale = noise(c, 2), offset = noise(c, 3), before = noise(all, 4), grad = noise(all, 5);
    Buffer<float> bx(x), bs(scale), bo(offset), bb(before), bg(grad), out(all), dx(all);
    const std::string name = "layer_norm [" + std::to_string(rows) + "," + std::to_string(c) + "] size " + std::to_string(size);
    const long blocks = 3;
    Buffer<float> leaves(size_t(blocks) * 2 * c);
    Values want(all), dwant(all), dscale(c), doffset(c);
    for (int row = 0; row < rows; row++) {
        const double* from = x.data() + size_t(row) * c;
        const Values y = plain::layer_norm(from, c, scale, offset);
        const Values of(grad.begin() + size_t(row) * c, grad.begin() + size_t(row + 1) * c);
        const Values d = plain::layer_norm_backward(from, c, scale, of, dscale, doffset);
        std::copy(y.begin(), y.end(), want.begin() + size_t(row) * c);
        std::copy(d.begin(), d.end(), dwant.begin() + size_t(row) * c);
    }
    run(name, blocks, 256, 0, {&out.memory()}, layer_norm, LayerNorm{bx.data(), bs.data(), bo.data(), nullptr, out.data(), rows, c});
    // A mean that is large beside the deviation costs digits of f32.
    const double bound = 3e-6 * (1 + std::fabs(shift) / size);
    compare(name, out.values(), want, bound);
    LayerNormBackward t{bx.data(), bs.data(), bg.data(), dx.data(), leaves.data(), rows, c};
    run(name + " backward", blocks, 256, size_t(64) * c, {&dx.memory(), &leaves.memory()}, layer_norm_backward, t);
    // Gradients that cancel, as those of c = 2 do, are as exact as what they are differences of.
    double largest = 0;
    for (double g : grad) largest += g * g;
    compare(name + " backward", dx.values(), dwant, bound, std::sqrt(largest) / size);
    Values sums(2 * c), sums_want(dscale);
    for (size_t i = 0; i < leaves.size(); i++) sums[i % (2 * c)] += leaves[i];
    sums_want.insert(sums_want.end(), doffset.begin(), doffset.end());
    compare(name + " norm", sums, sums_want, bound);
    // In place: the gradient's memory takes x's, and x its own sum; no leaves.
    t.dx = bg.data(), t.leaves = nullptr;
    run(name + " backward in place", blocks, 256, size_t(64) * c, {&bg.memory()}, layer_norm_backward, t);
    if (bg.values() != dx.values()) verdict(false, name, "backward in place differs");
    run(name + " onto x", blocks, 256, 0, {&bx.memory()}, layer_norm, LayerNorm{bx.data(), bs.data(), bo.data(), bx.data(), bx.data(), rows, c});
    run(name + " added", blocks, 256, 0, {&bb.memory()}, layer_norm, LayerNorm{dx.data(), bs.data(), bo.data(), bb.data(), bb.data(), rows, c});
    for (size_t i = 0; i < all; i++) want[i] += x[i];
    compare(name + " onto x", bx.values(), want, bound);
    // Added to another tensor; x is now what the backward pass left.
    Values sum(all);
    for (int row = 0; row < rows; row++) {
        const Values from = dx.values();
        const Values y = plain::layer_norm(from.data() + size_t(row) * c, c, scale, offset);
        for (int i = 0; i < c; i++) sum[size_t(row) * c + i] = before[size_t(row) * c + i] + y[i];
    }
    compare(name + " added", bb.values(), sum, 1e-5);
}

int main() {
    start();
    check(1, 7, 1, 0);
    check(2, 128, 1, 1);
    check(17, 384, 100, -3);
    check(33, 33, 1e-2, 0);
    check(130, 64, 1, 30);
    check(9, 1024, 1, 0);
    check(5, 6, 1, 0);
    return finish();
}
