// Triangle multiplication, before and after its matrix products. AF2 Suppl. Alg. 11 and 12;
// crates/nn/src/ops/triangle_multiplication.rs.
//
// limit: spills 0
//
// Idea      triangle_project stores a and b channel-major, [c, n, ld], so that the sum over k is one n × n × n product a channel:
//           a·bᵀ for outgoing edges, aᵀ·b for incoming ones, both a strided batch of cuBLASLt. triangle_output reads the
//           sums [c, n, ld] column by column: a lane owns a pair (i, j), so neither side needs a transposition of its own.
// Project   a = (Wap·LN(z) + bap)·σ(Wag·LN(z) + bag)·mask, b alike. A chunk of weights is 32 projections and the 32
//           gates of the same channels: both meet in one lane.
// Output    out = residual + (Wo·LN(sums) + bo)·σ(Wg·LN(z) + bg). out may be z and residual. LN of the input is made again.
// Types     names say z's type and the weights', which a, b and the sums have too: bf16_bf16, f32_bf16, f32_f32.
// Grid      as layer_norm_project.cu: blocks of 32·w threads, w ≤ 8, in turn over tiles of 32·w pairs.
// Shared    project: slots·P·64·stride(cz)·2 + w·(P·32·stride(cz)·2 + 4608); cz = 128, w = 8, 2 slots: 141,312 bytes.
//           output: slots·P·64·S·2 + w·(P·32·(stride(cz) + stride(c))·2 + 4608), S the larger stride; c = 128, w = 4,
//           4 slots (weights stay): 157,696.
// Limits    c and cz multiples of 8, at most 256; ld ≥ n; n² < 2^31; 16-byte aligned pointers.
// Floor     bytes: n²·(cz + 2·c)·2 and n²·(2·cz + c)·2; n = 512, c = cz = 128: 0.047 ms each at 4.3 TB/s.
#include "stream.cuh"

/// Channels of a chunk, and rows of one of its two halves.
constexpr int HALF = 32;

template <class X, class W>
struct TriangleProject {
    const X* z;        // [n, n, cz]
    const float* mask; // [n, n] or null
    const float *norm_scale, *norm_offset;
    const W* project[2];           // of a and b, [c, cz]
    const W* gate[2];              // [c, cz]
    const float* project_bias[2];  // [c]
    const float* gate_bias[2];     // [c]
    W* out[2];                     // a and b, [c, n, ld]
    i64 ld;
    int n, cz, c, slots;
};

template <class X, class W>
struct TriangleProjectChunks {
    const TriangleProject<X, W>& t;
    int halves; // chunks of a; as many of b follow
    DEVICE int rows(int) const { return 2 * HALF; }
    DEVICE int columns(int) const { return padded_k(t.cz); }
    DEVICE int stride(int) const { return stride_of(t.cz); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        const int side = chunk >= halves, channel = (chunk - side * halves) * HALF + r % HALF;
        const bool inside = channel < t.c;
        k = inside ? t.cz : 0;
        return (r < HALF ? t.project : t.gate)[side] + i64(inside ? channel : 0) * t.cz;
    }
};

template <class X, class W>
DEVICE void triangle_project(const TriangleProject<X, W>& t) {
    constexpr int PARTS = Parts<W>::count, STAGE = WARP_ROWS + 4; // the stage: [32 channels][32 pairs]
    static_assert(HALF * STAGE <= STAGE_FLOATS, "a stage holds 32 channels");
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = t.n * t.n;
    const int stride = stride_of(t.cz), slot = 2 * HALF * stride, own = WARP_ROWS * stride;
    const int halves = (t.c + HALF - 1) / HALF, chunks = 2 * halves;

    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    const int slot_count = min_of(max_of(t.slots, 2), chunks);
    bf16* normed = slots + (slot_count * slot + warp * own) * PARTS;
    float* stage = reinterpret_cast<float*>(slots + (slot_count * slot + warps * own) * PARTS) + warp * STAGE_FLOATS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    const TriangleProjectChunks<X, W> source{t, halves};
    WeightStream<W, TriangleProjectChunks<X, W>> stream(source, slots, slot, slot_count, chunks, my_tiles);

    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        normalise_rows<PARTS>(normed, stride, own, WARP_ROWS, t.cz, t.norm_scale, t.norm_offset, [&](int r) -> const X* {
            return first + r < rows ? t.z + i64(first + r) * t.cz : nullptr;
        });
        sync_warp();
        const int pair = first + lane;
        const float present = pair < rows && t.mask ? t.mask[pair] : 1.0f;
        const i64 place = pair / t.n * t.ld + pair % t.n;
        for (int chunk = 0; chunk < chunks; chunk++) {
            const bf16* weights = stream.acquire();
            float acc[2][8][4];
            clear(acc);
            multiply<PARTS>(acc, normed, stride, own, weights, stride, slot, padded_k(t.cz));
            const int side = chunk >= halves, first_channel = (chunk - side * halves) * HALF;
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const int channel = 8 * n + 2 * quad;
                const bool inside = first_channel + channel < t.c;
                const Pair b = inside ? load_pair(t.project_bias[side] + first_channel + channel) : Pair{0.0f, 0.0f};
                const Pair gb = inside ? load_pair(t.gate_bias[side] + first_channel + channel) : Pair{0.0f, 0.0f};
#pragma unroll
                for (int m = 0; m < 2; m++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        float* to = stage + channel * STAGE + 16 * m + 8 * half + g;
                        to[0] = (acc[m][n][2 * half] + b.x) * sigmoid<W>(acc[m][n + 4][2 * half] + gb.x);
                        to[STAGE] = (acc[m][n][2 * half + 1] + b.y) * sigmoid<W>(acc[m][n + 4][2 * half + 1] + gb.y);
                    }
            }
            sync_warp();
            if (pair < rows) {
                W* to = t.out[side] + i64(first_channel) * t.n * t.ld + place;
                const int end = min_of(HALF, t.c - first_channel);
                for (int channel = 0; channel < end; channel++)
                    store_one(to + i64(channel) * t.n * t.ld, stage[channel * STAGE + lane] * present);
            }
            sync_warp();
        }
    }
}

template <class X, class W>
struct TriangleOutput {
    const X* z;    // [n, n, cz]
    const W* sums; // [c, n, ld]
    const float *norm_in_scale, *norm_in_offset;   // [cz]
    const float *norm_out_scale, *norm_out_offset; // [c]
    const W* out_weight; // [cz, c]
    const float* out_bias;
    const W* gate_weight; // [cz, cz]
    const float* gate_bias;
    const X* residual; // [n, n, cz] or null
    X* out;
    i64 ld;
    int n, cz, c, slots;
};

template <class X, class W>
struct TriangleOutputChunks {
    const TriangleOutput<X, W>& t;
    int widest;
    DEVICE int rows(int) const { return 2 * HALF; }
    DEVICE int columns(int) const { return padded_k(widest); }
    DEVICE int stride(int) const { return stride_of(widest); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        const int w = chunk * HALF + r % HALF, inputs = r < HALF ? t.c : t.cz;
        const bool inside = w < t.cz;
        k = inside ? inputs : 0;
        return (r < HALF ? t.out_weight : t.gate_weight) + i64(inside ? w : 0) * inputs;
    }
};

/// LN over the channels of this lane's pair, whose channels lie `plane` elements apart; `from` null: zeros.
template <int PARTS, class W>
DEVICE void normalise_column(bf16* to, int part, int c, const float* scale, const float* offset, const W* from, i64 plane) {
    // The values are read three times; after the first they come from the cache.
    auto value = [&](int channel) { return from ? to_f32(from[channel * plane]) : 0.0f; };
    float mean = 0.0f, sum = 0.0f;
#pragma unroll 8
    for (int channel = 0; channel < c; channel++) mean += value(channel);
    mean /= float(c);
#pragma unroll 8
    for (int channel = 0; channel < c; channel++) {
        const float x = value(channel) - mean;
        sum += x * x;
    }
    const float inverse = from ? inverse_root(sum / float(c) + LAYER_NORM_EPS) : 0.0f;
#pragma unroll 4
    for (int channel = 0; channel < c; channel += 2) {
        const float x = (value(channel) - mean) * inverse * scale[channel] + offset[channel];
        const float y = (value(channel + 1) - mean) * inverse * scale[channel + 1] + offset[channel + 1];
        put_pair<PARTS>(to + channel, part, x, y);
    }
    for (int channel = c; channel < padded_k(c); channel += 2) put_pair<PARTS>(to + channel, part, 0.0f, 0.0f);
}

template <class X, class W>
DEVICE void triangle_output(const TriangleOutput<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int lane = thread_index() % 32, quad = lane % 4;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = t.n * t.n;
    const int widest = max_of(t.c, t.cz), stride_in = stride_of(t.cz), stride_out = stride_of(t.c), stride = stride_of(widest);
    const int slot = 2 * HALF * stride, own_in = WARP_ROWS * stride_in, own_out = WARP_ROWS * stride_out;
    const int chunks = (t.cz + HALF - 1) / HALF;

    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    const int slot_count = min_of(max_of(t.slots, 2), max_of(chunks, 2));
    bf16* normed = slots + (slot_count * slot + warp * (own_in + own_out)) * PARTS;
    bf16* summed = normed + own_in * PARTS;
    float* stage = reinterpret_cast<float*>(slots + (slot_count * slot + warps * (own_in + own_out)) * PARTS) +
                   warp * STAGE_FLOATS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    const TriangleOutputChunks<X, W> source{t, widest};
    WeightStream<W, TriangleOutputChunks<X, W>> stream(source, slots, slot, slot_count, chunks, my_tiles);

    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows)), pair = first + lane;
        const W* sums = pair < rows ? t.sums + pair / t.n * t.ld + pair % t.n : nullptr;
        normalise_column<PARTS>(summed + lane * stride_out, own_out, t.c, t.norm_out_scale, t.norm_out_offset, sums, t.n * t.ld);
        normalise_rows<PARTS>(normed, stride_in, own_in, WARP_ROWS, t.cz, t.norm_in_scale, t.norm_in_offset,
                              [&](int r) -> const X* {
                                  return first + r < rows ? t.z + i64(first + r) * t.cz : nullptr;
                              });
        sync_warp();
        for (int chunk = 0; chunk < chunks; chunk++) {
            const bf16* weights = stream.acquire();
            float update[2][4][4], gate[2][4][4];
            clear(update);
            clear(gate);
            multiply<PARTS>(update, summed, stride_out, own_out, weights, stride, slot, padded_k(t.c));
            multiply<PARTS>(gate, normed, stride_in, own_in, weights + HALF * stride, stride, slot, padded_k(t.cz));
#pragma unroll
            for (int m = 0; m < 2; m++) {
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    const int w = HALF * chunk + 8 * n + 2 * quad;
                    const bool inside = w < t.cz;
                    const Pair b = inside ? load_pair(t.out_bias + w) : Pair{0.0f, 0.0f};
                    const Pair gb = inside ? load_pair(t.gate_bias + w) : Pair{0.0f, 0.0f};
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        update[m][n][i] = (update[m][n][i] + (i & 1 ? b.y : b.x)) * sigmoid<W>(gate[m][n][i] + (i & 1 ? gb.y : gb.x));
                }
                stage_rows(stage, update[m]);
                sync_warp();
                for (int i = lane; i < 16 * 4; i += 32) {
                    const int row = first + 16 * m + i / 4, w = HALF * chunk + i % 4 * 8;
                    if (row >= rows || w >= t.cz) continue;
                    float v[8], before[8] = {};
                    load_eight(stage + i / 4 * STAGE_STRIDE + i % 4 * 8, v);
                    const i64 at = i64(row) * t.cz + w;
                    if (t.residual) load_eight(t.residual + at, before);
                    for (int j = 0; j < 8; j++) v[j] += before[j];
                    store_eight(t.out + at, v);
                }
                sync_warp();
            }
        }
    }
}

KERNEL __launch_bounds__(256, 1) triangle_project_bf16_bf16(const __grid_constant__ TriangleProject<bf16, bf16> t) { triangle_project(t); }
KERNEL __launch_bounds__(256, 1) triangle_project_f32_bf16(const __grid_constant__ TriangleProject<float, bf16> t) { triangle_project(t); }
KERNEL __launch_bounds__(256, 1) triangle_project_f32_f32(const __grid_constant__ TriangleProject<float, float> t) { triangle_project(t); }
KERNEL __launch_bounds__(256, 1) triangle_output_bf16_bf16(const __grid_constant__ TriangleOutput<bf16, bf16> t) { triangle_output(t); }
KERNEL __launch_bounds__(256, 1) triangle_output_f32_bf16(const __grid_constant__ TriangleOutput<float, bf16> t) { triangle_output(t); }
KERNEL __launch_bounds__(256, 1) triangle_output_f32_f32(const __grid_constant__ TriangleOutput<float, float> t) { triangle_output(t); }
