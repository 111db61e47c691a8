// Expected values of what bins stand for, from their logits. AF2 Suppl. 1.9.6, 1.9.7; crates/nn/src/ops/expectations.rs.
//
// limit: spills 0
//
// Shapes    All f32. logits [rows, bins], values [k, bins]; out [k, rows] = residual + Σ_b softmax(logits)_b · values; residual null: without.
// Idea      A warp has a row and reads it once for each value: from memory the first time, then from the first-level cache.
// Grid      any number of blocks of 256 threads: each takes eight rows in turn.
// Shared    none.
// Floor     bytes: rows·bins·4; pairs of r = 1024, 64 bins: 0.06 ms at 4.3 TB/s.
#include "primitives.cuh"

constexpr int EXPECTING_WARPS = 8;

struct Expectations {
    const float *logits, *values;
    const float* residual; // or null
    float* out;
    i64 rows;
    int bins, k;
};

KERNEL __launch_bounds__(256) expectations(const __grid_constant__ Expectations t) {
    const int lane = thread_index() % 32, warp = thread_index() / 32;
    for (i64 row = block_index() * EXPECTING_WARPS + warp; row < t.rows; row += block_count() * EXPECTING_WARPS) {
        const float* logits = t.logits + row * t.bins;
        float most = -3.4e38f, total = 0.0f;
        for (int b = lane; b < t.bins; b += 32) most = max_of(most, logits[b]);
#pragma unroll
        for (int mask = 16; mask > 0; mask /= 2) most = max_of(most, shuffle_xor(most, mask));
        for (int b = lane; b < t.bins; b += 32) total += exp_exact(logits[b] - most);
        total = warp_sum(total);
        for (int i = 0; i < t.k; i++) {
            float sum = 0.0f;
            for (int b = lane; b < t.bins; b += 32) sum += exp_exact(logits[b] - most) * t.values[i * t.bins + b];
            sum = warp_sum(sum) / total;
            const i64 at = i * t.rows + row;
            if (lane == 0) t.out[at] = t.residual ? t.residual[at] + sum : sum;
        }
    }
}
