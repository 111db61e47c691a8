#include "check.hpp"
#include "../../kernels/sums.cu"

template <class T, class Kernel>
static void check(Kernel kernel, int rows, int width, int slabs, bool weighted) {
    Values x = noise(size_t(rows) * (width + 6), 1), weights = noise(rows, 2), want(width);
    Buffer<T> bx(x);
    Buffer<float> bw(weights), leaves(size_t(slabs) * width), sums(width);
    const std::string name = std::string("column_sums ") + type_name<T>() + " [" + std::to_string(rows) + "," + std::to_string(width) + "]" +
                             (weighted ? " weighted" : "") + " slabs " + std::to_string(slabs);
    run(name, long((width + 63) / 64) * slabs, 256, 2048, {&leaves.memory()}, kernel,
        ColumnSums<T>{bx.data(), weighted ? bw.data() : nullptr, leaves.data(), width + 6, rows, width, slabs});
    run(name + " leaves", (width + 255) / 256, 256, 0, {&sums.memory()}, sum_leaves, SumLeaves{leaves.data(), sums.data(), nullptr, slabs, width, width});
    for (int row = 0; row < rows; row++)
        for (int c = 0; c < width; c++) want[c] += x[size_t(row) * (width + 6) + c] * (weighted ? weights[row] : 1.0);
    compare(name, sums.values(), want, 1e-6);
    // To two places, of which one may not be wanted.
    const int first = width / 3;
    Buffer<float> left(first), right(width - first), alone(width - first);
    run(name + " in two", (width + 255) / 256, 256, 0, {&left.memory(), &right.memory()}, sum_leaves,
        SumLeaves{leaves.data(), left.data(), right.data(), slabs, width, first});
    run(name + " half", (width + 255) / 256, 256, 0, {&alone.memory()}, sum_leaves, SumLeaves{leaves.data(), nullptr, alone.data(), slabs, width, first});
    Values both = left.values();
    for (double x : right.values()) both.push_back(x);
    compare(name + " in two", both, want, 1e-6);
    compare(name + " half", alone.values(), Values(want.begin() + first, want.end()), 1e-6);
}

int main() {
    start();
    for (int slabs : {1, 3, 7}) {
        check<bf16>(column_sums_bf16, 130, 200, slabs, slabs == 3);
        check<float>(column_sums_f32, 2, 66, slabs, slabs == 1);
        check<float>(column_sums_f32, 1001, 2, slabs, true);
    }
    return finish();
}
