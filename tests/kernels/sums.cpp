#include "check.hpp"
#include <memory>
#include "../../kernels/sums.cu"

template <class T, class Kernel>
static void check(Kernel kernel, int rows, int width, int slabs, bool weighted) {
    const int stride = width + 6;
    Values x = noise(size_t(rows) * stride, 1), weights = noise(rows, 2), want(width);
    Buffer<T> bx(x);
    Buffer<float> bw(weights), leaves(size_t(slabs) * width), sums(width);
    const std::string name = std::string("column_sums ") + type_name<T>() + " [" + std::to_string(rows) + "," + std::to_string(width) + "]" +
                             (weighted ? " weighted" : "") + " slabs " + std::to_string(slabs);
    run(name, long((width + 63) / 64) * slabs, 256, 2048, {&leaves.memory()}, kernel,
        ColumnSums<T>{bx.data(), weighted ? bw.data() : nullptr, leaves.data(), stride, rows, width, slabs});
    auto sum = [&](const std::string& what, std::vector<Memory*> outs, std::vector<std::pair<float*, int>> places) {
        LeafSums t{leaves.data(), {}, slabs, width, {}};
        for (int i = 0, end = 0; i < SUM_PLACES; i++) {
            if (i < int(places.size())) t.to[i] = places[i].first, end += places[i].second;
            t.end[i] = end;
        }
        run(name + what, (width + 255) / 256, 256, 0, outs, sum_leaves, SumLeaves{{t}, 1});
    };
    sum(" leaves", {&sums.memory()}, {{sums.data(), width}});
    for (int row = 0; row < rows; row++)
        for (int c = 0; c < width; c++) want[c] += x[size_t(row) * stride + c] * (weighted ? weights[row] : 1.0);
    compare(name, sums.values(), want, 1e-6);
    // To several places, of which one may not be wanted.
    const int first = width / 3, second = width / 4, rest = width - first - second;
    Buffer<float> left(first), middle(second), right(rest), alone(rest);
    sum(" in three", {&left.memory(), &middle.memory(), &right.memory()}, {{left.data(), first}, {middle.data(), second}, {right.data(), rest}});
    sum(" the last", {&alone.memory()}, {{nullptr, first}, {nullptr, second}, {alone.data(), rest}});
    Values all = left.values();
    for (const auto& part : {middle.values(), right.values()}) all.insert(all.end(), part.begin(), part.end());
    compare(name + " in three", all, want, 1e-6);
    compare(name + " the last", alone.values(), Values(want.begin() + first + second, want.end()), 1e-6);
}

/// Several sums of other widths and numbers of leaves by one launch.
static void check_together() {
    const int widths[SUM_PARTS] = {300, 1, 256, 257, 7, 600, 2, 64};
    SumLeaves t{{}, SUM_PARTS};
    std::vector<std::unique_ptr<Buffer<float>>> buffers;
    std::vector<Memory*> outs;
    std::vector<Values> want;
    long blocks = 0;
    for (int i = 0; i < SUM_PARTS; i++) {
        const int width = widths[i], n = 1 + 3 * i;
        Values leaves = noise(size_t(n) * width, 20 + unsigned(i)), sums(width);
        buffers.push_back(std::make_unique<Buffer<float>>(leaves));
        const float* from = buffers.back()->data();
        for (size_t v = 0; v < leaves.size(); v++) sums[v % width] += leaves[v];
        buffers.push_back(std::make_unique<Buffer<float>>(size_t(width)));
        t.parts[i] = {from, {buffers.back()->data()}, n, width, {width, width, width, width}};
        outs.push_back(&buffers.back()->memory());
        want.push_back(sums);
        blocks += (width + 255) / 256;
    }
    run("sum_leaves together", blocks, 256, 0, outs, sum_leaves, t);
    for (int i = 0; i < SUM_PARTS; i++) compare("sum_leaves together " + std::to_string(i), buffers[size_t(2 * i + 1)]->values(), want[size_t(i)], 1e-6);
}

int main() {
    start();
    for (int slabs : {1, 3, 7}) {
        check<bf16>(column_sums_bf16, 130, 200, slabs, slabs == 3);
        check<float>(column_sums_f32, 2, 66, slabs, slabs == 1);
        check<float>(column_sums_f32, 1001, 2, slabs, true);
        // Odd widths, whose rows are not aligned to pairs.
        check<float>(column_sums_f32, 67, 37, slabs, slabs == 7);
        check<bf16>(column_sums_bf16, 130, 65, slabs, slabs == 1);
        check<float>(column_sums_f32, 9, 1, slabs, false);
    }
    check_together();
    return finish();
}
