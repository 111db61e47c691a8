// Gradients of triangle_multiplication.cu, around its matrix products. AF2 Suppl. Alg. 11 and 12;
// crates/nn/src/ops/triangle_multiplication/backward.rs.
//
// limit: spills 0
//
// Order     1. triangle_project again (a, b), the products again (sums [c, n, ld]); turn_to_rows: sums to rows [n·n, c].
//           2. triangle_output_backward: with u = Wo·LN(sums) + bo, g = σ(Wg·LN(z) + bg) and the gradient G of out,
//              dupdate = G ⊙ g and dgate = G ⊙ u ⊙ g(1 - g), both [n·n, cz].
//           3. layer_norm_project_backward of the sums' rows with dupdate and Wo (X = W): dx is the gradient of the sums' rows,
//              `normed` LN(sums), leaves those of the output's norm. dWo [cz, c] = dupdateᵀ·normed, dbo = column_sums(dupdate).
//              turn_to_channels: dsums [c, n, ld].
//           4. cuBLASLt, a batch of c: outgoing (sums = a·bᵀ) da = dsums·b, db = dsumsᵀ·a; incoming (aᵀ·b) da = b·dsumsᵀ,
//              db = a·dsums. Rows of ld elements, whose padding nothing reads or writes.
//           5. triangle_project_backward: with p = Wp·LN(z) + bp, g = σ(Wg·LN(z) + bg) of a (and of b), from da [c, n, ld]
//              dp = da·mask ⊙ g and dg = da·mask ⊙ p ⊙ g(1 - g), in projected [n·n, 4·c]: dp, dg of a, dp, dg of b.
//           6. layer_norm_project_backward of z with five gradients: dgate with Wg, projected's four (row_stride 4·c) with
//              their weights. Weights: Gᵀ·normed; biases: column_sums.
// Types     names say z's and grad's type and the weights', which a, b and all gradients but z's have: bf16_bf16, f32_bf16, f32_f32.
// Grid      _backward: blocks of 32·w threads, w ≤ 8, in turn over tiles of 32·w pairs; turn_…: ceil(n / 32)·n·ceil(c / 64) blocks
//           of 256 threads.
// Shared    output: slots·P·128·S + w·P·64·(stride(cz) + stride(c)), S the larger stride; project: slots·P·128·stride(cz) +
//           w·P·64·stride(cz); turn_…: 8448 bytes. c = cz = 128, bf16, w = 4, 2 slots: 104,448 and 69,632.
// Limits    c and cz multiples of 8, at most 256; ld ≥ n; n² < 2^31; 16-byte aligned pointers.
// Floor     bytes: n²·2·(2·cz + c + 2·cz) and n²·2·(cz + 2·c + 4·c), turns n²·4·c; n = 512, c = cz = 128: 0.078, 0.109 and 0.031 ms.
#include "backward.cuh"

template <class X, class W>
struct TriangleOutputBackward {
    const X *z, *grad; // [n, n, cz]
    const W* sums;     // rows: [n·n, c]
    const float *norm_in_scale, *norm_in_offset;   // [cz]
    const float *norm_out_scale, *norm_out_offset; // [c]
    const W* out_weight; // [cz, c]
    const float* out_bias;
    const W* gate_weight; // [cz, cz]
    const float* gate_bias;
    W *dupdate, *dgate; // [n·n, cz]
    int n, cz, c, slots;
};

template <class X, class W>
DEVICE void triangle_output_backward(const TriangleOutputBackward<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = t.n * t.n;
    const int stride_in = stride_of(t.cz), stride_out = stride_of(t.c), own_in = WARP_ROWS * stride_in, own_out = WARP_ROWS * stride_out;
    const TwoWeights<W, false> weights{{t.gate_weight}, {t.out_weight}, t.cz, t.cz, t.c, 1};
    const int slot_count = min_of(max_of(t.slots, 2), weights.chunks());
    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    bf16* normed = slots + (slot_count * weights.slot() + warp * (own_in + own_out)) * PARTS;
    bf16* summed = normed + own_in * PARTS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    WeightStream<W, TwoWeights<W, false>> stream(weights, slots, weights.slot(), slot_count, weights.chunks(), my_tiles);
    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        sync_warp(); // nobody reads the rows of the tile before any more
        normalise_rows<PARTS>(normed, stride_in, own_in, WARP_ROWS, t.cz, t.norm_in_scale, t.norm_in_offset,
                              [&](int r) -> const X* { return first + r < rows ? t.z + i64(first + r) * t.cz : nullptr; });
        normalise_rows<PARTS>(summed, stride_out, own_out, WARP_ROWS, t.c, t.norm_out_scale, t.norm_out_offset,
                              [&](int r) -> const W* { return first + r < rows ? t.sums + i64(first + r) * t.c : nullptr; });
        sync_warp();
        two_products(stream, weights, normed, summed, [&](int, int r, int column, Pair gate, Pair update) {
            if (first + r >= rows) return;
            const i64 at = i64(first + r) * t.cz + column;
            const Pair gate_bias = load_pair(t.gate_bias + column), bias = load_pair(t.out_bias + column), grad = load_pair(t.grad + at);
            const float x = sigmoid<W>(gate.x + gate_bias.x), y = sigmoid<W>(gate.y + gate_bias.y);
            store_pair(t.dupdate + at, grad.x * x, grad.y * y);
            store_pair(t.dgate + at, grad.x * (update.x + bias.x) * x * (1.0f - x), grad.y * (update.y + bias.y) * y * (1.0f - y));
        });
    }
}

template <class X, class W>
struct TriangleProjectBackward {
    const X* z;        // [n, n, cz]
    const float* mask; // [n, n] or null
    const float *norm_scale, *norm_offset;
    const W* project[2];          // of a and b, [c, cz]
    const W* gate[2];             // [c, cz]
    const float* project_bias[2]; // [c]
    const float* gate_bias[2];    // [c]
    const W* grad[2];             // da and db, [c, n, ld]
    W* projected;                 // [n·n, 4·c]
    i64 ld;
    int n, cz, c, slots;
};

template <class X, class W>
DEVICE void triangle_project_backward(const TriangleProjectBackward<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = t.n * t.n;
    const int stride = stride_of(t.cz), own = WARP_ROWS * stride;
    const TwoWeights<W, false> weights{{t.project[0], t.project[1]}, {t.gate[0], t.gate[1]}, t.c, t.cz, t.cz, 2};
    const int slot_count = min_of(max_of(t.slots, 2), weights.chunks());
    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    bf16* normed = slots + (slot_count * weights.slot() + warp * own) * PARTS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    WeightStream<W, TwoWeights<W, false>> stream(weights, slots, weights.slot(), slot_count, weights.chunks(), my_tiles);
    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        sync_warp(); // nobody reads the rows of the tile before any more
        normalise_rows<PARTS>(normed, stride, own, WARP_ROWS, t.cz, t.norm_scale, t.norm_offset,
                              [&](int r) -> const X* { return first + r < rows ? t.z + i64(first + r) * t.cz : nullptr; });
        sync_warp();
        two_products(stream, weights, normed, normed, [&](int side, int r, int channel, Pair project, Pair gate) {
            const int row = first + r;
            if (row >= rows) return;
            const Pair bias = load_pair(t.project_bias[side] + channel), gate_bias = load_pair(t.gate_bias[side] + channel);
            const float x = sigmoid<W>(gate.x + gate_bias.x), y = sigmoid<W>(gate.y + gate_bias.y);
            const W* from = t.grad[side] + (i64(channel) * t.n + row / t.n) * t.ld + row % t.n;
            const float present = t.mask ? t.mask[row] : 1.0f;
            const float left = to_f32(from[0]) * present, right = to_f32(from[t.n * t.ld]) * present;
            W* to = t.projected + (i64(row) * 4 + 2 * side) * t.c + channel;
            store_pair(to, left * x, right * y);
            store_pair(to + t.c, left * (project.x + bias.x) * x * (1.0f - x), right * (project.y + bias.y) * y * (1.0f - y));
        });
    }
}

template <class W>
struct TurnChannels {
    W* channels; // [c, n, ld]
    W* rows;     // [n, n, c]
    i64 ld;
    int n, c;
};

/// 64 channels × 32 pairs of one row i, either way through shared memory.
template <class W, bool TO_ROWS>
DEVICE void turn_channels(const TurnChannels<W>& t) {
    constexpr int PAIRS = 32, CHANNELS = 64, STRIDE = PAIRS + 1;
    const int column_blocks = (t.c + CHANNELS - 1) / CHANNELS, across = (t.n + PAIRS - 1) / PAIRS;
    const int c0 = int(block_index() % column_blocks) * CHANNELS, j0 = int(block_index() / column_blocks % across) * PAIRS;
    const i64 i = block_index() / column_blocks / across;
    float* tile = reinterpret_cast<float*>(shared_memory()); // [channel][pair]
    auto channel_place = [&](int c, int j) { return t.channels + (i64(c0 + c) * t.n + i) * t.ld + j0 + j; };
    auto row_place = [&](int j, int c) { return t.rows + (i * t.n + j0 + j) * t.c + c0 + c; };
    for (int v = thread_index(); v < CHANNELS * PAIRS; v += block_threads()) {
        const int j = TO_ROWS ? v % PAIRS : v / CHANNELS, c = TO_ROWS ? v / PAIRS : v % CHANNELS;
        if (j0 + j < t.n && c0 + c < t.c) tile[c * STRIDE + j] = to_f32(*(TO_ROWS ? channel_place(c, j) : row_place(j, c)));
    }
    sync_block();
    for (int v = thread_index(); v < CHANNELS * PAIRS; v += block_threads()) {
        const int j = TO_ROWS ? v / CHANNELS : v % PAIRS, c = TO_ROWS ? v % CHANNELS : v / PAIRS;
        if (j0 + j < t.n && c0 + c < t.c) store_one(TO_ROWS ? row_place(j, c) : channel_place(c, j), tile[c * STRIDE + j]);
    }
}

KERNEL __launch_bounds__(256, 1) triangle_output_backward_bf16_bf16(const __grid_constant__ TriangleOutputBackward<bf16, bf16> t) { triangle_output_backward(t); }
KERNEL __launch_bounds__(256, 1) triangle_output_backward_f32_bf16(const __grid_constant__ TriangleOutputBackward<float, bf16> t) { triangle_output_backward(t); }
KERNEL __launch_bounds__(256, 1) triangle_output_backward_f32_f32(const __grid_constant__ TriangleOutputBackward<float, float> t) { triangle_output_backward(t); }
KERNEL __launch_bounds__(256, 1) triangle_project_backward_bf16_bf16(const __grid_constant__ TriangleProjectBackward<bf16, bf16> t) { triangle_project_backward(t); }
KERNEL __launch_bounds__(256, 1) triangle_project_backward_f32_bf16(const __grid_constant__ TriangleProjectBackward<float, bf16> t) { triangle_project_backward(t); }
KERNEL __launch_bounds__(256, 1) triangle_project_backward_f32_f32(const __grid_constant__ TriangleProjectBackward<float, float> t) { triangle_project_backward(t); }
KERNEL __launch_bounds__(256) turn_to_rows_bf16(const __grid_constant__ TurnChannels<bf16> t) { turn_channels<bf16, true>(t); }
KERNEL __launch_bounds__(256) turn_to_rows_f32(const __grid_constant__ TurnChannels<float> t) { turn_channels<float, true>(t); }
KERNEL __launch_bounds__(256) turn_to_channels_bf16(const __grid_constant__ TurnChannels<bf16> t) { turn_channels<bf16, false>(t); }
KERNEL __launch_bounds__(256) turn_to_channels_f32(const __grid_constant__ TurnChannels<float> t) { turn_channels<float, false>(t); }
