// What the kernels need of the machine, one function each. This is the device side, inline PTX for sm_80 and later;
// tests/kernels/host.hpp has the same functions for the emulator, lane for lane.
//
// Layouts (lane l of a warp, g = l / 4, t = l % 4), as in the PTX manual:
//   mma m16n8k16   a[0] A[g][2t..2t+1]  a[1] A[g+8][2t..]  a[2] A[g][2t+8..]  a[3] A[g+8][2t+8..]
//                  b[0] B[2t..2t+1][g]  b[1] B[2t+8..][g]
//                  c[0..1] C[g][2t..2t+1]  c[2..3] C[g+8][2t..]
//   ldmatrix       matrix q (8 × 8 of 16 bits) has its row r at the address of lane 8q + r;
//                  word q of lane l is M_q[g][2t..2t+1], transposed: M_q[2t..2t+1][g]
#ifndef FOLDRY_PRIMITIVES
#define FOLDRY_PRIMITIVES
#include "types.cuh"

#ifdef __CUDACC__

DEVICE int thread_index() { return threadIdx.x; }
DEVICE int block_threads() { return blockDim.x; }
DEVICE i64 block_index() { return blockIdx.x; }
DEVICE i64 block_count() { return gridDim.x; }
DEVICE void sync_block() { __syncthreads(); }
DEVICE void sync_warp() { __syncwarp(); }

/// The block's dynamic shared memory.
DEVICE unsigned char* shared_memory() {
    extern __shared__ __align__(128) unsigned char dynamic_shared[];
    return dynamic_shared;
}

DEVICE u32 shared_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }

/// x of lane (this lane xor mask).
DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }

/// Whether `p` holds in any lane.
DEVICE bool any_lane(bool p) { return __any_sync(0xffffffffu, p); }

/// c += A·B, bf16 products, f32 sums.
DEVICE void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile( // volatile: must not move into a branch
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four 8 × 8 matrices; `row` is the 16-byte row that this lane names.
DEVICE void load_matrices(u32 (&r)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void load_matrices_transposed(u32 (&r)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// 16 bytes from global to shared memory, later: `bytes` (0 to 16) are read, the rest are zeros. Both 16-byte aligned.
DEVICE void copy_async(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
}
/// As above, 4 bytes or (`bytes` = 0) zeros.
DEVICE void copy_async_word(float* to, const float* from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
}
/// Closes this thread's group of copies.
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// Waits until at most `Left` of this thread's latest groups are under way.
template <int Left>
DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(Left) : "memory");
}

/// 2^x, relative error 2^-22.
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
/// tanh, absolute error about 2^-11.
DEVICE float tanh_fast(float x) {
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
/// 1/x, one ulp.
DEVICE float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
/// 1/√x for x > 0, two ulps.
DEVICE float inverse_root(float x) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// As exact as f32 is, for a few values: e^x, ln(1 + x), √x.
DEVICE float exp_exact(float x) { return expf(x); }
DEVICE float log_1_plus(float x) { return log1pf(x); }
DEVICE float square_root(float x) { return sqrtf(x); }

/// Two f32 to bf16, ties to even: `low` into the lower half.
DEVICE u32 pack(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

/// *to += x, in no fixed order.
DEVICE void add_unordered(float* to, float x) { asm volatile("red.global.add.f32 [%0], %1;" ::"l"(to), "f"(x) : "memory"); }

#endif

DEVICE bf16 to_bf16(float x) { return bf16{u16(pack(x, 0.0f) & 0xffffu)}; }

/// Two values to memory at once; `to` is aligned to both.
DEVICE void store_pair(bf16* to, float x, float y) { *reinterpret_cast<u32*>(to) = pack(x, y); }
DEVICE void store_pair(float* to, float x, float y) { *reinterpret_cast<Pair*>(to) = Pair{x, y}; }
DEVICE Pair load_pair(const bf16* from) {
    u32 w = *reinterpret_cast<const u32*>(from);
    return Pair{low_f32(w), high_f32(w)};
}
DEVICE Pair load_pair(const float* from) { return *reinterpret_cast<const Pair*>(from); }

DEVICE void store_one(bf16* to, float x) { *to = to_bf16(x); }
DEVICE void store_one(float* to, float x) { *to = x; }

DEVICE float warp_sum(float x) {
    for (int mask = 16; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}

/// Splits two values into PARTS words of bf16 pairs.
template <int PARTS>
DEVICE void split(float x, float y, u32 (&words)[PARTS]) {
    words[0] = pack(x, y);
    if constexpr (PARTS == 2) words[1] = pack(x - low_f32(words[0]), y - high_f32(words[0]));
}

/// 1 / (1 + e^-x), as exact as values of type W need: tanh.approx for bf16, else 2^x and a reciprocal.
template <class W>
DEVICE float sigmoid(float x) {
    if constexpr (Parts<W>::count == 1) return 0.5f * tanh_fast(0.5f * x) + 0.5f;
    // Below -87 the sum is infinite and its reciprocal 0, as it should be.
    return reciprocal(1.0f + exp2_fast(-LOG2E * x));
}

#endif
