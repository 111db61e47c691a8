// Types shared by all kernels, for nvcc, NVRTC and a host compiler.
//
// Kernels include nothing but files of this folder. For NVRTC the files are pasted into one text in the order
// types, primitives, tile, stream, attention, ipa, backward (the .cuh), x.cu, without their #include lines.
#ifndef FOLDRY_TYPES
#define FOLDRY_TYPES

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void
#else
#define DEVICE inline
#define KERNEL inline void
#endif

/// bfloat16: the upper half of an f32.
struct bf16 {
    u16 bits;
};

/// The value whose bits these are, and back.
#ifdef __CUDACC__
DEVICE float as_f32(u32 bits) { return __uint_as_float(bits); }
DEVICE u32 as_u32(float x) { return __float_as_uint(x); }
#else
inline float as_f32(u32 bits) {
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}
inline u32 as_u32(float x) {
    u32 bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
}
#endif

DEVICE float to_f32(bf16 x) { return as_f32(u32(x.bits) << 16); }
DEVICE float to_f32(float x) { return x; }

/// Two bf16 of one 32-bit word; the first lies in the lower half.
DEVICE float low_f32(u32 pair) { return as_f32(pair << 16); }
DEVICE float high_f32(u32 pair) { return as_f32(pair & 0xffff0000u); }

struct alignas(8) Pair {
    float x, y;
};
struct alignas(16) Words {
    u32 w[4];
};

/// In how many bf16 parts a value of type T enters a tensor-core product: x = Σ parts.
/// f32 = 2 parts, and a·b ≈ hi·hi + hi·lo + lo·hi: relative error of one product below 2^-15.9 (each operand is
/// off by at most 2^-17 of itself, and lo·lo, dropped, is at most 2^-16), about 4e-6 rms in practice.
template <class T>
struct Parts;
template <>
struct Parts<bf16> {
    static constexpr int count = 1;
};
template <>
struct Parts<float> {
    static constexpr int count = 2;
};

constexpr float LOG2E = 1.4426950408889634f;
constexpr float LAYER_NORM_EPS = 1e-5f;

template <class T>
DEVICE T min_of(T a, T b) {
    return a < b ? a : b;
}
template <class T>
DEVICE T max_of(T a, T b) {
    return a > b ? a : b;
}
DEVICE int round_up(int x, int to) { return (x + to - 1) / to * to; }

#endif
