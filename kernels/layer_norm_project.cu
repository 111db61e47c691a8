// LN(x)·Wᵀ for several projections at once: queries, keys and values with the pair bias, or the two factors of the outer
// product mean. AF2 Suppl. Alg. 7, 8, 10, 13, 14 (first lines); crates/nn/src/ops/{attention,pair_bias}.rs.
//
// limit: spills 0
//
// Shapes    x [n0, n1, c] anywhere (stride0, stride1), weight [width + heads, c], norm and bias f32.
//           Column w < width goes to out[w / group][i0·n1 + i1][w % group], as (y + bias)·mask, times `scale` if
//           w < scaled (queries: d^-½·log2 e, before rounding). Column width + h goes to heads_out[h][i0][i1] in f32,
//           times heads_scale (log2 e): a pair bias. Swapped strides (1, n) give the ending node without a copy.
// Types     names say x's type and the weights': bf16_bf16, f32_bf16 (residual stream in f32), f32_f32 (products of two
//           bf16 parts each, relative error 1e-5).
// Grid      any number of blocks of 32·w threads (w ≤ 8): each takes tiles of 32·w rows in turn. As many as fit the GPU.
// Shared    slots·P·64·stride(c)·2 + w·(P·32·stride(c)·2 + 4608) bytes, P = 1 (bf16) or 2 (f32), stride(c) = c + 8 for c a
//           multiple of 16. c = 128, 388 columns, bf16, w = 8: 7 slots (weights stay) 228,352; 2 slots 141,312.
// Limits    c a multiple of 8, at most 256; width and group multiples of 8; rows < 2^31; 16-byte aligned pointers.
// Floor     bytes: rows·(c + width)·2 + rows·heads·4; triangle attention at n = 512: 0.063 ms at 4.3 TB/s.
#include "stream.cuh"

template <class X, class W>
struct LayerNormProject {
    const X* x;
    const float *norm_scale, *norm_offset; // [c]
    const W* weight;
    const float* bias; // [width + heads] or null
    const float* mask; // [n0·n1] or null
    W* out;
    float* heads_out;
    i64 stride0, stride1;            // elements of x
    i64 group_stride;                // elements of out
    i64 heads_stride, heads_stride0; // elements of heads_out: from head to head, from i0 to i0 + 1
    int n0, n1, c, width, heads, group, scaled, slots;
    float scale, heads_scale;
};

template <class W>
struct ProjectionChunks {
    const W* weight;
    int c, total;
    DEVICE int rows(int) const { return 64; }
    DEVICE int columns(int) const { return padded_k(c); }
    DEVICE int stride(int) const { return stride_of(c); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        const int w = 64 * chunk + r;
        k = w < total ? c : 0;
        return weight + i64(w < total ? w : 0) * c;
    }
};

/// 16 rows × 64 columns of results, from the stage to where they belong.
template <class X, class W>
DEVICE void store_projections(const LayerNormProject<X, W>& t, const float* stage, int first_row, int first_column) {
    const int lane = thread_index() % 32, rows = t.n0 * t.n1;
    for (int i = lane; i < 16 * 8; i += 32) {
        const int row = first_row + i / 8, w = first_column + i % 8 * 8;
        if (row >= rows || w >= t.width) continue;
        float v[8];
        load_eight(stage + i / 8 * STAGE_STRIDE + i % 8 * 8, v);
        if (t.bias) {
            for (int j = 0; j < 8; j++) v[j] += t.bias[w + j];
        }
        float factor = t.mask ? t.mask[row] : 1.0f;
        for (int j = 0; j < 8; j++) v[j] *= w + j < t.scaled ? factor * t.scale : factor;
        store_eight(t.out + i64(w / t.group) * t.group_stride + i64(row) * t.group + w % t.group, v);
    }
    const int from = max_of(t.width - first_column, 0), to = min_of(t.width + t.heads - first_column, 64);
    const int row = first_row + lane % 16;
    if (row >= rows) return;
    for (int column = from + lane / 16; column < to; column += 2) {
        const int head = first_column + column - t.width;
        float v = stage[lane % 16 * STAGE_STRIDE + column];
        if (t.bias) v += t.bias[t.width + head];
        t.heads_out[head * t.heads_stride + row / t.n1 * t.heads_stride0 + row % t.n1] = v * t.heads_scale;
    }
}

template <class X, class W>
DEVICE void layer_norm_project(const LayerNormProject<X, W>& t) {
    constexpr int PARTS = Parts<W>::count;
    const int warps = block_threads() / 32, warp = thread_index() / 32;
    const int stride = stride_of(t.c), k = padded_k(t.c), rows = t.n0 * t.n1;
    const int columns = t.width + t.heads, chunks = (columns + 63) / 64;
    const int slot = 64 * stride, own = WARP_ROWS * stride; // elements of one part

    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    const int slot_count = min_of(max_of(t.slots, 2), max_of(chunks, 2));
    bf16* normed = slots + slot_count * slot * PARTS + warp * own * PARTS;
    float* stage = reinterpret_cast<float*>(slots + (slot_count * slot + warps * own) * PARTS) + warp * STAGE_FLOATS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    const ProjectionChunks<W> source{t.weight, t.c, columns};
    WeightStream<W, ProjectionChunks<W>> stream(source, slots, slot, slot_count, chunks, my_tiles);

    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, rows));
        normalise_rows<PARTS>(normed, stride, own, WARP_ROWS, t.c, t.norm_scale, t.norm_offset, [&](int r) -> const X* {
            const int row = first + r;
            return row < rows ? t.x + row / t.n1 * t.stride0 + row % t.n1 * t.stride1 : nullptr;
        });
        sync_warp();
        for (int chunk = 0; chunk < chunks; chunk++) {
            const bf16* weights = stream.acquire();
            float acc[2][8][4];
            clear(acc);
            multiply<PARTS>(acc, normed, stride, own, weights, stride, slot, k);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                stage_rows(stage, acc[m]);
                sync_warp();
                store_projections(t, stage, first + 16 * m, 64 * chunk);
                sync_warp();
            }
        }
    }
}

KERNEL __launch_bounds__(256, 1) layer_norm_project_bf16_bf16(const __grid_constant__ LayerNormProject<bf16, bf16> t) { layer_norm_project(t); }
KERNEL __launch_bounds__(256, 1) layer_norm_project_f32_bf16(const __grid_constant__ LayerNormProject<float, bf16> t) { layer_norm_project(t); }
KERNEL __launch_bounds__(256, 1) layer_norm_project_f32_f32(const __grid_constant__ LayerNormProject<float, float> t) { layer_norm_project(t); }
