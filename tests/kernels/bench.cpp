// Times the bf16 kernels on a GPU at AlphaFold's sizes beside their floors; built by build_gpu.sh as `bench`.
//   bench [r...]        default 256 512 1024
// Rates for the floors: 4.3 TB/s, 790 TFLOP/s, 3.86e12 exp/s (one H200). Median of 11 launches after 2; inputs are noise.
#include "device.hpp"
#include <cmath>
#include <vector>
#include "../../kernels/layer_norm_project.cu"
#include "../../kernels/attention.cu"
#include "../../kernels/attention_backward.cu"
#include "../../kernels/gate_output.cu"
#include "../../kernels/triangle_multiplication.cu"
#include "../../kernels/transition.cu"
#include "../../kernels/outer_product_mean.cu"

constexpr double BYTES = 4.3e12, FLOPS = 790e12, EXPS = 3.86e12;

template <class T>
__global__ void fill(T* to, i64 n, float scale, float shift) {
    for (i64 i = blockIdx.x * i64(blockDim.x) + threadIdx.x; i < n; i += i64(gridDim.x) * blockDim.x) {
        u64 x = (u64(i) + 1) * 0x9E3779B97F4A7C15ull;
        x ^= x >> 29;
        x *= 0xBF58476D1CE4E5B9ull;
        x ^= x >> 32;
        store_one(to + i, (float(x & 0xffffff) / 8388608.0f - 1.0f) * scale + shift);
    }
}

/// Device memory with noise in it, freed with the case.
struct Arena {
    std::vector<void*> all;
    ~Arena() {
        for (void* p : all) cudaFree(p);
    }
    template <class T>
    T* make(i64 n, float scale = 1.0f, float shift = 0.0f) {
        T* p = nullptr;
        check_cuda(cudaMalloc(&p, size_t(n) * sizeof(T)), "cudaMalloc");
        all.push_back(p);
        fill<<<1024, 256>>>(p, n, scale, shift);
        return p;
    }
};

/// Milliseconds of one launch; negative if it cannot be launched.
template <class Arguments>
double time_of(long blocks, int threads, size_t shared, void (*kernel)(const Arguments), const Arguments& t) {
    if (cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)) !=
        cudaSuccess) {
        cudaGetLastError();
        return -1;
    }
    cudaEvent_t from, to;
    cudaEventCreate(&from);
    cudaEventCreate(&to);
    std::vector<float> times;
    for (int i = 0; i < 13; i++) {
        cudaEventRecord(from);
        kernel<<<unsigned(blocks), threads, shared>>>(t);
        cudaEventRecord(to);
        check_cuda(cudaEventSynchronize(to), "bench");
        float ms = 0;
        cudaEventElapsedTime(&ms, from, to);
        if (i >= 2) times.push_back(ms);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

static int processors = 132;

static void report(const char* kernel, int r, const char* how, double ms, double floor_seconds) {
    if (ms < 0) std::printf("%-28s r=%-5d %-22s does not fit\n", kernel, r, how);
    else std::printf("%-28s r=%-5d %-22s %9.3f ms  floor %7.3f  share %3.0f%%\n", kernel, r, how, ms, floor_seconds * 1e3, floor_seconds * 1e5 / ms);
    std::fflush(stdout);
}

/// Blocks that run at once, for kernels whose blocks take tiles in turn.
template <class Arguments>
long persistent(int threads, size_t shared, void (*kernel)(const Arguments)) {
    int each = 0;
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared));
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, reinterpret_cast<const void*>(kernel), threads, shared);
    cudaGetLastError();
    return long(std::max(each, 1)) * processors;
}

template <class Arguments, class Shared>
void row_kernel(const char* name, int r, void (*kernel)(const Arguments), Arguments t, int chunks, Shared shared, double floor) {
    for (int warps : {2, 4, 8})
        for (int slots : {2, chunks}) {
            if (slots == 2 && chunks == 2 && warps != 8) continue;
            t.slots = slots;
            const size_t bytes = shared(warps, slots);
            char how[48];
            std::snprintf(how, sizeof how, "warps %d, slots %d", warps, slots);
            report(name, r, how, bytes > 232448 ? -1 : time_of(persistent(32 * warps, bytes, kernel), 32 * warps, bytes, kernel, t), floor);
        }
}

static void triangle_attention(int r) {
    const int c = 128, h = 4, d = 32, hd = h * d, ld = (r + 31) / 32 * 32;
    const i64 rows = i64(r) * r;
    Arena a;
    bf16* x = a.make<bf16>(rows * c);
    float* ones = a.make<float>(1024, 0, 1);
    float* zeros = a.make<float>(1024, 0);
    bf16* qkv = a.make<bf16>(3 * rows * hd);
    bf16* o = a.make<bf16>(rows * hd);
    float* bias = a.make<float>(i64(h) * r * ld);
    float* mask = a.make<float>(rows, 0, 1);
    float* stats = a.make<float>(2 * rows * h);

    LayerNormProject<bf16, bf16> p{};
    p.x = x, p.norm_scale = ones, p.norm_offset = zeros, p.weight = a.make<bf16>(i64(3 * hd + h) * c, 0.1f), p.out = qkv, p.heads_out = bias;
    p.stride0 = i64(r) * c, p.stride1 = c, p.group_stride = rows * hd, p.heads_stride = i64(r) * ld, p.heads_stride0 = ld;
    p.n0 = p.n1 = r, p.c = c, p.width = 3 * hd, p.heads = h, p.group = hd, p.scaled = hd, p.scale = LOG2E / std::sqrt(float(d)), p.heads_scale = LOG2E;
    row_kernel("layer_norm_project", r, layer_norm_project_bf16_bf16, p, 7,
               [&](int w, int s) { return size_t(s) * 64 * stride_of(c) * 2 + w * (32 * stride_of(c) * 2 + 4608); },
               double(rows) * ((c + 3 * hd) * 2 + 4 * h) / BYTES);

    Attention<bf16> t{};
    t.q = qkv, t.k = qkv + rows * hd, t.v = qkv + 2 * rows * hd, t.o = o, t.bias = bias, t.mask = mask, t.stats = stats;
    t.batch_stride = t.o_batch_stride = i64(r) * hd, t.position_stride = t.o_position_stride = hd, t.head_stride = t.o_head_stride = d;
    t.bias_head_stride = i64(r) * ld, t.bias_stride0 = ld, t.mask_batch_stride = r, t.mask_position_stride = 1;
    t.batch = r, t.heads = h, t.n = r;
    AttentionBackward<bf16> b{};
    b.q = t.q, b.k = t.k, b.v = t.v, b.o = o, b.d_o = a.make<bf16>(rows * hd), b.bias = bias, b.mask = mask, b.stats = stats;
    b.delta = a.make<float>(rows * h), b.dq = a.make<bf16>(rows * hd), b.dk = a.make<bf16>(rows * hd), b.dv = a.make<bf16>(rows * hd);
    b.dbias = a.make<float>(i64(h) * r * ld);
    b.batch_stride = t.batch_stride, b.position_stride = hd, b.head_stride = d, b.o_batch_stride = t.batch_stride;
    b.o_position_stride = hd, b.o_head_stride = d, b.bias_head_stride = t.bias_head_stride, b.bias_stride0 = ld;
    b.mask_batch_stride = r, b.mask_position_stride = 1, b.batch = r, b.heads = h, b.n = r;
    const double exps = double(h) * r * r * r / EXPS;
    const long tiles = (r + 63) / 64;
    for (int together : {1, 2, 4}) {
        const int row_blocks = (r + together - 1) / together;
        const long blocks = (row_blocks + 7) / 8 * 8L * h * tiles;
        char how[48];
        std::snprintf(how, sizeof how, "R %d", together);
        const size_t forward = 2 * (18432 + size_t(together) * (256 + 10240));
        report("attention", r, how, time_of(blocks, 128 * together, forward, attention_bf16_32, t), exps);
        if (together == 4) continue;
        if (together == 1) report("attention_delta", r, "", time_of(processors * 8L, 256, 0, attention_delta_bf16_32, b), double(rows) * (4 * hd + 4 * h) / BYTES);
        report("attention_backward_queries", r, how, time_of(blocks, 128 * together, forward, attention_backward_queries_bf16_32, b), exps);
        report("attention_backward_keys", r, how,
               time_of(blocks, 128 * together, forward + 1024 * together, attention_backward_keys_bf16_32, b), exps);
        report("attention_backward_bias", r, how,
               time_of(h * tiles * tiles, 128 * together, 18432 + 2 * together * 10496, attention_backward_bias_bf16_32, b), exps);
    }

    GateOutput<bf16, bf16> g{};
    g.x = x, g.norm_scale = ones, g.norm_offset = zeros, g.gate_weight = a.make<bf16>(i64(hd) * c, 0.1f), g.gate_bias = ones, g.o = o;
    g.out_weight = a.make<bf16>(i64(hd) * c, 0.1f), g.out_bias = zeros, g.residual = x, g.out = x;
    g.stride0 = i64(r) * c, g.stride1 = c, g.n0 = g.n1 = r, g.c = c, g.hv = hd;
    row_kernel("gate_output", r, gate_output_bf16_bf16, g, 4,
               [&](int w, int s) { return size_t(s) * 64 * stride_of(c) * 2 + w * (64 * stride_of(c) * 2 + 4608); },
               double(rows) * (4 * c + 2 * hd) / BYTES);
}

static void triangle_multiplication_of(int r) {
    const int c = 128, ld = (r + 7) / 8 * 8;
    const i64 rows = i64(r) * r;
    Arena a;
    float* ones = a.make<float>(1024, 0, 1);
    bf16* z = a.make<bf16>(rows * c);
    bf16* w = a.make<bf16>(i64(c) * c, 0.1f);
    TriangleProject<bf16, bf16> p{};
    p.z = z, p.mask = a.make<float>(rows, 0, 1), p.norm_scale = p.norm_offset = ones, p.ld = ld, p.n = r, p.cz = p.c = c;
    for (int i = 0; i < 2; i++) {
        p.project[i] = p.gate[i] = w, p.project_bias[i] = p.gate_bias[i] = ones;
        p.out[i] = a.make<bf16>(i64(c) * r * ld);
    }
    row_kernel("triangle_project", r, triangle_project_bf16_bf16, p, 8,
               [&](int w, int s) { return size_t(s) * 64 * stride_of(c) * 2 + w * (32 * stride_of(c) * 2 + 4608); },
               double(rows) * (2 * c + 4 * c + 4) / BYTES);
    TriangleOutput<bf16, bf16> t{};
    t.z = t.residual = z, t.out = z, t.sums = p.out[0], t.norm_in_scale = t.norm_in_offset = t.norm_out_scale = t.norm_out_offset = ones;
    t.out_weight = t.gate_weight = w, t.out_bias = t.gate_bias = ones, t.ld = ld, t.n = r, t.cz = t.c = c;
    row_kernel("triangle_output", r, triangle_output_bf16_bf16, t, 4,
               [&](int w, int s) { return size_t(s) * 64 * stride_of(c) * 2 + w * (64 * stride_of(c) * 2 + 4608); },
               double(rows) * 6 * c / BYTES);
}

template <int C>
static void transition_of(const char* name, int r, i64 rows, void (*kernel)(const Transition<bf16, bf16>)) {
    Arena a;
    float* ones = a.make<float>(4096, 0, 1);
    Transition<bf16, bf16> t{};
    t.x = t.residual = t.out = a.make<bf16>(rows * C), t.norm_scale = t.norm_offset = t.widen_bias = t.narrow_bias = ones;
    t.widen = a.make<bf16>(i64(4) * C * C, 0.1f), t.narrow = a.make<bf16>(i64(4) * C * C, 0.1f), t.rows = rows, t.c = C, t.w = 4 * C;
    row_kernel(name, r, kernel, t, 2,
               [&](int w, int s) { return size_t(s) * std::max(64 * stride_of(C), C * 72) * 2 + w * (16 * (stride_of(C) + 72) * 2 + 4608); },
               double(rows) * C * C * 16 / FLOPS);
}

static void outer_product(int r) {
    const int e = 32, cz = 128, residues = std::min(r, 32);
    Arena a;
    OuterProductProject<bf16, bf16> t{};
    t.outer = a.make<bf16>(i64(residues) * e * r * e), t.weight = a.make<bf16>(i64(cz) * e * e, 0.1f), t.bias = a.make<float>(cz, 0, 1);
    t.counts = a.make<float>(i64(r) * r, 0, 512), t.residual = t.out = a.make<bf16>(i64(r) * r * cz);
    t.first_residue = 0, t.residues = residues, t.r = r, t.e = e, t.cz = cz;
    for (int warps : {2, 4, 8}) {
        char how[48];
        std::snprintf(how, sizeof how, "warps %d, %d residues", warps, residues);
        report("outer_product_project", r, how,
               time_of((i64(residues) * r + 32 * warps - 1) / (32 * warps), 32 * warps, 2 * (128 + warps * 32) * 144 + warps * 4608,
                       outer_product_project_bf16_bf16, t),
               double(residues) * r * e * e * cz * 2 / FLOPS);
    }
}

int main(int count, char** words) {
    start();
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
    std::vector<int> sizes;
    for (int i = 1; i < count; i++) sizes.push_back(std::atoi(words[i]));
    if (sizes.empty()) sizes = {256, 512, 1024};
    for (int r : sizes) {
        triangle_attention(r);
        triangle_multiplication_of(r);
        transition_of<128>("pair transition", r, i64(r) * r, transition_bf16_bf16_128);
        transition_of<256>("msa transition", r, i64(512) * r, transition_bf16_bf16_256);
        outer_product(r);
    }
}
