// Stands in for CUDA's libraries on a machine without a GPU: memory is the host's, our kernels run in the emulator, matrix products are
// plain sums, and of candle's kernels there are those that join and round weights. Built as libcuda.so.1 and the others by
// tests/kernels/run.sh driver, which runs `foldry bench op --device cuda --check` on it: a program with the feature `cuda` as it is shipped,
// through its stand-ins for the libraries, down to loading, launching and copying.
#include "library.cpp"

using u8 = unsigned char;
using Address = u64; // CUdeviceptr

namespace {

constexpr int INVALID = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500;

std::map<Address, Memory*>& blocks() {
    static std::map<Address, Memory*> all;
    return all;
}

int allocate(Address* to, size_t bytes) {
    if (bytes > (size_t(4) << 30)) return OUT_OF_MEMORY;
    auto* memory = new Memory(bytes);
    *to = reinterpret_cast<Address>(memory->data());
    blocks()[*to] = memory;
    return 0;
}

int release(Address at) {
    const auto found = blocks().find(at);
    if (found == blocks().end()) return INVALID;
    if (!found->second->intact()) emulator::fail("wrote beside its memory");
    delete found->second;
    blocks().erase(found);
    return 0;
}

/// Values of a matrix or a copy: f32, or bf16.
float get(const void* from, bool is_bf16, size_t i) {
    return is_bf16 ? to_f32(static_cast<const bf16*>(from)[i]) : static_cast<const float*>(from)[i];
}
void put(void* to, bool is_bf16, size_t i, float x) {
    if (is_bf16) static_cast<bf16*>(to)[i] = bf16{u16(pack(x, 0.0f) & 0xffffu)};
    else static_cast<float*>(to)[i] = x;
}

template <class T>
T at(void** parameters, int i) {
    T value;
    std::memcpy(&value, parameters[i], sizeof value);
    return value;
}

/// The kernels of candle that packing weights needs: src, dst, d1, d2, src_s, dst_s; and numel, num_dims, info, inp, out.
bool candle(const std::string& name, void** p) {
    if (name == "copy2d_f32") {
        const auto *from = at<const float*>(p, 0);
        auto* to = at<float*>(p, 1);
        for (size_t i = 0; i < at<u32>(p, 2); i++)
            for (size_t j = 0; j < at<u32>(p, 3); j++) to[i * at<u32>(p, 5) + j] = from[i * at<u32>(p, 4) + j];
        return true;
    }
    if (name == "cast_f32_bf16" && at<Address>(p, 2) == 0) {
        for (size_t i = 0; i < at<size_t>(p, 0); i++) put(at<void*>(p, 4), true, i, at<const float*>(p, 3)[i]);
        return true;
    }
    return false;
}

} // namespace

extern "C" {
// The driver.
int cuInit(u32) { return 0; }
int cuDriverGetVersion(int* v) { return *v = 13000, 0; }
int cuDeviceGetCount(int* n) { return *n = 1, 0; }
int cuDeviceGet(int* d, int) { return *d = 0, 0; }
int cuDeviceGetName(char* to, int n, int) { return std::snprintf(to, size_t(n), "the emulator"), 0; }
int cuDeviceTotalMem_v2(size_t* n, int) { return *n = size_t(4) << 30, 0; }
int cuMemGetInfo_v2(size_t* free, size_t* all) { return *free = *all = size_t(4) << 30, 0; }
int cuDeviceGetAttribute(int* v, int attribute, int) {
    const std::map<int, int> known{{16, 3}, {75, 9}, {76, 0}, {97, 227 * 1024}, {115, 1}};
    const auto found = known.find(attribute);
    return found == known.end() ? INVALID : (*v = found->second, 0);
}
int cuDevicePrimaryCtxRetain(void** c, int) { return *c = &blocks(), 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxDestroy_v2(void*) { return 0; }
int cuCtxGetCurrent(void** c) { return *c = &blocks(), 0; }
int cuCtxSetCurrent(void*) { return 0; }
int cuCtxSynchronize() { return 0; }
int cuDeviceGetDefaultMemPool(void** p, int) { return *p = &blocks(), 0; }
int cuMemPoolGetAttribute(void*, int, void* v) { return std::memset(v, 0, 8), 0; }
int cuMemPoolSetAttribute(void*, int, void*) { return 0; }
int cuEventCreate(void** e, u32) { return *e = &blocks(), 0; }
int cuEventDestroy_v2(void*) { return 0; }
int cuEventRecord(void*, void*) { return 0; }
int cuStreamCreate(void** s, u32) { return *s = &blocks(), 0; }
int cuStreamDestroy_v2(void*) { return 0; }
int cuStreamIsCapturing(void*, int* status) { return *status = 0, 0; }
int cuStreamSynchronize(void*) { return 0; }
int cuStreamWaitEvent(void*, void*, u32) { return 0; }
int cuGetErrorString(int, const char** text) { return *text = "an error of the fake driver", 0; }
int cuMemAllocAsync(Address* to, size_t bytes, void*) { return allocate(to, bytes); }
int cuMemAlloc_v2(Address* to, size_t bytes) { return allocate(to, bytes); }
int cuMemFreeAsync(Address from, void*) { return release(from); }
int cuMemFree_v2(Address from) { return release(from); }
int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, void*) { return std::memcpy(reinterpret_cast<void*>(to), from, n), 0; }
int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, void*) { return std::memcpy(to, reinterpret_cast<void*>(from), n), 0; }
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void*) {
    return std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), n), 0;
}
int cuMemsetD8Async(Address to, u8 value, size_t n, void*) { return std::memset(reinterpret_cast<void*>(to), value, n), 0; }
int cuModuleLoadData(void** module, const void* image) { return *module = const_cast<void*>(image), image ? 0 : INVALID; }
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void*, const char* name) {
    // Names of kernels that are not there are found when they are launched: candle's are not listed.
    return *function = new std::string(name), 0;
}
int cuFuncSetAttribute(void*, int, int value) { return value <= 227 * 1024 ? 0 : INVALID; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, size_t) { return *blocks = 2, 0; }
int cuLaunchKernel(void* function, u32 x, u32 y, u32 z, u32 threads, u32 ty, u32 tz, u32 shared, void*, void** parameters, void**) {
    const std::string& name = *static_cast<std::string*>(function);
    const auto found = entries().find(name);
    if (y * z * ty * tz != 1) return INVALID;
    if (found != entries().end()) {
        found->second.run(x, int(threads), shared, 0, parameters[0]);
        return 0;
    }
    if (candle(name, parameters)) return 0;
    std::fprintf(stderr, "ERROR  the fake driver has no kernel %s\n", name.c_str());
    return NOT_FOUND;
}

// cuBLAS, columns first: C [m, n] = op(A) [m, k] · op(B) [k, n].
int cublasCreate_v2(void** handle) { return *handle = &blocks(), 0; }
int cublasDestroy_v2(void*) { return 0; }
int cublasSetStream_v2(void*, void*) { return 0; }
int cublasGemmStridedBatchedEx(void*, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a, int type_a, int lda,
                               long long stride_a, const void* b, int type_b, int ldb, long long stride_b, const void* beta, void* c,
                               int type_c, int ldc, long long stride_c, int batch, int compute, int) {
    constexpr int F32 = 0, BF16 = 14, COMPUTE_32F = 68;
    const bool half = type_a == BF16, half_c = type_c == BF16;
    if (type_a != type_b || (!half && type_a != F32) || (!half_c && type_c != F32) || compute != COMPUTE_32F) return 7;
    const float scale = *static_cast<const float*>(alpha), before = *static_cast<const float*>(beta);
    if (lda < (op_a ? k : m) || ldb < (op_b ? n : k) || ldc < m) return 7;
    for (long long e = 0; e < batch; e++)
        for (long long i = 0; i < m; i++)
            for (long long j = 0; j < n; j++) {
                float sum = 0;
                for (long long l = 0; l < k; l++)
                    sum += get(a, half, e * stride_a + (op_a ? i * lda + l : l * lda + i)) *
                           get(b, half, e * stride_b + (op_b ? l * ldb + j : j * ldb + l));
                const size_t to = size_t(e * stride_c + j * ldc + i);
                // What is there is not read where nothing is added to it: it may be no number.
                put(c, half_c, to, scale * sum + (before != 0.0f ? before * get(c, half_c, to) : 0.0f));
            }
    return 0;
}

// cuRAND: made by candle with the device, never used here.
int curandCreateGenerator(void** g, int) { return *g = &blocks(), 0; }
int curandDestroyGenerator(void*) { return 0; }
int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return 0; }
int curandSetStream(void*, void*) { return 0; }
}
