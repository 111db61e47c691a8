// Lets the cases of this folder run on a GPU: the same kernels, compiled by nvcc, on managed memory. See build_gpu.sh.
#pragma once
#include "../../kernels/types.cuh"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

inline void check_cuda(cudaError_t error, const std::string& where) {
    if (error == cudaSuccess) return;
    std::fflush(stdout);
    std::fprintf(stderr, "ERROR  %s: %s\n", where.c_str(), cudaGetErrorString(error));
    std::_Exit(1);
}

/// Memory with NaN in it and room around it that must stay as it was.
class Memory {
public:
    explicit Memory(size_t bytes) : bytes_(bytes) {
        check_cuda(cudaMallocManaged(&map_, bytes_ + 2 * ROOM), "cudaMallocManaged");
        std::memset(map_, 0xfd, bytes_ + 2 * ROOM);
        std::memset(map_ + ROOM, 0xff, bytes_);
    }
    ~Memory() { cudaFree(map_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    char* data() const { return map_ + ROOM; }
    size_t size() const { return bytes_; }
    bool intact() const {
        auto all = [](const char* p) { return std::all_of(p, p + ROOM, [](char c) { return c == char(0xfd); }); };
        return all(map_) && all(map_ + ROOM + bytes_);
    }

private:
    static constexpr size_t ROOM = 4096;
    size_t bytes_;
    char* map_ = nullptr;
};

inline void start() {
    cudaDeviceProp device;
    check_cuda(cudaGetDeviceProperties(&device, 0), "no GPU");
    std::printf("on %s\n", device.name);
}

template <class Arguments>
void launch(const std::string& name, long blocks, int threads, size_t shared, int, void (*kernel)(const Arguments),
            const Arguments& arguments) {
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)),
               name + ": " + std::to_string(shared) + " bytes of shared memory");
    kernel<<<unsigned(blocks), threads, shared>>>(arguments);
    check_cuda(cudaGetLastError(), name);
    check_cuda(cudaDeviceSynchronize(), name);
}
