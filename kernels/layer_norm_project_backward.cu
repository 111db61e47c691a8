// The end of every backward pass that began with LN(x): gradients of projections back to x, in one pass over them.
// AF2 Suppl. Alg. 7 to 13, 15, 19; crates/nn/src/ops/sums.rs.
//
// limit: spills 0
// limit: spills 512 layer_norm_project_backward_f32_f32_256
//
// With y = LN(x), for up to six projections y·Wᵢᵀ with gradients Gᵢ, and the pair bias in f32:
//   dy = mask·Σᵢ scaleᵢ·Gᵢ·Wᵢ + share·column_grad    dx = grad + LN'(x)·(dy·norm_scale)
//   d norm_scale = Σ dy·x̂    d norm_offset = Σ dy
// grad is what went round the layer (the residual's gradient). `normed` gets mask·y for the weights' gradients, which the
// caller makes: dWᵢ = scaleᵢ·Gᵢᵀ·normed; heads_rows gets the pair bias's gradient turned and rounded for the same.
//
// Shapes    x, grad, dx [n0, n1, c] by stride0, stride1; Gᵢ [n0·n1, width] by its row_stride, Wᵢ [width, c]; heads_grad
//           [heads, n0, n1] in f32 by heads_stride, heads_stride0, heads_weight [heads, c]; mask, share [n0, n1], column_grad
//           [n1, c] (global attention's mean query; null: none); normed [n0·n1, c]; leaves [blocks·w, 2, c], for sum_leaves:
//           every warp's share of d norm_scale and d norm_offset. dx may be grad or x.
// Idea      A warp keeps 16 rows of dy in registers while gradients and weights come by cp.async, 64 columns (f32: 32) at a time.
// Types     names say x's type, the gradients' and weights', and the most channels: bf16_bf16_128, f32_bf16_256, …
// Grid      blocks of 32·w threads, w ≤ 8, in turn over tiles of 16·w rows.
// Shared    2·P·2·(K·(M + 8) + w·16·(K + 8)) + w·(128 + 8·M + 4608) bytes, K = 64 (bf16) or 32 (f32), M the kernel's most channels;
//           bf16, M = 128, w = 8: 117,760;
//           M = 256: 158,720; f32, M = 256, w = 8: 162,816.
// Limits    c a multiple of 8, at most M; widths multiples of 8; scales not 0; rows < 2^31; 16-byte aligned pointers.
// Floor     bytes: rows·(3·c·sizeof x + Σ width·2 + c·2); triangle attention's four gradients at n = 512: 0.125 ms.
#include "tile.cuh"

/// A projection's gradient and weight.
template <class W>
struct Projected {
    const W* grad;   // [rows, width] by row_stride
    const W* weight; // [width, c]
    i64 row_stride;
    int width;
    float scale;
};
constexpr int MOST_PROJECTED = 6;

template <class X, class W>
struct LayerNormProjectBackward {
    const X* x;
    const float *norm_scale, *norm_offset; // [c]
    Projected<W> projected[MOST_PROJECTED];
    const float* heads_grad; // [heads, n0, n1] or null
    const W* heads_weight;   // [heads, c]
    W* heads_rows;           // [n0·n1, heads rounded up to 8] or null: heads_grad as the other gradients are
    const float* mask;        // [n0·n1] or null
    const float* column_grad; // [n1, c] or null
    const float* share;       // [n0·n1], with column_grad
    const X* grad;            // or null
    X* dx;
    W* normed;     // [n0·n1, c] or null
    float* leaves; // [blocks·w, 2, c] or null
    i64 stride0, stride1;            // elements of x, grad and dx
    i64 heads_stride, heads_stride0; // elements of heads_grad
    int n0, n1, c, count, heads;     // count: projections in use
    float heads_scale;
};

/// Sums of v[i] over the four lanes with the same lane % 8: lane gets those of 2·(lane / 8) and the next in v[0], v[1].
DEVICE void sum_of_quarters(float (&v)[8]) {
    const int lane = thread_index() % 32;
#pragma unroll
    for (int half = 4; half > 1; half /= 2) {
        const bool upper = lane & (4 * half);
#pragma unroll
        for (int i = 0; i < half; i++) {
            const float send = upper ? v[i] : v[i + half], keep = upper ? v[i + half] : v[i];
            v[i] = keep + shuffle_xor(send, 4 * half);
        }
    }
}

/// A warp's 16 rows of dy, 64 columns at a time, through the stage: a lane has rows lane / 8 + 4·k and eight columns.
/// body(k, row, first column, dy, (x - mean) / deviation), then end(piece) by all lanes. A function, as NVRTC takes no generic lambda.
template <int MOST, class X, class W, class Body, class End>
DEVICE void walk_rows(const LayerNormProjectBackward<X, W>& t, const float (&acc)[1][MOST / 8][4], float scale, float* stage,
                      const Pair* statistics, int first, Body body, End end) {
    const int lane = thread_index() % 32, g = lane / 4, quad = lane % 4, rows = t.n0 * t.n1;
#pragma unroll
    for (int piece = 0; piece < MOST / 64; piece++) {
#pragma unroll
        for (int n = 0; n < 8; n++) {
            store_pair(stage + g * STAGE_STRIDE + 8 * n + 2 * quad, acc[0][8 * piece + n][0], acc[0][8 * piece + n][1]);
            store_pair(stage + (g + 8) * STAGE_STRIDE + 8 * n + 2 * quad, acc[0][8 * piece + n][2], acc[0][8 * piece + n][3]);
        }
        sync_warp();
        const int at = 64 * piece + lane % 8 * 8;
        if (at < t.c)
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const int r = lane / 8 + 4 * k, row = first + r;
                if (row >= rows) continue;
                float dy[8], x[8];
                load_eight(stage + r * STAGE_STRIDE + lane % 8 * 8, dy);
                load_eight(t.x + row / t.n1 * t.stride0 + row % t.n1 * t.stride1 + at, x);
                const Pair normal = statistics[r];
                const float factor = scale * (t.mask ? t.mask[row] : 1.0f);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    dy[i] *= factor;
                    x[i] = (x[i] - normal.x) * normal.y;
                }
                if (t.column_grad) {
                    const float share = t.share[row];
                    const float* extra = t.column_grad + i64(row % t.n1) * t.c + at;
#pragma unroll
                    for (int i = 0; i < 8; i++) dy[i] += share * extra[i];
                }
                body(k, row, at, dy, x);
            }
        end(piece);
        sync_warp();
    }
}

template <class X, class W, int MOST>
DEVICE void layer_norm_project_backward(const LayerNormProjectBackward<X, W>& t) {
    constexpr int PARTS = Parts<W>::count, ROWS = 16, CHUNK = PARTS == 1 ? 64 : 32, N = MOST / 8;
    constexpr int STRIDE = stride_of(CHUNK), WEIGHT_STRIDE = stride_of(MOST), OWN = ROWS * STRIDE, WEIGHTS = CHUNK * WEIGHT_STRIDE;
    const int lane = thread_index() % 32;
    const int warps = block_threads() / 32, warp = thread_index() / 32, rows = t.n0 * t.n1;
    const i64 tile_rows = warps * ROWS, tiles = (rows + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;

    bf16* memory = reinterpret_cast<bf16*>(shared_memory());
    const int stage_elements = (WEIGHTS + warps * OWN) * PARTS;
    Pair* statistics = reinterpret_cast<Pair*>(memory + 2 * stage_elements) + warp * ROWS; // mean, 1 / deviation
    // What this lane has summed of columns 64·piece + 8·(lane % 8) + 2·(lane / 8) and the next: scale and offset.
    Pair* sums = reinterpret_cast<Pair*>(memory + 2 * stage_elements) + warps * ROWS + warp * MOST;
    float* stage = reinterpret_cast<float*>(reinterpret_cast<Pair*>(memory + 2 * stage_elements) + warps * (ROWS + MOST)) + warp * STAGE_FLOATS;
    for (int i = 0; i < MOST / 32; i++) sums[64 * (i / 2) + 2 * lane + i % 2] = Pair{0.0f, 0.0f};
    auto weights_of = [&](i64 step) { return memory + step % 2 * stage_elements; };
    auto grads_of = [&](i64 step) { return memory + step % 2 * stage_elements + (WEIGHTS + warp * OWN) * PARTS; };

    int chunks = t.heads_grad ? (t.heads + CHUNK - 1) / CHUNK : 0;
    for (int i = 0; i < t.count; i++) chunks += (t.projected[i].width + CHUNK - 1) / CHUNK;
    /// Which projection a chunk belongs to (`count`: the heads), and its first column there.
    auto projection_of = [&](int chunk, int& first) {
        for (int i = 0; i < t.count; i++) {
            const int here = (t.projected[i].width + CHUNK - 1) / CHUNK;
            first = chunk * CHUNK;
            if (chunk < here) return i;
            chunk -= here;
        }
        first = chunk * CHUNK;
        return t.count;
    };
    auto copy_step = [&](i64 step) {
        int first;
        const int i = projection_of(int(step % chunks), first);
        const bool heads = i == t.count;
        const int width = heads ? t.heads : t.projected[i].width;
        const W* weight = heads ? t.heads_weight : t.projected[i].weight;
#pragma unroll 2
        for (int v = thread_index(); v < CHUNK * (MOST / 8); v += block_threads()) {
            const int row = v / (MOST / 8), at = v % (MOST / 8) * 8;
            const bool inside = first + row < width && at < t.c;
            copy_eight(weights_of(step) + row * WEIGHT_STRIDE + at, WEIGHTS, weight + (inside ? i64(first + row) * t.c + at : 0), inside);
        }
        const i64 tile = block_index() + step / chunks * block_count(), first_row = tile * tile_rows + warp * ROWS;
        bf16* own = grads_of(step);
        if (heads) {
#pragma unroll 1
            for (int v = lane; v < ROWS * CHUNK / 2; v += 32) {
                const int r = v % ROWS, at = v / ROWS * 2;
                const i64 row = first_row + r;
                float x[2];
#pragma unroll
                for (int j = 0; j < 2; j++)
                    x[j] = row < rows && first + at + j < t.heads
                               ? t.heads_grad[(first + at + j) * t.heads_stride + row / t.n1 * t.heads_stride0 + row % t.n1]
                               : 0.0f;
                put_pair<PARTS>(own + r * STRIDE + at, OWN, x[0], x[1]);
                const int padded = round_up(t.heads, 8);
                if (t.heads_rows && row < rows && first + at < padded) store_pair(t.heads_rows + row * padded + first + at, x[0], x[1]);
            }
        } else {
            const Projected<W>& p = t.projected[i];
#pragma unroll 2
            for (int v = lane; v < ROWS * (CHUNK / 8); v += 32) {
                const int r = v / (CHUNK / 8), at = v % (CHUNK / 8) * 8;
                const bool inside = first_row + r < rows && first + at < width;
                copy_eight(own + r * STRIDE + at, OWN, p.grad + (inside ? (first_row + r) * p.row_stride + first + at : 0), inside);
            }
        }
        copy_commit();
    };

    i64 step = 0;
    const i64 steps = my_tiles * chunks;
    if (steps > 0) copy_step(0);
    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * ROWS, rows));
        auto place = [&](int row) { return row / t.n1 * t.stride0 + row % t.n1 * t.stride1; };
#pragma unroll 1
        for (int r0 = 0; r0 < ROWS; r0 += 4) {
            FourRows four;
            four.load(t.c, [&](int i) -> const X* { return first + r0 + i < rows ? t.x + place(first + r0 + i) : nullptr; });
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = first + r0 + i;
                if (lane == 0) statistics[r0 + i] = Pair{four.mean[i], four.inverse[i]};
                if (!t.normed || row >= rows) continue;
                const float present = t.mask ? t.mask[row] : 1.0f;
#pragma unroll
                for (int j = 0; j < FourRows::PAIRS; j++) {
                    const int at = 2 * (lane + 32 * j);
                    if (at >= t.c) continue;
                    const Pair s = load_pair(t.norm_scale + at), o = load_pair(t.norm_offset + at);
                    store_pair(t.normed + i64(row) * t.c + at, ((four.v[i][j].x - four.mean[i]) * four.inverse[i] * s.x + o.x) * present,
                               ((four.v[i][j].y - four.mean[i]) * four.inverse[i] * s.y + o.y) * present);
                }
            }
        }
        float acc[1][N][4];
        clear(acc);
        float scale = 1.0f; // what acc has to be multiplied with
        for (int chunk = 0; chunk < chunks; chunk++, step++) {
            copy_wait<0>();
            sync_block(); // this step is there, and nobody reads the other stage any more
            if (step + 1 < steps) copy_step(step + 1);
            int column;
            const int i = projection_of(chunk, column);
            const float next = i == t.count ? t.heads_scale : t.projected[i].scale;
            if (next != scale) {
                const float change = scale / next;
#pragma unroll
                for (int n = 0; n < N; n++)
#pragma unroll
                    for (int j = 0; j < 4; j++) acc[0][n][j] *= change;
                scale = next;
            }
            multiply<PARTS, true>(acc, grads_of(step), STRIDE, OWN, weights_of(step), WEIGHT_STRIDE, WEIGHTS, CHUNK);
        }
        sync_warp(); // the statistics are there, even with no chunk

        float sum[4] = {}, product[4] = {};
        walk_rows<MOST>(
            t, acc, scale, stage, statistics, first,
            [&](int k, int, int at, const float(&dy)[8], const float(&x)[8]) {
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    const float scaled = dy[i] * t.norm_scale[at + i];
                    sum[k] += scaled;
                    product[k] += scaled * x[i];
                }
            },
            [](int) {});
#pragma unroll
        for (int k = 0; k < 4; k++)
            for (int mask = 1; mask < 8; mask *= 2) {
                sum[k] += shuffle_xor(sum[k], mask);
                product[k] += shuffle_xor(product[k], mask);
            }
        float scales[8] = {}, offsets[8] = {};
        walk_rows<MOST>(
            t, acc, scale, stage, statistics, first,
            [&](int k, int row, int at, const float(&dy)[8], const float(&x)[8]) {
                float dx[8] = {};
                const i64 to = place(row) + at;
                const float inverse = statistics[lane / 8 + 4 * k].y, mean = sum[k] / float(t.c), slope = product[k] / float(t.c);
                if (t.grad) load_eight(t.grad + to, dx);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    dx[i] += inverse * (dy[i] * t.norm_scale[at + i] - mean - x[i] * slope);
                    scales[i] += dy[i] * x[i];
                    offsets[i] += dy[i];
                }
                store_eight(t.dx + to, dx);
            },
            [&](int piece) {
                sum_of_quarters(scales);
                sum_of_quarters(offsets);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    Pair& total = sums[64 * piece + 2 * lane + i];
                    total = Pair{total.x + scales[i], total.y + offsets[i]};
                }
#pragma unroll
                for (int i = 0; i < 8; i++) scales[i] = offsets[i] = 0.0f;
            });
    }
    if (!t.leaves) return;
    float* leaf = t.leaves + (block_index() * warps + warp) * 2 * t.c;
#pragma unroll
    for (int piece = 0; piece < MOST / 64; piece++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int column = 64 * piece + lane % 8 * 8 + lane / 8 * 2 + i;
            if (column >= t.c) continue;
            const Pair total = sums[64 * piece + 2 * lane + i];
            leaf[column] = total.x;
            leaf[t.c + column] = total.y;
        }
}

#define PROJECT_BACKWARD(X, W, NAME, M)                                                                                   \
    KERNEL __launch_bounds__(256, 1)                                                                                      \
        layer_norm_project_backward_##NAME##_##M(const __grid_constant__ LayerNormProjectBackward<X, W> t) { \
        layer_norm_project_backward<X, W, M>(t);                                                                          \
    }
#define PROJECT_BACKWARD_TYPES(M)              \
    PROJECT_BACKWARD(bf16, bf16, bf16_bf16, M) \
    PROJECT_BACKWARD(float, bf16, f32_bf16, M) \
    PROJECT_BACKWARD(float, float, f32_f32, M)

PROJECT_BACKWARD_TYPES(64)
PROJECT_BACKWARD_TYPES(128)
PROJECT_BACKWARD_TYPES(256)
