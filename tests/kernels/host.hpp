// The primitives of kernels/primitives.cuh for the emulator: the same names, the same lanes.
#pragma once
#include "../../kernels/types.cuh"
#include "emulator.hpp"
#include <cmath>

#define __launch_bounds__(...)
#define __grid_constant__

inline int thread_index() { return emulator::machine.current->index; }
inline int block_threads() { return emulator::machine.threads; }
inline i64 block_index() { return emulator::machine.block; }
inline i64 block_count() { return emulator::machine.blocks; }
inline void sync_block() { emulator::barrier(); }
inline void sync_warp() {
    emulator::together(emulator::Wait::sync_warp, nullptr, nullptr, [](emulator::Fiber*) {});
}
inline unsigned char* shared_memory() { return reinterpret_cast<unsigned char*>(emulator::machine.shared->data()); }

inline void in_shared(const void* p, const char* what) {
    if (!emulator::machine.shared->holds(p, 16)) emulator::fail(std::string(what) + ": not in shared memory");
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) emulator::fail(std::string(what) + ": not aligned to 16 bytes");
}

inline float shuffle_xor(float x, int mask) {
    struct In {
        float x;
        int mask;
    } in{x, mask};
    float out;
    emulator::together(emulator::Wait::shuffle, &in, &out, [](emulator::Fiber* lanes) {
        for (int l = 0; l < 32; l++) {
            auto own = static_cast<const In*>(lanes[l].in);
            auto other = static_cast<const In*>(lanes[l ^ own->mask].in);
            if (own->mask != other->mask) emulator::fail("shuffle_xor: lanes disagree about the mask");
            *static_cast<float*>(lanes[l].out) = other->x;
        }
    });
    return out;
}

inline bool any_lane(bool p) {
    bool out;
    emulator::together(emulator::Wait::any, &p, &out, [](emulator::Fiber* lanes) {
        bool any = false;
        for (int l = 0; l < 32; l++) any |= *static_cast<const bool*>(lanes[l].in);
        for (int l = 0; l < 32; l++) *static_cast<bool*>(lanes[l].out) = any;
    });
    return out;
}

inline u32 pack(float low, float high) {
    auto round = [](float x) -> u32 {
        u32 bits = as_u32(x);
        if (x != x) return 0x7fff;
        return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    };
    return round(low) | round(high) << 16;
}

struct MmaOperands {
    u32 a[4], b[2];
};
/// Unmarked, as most of the emulator's time goes here.
UNMARKED inline void multiply_lanes(const void* const* operands, float* const* results) {
    float A[16][16], B[8][16];
    auto put = [](float* to, u32 word) UNMARKED {
        const u32 pair[2] = {word << 16, word & 0xffff0000u};
        __builtin_memcpy(to, pair, 8);
    };
    for (int l = 0; l < 32; l++) {
        auto in = static_cast<const MmaOperands*>(operands[l]);
        const int g = l / 4, t = l % 4;
        for (int q = 0; q < 4; q++) put(&A[g + 8 * (q & 1)][2 * t + 8 * (q >> 1)], in->a[q]);
        for (int q = 0; q < 2; q++) put(&B[g][2 * t + 8 * q], in->b[q]);
    }
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++) {
            const float* x = A[l / 4 + 8 * (i >> 1)];
            const float* y = B[2 * (l % 4) + (i & 1)];
            float sum = 0;
            for (int k = 0; k < 16; k++) sum += x[k] * y[k];
            results[l][i] += sum;
        }
}

inline void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    MmaOperands in{{a[0], a[1], a[2], a[3]}, {b0, b1}};
    emulator::together(emulator::Wait::mma, &in, &c[0], [](emulator::Fiber* lanes) {
        const void* operands[32];
        float* results[32];
        for (int l = 0; l < 32; l++) operands[l] = lanes[l].in, results[l] = static_cast<float*>(lanes[l].out);
        multiply_lanes(operands, results);
    });
}

template <bool TRANSPOSED>
void load_matrices_as(u32 (&r)[4], const bf16* row) {
    in_shared(row, "load_matrices");
    const auto what = TRANSPOSED ? emulator::Wait::matrices_transposed : emulator::Wait::matrices;
    emulator::together(what, row, &r[0], [](emulator::Fiber* lanes) {
        // Row l % 8 of a matrix goes to lanes 4·(l % 8) .. + 3; two of them stand for all.
        for (int l = 0; l < 32; l++)
            for (int reader = 4 * (l % 8); reader < 4 * (l % 8) + 2; reader++) {
                emulator::races.thread = lanes[reader].index;
                emulator::races.touch(lanes[l].in, 16, false);
            }
        emulator::races.thread = -1;
        for (int l = 0; l < 32; l++)
            for (int q = 0; q < 4; q++) {
                u32 word = 0;
                for (int i = 0; i < 2; i++) {
                    const int from_row = TRANSPOSED ? 2 * (l % 4) + i : l / 4, column = TRANSPOSED ? l / 4 : 2 * (l % 4) + i;
                    word |= u32(static_cast<const bf16*>(lanes[8 * q + from_row].in)[column].bits) << (16 * i);
                }
                static_cast<u32*>(lanes[l].out)[q] = word;
            }
    });
}
inline void load_matrices(u32 (&r)[4], const bf16* row) { load_matrices_as<false>(r, row); }
inline void load_matrices_transposed(u32 (&r)[4], const bf16* row) { load_matrices_as<true>(r, row); }

inline void copy_async(void* to, const void* from, int bytes) {
    in_shared(to, "copy_async");
    if (reinterpret_cast<uintptr_t>(from) % 16 != 0) emulator::fail("copy_async: source not aligned to 16 bytes");
    if (bytes < 0 || bytes > 16) emulator::fail("copy_async: expected 0 to 16 bytes");
    emulator::races.touch(to, 16, true);
    emulator::Unwatched own;
    std::memset(to, 0xff, 16); // whatever is there until the copy is waited for
    emulator::machine.current->open.push_back({to, from, 16, bytes});
}
inline void copy_async_word(float* to, const float* from, int bytes) {
    if (!emulator::machine.shared->holds(to, 4)) emulator::fail("copy_async_word: not in shared memory");
    if (bytes != 0 && bytes != 4) emulator::fail("copy_async_word: expected 0 or 4 bytes");
    emulator::races.touch(to, 4, true);
    emulator::Unwatched own;
    std::memset(to, 0xff, 4);
    emulator::machine.current->open.push_back({to, from, 4, bytes});
}
inline void copy_commit() {
    auto& f = *emulator::machine.current;
    f.groups.push_back(std::move(f.open));
    f.open.clear();
}
template <int Left>
void copy_wait() {
    emulator::finish_copies(Left);
}

inline float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
inline float exp2_fast(float x) { return flush(std::exp2(flush(x))); }
/// With the error of the hardware's: 11 bits.
inline float tanh_fast(float x) {
    float y = std::tanh(x);
    return as_f32((as_u32(y) + 0x800) & ~0xfffu);
}
inline float reciprocal(float x) { return flush(1.0f / flush(x)); }
inline float exp_exact(float x) { return std::exp(x); }
inline float log_1_plus(float x) { return std::log1p(x); }
inline float square_root(float x) { return std::sqrt(x); }
inline float inverse_root(float x) { return 1.0f / std::sqrt(x); }
inline void add_unordered(float* to, float x) { *to += x; }

// How check.hpp runs kernels.
using Memory = emulator::Guarded;
inline void start() { emulator::catch_faults(); }
template <class Arguments>
void launch(const std::string& name, long blocks, int threads, size_t shared, int schedule, void (*kernel)(const Arguments),
            const Arguments& arguments) {
    emulator::running = name;
    if (threads % 32 != 0) emulator::fail("a block that is not of whole warps");
    emulator::launch(blocks, threads, shared, schedule, [&] { kernel(arguments); });
}
