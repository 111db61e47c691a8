// Cases of kernels/expectations.cu against float64.
#include "check.hpp"
#include "../../kernels/expectations.cu"

static void check(int rows, int bins, int k, double scale, int blocks) {
    const std::string name = "expectations " + std::to_string(rows) + " rows of " + std::to_string(bins) + ", " + std::to_string(k) + " values, logits × " +
                             std::to_string(scale);
    Values logits = noise(size_t(rows) * bins, 1, scale), values = noise(size_t(k) * bins, 2, 10), before = noise(size_t(k) * rows, 3);
    Buffer<float> bl(logits), bv(values), bb(before), out(size_t(k) * rows);
    Values want(size_t(k) * rows), added;
    for (int row = 0; row < rows; row++) {
        const double* l = &logits[size_t(row) * bins];
        const double most = *std::max_element(l, l + bins);
        double total = 0;
        for (int b = 0; b < bins; b++) total += std::exp(l[b] - most);
        for (int i = 0; i < k; i++)
            for (int b = 0; b < bins; b++) want[size_t(i) * rows + row] += std::exp(l[b] - most) / total * values[size_t(i) * bins + b];
    }
    added = before;
    for (size_t i = 0; i < want.size(); i++) added[i] += want[i];
    Expectations t{bl.data(), bv.data(), nullptr, out.data(), rows, bins, k};
    run(name, blocks, 256, 0, {&out.memory()}, expectations, t);
    compare(name, out.values(), want, 1e-6);
    t.residual = t.out = bb.data();
    run(name + " added", blocks, 256, 0, {&bb.memory()}, expectations, t);
    // A sum that cancels is as exact as its parts.
    double parts = 0;
    for (double x : want) parts += x * x;
    compare(name + " added", bb.values(), added, 1e-6, std::sqrt(parts));
}

int main() {
    start();
    for (int bins : {1, 2, 17, 50, 64, 130})
        for (int rows : {1, 9, 33}) check(rows, bins, 1 + rows % 3, 3, rows == 33 ? 2 : 1);
    check(17, 64, 2, 1e30, 3);
    check(17, 64, 2, 1e-30, 1);
    return finish();
}
