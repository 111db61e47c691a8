// Finds accesses to shared memory that no barrier orders. Where the compiler was asked to mark every access
// (-fsanitize=thread, linked without its library), the marks come here. Ordered are: what one thread does; what lies on both sides
// of a sync_block; and, within a warp, of a sync_warp. Shuffles, votes, mma and ldmatrix order no memory, as on the GPU.
// An asynchronous copy writes twice: when it is asked for and when it is waited for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EMULATOR_SEES_RACES
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define EMULATOR_SEES_RACES
#endif
#define UNMARKED __attribute__((no_sanitize("thread")))

namespace emulator {

[[noreturn]] void fail(const std::string& what);

struct Races {
    /// What is known of two bytes: the last write, and the reads since the last barrier of the block.
    struct Cell {
        uint64_t write_block = 0, write_warp = 0, read_block = 0, read_warp = 0; // how many barriers came before
        uint32_t reading_warps = 0;
        int16_t writer = -1, reader = -1, other_reader = -1; // readers: of the warp that read last
    };
    std::vector<Cell> cells;
    std::vector<uint64_t> warp_barriers = std::vector<uint64_t>(32, 1);
    uint64_t block_barriers = 1; // over all blocks, so that nothing need be reset
    const char* memory = nullptr;
    size_t size = 0;
    int thread = -1; // who runs; -1: the emulator itself

    UNMARKED void start(const char* data, size_t bytes) {
        memory = data;
        size = bytes;
        if (cells.size() < bytes / 2 + 1) cells.resize(bytes / 2 + 1);
    }
    UNMARKED void touch(const void* p, size_t bytes, bool writes) {
        const size_t at = size_t(static_cast<const char*>(p) - memory);
        if (thread < 0 || at >= size) return;
        for (size_t i = at / 2; i <= (at + bytes - 1) / 2 && i < cells.size(); i++) writes ? write(cells[i], i) : read(cells[i], i);
    }

private:
    UNMARKED bool unordered_write(const Cell& c) const {
        if (c.write_block != block_barriers || c.writer == thread) return false;
        return c.writer / 32 != thread / 32 || c.write_warp == warp_barriers[size_t(thread / 32)];
    }
    UNMARKED void read(Cell& c, size_t i) {
        if (unordered_write(c)) race("reads", "wrote", c.writer, i);
        const uint64_t now = warp_barriers[size_t(thread / 32)];
        if (c.read_block != block_barriers) c.reading_warps = 0;
        if (c.read_block != block_barriers || c.reader / 32 != thread / 32 || c.read_warp != now) c.reader = c.other_reader = int16_t(thread);
        else if (c.reader != thread) c.other_reader = int16_t(thread);
        c.read_block = block_barriers;
        c.read_warp = now;
        c.reading_warps |= 1u << (thread / 32);
    }
    UNMARKED void write(Cell& c, size_t i) {
        if (unordered_write(c)) race("writes", "wrote", c.writer, i);
        if (c.read_block == block_barriers) {
            if (c.reading_warps & ~(1u << (thread / 32))) race("writes", "read, in another warp, beside", c.reader, i);
            if (c.reader / 32 == thread / 32 && c.read_warp == warp_barriers[size_t(thread / 32)]) {
                if (c.reader != thread) race("writes", "read", c.reader, i);
                if (c.other_reader != thread) race("writes", "read", c.other_reader, i);
            }
        }
        c.write_block = block_barriers;
        c.write_warp = warp_barriers[size_t(thread / 32)];
        c.writer = int16_t(thread);
    }
    [[noreturn]] void race(const char* does, const char* did, int other, size_t cell) {
        fail(std::string("race: ") + does + " byte " + std::to_string(2 * cell) + " of shared memory that thread " + std::to_string(other) + " " +
             did + ", with no barrier between");
    }
};
inline Races races;

/// The emulator's own accesses are nobody's.
struct Unwatched {
    int thread = races.thread;
    UNMARKED Unwatched() { races.thread = -1; }
    UNMARKED ~Unwatched() { races.thread = thread; }
};

} // namespace emulator

#ifdef EMULATOR_SEES_RACES
#define MARKS(N)                                                                                                              \
    extern "C" UNMARKED inline __attribute__((used)) void __tsan_read##N(void* p) { emulator::races.touch(p, N, false); }            \
    extern "C" UNMARKED inline __attribute__((used)) void __tsan_write##N(void* p) { emulator::races.touch(p, N, true); }            \
    extern "C" UNMARKED inline __attribute__((used)) void __tsan_unaligned_read##N(void* p) { emulator::races.touch(p, N, false); }  \
    extern "C" UNMARKED inline __attribute__((used)) void __tsan_unaligned_write##N(void* p) { emulator::races.touch(p, N, true); }  \
    extern "C" UNMARKED inline __attribute__((used)) void __tsan_volatile_read##N(void* p) { emulator::races.touch(p, N, false); }   \
    extern "C" UNMARKED inline __attribute__((used)) void __tsan_volatile_write##N(void* p) { emulator::races.touch(p, N, true); }
MARKS(1)
MARKS(2)
MARKS(4)
MARKS(8)
MARKS(16)
extern "C" UNMARKED inline __attribute__((used)) void __tsan_read_range(void* p, unsigned long n) { emulator::races.touch(p, n, false); }
extern "C" UNMARKED inline __attribute__((used)) void __tsan_write_range(void* p, unsigned long n) { emulator::races.touch(p, n, true); }
extern "C" UNMARKED inline __attribute__((used)) void __tsan_func_entry(void*) {}
extern "C" UNMARKED inline __attribute__((used)) void __tsan_func_exit() {}
extern "C" UNMARKED inline __attribute__((used)) void __tsan_vptr_update(void**, void*) {}
extern "C" UNMARKED inline __attribute__((used)) void __tsan_init() {}
#endif
