// candle's own CUDA kernels on the CPU: its sources (of the crate candle-kernels, CANDLE_KERNELS names the folder), compiled by a host
// compiler as for a GPU without half precision types. Most have no barriers: their threads run one after the other. Those that reduce
// run in the emulator. Headers of CUDA that the sources include are empty files; what they use of them is here.
#pragma once
#include "host.hpp"
#include <cassert>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <math.h>
#include <tuple>
#include <utility>

// What CUDA's compiler and headers give.
#define __CUDA_ARCH__ 0
#define CUDA_VERSION 13000
#define __CUDACC_VER_MAJOR__ 13
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static // blocks run one after the other

namespace candle {
struct Index {
    unsigned x = 0, y = 0, z = 0;
};
inline Index thread, block, threads{1, 1, 1}, blocks{1, 1, 1};
/// A fiber's own number, where there are fibers.
inline Index thread_of() {
    const auto* fiber = emulator::machine.current;
    return fiber ? Index{unsigned(fiber->index), 0, 0} : thread;
}
inline Index block_of() { return emulator::machine.current ? Index{unsigned(emulator::machine.block), 0, 0} : block; }
} // namespace candle
#define threadIdx (candle::thread_of())
#define blockIdx (candle::block_of())
#define blockDim (candle::threads)
#define gridDim (candle::blocks)

inline void __syncthreads() { emulator::barrier(); }
inline float __shfl_xor_sync(unsigned, float x, int mask, int = 32) { return shuffle_xor(x, mask); }

struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

/// bf16, of which candle is asked for conversions only.
struct __nv_bfloat16 {
    u16 bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float x) : bits(u16(pack(x, 0.0f) & 0xffffu)) {}
    operator float() const { return as_f32(u32(bits) << 16); }
};
/// Types that are named and never used.
struct __half {
    u16 bits;
    __half() = default;
    __half(float) : bits(0) { emulator::fail("half precision is not emulated"); }
    operator float() const { emulator::fail("half precision is not emulated"); }
};
struct __nv_fp8_e4m3 : __half {
    using __half::__half;
    unsigned char __x;
};
struct __half_raw {};
inline u16 __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(u32) { return __half(0.0f); }
inline __half __hmax_nan(__half x, __half) { return x; }
inline __half __hmin_nan(__half x, __half) { return x; }
constexpr int __NV_E4M3 = 0;
inline __half_raw __nv_cvt_fp8_to_halfraw(unsigned char, int) { return {}; }
inline float __half2float(__half_raw) { emulator::fail("fp8 is not emulated"); }

template <class To, class From>
inline To same_bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &x, sizeof to);
    return to;
}
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline double __longlong_as_double(unsigned long long x) { return same_bits<double>(x); }
inline unsigned long long __double_as_longlong(double x) { return same_bits<unsigned long long>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __int_as_float(int x) { return same_bits<float>(x); }
inline int __float_as_int(float x) { return same_bits<int>(x); }
/// What was there, in whose place comes what `with` makes of it.
template <class T, class With>
T exchanged(T* at, With with) {
    const T old = *at;
    *at = with(old);
    return old;
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
    return exchanged(at, [=](T old) { return old == expected ? value : old; });
}
template <class T, class U>
T atomicAdd(T* at, U x) {
    return exchanged(at, [=](T old) { return T(old + x); });
}
template <class T, class U>
T atomicMin(T* at, U x) {
    return exchanged(at, [=](T old) { return std::min(old, T(x)); });
}
template <class T, class U>
T atomicMax(T* at, U x) {
    return exchanged(at, [=](T old) { return std::max(old, T(x)); });
}
template <class T, class U>
auto min(T x, U y) {
    using Both = std::common_type_t<T, U>;
    return Both(x) < Both(y) ? Both(x) : Both(y);
}
template <class T, class U>
auto max(T x, U y) {
    using Both = std::common_type_t<T, U>;
    return Both(x) > Both(y) ? Both(x) : Both(y);
}
inline float normcdff(float x) { return 0.5f * std::erfc(-x * float(M_SQRT1_2)); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
using std::isnan;
using std::signbit;

namespace cuda::std {
template <class T>
using numeric_limits = ::std::numeric_limits<T>;
}

// Each file has helpers of the same names, and some declare an atomicAdd of their own, which must not hide this one.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
namespace candle_affine {
using ::atomicAdd;
#include <affine.cu>
}
namespace candle_binary {
using ::atomicAdd;
#include <binary.cu>
}
namespace candle_cast {
using ::atomicAdd;
#include <cast.cu>
}
namespace candle_fill {
using ::atomicAdd;
#include <fill.cu>
}
namespace candle_indexing {
using ::atomicAdd;
#include <indexing.cu>
}
namespace candle_reduce {
using ::atomicAdd;
#include <reduce.cu>
}
namespace candle_ternary {
using ::atomicAdd;
#include <ternary.cu>
}
namespace candle_unary {
using ::atomicAdd;
#include <unary.cu>
}
#pragma GCC diagnostic pop

namespace candle {

/// A kernel behind a list of addresses of its arguments, as the driver takes them.
struct Entry {
    std::function<void(void**)> call;
    bool barriers;
};

template <class... Arguments, size_t... I>
Entry unpacked(void (*kernel)(Arguments...), bool barriers, std::index_sequence<I...>) {
    return {[kernel](void** from) { kernel(*static_cast<std::remove_const_t<Arguments>*>(from[I])...); }, barriers};
}
template <class... Arguments>
Entry entry(void (*kernel)(Arguments...), bool barriers = false) {
    return unpacked(kernel, barriers, std::index_sequence_for<Arguments...>());
}

#define ENTRY(name) {#name, entry(name)}
#define NUMBERS(name) ENTRY(name##_f32), ENTRY(name##_f64), ENTRY(name##_u8), ENTRY(name##_u32), ENTRY(name##_i64)
#define REALS(name) ENTRY(name##_f32), ENTRY(name##_f64)
#define REDUCES(name) {#name, entry(name, true)}
#define REDUCED(name) REDUCES(name##_f32), REDUCES(name##_f64), REDUCES(name##_u8), REDUCES(name##_u32), REDUCES(name##_i64)
#define SELECTED(name) NUMBERS(name##_u8), NUMBERS(name##_u32), NUMBERS(name##_i64)

inline const std::map<std::string, Entry>& entries() {
    using namespace candle_affine;
    using namespace candle_binary;
    using namespace candle_cast;
    using namespace candle_fill;
    using namespace candle_indexing;
    using namespace candle_reduce;
    using namespace candle_ternary;
    using namespace candle_unary;
    static const std::map<std::string, Entry> all{
        NUMBERS(affine), NUMBERS(badd), NUMBERS(bsub), NUMBERS(bmul), NUMBERS(bdiv), NUMBERS(bminimum), NUMBERS(bmaximum), NUMBERS(eq), NUMBERS(ne),
        NUMBERS(lt), NUMBERS(le), NUMBERS(gt), NUMBERS(ge), NUMBERS(cast_f32), NUMBERS(cast_f64), NUMBERS(cast_u8), NUMBERS(cast_u32),
        NUMBERS(cast_i64), ENTRY(cast_f32_bf16), ENTRY(cast_bf16_f32), NUMBERS(fill), NUMBERS(copy2d), NUMBERS(const_set), SELECTED(is),
        SELECTED(gather), SELECTED(ia), SELECTED(sa), SELECTED(s), REDUCED(fast_sum), REDUCED(fast_min), REDUCED(fast_max), REDUCED(fast_argmin),
        REDUCED(fast_argmax), NUMBERS(fast_sum_small), SELECTED(where), NUMBERS(ucopy), REALS(uneg), REALS(urecip), REALS(uexp), REALS(ulog),
        REALS(usin), REALS(ucos), REALS(utanh), REALS(uerf), REALS(uceil), REALS(ufloor), REALS(uround), REALS(uabs), REALS(usqr), REALS(usqrt),
        REALS(ugelu), REALS(ugelu_erf), REALS(urelu), REALS(uelu), REALS(usilu), REALS(upowf), REALS(usign), REALS(usigmoid),
    };
    return all;
}

#undef ENTRY
#undef NUMBERS
#undef REALS
#undef REDUCES
#undef REDUCED
#undef SELECTED

/// Runs a kernel; whether there is one of that name.
inline bool launch(const std::string& name, unsigned grid, unsigned width, void** arguments) {
    const auto found = entries().find(name);
    if (found == entries().end()) return false;
    blocks = {grid, 1, 1};
    threads = {width, 1, 1};
    emulator::running = name;
    const Entry& kernel = found->second;
    if (kernel.barriers) {
        emulator::launch(grid, int(width), 0, 0, [&] { kernel.call(arguments); });
        return true;
    }
    for (block.x = 0; block.x < grid; block.x++)
        for (thread.x = 0; thread.x < width; thread.x++) kernel.call(arguments);
    return true;
}

} // namespace candle
