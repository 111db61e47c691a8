// What the kernel tests share: buffers, random values, the plain float64 mathematics, and the comparison.
#pragma once
#ifdef __CUDACC__
#include "device.hpp"
#else
#include "host.hpp"
#endif
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

using Values = std::vector<double>;

/// Reproducible normal numbers.
inline Values noise(size_t n, unsigned seed, double scale = 1.0, double shift = 0.0) {
    std::mt19937 random(seed * 7919u + 17u);
    std::normal_distribution<double> normal;
    Values v(n);
    for (double& x : v) x = normal(random) * scale + shift;
    return v;
}

/// Ones and zeros; about `present` of them ones.
inline Values coins(size_t n, unsigned seed, double present) {
    std::mt19937 random(seed * 104729u + 5u);
    Values v(n);
    for (double& x : v) x = random() < present * 4294967295.0 ? 1.0 : 0.0;
    return v;
}

inline double value_of(float x) { return x; }
inline double value_of(bf16 x) {
    const u32 bits = u32(x.bits) << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}
inline void round_to(float& to, double x) { to = float(x); }
/// Ties to even.
inline void round_to(bf16& to, double x) {
    const float f = float(x);
    u32 bits;
    std::memcpy(&bits, &f, 4);
    to.bits = u16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/// Global memory of a kernel: NaN until written, guarded at both ends.
template <class T>
class Buffer {
public:
    explicit Buffer(size_t n) : memory_(std::max<size_t>(n, 1) * sizeof(T)), n_(n) {}
    /// Rounds `v` to what T holds, so that a reference made from `v` starts from the same numbers.
    explicit Buffer(Values& v) : Buffer(v.size()) {
        for (size_t i = 0; i < v.size(); i++) {
            round_to(data()[i], v[i]);
            v[i] = value_of(data()[i]);
        }
    }
    T* data() const { return reinterpret_cast<T*>(memory_.data()); }
    size_t size() const { return n_; }
    double operator[](size_t i) const { return value_of(data()[i]); }
    Values values() const {
        Values v(n_);
        for (size_t i = 0; i < n_; i++) v[i] = (*this)[i];
        return v;
    }
    /// Whether element i still has the bits it began with.
    bool untouched(size_t i) const {
        auto p = reinterpret_cast<const unsigned char*>(data() + i);
        return std::all_of(p, p + sizeof(T), [](unsigned char c) { return c == 0xff; });
    }
    Memory& memory() { return memory_; }

private:
    Memory memory_;
    size_t n_;
};

/// Shared memory a block can have on sm_90.
constexpr size_t MOST_SHARED = 227 * 1024;

/// Takes fewer slots, then fewer warps, until shared(s) fits.
template <class Shape, class Shared>
Shape fitted(Shape s, Shared shared) {
    if constexpr (requires { s.slots; })
        if (shared(s) > MOST_SHARED) s.slots = 2;
    while (shared(s) > MOST_SHARED && s.warps > 1) s.warps /= 2;
    return s;
}

inline int passed = 0, failed = 0;

inline void verdict(bool good, const std::string& name, const std::string& what) {
    (good ? passed : failed)++;
    std::printf("%s  %-78s %s\n", good ? "ok   " : "ERROR", name.c_str(), what.c_str());
    if (!good) std::fflush(stdout);
}

/// ‖got − want‖ / (‖want‖ + floor) against its bound; not finite is an error. `floor` is for what may be zero altogether.
inline void compare(const std::string& name, const Values& got, const Values& want, double bound, double floor = 0) {
    double difference = 0, norm = 0;
    bool finite = got.size() == want.size();
    for (size_t i = 0; finite && i < want.size(); i++) {
        finite = std::isfinite(got[i]) && std::isfinite(want[i]);
        difference += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    const double error = std::sqrt(difference) / (std::sqrt(norm) + floor);
    char text[96];
    std::snprintf(text, sizeof text, "error %.2e  bound %.0e%s", error, bound, finite ? "" : "  not finite");
    verdict(finite && error <= bound, name, text);
}

/// Runs a kernel twice, in the emulator with its threads in turn and then in disorder; what it writes into `outs` must be the
/// same to the bit.
template <class Arguments>
void run(const std::string& name, long blocks, int threads, size_t shared, std::vector<Memory*> outs, void (*kernel)(const Arguments),
         const Arguments& arguments) {
    auto save = [&] {
        std::vector<std::vector<char>> all;
        for (auto* out : outs) all.emplace_back(out->data(), out->data() + out->size());
        return all;
    };
    const auto before = save();
    std::vector<std::vector<char>> first;
    for (int schedule : {0, 2}) {
        for (size_t i = 0; i < outs.size(); i++) std::memcpy(outs[i]->data(), before[i].data(), before[i].size());
        launch(name, blocks, threads, shared, schedule, kernel, arguments);
        for (auto* out : outs)
            if (!out->intact()) verdict(false, name, "wrote beside its output");
        if (schedule == 0) first = save();
        else if (first != save()) verdict(false, name, "depends on the order of its threads: a barrier is missing");
    }
}

inline int finish() {
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

template <class T>
constexpr const char* type_name() {
    return std::is_same_v<T, bf16> ? "bf16" : "f32";
}

namespace plain {

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// LN of c values, ε = 1e-5.
inline Values layer_norm(const double* x, int c, const Values& scale, const Values& offset, long step = 1) {
    double mean = 0, var = 0;
    for (int i = 0; i < c; i++) mean += x[i * step];
    mean /= c;
    for (int i = 0; i < c; i++) var += (x[i * step] - mean) * (x[i * step] - mean);
    const double inverse = 1.0 / std::sqrt(var / c + 1e-5);
    Values y(c);
    for (int i = 0; i < c; i++) y[i] = (x[i * step] - mean) * inverse * scale[i] + offset[i];
    return y;
}

/// Gradient of layer_norm to x; adds those of scale and offset.
inline Values layer_norm_backward(const double* x, int c, const Values& scale, const Values& dy, Values& dscale, Values& doffset, long step = 1) {
    double mean = 0, var = 0, sum = 0, product = 0;
    for (int i = 0; i < c; i++) mean += x[i * step] / c;
    for (int i = 0; i < c; i++) var += (x[i * step] - mean) * (x[i * step] - mean) / c;
    const double inverse = 1.0 / std::sqrt(var + 1e-5);
    for (int i = 0; i < c; i++) {
        const double normal = (x[i * step] - mean) * inverse;
        dscale[i] += dy[i] * normal;
        doffset[i] += dy[i];
        sum += dy[i] * scale[i] / c;
        product += dy[i] * scale[i] * normal / c;
    }
    Values dx(c);
    for (int i = 0; i < c; i++) dx[i] = inverse * (dy[i] * scale[i] - sum - (x[i * step] - mean) * inverse * product);
    return dx;
}

/// One output of a linear layer.
inline double dot(const Values& x, const Values& w, long row) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); i++) sum += x[i] * w[row * x.size() + i];
    return sum;
}

} // namespace plain
