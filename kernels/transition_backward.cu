// Gradients of transition.cu, as far as the first projection. AF2 Suppl. Alg. 9 and 15; crates/nn/src/ops/transition.rs.
//
// limit: spills 0
//
// With out = W2·h + b2, h = relu(W1·LN(x) + b1), and the gradient G of out:    dh = (G·W2) where h > 0
// LN and the widened rows are made again from x. What remains: layer_norm_project_backward takes dh with W1; dW2 [c, w] =
// grad_rowsᵀ·hidden, dW1 [w, c] = dhiddenᵀ·normed; db2 = column_sums(G), db1 = column_sums(dhidden). hidden and dhidden are as
// large as the widened rows: the caller may take the rows in parts and add the products up.
//
// Shapes    x, grad [rows, c]; hidden, dhidden [rows, w]; grad_rows [rows, c], the gradient in W (null: not wanted).
// Types     names say x's and grad's type and the weights': bf16_bf16, f32_bf16, f32_f32.
// Grid      blocks of 32·w threads, w ≤ 8, in turn over tiles of 32·w rows.
// Shared    slots·P·2·max(64·stride(c), 72·padded(c)) + w·P·128·stride(c) bytes; c = 128, bf16, w = 8, 2 slots: 176,128;
//           c = 256, w = 4: 208,896 (sm_80: w = 2, 141,312).
// Limits    c a multiple of 8, at most 256; w a multiple of 8; rows < 2^31; 16-byte aligned pointers.
// Floor     FLOPs: rows·c·w·4; bytes: rows·(2·c·sizeof x + 2·w·2); MSA of 512 × 512, c = 256, w = 1024: 0.348 ms.
#include "backward.cuh"

template <class X, class W>
struct TransitionBackward {
    const X *x, *grad;
    const float *norm_scale, *norm_offset; // [c]
    const W* widen;
    const float* widen_bias; // [w]
    const W* narrow;
    W *hidden, *dhidden;
    W* grad_rows; // or null
    i64 rows;
    int c, w, slots;
};

template <class X, class W>
DEVICE void transition_backward(const TransitionBackward<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int warps = block_threads() / 32, warp = thread_index() / 32, lane = thread_index() % 32, rows = int(t.rows);
    const int stride = stride_of(t.c), own = WARP_ROWS * stride;
    const TwoWeights<W, true> weights{{t.widen}, {t.narrow}, t.w, t.c, t.c, 1};
    const int slot_count = min_of(max_of(t.slots, 2), weights.chunks());
    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    bf16* normed = slots + (slot_count * weights.slot() + warp * 2 * own) * PARTS;
    bf16* grads = normed + own * PARTS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    WeightStream<W, TwoWeights<W, true>> stream(weights, slots, weights.slot(), slot_count, weights.chunks(), my_tiles);
    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        sync_warp(); // nobody reads the rows of the tile before any more
        normalise_rows<PARTS>(normed, stride, own, WARP_ROWS, t.c, t.norm_scale, t.norm_offset,
                              [&](int r) -> const X* { return first + r < rows ? t.x + i64(first + r) * t.c : nullptr; });
        put_rows<PARTS>(grads, stride, own, WARP_ROWS, t.c,
                        [&](int r) -> const X* { return first + r < rows ? t.grad + i64(first + r) * t.c : nullptr; });
        if (t.grad_rows)
            for (i64 i = i64(first) * t.c + 8 * lane; i < i64(min_of(first + WARP_ROWS, rows)) * t.c; i += 8 * 32) {
                float v[8];
                load_eight(t.grad + i, v);
                store_eight(t.grad_rows + i, v);
            }
        sync_warp();
        two_products(stream, weights, normed, grads, [&](int, int r, int column, Pair wide, Pair back) {
            if (first + r >= rows) return;
            const Pair bias = load_pair(t.widen_bias + column);
            const float x = max_of(wide.x + bias.x, 0.0f), y = max_of(wide.y + bias.y, 0.0f);
            const i64 to = i64(first + r) * t.w + column;
            store_pair(t.hidden + to, x, y);
            store_pair(t.dhidden + to, x > 0.0f ? back.x : 0.0f, y > 0.0f ? back.y : 0.0f);
        });
    }
}

KERNEL __launch_bounds__(256, 1) transition_backward_bf16_bf16(const __grid_constant__ TransitionBackward<bf16, bf16> t) { transition_backward(t); }
KERNEL __launch_bounds__(256, 1) transition_backward_f32_bf16(const __grid_constant__ TransitionBackward<float, bf16> t) { transition_backward(t); }
KERNEL __launch_bounds__(256, 1) transition_backward_f32_f32(const __grid_constant__ TransitionBackward<float, float> t) { transition_backward(t); }
