// Layer norm over the last dimension, and its gradients. crates/nn/src/ops/layer_norm.rs.
//
// limit: spills 0
//
// Shapes    x, grad, residual, out, dx [rows, c], scale and offset [c], all f32. out = residual + LN(x); residual null: LN(x) alone.
//           out may be x and residual. dx = LN'(x)·(grad·scale), may be grad or x; leaves [blocks, 2, c] or null, for sum_leaves: every
//           block's share of Σ grad·(x - mean) / deviation and of Σ grad.
// Idea      A warp has a row. Every lane reads and writes its own columns only, so that results may take the place of what was read; the
//           second and the third reading of a row come from the first-level cache. Statistics in f32, two passes.
// Types     f32.
// Grid      any number of blocks of 256 threads: each takes eight rows in turn.
// Shared    forward none; backward 8·8·c bytes: each warp's sums. c = 128: 8,192; c = 1024: 65,536.
// Limits    rows < 2^31; backward c ≤ 1024.
// Floor     bytes: rows·c·8 forward, 12 backward; the pair at r = 1024, c = 128: 0.25 ms at 4.3 TB/s.
#include "primitives.cuh"

constexpr int NORM_WARPS = 8;

struct LayerNorm {
    const float *x, *scale, *offset;
    const float* residual; // or null
    float* out;
    i64 rows;
    int c;
};

struct LayerNormBackward {
    const float *x, *scale, *grad;
    float* dx;
    float* leaves; // or null
    i64 rows;
    int c;
};

/// Mean and 1 / deviation of a warp's row.
DEVICE Pair norm_statistics(const float* x, int c) {
    const int lane = thread_index() % 32;
    float sum = 0.0f, squares = 0.0f;
#pragma unroll 4
    for (int i = lane; i < c; i += 32) sum += x[i];
    const float mean = warp_sum(sum) / float(c);
#pragma unroll 4
    for (int i = lane; i < c; i += 32) squares += (x[i] - mean) * (x[i] - mean);
    return Pair{mean, inverse_root(warp_sum(squares) / float(c) + LAYER_NORM_EPS)};
}

KERNEL __launch_bounds__(256) layer_norm(const __grid_constant__ LayerNorm t) {
    const int lane = thread_index() % 32, warp = thread_index() / 32;
    for (i64 row = block_index() * NORM_WARPS + warp; row < t.rows; row += block_count() * NORM_WARPS) {
        const float* x = t.x + row * t.c;
        const Pair normal = norm_statistics(x, t.c);
#pragma unroll 4
        for (int i = lane; i < t.c; i += 32) {
            const float y = (x[i] - normal.x) * normal.y * t.scale[i] + t.offset[i];
            t.out[row * t.c + i] = t.residual ? t.residual[row * t.c + i] + y : y;
        }
    }
}

KERNEL __launch_bounds__(256) layer_norm_backward(const __grid_constant__ LayerNormBackward t) {
    const int lane = thread_index() % 32, warp = thread_index() / 32;
    float* sums = reinterpret_cast<float*>(shared_memory()) + warp * 2 * t.c; // scale's, then offset's
    for (int i = lane; i < t.c; i += 32) sums[i] = sums[t.c + i] = 0.0f;
    for (i64 row = block_index() * NORM_WARPS + warp; row < t.rows; row += block_count() * NORM_WARPS) {
        const float *x = t.x + row * t.c, *grad = t.grad + row * t.c;
        const Pair normal = norm_statistics(x, t.c);
        float sum = 0.0f, product = 0.0f;
#pragma unroll 4
        for (int i = lane; i < t.c; i += 32) {
            const float dy = grad[i], y = (x[i] - normal.x) * normal.y;
            sum += dy * t.scale[i];
            product += dy * t.scale[i] * y;
            sums[i] += dy * y;
            sums[t.c + i] += dy;
        }
        sum = warp_sum(sum) / float(t.c);
        product = warp_sum(product) / float(t.c);
#pragma unroll 4
        for (int i = lane; i < t.c; i += 32) {
            const float y = (x[i] - normal.x) * normal.y;
            t.dx[row * t.c + i] = normal.y * (grad[i] * t.scale[i] - sum - y * product);
        }
    }
    if (!t.leaves) return;
    sync_block();
    const float* all = reinterpret_cast<const float*>(shared_memory());
    for (int i = thread_index(); i < 2 * t.c; i += block_threads()) {
        float sum = 0.0f;
        for (int w = 0; w < NORM_WARPS; w++) sum += all[w * 2 * t.c + i];
        t.leaves[block_index() * 2 * t.c + i] = sum;
    }
}
