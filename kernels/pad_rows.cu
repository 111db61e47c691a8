// A pair bias as attention.cu takes it: times log2 e, rows padded with zeros; and its gradient back, times log2 e, without
// what lies behind the rows; crates/nn/src/cuda/faces/attention.rs and attention_backward.rs.
//
// limit: spills 0
//
// Shapes    pad: from [rows, n], to [rows, ld], ld ≥ n; unpad: from [rows, ld], to [rows, n]; f32.
// Grid      any number of blocks of 256 threads, which take 1024 values in turn.
// Shared    none.
// Floor     bytes: rows·(n + ld)·4; 4 heads at n = 512: 0.002 ms.
#include "primitives.cuh"

struct PadRows {
    const float* from;
    float* to;
    i64 rows;
    int n, ld;
};

KERNEL __launch_bounds__(256) pad_rows_log2e(const __grid_constant__ PadRows t) {
    const i64 all = t.rows * t.ld;
    for (i64 i = block_index() * block_threads() + thread_index(); i < all; i += block_count() * block_threads()) {
        const i64 row = i / t.ld;
        const int column = int(i - row * t.ld);
        t.to[i] = column < t.n ? t.from[row * t.n + column] * LOG2E : 0.0f;
    }
}

KERNEL __launch_bounds__(256) unpad_rows_log2e(const __grid_constant__ PadRows t) {
    const i64 all = t.rows * t.n;
    for (i64 i = block_index() * block_threads() + thread_index(); i < all; i += block_count() * block_threads()) {
        const i64 row = i / t.n;
        t.to[i] = t.from[row * t.ld + (i - row * t.n)] * LOG2E;
    }
}
