// Gradients of gate_output.cu, as far as the gate's projection. AF2 Suppl. Alg. 7, 8, 13, 14, 19 (last lines);
// crates/nn/src/ops/attention/backward.rs.
//
// limit: spills 0
//
// With out = Wo·(g ⊙ o) + bo, g = σ(Wg·LN(x) + bg), and the gradient G of out:
//   do = (G·Wo) ⊙ g    dgate = (G·Wo) ⊙ o ⊙ g(1 - g)    gated = g ⊙ o
// LN and gate are made again from x. What remains: layer_norm_project_backward takes dgate with Wg (and the queries', keys' and
// values' gradients); dWo [c, hv] = grad_rowsᵀ·gated, dWg [hv, c] = dgateᵀ·normed; dbo = column_sums(grad_rows), dbg =
// column_sums(dgate). With o_rows, do is that of every row: column_sums of do as [n0, n1·hv] gives o's gradient.
//
// Shapes    x, grad [n0, n1, c] through the same strides; o, do, dgate, gated [n0·n1, hv], o as in gate_output.cu; grad_rows
//           [n0·n1, c], the gradient in the order of o's rows, in W (null: not wanted, as grad itself will do).
// Types     names say x's and grad's type and the weights': bf16_bf16, f32_bf16, f32_f32. Gate by tanh.approx for bf16.
// Grid      as gate_output.cu: blocks of 32·w threads, w ≤ 8, in turn over tiles of 32·w rows.
// Shared    slots·P·2·max(64·stride(c), 72·padded(c)) + w·P·128·stride(c) bytes; c = 128, bf16, w = 8, 2 slots: 176,128.
// Limits    as gate_output.cu. do may be o, if o_rows = 0.
// Floor     bytes: rows·(2·c·sizeof x + 4·hv·2); triangle attention at n = 512, bf16: 0.094 ms at 4.3 TB/s.
#include "backward.cuh"

template <class X, class W>
struct GateOutputBackward {
    const X *x, *grad;
    const float *norm_scale, *norm_offset; // [c]
    const W* gate_weight;
    const float* gate_bias; // [hv]
    const W* o;
    const W* out_weight;
    W *d_o, *dgate, *gated;
    W* grad_rows; // or null
    i64 stride0, stride1; // elements of x and grad
    int n0, n1, c, hv, slots, o_rows;
};

template <class X, class W>
DEVICE void gate_output_backward(const GateOutputBackward<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int warps = block_threads() / 32, warp = thread_index() / 32, lane = thread_index() % 32, rows = t.n0 * t.n1;
    const int stride = stride_of(t.c), own = WARP_ROWS * stride;
    const TwoWeights<W, true> weights{{t.gate_weight}, {t.out_weight}, t.hv, t.c, t.c, 1};
    const int slot_count = min_of(max_of(t.slots, 2), weights.chunks());
    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    bf16* normed = slots + (slot_count * weights.slot() + warp * 2 * own) * PARTS;
    bf16* grads = normed + own * PARTS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    WeightStream<W, TwoWeights<W, true>> stream(weights, slots, weights.slot(), slot_count, weights.chunks(), my_tiles);
    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        auto place = [&](int row) { return row / t.n1 * t.stride0 + row % t.n1 * t.stride1; };
        sync_warp(); // nobody reads the rows of the tile before any more
        normalise_rows<PARTS>(normed, stride, own, WARP_ROWS, t.c, t.norm_scale, t.norm_offset,
                              [&](int r) -> const X* { return first + r < rows ? t.x + place(first + r) : nullptr; });
        put_rows<PARTS>(grads, stride, own, WARP_ROWS, t.c,
                        [&](int r) -> const X* { return first + r < rows ? t.grad + place(first + r) : nullptr; });
        if (t.grad_rows)
            for (int i = lane; i < WARP_ROWS * (t.c / 8); i += 32) {
                const int row = first + i / (t.c / 8), at = i % (t.c / 8) * 8;
                if (row >= rows) continue;
                float v[8];
                load_eight(t.grad + place(row) + at, v);
                store_eight(t.grad_rows + i64(row) * t.c + at, v);
            }
        sync_warp();
        two_products(stream, weights, normed, grads, [&](int, int r, int column, Pair gate, Pair back) {
            const int row = first + r;
            if (row >= rows) return;
            const Pair bias = load_pair(t.gate_bias + column), o = load_pair(t.o + i64(t.o_rows ? row % t.o_rows : row) * t.hv + column);
            const float x = sigmoid<W>(gate.x + bias.x), y = sigmoid<W>(gate.y + bias.y);
            const i64 to = i64(row) * t.hv + column;
            store_pair(t.d_o + to, back.x * x, back.y * y);
            store_pair(t.dgate + to, back.x * o.x * x * (1.0f - x), back.y * o.y * y * (1.0f - y));
            store_pair(t.gated + to, o.x * x, o.y * y);
        });
    }
}

KERNEL __launch_bounds__(256, 1) gate_output_backward_bf16_bf16(const __grid_constant__ GateOutputBackward<bf16, bf16> t) { gate_output_backward(t); }
KERNEL __launch_bounds__(256, 1) gate_output_backward_f32_bf16(const __grid_constant__ GateOutputBackward<float, bf16> t) { gate_output_backward(t); }
KERNEL __launch_bounds__(256, 1) gate_output_backward_f32_f32(const __grid_constant__ GateOutputBackward<float, float> t) { gate_output_backward(t); }
