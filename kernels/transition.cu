// Transition: x + W2·relu(W1·LN(x) + b1) + b2, the widened rows never stored. AF2 Suppl. Alg. 9 and 15;
// crates/nn/src/ops/transition.rs.
//
// limit: spills 0
// limit: spills 256 transition_f32_f32_256
//
// Shapes    x, residual, out [rows, c]; widen [w, c], narrow [c, w]; norm and biases f32. residual null: the update alone.
//           out may be x and residual.
// Idea      A warp keeps 16 rows' sums in registers and walks the hidden channels 64 at a time: chunks of weights alternate
//           between 64 rows of `widen` and 64 columns of `narrow`.
// Types     names say x's type, the weights', and the most channels: bf16_bf16_128, f32_bf16_256, f32_f32_256, …
// Grid      blocks of 32·w threads, w ≤ 8, in turn over tiles of 16·w rows.
// Shared    slots·P·S·2 + w·P·16·(stride(c) + 72)·2 + w·4608 bytes, S = max(64·stride(c), M·72), M the kernel's most
//           channels. c = 128, bf16, w = 8, 2 slots: 126,976. c = 256: 196,608.
// Limits    c and w multiples of 8, c at most M; rows < 2^31; 16-byte aligned pointers.
// Floor     FLOPs: rows·c·w·4 at 790 TFLOP/s; MSA of 512 × 512, c = 256, w = 1024: 0.348 ms. Each warp has 16 rows only, so
//           shared-memory reads cost more than the products: at most about 60% of what mma.sync gives (pred).
#include "stream.cuh"

template <class X, class W>
struct Transition {
    const X* x;
    const float *norm_scale, *norm_offset; // [c]
    const W* widen;
    const float* widen_bias; // [w]
    const W* narrow;
    const float* narrow_bias; // [c]
    const X* residual;        // or null
    X* out;
    i64 rows;
    int c, w, slots;
};

constexpr int HIDDEN = 64;

template <class W, int MOST>
struct TransitionChunks {
    const W *widen, *narrow;
    int c, w;
    DEVICE int rows(int chunk) const { return chunk % 2 ? MOST : HIDDEN; }
    DEVICE int columns(int chunk) const { return chunk % 2 ? HIDDEN : padded_k(c); }
    DEVICE int stride(int chunk) const { return stride_of(chunk % 2 ? HIDDEN : c); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        const int first = chunk / 2 * HIDDEN;
        if (chunk % 2) {
            k = r < c ? min_of(HIDDEN, w - first) : 0;
            return narrow + i64(r < c ? r : 0) * w + first;
        }
        const bool inside = first + r < w;
        k = inside ? c : 0;
        return widen + i64(inside ? first + r : 0) * c;
    }
};

template <class X, class W, int MOST>
DEVICE void transition(const Transition<X, W>& t) {
    constexpr int PARTS = Parts<W>::count, ROWS = 16, HIDDEN_STRIDE = stride_of(HIDDEN);
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = int(t.rows);
    const int stride = stride_of(t.c), own = ROWS * stride, own_hidden = ROWS * HIDDEN_STRIDE;
    const int slot = max_of(HIDDEN * stride, MOST * HIDDEN_STRIDE), chunks = 2 * ((t.w + HIDDEN - 1) / HIDDEN);

    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    const int slot_count = min_of(max_of(t.slots, 2), chunks);
    bf16* normed = slots + (slot_count * slot + warp * (own + own_hidden)) * PARTS;
    bf16* hidden = normed + own * PARTS;
    float* stage = reinterpret_cast<float*>(slots + (slot_count * slot + warps * (own + own_hidden)) * PARTS) +
                   warp * STAGE_FLOATS;

    const i64 tile_rows = warps * ROWS, tiles = (t.rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    const TransitionChunks<W, MOST> source{t.widen, t.narrow, t.c, t.w};
    WeightStream<W, TransitionChunks<W, MOST>> stream(source, slots, slot, slot_count, chunks, my_tiles);

    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * ROWS, t.rows));
        normalise_rows<PARTS>(normed, stride, own, ROWS, t.c, t.norm_scale, t.norm_offset, [&](int r) -> const X* {
            return first + r < rows ? t.x + i64(first + r) * t.c : nullptr;
        });
        sync_warp();
        float sums[1][MOST / 8][4];
        clear(sums);
        for (int chunk = 0; chunk < chunks; chunk += 2) {
            const bf16* weights = stream.acquire();
            float acc[1][8][4];
            clear(acc);
            multiply<PARTS>(acc, normed, stride, own, weights, stride, slot, padded_k(t.c));
#pragma unroll
            for (int n = 0; n < 8; n++) {
                const int at = 8 * n + 2 * quad, w = chunk / 2 * HIDDEN + at;
                // Hidden channels that do not exist: their weights and biases are zeros.
                const Pair b = w < t.w ? load_pair(t.widen_bias + w) : Pair{0.0f, 0.0f};
#pragma unroll
                for (int half = 0; half < 2; half++)
                    put_pair<PARTS>(hidden + (g + 8 * half) * HIDDEN_STRIDE + at, own_hidden,
                                    max_of(acc[0][n][2 * half] + b.x, 0.0f), max_of(acc[0][n][2 * half + 1] + b.y, 0.0f));
            }
            sync_warp();
            weights = stream.acquire();
            multiply<PARTS>(sums, hidden, HIDDEN_STRIDE, own_hidden, weights, HIDDEN_STRIDE, slot, HIDDEN);
            sync_warp(); // before the hidden channels are overwritten
        }
#pragma unroll
        for (int part = 0; part < MOST / 64; part++) {
#pragma unroll
            for (int n = 0; n < 8; n++) {
                store_pair(stage + g * STAGE_STRIDE + 8 * n + 2 * quad, sums[0][8 * part + n][0], sums[0][8 * part + n][1]);
                store_pair(stage + (g + 8) * STAGE_STRIDE + 8 * n + 2 * quad, sums[0][8 * part + n][2], sums[0][8 * part + n][3]);
            }
            sync_warp();
            for (int i = lane; i < ROWS * 8; i += 32) {
                const int row = first + i / 8, c = 64 * part + i % 8 * 8;
                if (row >= rows || c >= t.c) continue;
                float v[8], before[8] = {};
                load_eight(stage + i / 8 * STAGE_STRIDE + i % 8 * 8, v);
                const i64 at = i64(row) * t.c + c;
                if (t.residual) load_eight(t.residual + at, before);
                for (int j = 0; j < 8; j++) v[j] += t.narrow_bias[c + j] + before[j];
                store_eight(t.out + at, v);
            }
            sync_warp();
        }
    }
}

KERNEL __launch_bounds__(256, 1) transition_bf16_bf16_64(const __grid_constant__ Transition<bf16, bf16> t) { transition<bf16, bf16, 64>(t); }
KERNEL __launch_bounds__(256, 1) transition_bf16_bf16_128(const __grid_constant__ Transition<bf16, bf16> t) { transition<bf16, bf16, 128>(t); }
KERNEL __launch_bounds__(256, 1) transition_bf16_bf16_256(const __grid_constant__ Transition<bf16, bf16> t) { transition<bf16, bf16, 256>(t); }
KERNEL __launch_bounds__(256, 1) transition_f32_bf16_64(const __grid_constant__ Transition<float, bf16> t) { transition<float, bf16, 64>(t); }
KERNEL __launch_bounds__(256, 1) transition_f32_bf16_128(const __grid_constant__ Transition<float, bf16> t) { transition<float, bf16, 128>(t); }
KERNEL __launch_bounds__(256, 1) transition_f32_bf16_256(const __grid_constant__ Transition<float, bf16> t) { transition<float, bf16, 256>(t); }
KERNEL __launch_bounds__(256, 1) transition_f32_f32_64(const __grid_constant__ Transition<float, float> t) { transition<float, float, 64>(t); }
KERNEL __launch_bounds__(256, 1) transition_f32_f32_128(const __grid_constant__ Transition<float, float> t) { transition<float, float, 128>(t); }
KERNEL __launch_bounds__(256, 1) transition_f32_f32_256(const __grid_constant__ Transition<float, float> t) { transition<float, float, 256>(t); }
