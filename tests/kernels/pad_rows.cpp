// Cases of kernels/pad_rows.cu.
#include "check.hpp"
#include "../../kernels/pad_rows.cu"

int main() {
    start();
    for (int n : {1, 2, 17, 33, 130})
        for (int ld : {n, (n + 3) / 4 * 4, (n + 31) / 32 * 32}) {
            const int rows = 5 * n;
            const std::string name = "pad_rows n=" + std::to_string(n) + " ld=" + std::to_string(ld);
            Values v = noise(size_t(rows) * n, 1, 3.0);
            Buffer<float> from(v), to(size_t(rows) * ld);
            run(name, 3, 256, 0, {&to.memory()}, pad_rows_log2e, PadRows{from.data(), to.data(), rows, n, ld});
            Values want(size_t(rows) * ld);
            for (int row = 0; row < rows; row++)
                for (int i = 0; i < n; i++) want[size_t(row) * ld + i] = v[size_t(row) * n + i] * 1.4426950408889634;
            compare(name, to.values(), want, 1e-7);
            Buffer<float> back(size_t(rows) * n);
            run("un" + name, 3, 256, 0, {&back.memory()}, unpad_rows_log2e, PadRows{to.data(), back.data(), rows, n, ld});
            Values twice(v);
            for (double& x : twice) x *= 1.4426950408889634 * 1.4426950408889634;
            compare("un" + name, back.values(), twice, 2e-7);
        }
    return finish();
}
