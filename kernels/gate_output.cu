// The end of an attention: Wo·(σ(Wg·LN(x) + bg) ⊙ o) + bo, added to x. LN and gate are made again from x, never stored.
// AF2 Suppl. Alg. 7, 8, 13, 14 (last lines); crates/nn/src/ops/attention.rs.
//
// limit: spills 0
//
// Shapes    x, residual, out [n0, n1, c] through the same strides (swap them for the ending node); o [n0·n1, hv] as
//           attention.cu leaves it, or [n1, hv] for every i0 (o_rows = n1, global_attention.cu); gate weight [hv, c], output weight [c, hv]; norm and biases f32. residual null: the
//           update alone. out may be x and residual: every row is read before it is written, by one warp.
// Types     names say x's type and the weights' (and o's): bf16_bf16, f32_bf16, f32_f32. Gate by tanh.approx for bf16.
// Grid      as layer_norm_project.cu: blocks of 32·w threads, w ≤ 8, in turn over tiles of 32·w rows.
// Shared    slots·P·64·S·2 + w·(P·32·(stride(c) + stride(hv))·2 + 4608) bytes, S = max(stride(c), stride(hv)).
//           c = hv = 128, bf16, w = 4: 4 slots (weights stay) 157,696; 2 slots 122,880.
// Limits    c and hv multiples of 8, at most 256; rows < 2^31; 16-byte aligned pointers.
// Floor     bytes: rows·(2·c·sizeof x + hv·2); triangle attention at n = 512, bf16: 0.047 ms at 4.3 TB/s.
#include "stream.cuh"

template <class X, class W>
struct GateOutput {
    const X* x;
    const float *norm_scale, *norm_offset; // [c]
    const W* gate_weight;
    const float* gate_bias; // [hv]
    const W* o;
    const W* out_weight;
    const float* out_bias; // [c]
    const X* residual;     // or null
    X* out;
    i64 stride0, stride1; // elements of x, residual and out
    int n0, n1, c, hv, slots;
    int o_rows; // 0, or rows of o: row i is gated with o's row i % o_rows
};

template <class W>
struct GateOutputChunks {
    const W *gate, *out;
    int c, hv, gates; // chunks of the gate come first
    DEVICE int rows(int) const { return 64; }
    DEVICE int columns(int chunk) const { return padded_k(chunk < gates ? c : hv); }
    DEVICE int stride(int chunk) const { return stride_of(chunk < gates ? c : hv); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        const bool is_gate = chunk < gates;
        const int w = 64 * (is_gate ? chunk : chunk - gates) + r, inputs = is_gate ? c : hv;
        const bool inside = w < (is_gate ? hv : c);
        k = inside ? inputs : 0;
        return (is_gate ? gate : out) + i64(inside ? w : 0) * inputs;
    }
};

template <class X, class W>
DEVICE void gate_output(const GateOutput<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = t.n0 * t.n1;
    const int stride = stride_of(t.c), gated_stride = stride_of(t.hv);
    const int gates = (t.hv + 63) / 64, chunks = gates + (t.c + 63) / 64;
    const int slot = 64 * max_of(stride, gated_stride), own = WARP_ROWS * stride, own_gated = WARP_ROWS * gated_stride;

    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    const int slot_count = min_of(max_of(t.slots, 2), chunks);
    bf16* normed = slots + (slot_count * slot + warp * (own + own_gated)) * PARTS;
    bf16* gated = normed + own * PARTS;
    float* stage = reinterpret_cast<float*>(slots + (slot_count * slot + warps * (own + own_gated)) * PARTS) +
                   warp * STAGE_FLOATS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    const GateOutputChunks<W> source{t.gate_weight, t.out_weight, t.c, t.hv, gates};
    WeightStream<W, GateOutputChunks<W>> stream(source, slots, slot, slot_count, chunks, my_tiles);

    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        auto place = [&](int row) { return row / t.n1 * t.stride0 + row % t.n1 * t.stride1; };
        normalise_rows<PARTS>(normed, stride, own, WARP_ROWS, t.c, t.norm_scale, t.norm_offset, [&](int r) -> const X* {
            return first + r < rows ? t.x + place(first + r) : nullptr;
        });
        sync_warp();
        int o_row[4]; // of rows g, g + 8, …
        for (int i = 0; i < 4; i++) o_row[i] = t.o_rows ? (first + 8 * i + g) % t.o_rows : first + 8 * i + g;
        for (int chunk = 0; chunk < gates; chunk++) {
            const bf16* weights = stream.acquire();
            float acc[2][8][4];
            clear(acc);
            multiply<PARTS>(acc, normed, stride, own, weights, stride, slot, padded_k(t.c));
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int n = 0; n < 8; n++) {
                    const int w = 64 * chunk + 8 * n + 2 * quad;
                    if (w >= padded_k(t.hv)) continue;
                    const bool inside = w < t.hv;
                    const Pair b = inside ? load_pair(t.gate_bias + w) : Pair{0.0f, 0.0f};
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int r = 16 * m + 8 * half + g;
                        // Rows and channels that do not exist are zeros.
                        const Pair o = inside && first + r < rows ? load_pair(t.o + i64(o_row[2 * m + half]) * t.hv + w) : Pair{0.0f, 0.0f};
                        put_pair<PARTS>(gated + r * gated_stride + w, own_gated, sigmoid<W>(acc[m][n][2 * half] + b.x) * o.x,
                                        sigmoid<W>(acc[m][n][2 * half + 1] + b.y) * o.y);
                    }
                }
        }
        sync_warp();
        for (int chunk = 0; chunk < chunks - gates; chunk++) {
            const bf16* weights = stream.acquire();
            float acc[2][8][4];
            clear(acc);
            multiply<PARTS>(acc, gated, gated_stride, own_gated, weights, gated_stride, slot, padded_k(t.hv));
#pragma unroll
            for (int m = 0; m < 2; m++) {
                stage_rows(stage, acc[m]);
                sync_warp();
                for (int i = lane; i < 16 * 8; i += 32) {
                    const int row = first + 16 * m + i / 8, w = 64 * chunk + i % 8 * 8;
                    if (row >= rows || w >= t.c) continue;
                    float v[8], before[8] = {};
                    load_eight(stage + i / 8 * STAGE_STRIDE + i % 8 * 8, v);
                    const i64 at = place(row) + w;
                    if (t.residual) load_eight(t.residual + at, before);
                    for (int j = 0; j < 8; j++) v[j] += t.out_bias[w + j] + before[j];
                    store_eight(t.out + at, v);
                }
                sync_warp();
            }
        }
    }
}

KERNEL __launch_bounds__(256, 1) gate_output_bf16_bf16(const __grid_constant__ GateOutput<bf16, bf16> t) { gate_output(t); }
KERNEL __launch_bounds__(256, 1) gate_output_f32_bf16(const __grid_constant__ GateOutput<float, bf16> t) { gate_output(t); }
KERNEL __launch_bounds__(256, 1) gate_output_f32_f32(const __grid_constant__ GateOutput<float, float> t) { gate_output(t); }
