// Cases of kernels/linear.cu.
#include "check.hpp"
#include "../../kernels/linear.cu"

static void check(int rows, int n, bool biased, bool relu, bool adds) {
    const size_t all = size_t(rows) * n;
    Values y = noise(all, 1), bias = noise(n, 2), residual = noise(all, 3);
    Buffer<float> by(y), bb(bias), br(residual), out(all), passed(all);
    const std::string name = "linear [" + std::to_string(rows) + "," + std::to_string(n) + "]" + (biased ? " bias" : "") + (relu ? " relu" : "") +
                             (adds ? " added" : "");
    const float* of_bias = biased ? bb.data() : nullptr;
    run(name, 3, 256, 0, {&out.memory()}, linear_finish, LinearFinish{by.data(), of_bias, adds ? br.data() : nullptr, out.data(), rows, n, relu});
    run(name + " backward", 2, 256, 0, {&passed.memory()}, linear_relu_backward, LinearFinish{by.data(), of_bias, br.data(), passed.data(), rows, n, 1});
    Values want(all), grad(all);
    for (size_t i = 0; i < all; i++) {
        const double sum = y[i] + (biased ? bias[i % n] : 0.0);
        want[i] = (adds ? residual[i] : 0.0) + (relu ? std::max(sum, 0.0) : sum);
        grad[i] = sum > 0 ? residual[i] : 0.0;
    }
    compare(name, out.values(), want, 1e-7, 1e-30);
    compare(name + " backward", passed.values(), grad, 0, 1e-30);
    // In place of what is added to, and of the products.
    run(name + " in place", 3, 256, 0, {&br.memory()}, linear_finish, LinearFinish{by.data(), of_bias, adds ? br.data() : nullptr, br.data(), rows, n, relu});
    run(name + " over y", 3, 256, 0, {&by.memory()}, linear_finish, LinearFinish{by.data(), of_bias, nullptr, by.data(), rows, n, relu});
    compare(name + " in place", br.values(), want, 1e-7, 1e-30);
    if (!adds) compare(name + " over y", by.values(), want, 1e-7, 1e-30);
}

int main() {
    start();
    for (auto [rows, n] : {std::pair{1, 1}, {2, 37}, {1000, 14}, {33, 1031}, {7, 256}})
        for (int flags = 0; flags < 8; flags++) check(rows, n, flags & 1, flags & 2, flags & 4);
    return finish();
}
