// Sums of gradients in a fixed order, without atomics: the same launch gives the same bits. crates/nn/src/ops/sums.rs.
//
// limit: spills 0
//
// Shapes    column_sums: x [rows, width] by row_stride, times weights [rows] (null: ones); slab b of `slabs` writes the sums of its
//           share of the rows to leaves[b]. sum_leaves: up to eight times leaves [n, width] leaf by leaf; columns below end[0] go
//           to to[0], those below end[1] to to[1], and so on; null: not wanted.
// Use       gradient of a bias: column_sums of the gradient behind it, then sum_leaves (slabs = 1: its leaf is the result).
//           Leaves of several launches may lie one behind the other: then they are one sum.
// Types     x bf16 or f32; leaves and sums f32.
// Grid      column_sums: ceil(width / 64)·slabs blocks of 256 threads; sum_leaves: Σ ceil(width / 256) blocks of 256 threads.
// Shared    column_sums: 2048 bytes; sum_leaves: none.
// Limits    none. Rows of an even number of values that are aligned to pairs are read in pairs.
// Floor     bytes: rows·width·sizeof x.
#include "primitives.cuh"

template <class T>
struct ColumnSums {
    const T* x;
    const float* weights;
    float* leaves; // [slabs, width]
    i64 row_stride, rows;
    int width, slabs;
};

template <class T>
DEVICE void column_sums(const ColumnSums<T>& t) {
    const int lane = thread_index() % 32, warp = thread_index() / 32, column_blocks = (t.width + 63) / 64;
    const int column = int(block_index() % column_blocks) * 64 + 2 * lane;
    const i64 slab = block_index() / column_blocks, first = t.rows * slab / t.slabs, end = t.rows * (slab + 1) / t.slabs;
    Pair sum{0.0f, 0.0f};
    const bool both = column + 1 < t.width, pairs = (t.width | t.row_stride | i64(u64(t.x) / sizeof(T))) % 2 == 0;
    if (column < t.width)
#pragma unroll 4
        for (i64 row = first + warp; row < end; row += 8) {
            const T* from = t.x + row * t.row_stride + column;
            const Pair x = pairs ? load_pair(from) : Pair{to_f32(from[0]), both ? to_f32(from[1]) : 0.0f};
            const float weight = t.weights ? t.weights[row] : 1.0f;
            sum.x += x.x * weight;
            sum.y += x.y * weight;
        }
    float* of_warps = reinterpret_cast<float*>(shared_memory()); // [8][64]
    store_pair(of_warps + 64 * warp + 2 * lane, sum.x, sum.y);
    sync_block();
    if (warp > 0 || column >= t.width) return;
    for (int w = 1; w < 8; w++) {
        const Pair other = load_pair(of_warps + 64 * w + 2 * lane);
        sum.x += other.x;
        sum.y += other.y;
    }
    float* leaf = t.leaves + slab * t.width + column;
    leaf[0] = sum.x;
    if (both) leaf[1] = sum.y;
}

constexpr int SUM_PLACES = 4, SUM_PARTS = 8;

struct LeafSums {
    const float* leaves;
    float* to[SUM_PLACES];
    int n, width;
    int end[SUM_PLACES];
};
struct SumLeaves {
    LeafSums parts[SUM_PARTS];
    int count;
};

KERNEL __launch_bounds__(256) column_sums_bf16(const __grid_constant__ ColumnSums<bf16> t) { column_sums(t); }
KERNEL __launch_bounds__(256) column_sums_f32(const __grid_constant__ ColumnSums<float> t) { column_sums(t); }

KERNEL __launch_bounds__(256) sum_leaves(const __grid_constant__ SumLeaves all) {
    int part = 0;
    i64 block = block_index();
    for (; part + 1 < all.count && block >= (all.parts[part].width + 255) / 256; part++) block -= (all.parts[part].width + 255) / 256;
    const LeafSums& t = all.parts[part];
    const i64 column = block * 256 + thread_index();
    if (column >= t.width) return;
    // Four running sums, so that loads do not wait for one another.
    float sum[4] = {};
    for (int leaf = 0; leaf < t.n; leaf += 4)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (leaf + i < t.n) sum[i] += t.leaves[i64(leaf + i) * t.width + column];
#pragma unroll
    for (int i = 0; i < SUM_PLACES; i++) {
        const int begin = i > 0 ? t.end[i - 1] : 0;
        if (t.to[i] && column >= begin && column < t.end[i]) t.to[i][column - begin] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
}
