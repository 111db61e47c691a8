// Outer product mean, around its matrix product. AF2 Suppl. Alg. 10; crates/nn/src/ops/outer_product_mean.rs.
//
// limit: spills 0
//
// Idea      layer_norm_project gives a and b as [s, r, e] (masked, with bias). cuBLASLt sums the outer products of some residues
//           i with all j over the sequences: outer [i, e, j, e], a chunk that stays in L2. outer_product_project reads it with
//           the axes turned on the way into shared memory, projects e² channels to c_z, adds the bias, divides by
//           (sequences that i and j share + 1e-3) in f32, and adds the pair representation.
// Counts    pair_counts: counts[i][j] = Σ_s mask[s, i]·mask[s, j], f32 [r, r].
//           Grid ceil(r / 32)² blocks of 256 threads; shared 8448 bytes. Once a network pass: the mask does not change.
// Project   Grid ceil(pairs / (32·w)) · ceil(cz / 128) blocks of 32·w threads (w ≤ 8), pairs = residues·r.
//           Shared 2·P·(128 + w·32)·72·2 + w·4608 bytes; bf16, w = 4: 92,160.
// Types     names say the pair representation's type and that of outer and the weights: bf16_bf16, f32_bf16, f32_f32.
// Limits    e a multiple of 8; cz a multiple of 8; pairs of one call < 2^31; 16-byte aligned pointers. out may be residual.
// Floor     FLOPs: r²·e²·cz·2 at 790 TFLOP/s; r = 512, e = 32, cz = 128: 0.087 ms (the product before it: 0.35 ms).
#include "tile.cuh"

constexpr float OUTER_PRODUCT_EPS = 1e-3f;
constexpr int OUTER_K = 64, OUTER_COLUMNS = 128;

struct PairCounts {
    const float* mask; // [s, r]
    float* counts;     // [r, r]
    int s, r;
};

KERNEL __launch_bounds__(256) pair_counts(const __grid_constant__ PairCounts t) {
    constexpr int SIDE = 32, STRIDE = SIDE + 1;
    float* left = reinterpret_cast<float*>(shared_memory()); // [32 sequences][32 residues]
    float* right = left + SIDE * STRIDE;
    const int across = (t.r + SIDE - 1) / SIDE;
    const int i0 = int(block_index() / across) * SIDE, j0 = int(block_index() % across) * SIDE;
    const int x = thread_index() % SIDE, y = thread_index() / SIDE; // this thread: i0 + y + 8·q, j0 + x
    float counts[4] = {};
    for (int s0 = 0; s0 < t.s; s0 += SIDE) {
        for (int q = 0; q < 4; q++) {
            const int s = s0 + y + 8 * q;
            left[(y + 8 * q) * STRIDE + x] = s < t.s && i0 + x < t.r ? t.mask[i64(s) * t.r + i0 + x] : 0.0f;
            right[(y + 8 * q) * STRIDE + x] = s < t.s && j0 + x < t.r ? t.mask[i64(s) * t.r + j0 + x] : 0.0f;
        }
        sync_block();
        for (int s = 0; s < SIDE; s++)
#pragma unroll
            for (int q = 0; q < 4; q++) counts[q] += left[s * STRIDE + y + 8 * q] * right[s * STRIDE + x];
        sync_block();
    }
    for (int q = 0; q < 4; q++)
        if (i0 + y + 8 * q < t.r && j0 + x < t.r) t.counts[i64(i0 + y + 8 * q) * t.r + j0 + x] = counts[q];
}

template <class X, class W>
struct OuterProductProject {
    const W* outer;        // [residues, e, r, e]: sums over the sequences for residues first_residue ..
    const W* weight;       // [cz, e·e], first factor's channel major
    const float* bias;     // [cz]
    const float* counts;   // [r, r]
    const X* residual;     // [r, r, cz] or null
    X* out;                // [r, r, cz]
    int first_residue, residues, r, e, cz;
};

template <class X, class W>
DEVICE void outer_product_project(const OuterProductProject<X, W>& t) {
    constexpr int PARTS = Parts<W>::count, STRIDE = stride_of(OUTER_K), NT = OUTER_COLUMNS / 8;
    constexpr int WEIGHTS = OUTER_COLUMNS * STRIDE, OWN = WARP_ROWS * STRIDE; // elements of one part
    const int lane = thread_index() % 32, warps = block_threads() / 32, warp = thread_index() / 32;
    const int column_blocks = (t.cz + OUTER_COLUMNS - 1) / OUTER_COLUMNS;
    const int first_column = int(block_index() % column_blocks) * OUTER_COLUMNS, pairs = t.residues * t.r;
    const int first = int(min_of<i64>((block_index() / column_blocks * warps + warp) * WARP_ROWS, pairs));
    const int k = t.e * t.e, stages = (k + OUTER_K - 1) / OUTER_K;

    bf16* memory = reinterpret_cast<bf16*>(shared_memory());
    const int stage_elements = (WEIGHTS + warps * OWN) * PARTS;
    float* stage = reinterpret_cast<float*>(memory + 2 * stage_elements) + warp * STAGE_FLOATS;
    auto weights_of = [&](int i) { return memory + i % 2 * stage_elements; };
    auto rows_of = [&](int i) { return memory + i % 2 * stage_elements + (WEIGHTS + warp * OWN) * PARTS; };
    auto copy_stage = [&](int i) {
        for (int v = thread_index(); v < OUTER_COLUMNS * (OUTER_K / 8); v += block_threads()) {
            const int row = v / 8, at = i * OUTER_K + v % 8 * 8, column = first_column + row;
            const bool inside = column < t.cz && at < k;
            copy_eight(weights_of(i) + row * STRIDE + v % 8 * 8, WEIGHTS, t.weight + (inside ? i64(column) * k + at : 0), inside);
        }
        for (int v = lane; v < WARP_ROWS * (OUTER_K / 8); v += 32) {
            // Neighbouring lanes read neighbouring pairs: e contiguous values each.
            const int row = v / 8, at = i * OUTER_K + v % 8 * 8, pair = first + row;
            const bool inside = pair < pairs && at < k;
            const int residue = pair / t.r, partner = pair % t.r;
            const i64 from = ((i64(residue) * t.e + at / t.e) * t.r + partner) * t.e + at % t.e;
            copy_eight(rows_of(i) + row * STRIDE + v % 8 * 8, OWN, t.outer + (inside ? from : 0), inside);
        }
        copy_commit();
    };

    float acc[2][NT][4];
    clear(acc);
    copy_stage(0);
    for (int i = 0; i < stages; i++) {
        copy_wait<0>();
        sync_block(); // stage i is there, and nobody reads the other one any more
        if (i + 1 < stages) copy_stage(i + 1);
        multiply<PARTS>(acc, rows_of(i), STRIDE, OWN, weights_of(i), STRIDE, WEIGHTS, OUTER_K);
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < OUTER_COLUMNS / 64; half++) {
            const int g = lane / 4, quad = lane % 4;
#pragma unroll
            for (int n = 0; n < 8; n++) {
                store_pair(stage + g * STAGE_STRIDE + 8 * n + 2 * quad, acc[m][8 * half + n][0], acc[m][8 * half + n][1]);
                store_pair(stage + (g + 8) * STAGE_STRIDE + 8 * n + 2 * quad, acc[m][8 * half + n][2], acc[m][8 * half + n][3]);
            }
            sync_warp();
            for (int i = lane; i < 16 * 8; i += 32) {
                const int pair = first + 16 * m + i / 8, w = first_column + 64 * half + i % 8 * 8;
                if (pair >= pairs || w >= t.cz) continue;
                float v[8], before[8] = {};
                load_eight(stage + i / 8 * STAGE_STRIDE + i % 8 * 8, v);
                const i64 place = i64(t.first_residue) * t.r + pair;
                const float inverse = 1.0f / (t.counts[place] + OUTER_PRODUCT_EPS);
                if (t.residual) load_eight(t.residual + place * t.cz + w, before);
                for (int j = 0; j < 8; j++) v[j] = (v[j] + t.bias[w + j]) * inverse + before[j];
                store_eight(t.out + place * t.cz + w, v);
            }
            sync_warp();
        }
}

KERNEL __launch_bounds__(256, 1) outer_product_project_bf16_bf16(const __grid_constant__ OuterProductProject<bf16, bf16> t) { outer_product_project(t); }
KERNEL __launch_bounds__(256, 1) outer_product_project_f32_bf16(const __grid_constant__ OuterProductProject<float, bf16> t) { outer_product_project(t); }
KERNEL __launch_bounds__(256, 1) outer_product_project_f32_f32(const __grid_constant__ OuterProductProject<float, float> t) { outer_product_project(t); }
