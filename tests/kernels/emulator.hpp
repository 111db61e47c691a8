// Runs kernels on the CPU, thread by thread: every thread of a block is a fiber that gives way at barriers and at
// operations of a whole warp. Nothing here is fast; everything is checked:
// - shared memory and outputs start as NaN; buffers end at a page that may not be touched
// - asynchronous copies arrive when they are waited for and not before
// - threads run in turn, then in disorder with one warp far ahead and the blocks backwards: a missing barrier changes the result
// - accesses to shared memory that no barrier orders end the run (races.hpp)
// - lanes of a warp that meet in different operations, and barriers that not all reach, end the run
#pragma once
#include "races.hpp"
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

inline std::string running = "(no case)"; // for messages

/// Memory whose last byte lies before a forbidden page; what lies before it is forbidden or checked.
class Guarded {
public:
    explicit Guarded(size_t bytes) : bytes_(bytes) {
        const size_t page = size_t(sysconf(_SC_PAGESIZE));
        const size_t room = (bytes + page - 1) / page * page + page;
        length_ = room + 2 * page;
        map_ = static_cast<char*>(mmap(nullptr, length_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (map_ == MAP_FAILED || mprotect(map_ + page, room, PROT_READ | PROT_WRITE) != 0) std::abort();
        const size_t aligned = (bytes + 15) / 16 * 16;
        data_ = map_ + page + room - aligned;
        before_ = std::min<size_t>(data_ - (map_ + page), 4096);
        after_ = aligned - bytes;
        std::memset(data_ - before_, 0xfd, before_);
        std::memset(data_, 0xff, aligned);
    }
    ~Guarded() { munmap(map_, length_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    char* data() const { return data_; }
    size_t size() const { return bytes_; }
    void poison() { std::memset(data_, 0xff, bytes_); }
    bool holds(const void* p, size_t n) const {
        auto q = static_cast<const char*>(p);
        return q >= data_ && q + n <= data_ + bytes_;
    }
    /// Whether nothing was written around it.
    bool intact() const {
        auto all = [](const char* p, size_t n, char c) { return std::all_of(p, p + n, [c](char x) { return x == c; }); };
        return all(data_ - before_, before_, char(0xfd)) && all(data_ + bytes_, after_, char(0xff));
    }

private:
    size_t bytes_, length_, before_, after_;
    char *map_, *data_;
};

enum class Wait { none, block, shuffle, any, sync_warp, mma, matrices, matrices_transposed, done };
inline const char* name(Wait w) {
    const char* names[] = {"running", "sync_block", "shuffle", "any_lane", "sync_warp", "mma", "load_matrices",
                           "load_matrices_transposed", "finished"};
    return names[int(w)];
}

struct Copy {
    void* to;
    const void* from;
    int room, bytes; // what is not read is zeros
};

struct Fiber {
    void* stack_pointer = nullptr;
#if !defined(__x86_64__)
    ucontext_t context;
#endif
    std::vector<char> stack = std::vector<char>(192 * 1024);
    int index = 0;
    Wait wait = Wait::done;
    const void* in = nullptr; // operands and results of the operation it waits in
    void* out = nullptr;
    std::vector<std::vector<Copy>> groups; // asynchronous copies, oldest first
    std::vector<Copy> open;
};

struct Machine {
    std::vector<Fiber> fibers;
    std::vector<int> order, arrived; // arrived: lanes of each warp that wait in an operation
    Fiber* current = nullptr;
    void* scheduler = nullptr;
#if !defined(__x86_64__)
    ucontext_t home;
#endif
    const std::function<void()>* body = nullptr;
    Guarded* shared = nullptr;
    long block = 0, blocks = 0;
    int threads = 0, at_barrier = 0, finished = 0;
    std::mt19937 random{1};
    // 0: threads take turns, ascending. 1: the last warp runs as far as it can, then the one before it, descending.
    // 2: as 1, warps and lanes shuffled.
    int schedule = 0;
};
inline Machine machine;

[[noreturn]] inline void fail(const std::string& what) {
    races.thread = -1;
    std::fflush(stdout);
    std::fprintf(stderr, "ERROR  %s: block %ld, thread %d: %s\n", running.c_str(), machine.block,
                 machine.current ? machine.current->index : -1, what.c_str());
    std::_Exit(1);
}

#if defined(__x86_64__)
extern "C" void foldry_switch(void** from, void* to);
asm(R"(
.text
.globl foldry_switch
.type foldry_switch,@function
foldry_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
inline void switch_out() { foldry_switch(&machine.current->stack_pointer, machine.scheduler); }
inline void switch_in(Fiber& f) { foldry_switch(&machine.scheduler, f.stack_pointer); }
#else
inline void switch_out() { swapcontext(&machine.current->context, &machine.home); }
inline void switch_in(Fiber& f) { swapcontext(&machine.home, &f.context); }
#endif
inline void leave() { switch_out(); }
inline void enter(Fiber& f) {
    races.thread = f.index;
    switch_in(f);
    races.thread = -1;
}

inline void fiber_main() {
    (*machine.body)();
    Fiber& f = *machine.current;
    if (!f.open.empty() || !f.groups.empty()) fail("ends with asynchronous copies that nobody waited for");
    f.wait = Wait::done;
    machine.finished++;
    leave();
    std::abort();
}

inline void prepare(Fiber& f) {
    f.wait = Wait::none;
    f.groups.clear();
    f.open.clear();
#if defined(__x86_64__)
    auto top = reinterpret_cast<uintptr_t>(f.stack.data() + f.stack.size()) & ~uintptr_t(15);
    auto sp = reinterpret_cast<void**>(top) - 2;
    *sp = reinterpret_cast<void*>(&fiber_main); // where `ret` goes; then sp is 8 off a multiple of 16, as after a call
    f.stack_pointer = sp - 6;
#else
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = nullptr;
    makecontext(&f.context, fiber_main, 0);
#endif
}

/// The 32 lanes of a warp meet; the last one computes for all: compute(lanes).
template <class Compute>
void together(Wait what, const void* in, void* out, Compute compute) {
    Machine& m = machine;
    Fiber& self = *m.current;
    const int warp = self.index / 32;
    self.wait = what;
    self.in = in;
    self.out = out;
    if (++m.arrived[warp] < 32) {
        leave();
        return;
    }
    Fiber* lanes = &m.fibers[warp * 32];
    Unwatched own;
    if (what == Wait::sync_warp) races.warp_barriers[size_t(warp)]++;
    for (int l = 0; l < 32; l++)
        if (lanes[l].wait != what)
            fail(std::string("is in ") + name(what) + " while lane " + std::to_string(l) + " is in " + name(lanes[l].wait));
    compute(lanes);
    for (int l = 0; l < 32; l++) lanes[l].wait = Wait::none;
    m.arrived[warp] = 0;
}

inline void barrier() {
    Machine& m = machine;
    m.current->wait = Wait::block;
    if (++m.at_barrier < m.threads) {
        leave();
        return;
    }
    for (int i = 0; i < m.threads; i++) m.fibers[i].wait = Wait::none;
    m.at_barrier = 0;
    races.block_barriers++;
}

inline void finish_copies(size_t left) {
    Fiber& f = *machine.current;
    while (f.groups.size() > left) {
        for (const Copy& c : f.groups.front()) {
            races.touch(c.to, size_t(c.room), true);
            Unwatched own;
            std::memset(c.to, 0, size_t(c.room));
            std::memcpy(c.to, c.from, size_t(c.bytes));
        }
        f.groups.erase(f.groups.begin());
    }
}

inline void run_block(int threads) {
    Machine& m = machine;
    m.threads = threads;
    m.at_barrier = m.finished = 0;
    if (int(m.fibers.size()) < threads) m.fibers.resize(threads);
    m.arrived.assign((threads + 31) / 32, 0);
    m.order.resize(threads);
    for (int i = 0; i < threads; i++) {
        m.order[i] = i;
        m.fibers[i].index = i;
        prepare(m.fibers[i]);
    }
    std::vector<int> warps(threads / 32);
    for (int w = 0; w < threads / 32; w++) warps[w] = w;
    if (m.schedule == 1) {
        std::reverse(m.order.begin(), m.order.end());
    } else if (m.schedule == 2) {
        std::shuffle(warps.begin(), warps.end(), m.random);
        for (int w = 0; w < threads / 32; w++) {
            for (int l = 0; l < 32; l++) m.order[32 * w + l] = 32 * warps[w] + l;
            std::shuffle(m.order.begin() + 32 * w, m.order.begin() + 32 * w + 32, m.random);
        }
    }
    m.shared->poison();
    races.block_barriers++;
    const int together = m.schedule == 0 ? threads : 32; // threads that take turns
    while (m.finished < threads) {
        bool moved = false;
        for (int first = 0; first < threads; first += together) {
            for (bool again = true; again;) {
                again = false;
                for (int i = first; i < std::min(first + together, threads); i++) {
                    Fiber& f = m.fibers[m.order[i]];
                    if (f.wait != Wait::none) continue;
                    m.current = &f;
                    enter(f);
                    m.current = nullptr;
                    again = moved = true;
                }
            }
        }
        if (!moved) {
            std::string where = "nobody can go on:";
            for (int i = 0; i < threads; i += 32) where += " thread " + std::to_string(i) + " in " + name(m.fibers[i].wait) + ";";
            fail(where);
        }
    }
    if (!m.shared->intact()) fail("wrote before or behind its shared memory");
}

inline void on_fault(int) {
    const char* what = "touched memory outside its buffers\n";
    std::fflush(stdout);
    std::fprintf(stderr, "ERROR  %s: block %ld, thread %d: %s", running.c_str(), machine.block,
                 machine.current ? machine.current->index : -1, what);
    std::_Exit(1);
}

inline void catch_faults() {
    static char alternate[64 * 1024];
    stack_t stack{};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    sigaltstack(&stack, nullptr);
    struct sigaction action {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

/// Runs `body` for every thread of every block. `schedule`: the order of threads, see Machine.
inline void launch(long blocks, int threads, size_t shared_bytes, int schedule, const std::function<void()>& body) {
    Machine& m = machine;
    if (threads < 1 || threads > 1024 || blocks < 1 || (threads % 32 != 0 && schedule != 0)) fail("grid or block of an impossible size");
    if (shared_bytes > 227 * 1024) fail("takes " + std::to_string(shared_bytes) + " bytes of shared memory; sm_90 has 232448");
    Guarded shared(shared_bytes);
    m.body = &body;
    m.shared = &shared;
    races.start(shared.data(), shared.size());
    m.blocks = blocks;
    m.schedule = schedule;
    m.random.seed(unsigned(schedule));
    for (long b = 0; b < blocks; b++) {
        m.block = schedule ? blocks - 1 - b : b;
        run_block(threads);
    }
}

} // namespace emulator
