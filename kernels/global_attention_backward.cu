// Gradients of global_attention.cu: to keys, values, queries, and through the mean to every row. AF2 Suppl. Alg. 19;
// crates/nn/src/ops/global_attention.rs.
//
// limit: spills 0
//
// Order     gate_output_backward with o_rows = r; column_sums and sum_leaves of its do as [s, r·heads·d]: d_o [r, heads·d]; this
//           kernel; layer_norm_project_backward in the order [s, r] with dk, dv (rows of 2·d) and dgate, column_grad, share = mask.
// Weights   dWq [heads·d, c] = dqᵀ·mean; dWk [d, c] = dkᵀ·normed, dWv alike.
// Idea      A block takes a column: its warps take heads and sum delta and dq over the sequences, lane by lane; then its threads
//           take sequences and sum dk and dv over the heads. Weights are made again from queries and stats.
// Types     names say k's, v's and the gradients' type, and d: 8, 16, 32, 64. Sums in f32 and a fixed order.
// Grid      any number of blocks of 32·w threads (w ≤ 8), in turn over columns; as many as there are columns.
// Shared    4·(3·heads·d + heads + 1) bytes.
// Limits    as global_attention.cu.
// Floor     bytes: s·r·d·2·4; s = 1024, r = 512, d = 8: 0.008 ms at 4.3 TB/s; its arithmetic costs more.
#include "attention.cuh"
#include "tile.cuh"

template <class W>
struct GlobalAttentionBackward {
    const float* mask;             // [s, r] or null
    const W* query_weight;         // [heads·d, c]
    const W *k, *v;                // [s, r, d] by kv_stride0, kv_stride1
    const float *queries, *stats;  // of global_attention
    const float* d_o;              // [r, heads·d]
    W *dk, *dv;                    // as k and v
    W* dq;                         // [r, heads·d], to Wq·mean
    float* column_grad;            // [r, c]: of LN(x), the same for all sequences but for their mask
    i64 kv_stride0, kv_stride1;
    int s, r, c, heads;
};

constexpr float MEAN_BACK_EPS = 1e-10f, NATURAL = 0.6931471805599453f;

/// q·x over d values, x in memory.
template <int D, class W>
DEVICE float inner_of(const float* q, const W* x) {
    float sum = 0.0f;
#pragma unroll 2
    for (int c = 0; c < D; c += 8) {
        float v[8];
        load_eight(x + c, v);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += q[c + i] * v[i];
    }
    return sum;
}

template <class W, int D>
DEVICE void global_attention_backward(const GlobalAttentionBackward<W>& t) {
    const int lane = thread_index() % 32, warps = block_threads() / 32, warp = thread_index() / 32, hd = t.heads * D;
    const float scale = inverse_root(float(D));
    float* queries = reinterpret_cast<float*>(shared_memory()); // [heads·d], and the next two
    float* grads = queries + hd;
    float* dq = grads + hd;
    float* deltas = dq + hd; // [heads]
    float* count = deltas + t.heads;
    for (i64 column = block_index(); column < t.r; column += block_count()) {
        sync_block(); // the column before has been read
        for (int i = thread_index(); i < hd; i += block_threads()) {
            queries[i] = t.queries[column * hd + i];
            grads[i] = t.d_o[column * hd + i];
        }
        if (warp == 0) {
            float present = 0.0f;
            for (int i = lane; i < t.s; i += 32) present += t.mask ? t.mask[i64(i) * t.r + column] : 1.0f;
            present = warp_sum(present);
            if (lane == 0) *count = present;
        }
        sync_block();
        /// The weight of a sequence for a head.
        auto weight_of = [&](int head, int i, i64 at, Pair stats) {
            float logit = inner_of<D>(queries + head * D, t.k + at);
            if (t.mask) logit += (t.mask[i64(i) * t.r + column] - 1.0f) * MASK_LOGIT;
            return exp2_fast(logit - stats.x) * stats.y;
        };
        for (int head = warp; head < t.heads; head += warps) {
            const Pair stats = load_pair(t.stats + 2 * (column * t.heads + head));
            float delta = 0.0f, sum[D] = {};
            for (int i = lane; i < t.s; i += 32) {
                const i64 at = i * t.kv_stride0 + column * t.kv_stride1;
                delta += weight_of(head, i, at, stats) * inner_of<D>(grads + head * D, t.v + at);
            }
            delta = warp_sum(delta);
            for (int i = lane; i < t.s; i += 32) {
                const i64 at = i * t.kv_stride0 + column * t.kv_stride1;
                const float ds = weight_of(head, i, at, stats) * (inner_of<D>(grads + head * D, t.v + at) - delta);
#pragma unroll
                for (int c = 0; c < D; c += 8) {
                    float k[8];
                    load_eight(t.k + at + c, k);
#pragma unroll
                    for (int j = 0; j < 8; j++) sum[c + j] += ds * k[j];
                }
            }
            if (lane == 0) deltas[head] = delta;
#pragma unroll
            for (int c = 0; c < D; c++) {
                const float total = warp_sum(sum[c]) * scale;
                if (lane == c % 32) {
                    dq[head * D + c] = total;
                    store_one(t.dq + column * hd + head * D + c, total);
                }
            }
        }
        sync_block();
        for (int c = thread_index(); c < t.c; c += block_threads()) {
            float sum = 0.0f;
#pragma unroll 4
            for (int n = 0; n < hd; n++) sum += dq[n] * to_f32(t.query_weight[i64(n) * t.c + c]);
            t.column_grad[column * t.c + c] = sum / (*count + MEAN_BACK_EPS);
        }
        for (int i = thread_index(); i < t.s; i += block_threads()) {
            const i64 at = i * t.kv_stride0 + column * t.kv_stride1;
            float dk[D] = {}, dv[D] = {};
            for (int head = 0; head < t.heads; head++) {
                const float p = weight_of(head, i, at, load_pair(t.stats + 2 * (column * t.heads + head)));
                const float ds = NATURAL * p * (inner_of<D>(grads + head * D, t.v + at) - deltas[head]);
#pragma unroll
                for (int c = 0; c < D; c++) {
                    dk[c] += ds * queries[head * D + c];
                    dv[c] += p * grads[head * D + c];
                }
            }
#pragma unroll
            for (int c = 0; c < D; c += 8) {
                float eight[8], other[8];
#pragma unroll
                for (int j = 0; j < 8; j++) eight[j] = dk[c + j], other[j] = dv[c + j];
                store_eight(t.dk + at + c, eight);
                store_eight(t.dv + at + c, other);
            }
        }
    }
}

#define GLOBAL_BACKWARD(W, NAME, D)                                                                                              \
    KERNEL __launch_bounds__(256, 1) global_attention_backward_##NAME##_##D(const __grid_constant__ GlobalAttentionBackward<W> t) { \
        global_attention_backward<W, D>(t);                                                                                     \
    }

GLOBAL_BACKWARD(bf16, bf16, 8)
GLOBAL_BACKWARD(bf16, bf16, 16)
GLOBAL_BACKWARD(bf16, bf16, 32)
GLOBAL_BACKWARD(bf16, bf16, 64)
GLOBAL_BACKWARD(float, f32, 8)
GLOBAL_BACKWARD(float, f32, 16)
GLOBAL_BACKWARD(float, f32, 32)
GLOBAL_BACKWARD(float, f32, 64)
