// Gradients of outer_product_mean.cu, around its matrix products. AF2 Suppl. Alg. 10;
// crates/nn/src/ops/outer_product_mean/backward.rs.
//
// limit: spills 0
//
// With outer_ij = Σ_s a_si ⊗ b_sj, out = (Wo·outer + bo) / (count + 1e-3), and the gradient G of out:
//   scaled = G / (count + 1e-3)    douter = scaled·Wo
// Order     for a chunk of residues, as forward: cuBLASLt makes outer [residues, e, r, e] again; outer_product_turn gives its rows
//           [residues·r, e·e]; outer_product_backward gives scaled [residues·r, cz] and douter [residues, e, r, e].
//           Then dWo [cz, e·e] += scaledᵀ·rows, dbo += column_sums(scaled), and, with a and b as [s, r·e],
//           da [s, residues·e] = b·douterᵀ, db [s, r·e] += a[:, first·e ..]·douter (sum in f32, outer_product_round gives bf16). layer_norm_project_backward takes
//           da and db with the mask; dW of a = daᵀ·normed, their biases column_sums with weights = mask.
// Types     _backward: names say the gradient's type and the weights': bf16_bf16, f32_bf16, f32_f32; _turn: bf16, f32; _round: to bf16.
// Grid      _backward: blocks of 32·w threads, w ≤ 8, in turn over tiles of 32·w pairs; _turn, _round: any number of blocks of 256 threads.
// Shared    _backward: slots·P·144·padded(cz) + w·(P·64·stride(cz) + 4608); cz = 128, bf16, w = 8, 2 slots: 143,360. _turn: none.
// Limits    e and cz multiples of 8, cz ≤ 256; pairs of one call < 2^31; 16-byte aligned pointers.
// Floor     FLOPs: r²·e²·cz·2 at 790 TFLOP/s; r = 512, e = 32, cz = 128: 0.087 ms, its products beside it 0.70 and 0.087 ms.
#include "stream.cuh"

constexpr float OUTER_PRODUCT_BACK_EPS = 1e-3f;
constexpr int OUTER_BACK_COLUMNS = 64;

template <class X, class W>
struct OuterProductBackward {
    const X* grad;       // [r, r, cz]
    const W* weight;     // [cz, e·e], first factor's channel major
    const float* counts; // [r, r]
    W* scaled;           // [residues·r, cz]
    W* douter;           // [residues, e, r, e]
    int first_residue, residues, r, e, cz, slots;
};

template <class W>
struct OuterBackChunks {
    const W* weight;
    int cz, width;
    DEVICE int rows(int) const { return padded_k(cz); }
    DEVICE int columns(int) const { return OUTER_BACK_COLUMNS; }
    DEVICE int stride(int) const { return stride_of(OUTER_BACK_COLUMNS); }
    DEVICE const W* row(int chunk, int r, int& k) const {
        k = r < cz ? OUTER_BACK_COLUMNS : 0; // e·e is a multiple of 64
        return weight + i64(r < cz ? r : 0) * width + chunk * OUTER_BACK_COLUMNS;
    }
};

template <class X, class W>
DEVICE void outer_product_backward(const OuterProductBackward<X, W>& t) {
    constexpr int PARTS = Parts<W>::count, STRIDE = stride_of(OUTER_BACK_COLUMNS);
    const int lane = thread_index() % 32, warps = block_threads() / 32, warp = thread_index() / 32, pairs = t.residues * t.r;
    const int stride = stride_of(t.cz), own = WARP_ROWS * stride, slot = padded_k(t.cz) * STRIDE, chunks = t.e * t.e / OUTER_BACK_COLUMNS;
    const int slot_count = min_of(max_of(t.slots, 2), max_of(chunks, 2));
    bf16* slots = reinterpret_cast<bf16*>(shared_memory());
    bf16* grads = slots + (slot_count * slot + warp * own) * PARTS;
    float* stage = reinterpret_cast<float*>(slots + (slot_count * slot + warps * own) * PARTS) + warp * STAGE_FLOATS;

    const i64 tile_rows = warps * WARP_ROWS, tiles = (pairs + tile_rows - 1) / tile_rows;
    const i64 my_tiles = block_index() < tiles ? (tiles - 1 - block_index()) / block_count() + 1 : 0;
    const OuterBackChunks<W> source{t.weight, t.cz, t.e * t.e};
    WeightStream<W, OuterBackChunks<W>> stream(source, slots, slot, slot_count, chunks, my_tiles);
    for (i64 tile = block_index(); tile < tiles; tile += block_count()) {
        const int first = int(min_of<i64>(tile * tile_rows + warp * WARP_ROWS, pairs)), per_row = padded_k(t.cz) / 8;
        for (int i = lane; i < WARP_ROWS * per_row; i += 32) {
            const int r = i / per_row, at = i % per_row * 8, pair = first + r;
            float v[8] = {};
            if (pair < pairs && at < t.cz) {
                const i64 place = i64(t.first_residue) * t.r + pair;
                load_eight(t.grad + place * t.cz + at, v);
                const float inverse = 1.0f / (t.counts[place] + OUTER_PRODUCT_BACK_EPS);
                for (int j = 0; j < 8; j++) v[j] *= inverse;
                store_eight(t.scaled + i64(pair) * t.cz + at, v);
            }
#pragma unroll
            for (int j = 0; j < 8; j += 2) put_pair<PARTS>(grads + r * stride + at + j, own, v[j], v[j + 1]);
        }
        sync_warp();
        for (int chunk = 0; chunk < chunks; chunk++) {
            const bf16* weights = stream.acquire();
            float acc[2][8][4];
            clear(acc);
            multiply<PARTS, true>(acc, grads, stride, own, weights, STRIDE, slot, padded_k(t.cz));
#pragma unroll
            for (int m = 0; m < 2; m++) {
                stage_rows(stage, acc[m]);
                sync_warp();
                for (int i = lane; i < 16 * 8; i += 32) {
                    const int pair = first + 16 * m + i / 8, column = OUTER_BACK_COLUMNS * chunk + i % 8 * 8;
                    if (pair >= pairs) continue;
                    float v[8];
                    load_eight(stage + i / 8 * STAGE_STRIDE + i % 8 * 8, v);
                    store_eight(t.douter + ((i64(pair / t.r) * t.e + column / t.e) * t.r + pair % t.r) * t.e + column % t.e, v);
                }
                sync_warp();
            }
        }
    }
}

template <class W>
struct OuterProductTurn {
    const W* outer; // [residues, e, r, e]
    W* rows;        // [residues·r, e·e]
    int residues, r, e;
};

template <class W>
DEVICE void outer_product_turn(const OuterProductTurn<W>& t) {
    const int per_row = t.e * t.e / 8;
    const i64 all = i64(t.residues) * t.r * per_row;
    for (i64 i = block_index() * block_threads() + thread_index(); i < all; i += block_count() * block_threads()) {
        const i64 pair = i / per_row;
        const int column = int(i % per_row) * 8;
        float v[8];
        load_eight(t.outer + ((pair / t.r * t.e + column / t.e) * t.r + pair % t.r) * t.e + column % t.e, v);
        store_eight(t.rows + pair * t.e * t.e + column, v);
    }
}

struct RoundValues {
    const float* from;
    bf16* to;
    i64 count; // a multiple of 8
};

KERNEL __launch_bounds__(256, 1) outer_product_backward_bf16_bf16(const __grid_constant__ OuterProductBackward<bf16, bf16> t) { outer_product_backward(t); }
KERNEL __launch_bounds__(256, 1) outer_product_backward_f32_bf16(const __grid_constant__ OuterProductBackward<float, bf16> t) { outer_product_backward(t); }
KERNEL __launch_bounds__(256, 1) outer_product_backward_f32_f32(const __grid_constant__ OuterProductBackward<float, float> t) { outer_product_backward(t); }
KERNEL __launch_bounds__(256) outer_product_turn_bf16(const __grid_constant__ OuterProductTurn<bf16> t) { outer_product_turn(t); }
KERNEL __launch_bounds__(256) outer_product_turn_f32(const __grid_constant__ OuterProductTurn<float> t) { outer_product_turn(t); }
KERNEL __launch_bounds__(256) outer_product_round(const __grid_constant__ RoundValues t) {
    for (i64 i = block_index() * block_threads() + thread_index(); i < t.count / 8; i += block_count() * block_threads()) {
        float v[8];
        load_eight(t.from + 8 * i, v);
        store_eight(t.to + 8 * i, v);
    }
}
