// Stands in for CUDA's libraries on a machine without a GPU: memory is the host's, our kernels and candle's run in the emulator, matrix
// products are plain sums. Built as libcuda.so.1 and the others by tests/kernels/run.sh driver, which runs `foldry` on it: a program with
// the feature `cuda` as it is shipped, through its stand-ins for the libraries, down to loading, launching and copying. What it was asked
// for is counted, and written to the file that FOLDRY_DRIVER_LOG names when the program ends.
#include "candle.hpp"
#include "library.cpp"
#include <mutex>

using u8 = unsigned char;
using Address = u64; // CUdeviceptr

namespace {

constexpr int INVALID = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500;
/// Device memory there is: FOLDRY_DRIVER_MEMORY, bytes.
const size_t ALL = std::getenv("FOLDRY_DRIVER_MEMORY") ? std::strtoull(std::getenv("FOLDRY_DRIVER_MEMORY"), nullptr, 10) : size_t(16) << 30;
/// With FOLDRY_DRIVER_DRY nothing is computed, and device memory is addresses only: what a program of any size asks for can be seen.
const bool DRY = std::getenv("FOLDRY_DRIVER_DRY") != nullptr;

/// What the driver was asked for since it was loaded.
struct Log {
    std::map<std::string, long> counts;
    size_t held = 0, most = 0; // bytes
    ~Log() {
        const char* path = std::getenv("FOLDRY_DRIVER_LOG");
        std::FILE* file = path ? std::fopen(path, "w") : nullptr;
        if (!file) return;
        for (const auto& [what, times] : counts) std::fprintf(file, "%s %ld\n", what.c_str(), times);
        std::fprintf(file, "most bytes %zu\n", most);
        std::fclose(file);
    }
};
Log asked;

/// The program's threads come one at a time.
std::recursive_mutex one;
using Alone = std::lock_guard<std::recursive_mutex>;

/// As the driver's pool counts memory.
size_t pooled(size_t bytes) { return (bytes + 511) / 512 * 512; }

struct Block {
    Memory* memory; // null where nothing is computed
    size_t bytes;
};
std::map<Address, Block>& blocks() {
    static std::map<Address, Block> all;
    return all;
}

/// Addresses that may not be touched.
Address reserve(size_t bytes) {
    void* at = mmap(nullptr, std::max<size_t>(bytes, 1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? 0 : reinterpret_cast<Address>(at);
}

int allocate(Address* to, size_t bytes) {
    const Alone alone(one);
    if (asked.held + pooled(bytes) > ALL) return OUT_OF_MEMORY;
    auto* memory = DRY ? nullptr : new Memory(bytes);
    *to = DRY ? reserve(bytes) : reinterpret_cast<Address>(memory->data());
    if (*to == 0) return OUT_OF_MEMORY;
    blocks()[*to] = {memory, bytes};
    asked.held += pooled(bytes);
    asked.most = std::max(asked.most, asked.held);
    return 0;
}

int release(Address at) {
    const Alone alone(one);
    const auto found = blocks().find(at);
    if (found == blocks().end()) return INVALID;
    const auto [memory, bytes] = found->second;
    if (memory && !memory->intact()) emulator::fail("wrote beside its memory");
    asked.held -= pooled(bytes);
    if (!memory) munmap(reinterpret_cast<void*>(at), std::max<size_t>(bytes, 1));
    delete memory;
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

/// Locked memory of the host, by where it begins.
std::map<const char*, size_t>& pinned() {
    static std::map<const char*, size_t> all;
    return all;
}
bool is_pinned(const void* at) {
    const auto next = pinned().upper_bound(static_cast<const char*>(at));
    if (next == pinned().begin()) return false;
    const auto own = std::prev(next);
    return static_cast<const char*>(at) < own->first + own->second;
}

/// A copy that a GPU would make later: what lies there must not change before.
struct Copied {
    const void* from;
    size_t bytes;
    u64 sum;
};
std::vector<Copied>& copying() {
    static std::vector<Copied> all;
    return all;
}
u64 sum_of(const void* from, size_t bytes) {
    u64 sum = 1469598103934665603u;
    for (size_t i = 0; i < bytes && !DRY; i++) sum = (sum ^ static_cast<const u8*>(from)[i]) * 1099511628211u;
    return sum;
}
/// Found unfinished when first asked.
struct Event {
    int unfinished = 0;
    std::vector<Copied> copies;
};

int copy(const char* direction, void* to, const void* from, size_t n) {
    const Alone alone(one);
    asked.counts[std::string("copy ") + direction]++;
    if (!DRY) std::memcpy(to, from, n);
    return 0;
}
void* pointer(Address a) { return reinterpret_cast<void*>(a); }

} // namespace

extern "C" {
// The driver.
int cuInit(u32) { return 0; }
int cuDriverGetVersion(int* v) { return *v = 13000, 0; }
int cuDeviceGetCount(int* n) { return *n = 1, 0; }
int cuDeviceGet(int* d, int) { return *d = 0, 0; }
int cuDeviceGetName(char* to, int n, int) { return std::snprintf(to, size_t(n), "the emulator"), 0; }
int cuDeviceTotalMem_v2(size_t* n, int) { return *n = ALL, 0; }
int cuMemGetInfo_v2(size_t* free, size_t* all) { return *all = ALL, *free = ALL - asked.held, 0; }
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
int cuCtxSynchronize() { return asked.counts["wait"]++, 0; }
int cuDeviceGetDefaultMemPool(void** p, int) { return *p = &blocks(), 0; }
int cuMemPoolGetAttribute(void*, int attribute, void* v) {
    constexpr int USED = 7, MOST_USED = 8;
    const u64 value = attribute == USED ? asked.held : attribute == MOST_USED ? asked.most : 0;
    return std::memcpy(v, &value, sizeof value), 0;
}
int cuMemPoolSetAttribute(void*, int attribute, void*) {
    constexpr int MOST_USED = 8;
    if (attribute == MOST_USED) asked.most = asked.held;
    return 0;
}
int cuEventCreate(void** e, u32) { return *e = new Event, 0; }
int cuEventDestroy_v2(void* e) { return delete static_cast<Event*>(e), 0; }
int cuEventRecord(void* e, void*) {
    const Alone alone(one);
    auto& event = *static_cast<Event*>(e);
    event.unfinished = 1;
    event.copies.swap(copying());
    copying().clear();
    return 0;
}
int cuEventQuery(void* e) {
    constexpr int NOT_READY = 600;
    auto& event = *static_cast<Event*>(e);
    if (event.unfinished-- > 0) return NOT_READY;
    for (const Copied& copied : event.copies)
        if (copied.sum != sum_of(copied.from, copied.bytes)) emulator::fail("pinned memory changed before it was copied");
    event.copies.clear();
    event.unfinished = 0;
    return 0;
}
int cuMemHostAlloc(void** to, size_t bytes, u32) {
    const Alone alone(one);
    *to = std::malloc(bytes);
    pinned()[static_cast<char*>(*to)] = bytes;
    return 0;
}
int cuMemFreeHost(void* from) {
    const Alone alone(one);
    pinned().erase(static_cast<char*>(from));
    return std::free(from), 0;
}
int cuStreamCreate(void** s, u32) { return *s = &blocks(), 0; }
int cuStreamDestroy_v2(void*) { return 0; }
int cuStreamIsCapturing(void*, int* status) { return *status = 0, 0; }
int cuStreamSynchronize(void*) { return asked.counts["wait"]++, 0; }
int cuStreamWaitEvent(void*, void*, u32) { return 0; }
int cuGetErrorString(int, const char** text) { return *text = "an error of the fake driver", 0; }
int cuMemAllocAsync(Address* to, size_t bytes, void*) { return allocate(to, bytes); }
int cuMemAlloc_v2(Address* to, size_t bytes) { return allocate(to, bytes); }
int cuMemFreeAsync(Address from, void*) { return release(from); }
int cuMemFree_v2(Address from) { return release(from); }
int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, void*) {
    const Alone alone(one);
    constexpr size_t AT_ONCE = 64 << 10;
    if (is_pinned(from)) copying().push_back({from, n, sum_of(from, n)});
    else if (n > AT_ONCE) asked.counts["wait for ordinary memory"]++;
    return copy("to the device", pointer(to), from, n);
}
int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, void*) { return copy("to the host", to, pointer(from), n); }
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void*) { return copy("on the device", pointer(to), pointer(from), n); }
int cuMemsetD8Async(Address to, u8 value, size_t n, void*) {
    asked.counts["fill"]++;
    if (!DRY) std::memset(pointer(to), value, n);
    return 0;
}
int cuModuleLoadData(void** module, const void* image) { return *module = const_cast<void*>(image), image ? 0 : INVALID; }
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void*, const char* name) {
    // Names of kernels that are not there are found when they are launched: candle's are not listed.
    return *function = new std::string(name), 0;
}
int cuFuncSetAttribute(void*, int, int value) { return value <= 227 * 1024 ? 0 : INVALID; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, size_t) { return *blocks = 2, 0; }
int cuLaunchKernel(void* function, u32 x, u32 y, u32 z, u32 threads, u32 ty, u32 tz, u32 shared, void*, void** parameters, void**) {
    const Alone alone(one);
    const std::string& name = *static_cast<std::string*>(function);
    if (y * z * ty * tz != 1) return INVALID;
    asked.counts["launch " + name]++;
    const auto found = entries().find(name);
    if (DRY && (found != entries().end() || candle::entries().count(name))) return 0;
    if (found != entries().end()) {
        found->second.run(x, int(threads), shared, 0, parameters[0]);
        return 0;
    }
    if (candle::launch(name, x, threads, parameters)) return 0;
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
    const Alone alone(one);
    asked.counts["products"]++;
    if (DRY) return 0;
    std::vector<float> sums(static_cast<size_t>(m));
    for (long long e = 0; e < batch; e++)
        for (long long j = 0; j < n; j++) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (long long l = 0; l < k; l++) {
                const float y = get(b, half, size_t(e * stride_b + (op_b ? l * ldb + j : j * ldb + l)));
                for (long long i = 0; i < m; i++)
                    sums[size_t(i)] += y * get(a, half, size_t(e * stride_a + (op_a ? i * lda + l : l * lda + i)));
            }
            for (long long i = 0; i < m; i++) {
                const size_t to = size_t(e * stride_c + j * ldc + i);
                // What is there is not read where nothing is added to it: it may be no number.
                put(c, half_c, to, scale * sums[size_t(i)] + (before != 0.0f ? before * get(c, half_c, to) : 0.0f));
            }
        }
    return 0;
}

// cuRAND: made by candle with the device, never used here.
int curandCreateGenerator(void** g, int) { return *g = &blocks(), 0; }
int curandDestroyGenerator(void*) { return 0; }
int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return 0; }
int curandSetStream(void*, void*) { return 0; }
}
