// Does the emulator see what it claims to see? Wrong kernels run in a child process and must be caught; the products must be
// those of the documented layouts.
#include "check.hpp"
#include "../../kernels/tile.cuh"
#include <sys/wait.h>

/// Whether `body` ends the process with a message that contains `expected`.
static void caught(const std::string& what, const std::string& expected, int threads, size_t shared,
                   const std::function<void()>& body) {
    int pipes[2];
    if (pipe(pipes) != 0) std::abort();
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        emulator::catch_faults();
        emulator::running = what;
        emulator::launch(1, threads, shared, 0, body);
        std::_Exit(0);
    }
    close(pipes[1]);
    std::string said;
    char buffer[512];
    for (ssize_t n; (n = read(pipes[0], buffer, sizeof buffer)) > 0;) said.append(buffer, size_t(n));
    close(pipes[0]);
    int status = 0;
    waitpid(child, &status, 0);
    const bool good = status != 0 && said.find(expected) != std::string::npos;
    verdict(good, "caught: " + what, good ? "" : "expected '" + expected + "', got '" + said + "'");
}

static void wrong_kernels() {
    float* shared = nullptr;
    caught("a barrier that half the threads reach", "nobody can go on", 64, 64, [] {
        if (thread_index() < 32) sync_block();
    });
    caught("lanes of a warp in different operations", "while lane", 32, 64, [] {
        if (thread_index() < 16) shuffle_xor(1.0f, 1);
        else sync_warp();
    });
    caught("a write behind shared memory", "outside its buffers", 32, 4096, [] {
        reinterpret_cast<volatile float*>(shared_memory())[1024] = 1.0f;
    });
    caught("a write before shared memory", "before or behind", 32, 64, [] {
        reinterpret_cast<volatile float*>(shared_memory())[-1] = 1.0f;
    });
    Values v(8, 1.0);
    Buffer<float> input(v);
    caught("a read behind an input", "outside its buffers", 32, 64, [&] {
        reinterpret_cast<volatile float*>(shared_memory())[0] = input.data()[8];
    });
    caught("a copy that nobody waits for", "nobody waited", 32, 512, [&] {
        copy_async(shared_memory() + 16 * thread_index(), input.data(), 16);
        copy_commit();
    });
    caught("an address off by half a row", "not aligned", 32, 4096, [] {
        u32 r[4];
        load_matrices(r, reinterpret_cast<bf16*>(shared_memory()) + 4 * thread_index());
    });
    (void)shared;
}

/// What may come out right in the emulator, whose lanes meet more often than the GPU's, and is wrong.
static void races() {
    auto words = [] { return reinterpret_cast<volatile float*>(shared_memory()); };
    caught("a lane that reads what another wrote, without sync_warp", "race: reads", 32, 128, [=] {
        words()[thread_index()] = 1.0f;
        shuffle_xor(1.0f, 1); // orders no memory
        const float x = words()[31 - thread_index()];
        words()[thread_index()] = x;
    });
    caught("a load_matrices without sync_warp before it", "race: reads", 32, 1024, [] {
        auto row = reinterpret_cast<bf16*>(shared_memory()) + 8 * thread_index();
        for (int i = 0; i < 8; i += 2) put_pair<1>(row + i, 0, 1.0f, 1.0f);
        u32 r[4];
        load_matrices(r, row);
    });
    caught("a write over what another warp may still read", "race: writes", 64, 128, [=] {
        if (thread_index() < 32) words()[thread_index()] = 1.0f;
        sync_block();
        const float x = words()[thread_index() % 32];
        sync_warp();
        if (thread_index() >= 32) words()[thread_index() % 32] = x + 1.0f;
    });
    caught("a write over what a lane may still read", "race: ", 32, 128, [=] {
        words()[thread_index()] = 1.0f;
        sync_warp();
        const float x = words()[31 - thread_index()];
        words()[thread_index()] = x + 1.0f;
    });
    Values v(128, 1.0);
    Buffer<float> input(v);
    caught("a copy into what another warp may still read", "race: writes", 64, 512, [&] {
        auto s = reinterpret_cast<volatile float*>(shared_memory());
        if (thread_index() < 32) s[thread_index()] = 1.0f;
        sync_block();
        const float x = s[thread_index() % 32];
        if (thread_index() >= 32) copy_async(shared_memory() + 16 * (thread_index() - 32), input.data() + 4 * (thread_index() - 32), 16);
        copy_commit();
        copy_wait<0>();
        sync_block();
        if (x < 0) s[0] = x;
    });
    caught("a read of another's copy that is waited for, without a barrier", "race: ", 64, 1024, [&] {
        auto s = reinterpret_cast<volatile float*>(shared_memory());
        const int i = thread_index() % 32;
        if (thread_index() < 32) copy_async(shared_memory() + 16 * i, input.data() + 4 * i, 16);
        copy_commit();
        sync_block();
        copy_wait<0>();
        const float x = s[4 * i];
        sync_block();
        if (x < 0) s[0] = x;
    });
}

/// A missing barrier shows as a result that depends on the order of threads.
[[maybe_unused]] static void missing_barrier() {
    std::vector<float> results;
    Buffer<float> out(64);
    for (int schedule : {0, 1}) {
        emulator::launch(1, 64, 512, schedule, [&] {
            auto s = reinterpret_cast<float*>(shared_memory());
            s[thread_index()] = float(thread_index());
            out.data()[thread_index()] = s[63 - thread_index()];
        });
        results.insert(results.end(), out.data(), out.data() + 64);
    }
    bool same = std::memcmp(&results[0], &results[64], 256) == 0;
    verdict(!same, "caught: a missing barrier, by the order of threads", "");
}

/// A copy is not there before it is waited for.
static void early_read() {
    Values v = noise(128, 1);
    Buffer<float> input(v), out(128);
    emulator::launch(1, 32, 512, 0, [&] {
        auto s = reinterpret_cast<float*>(shared_memory());
        copy_async(s + 4 * thread_index(), input.data() + 4 * thread_index(), 16);
        copy_commit();
        out.data()[thread_index()] = s[4 * thread_index()];
        copy_wait<0>();
        out.data()[32 + thread_index()] = s[4 * thread_index()];
    });
    verdict(std::isnan(out[5]) && out[37] == v[20], "a copy arrives when it is waited for, not before", "");
}

/// A·Bᵀ by the tile product, and A·B by transposed loads, against plain sums.
template <int PARTS>
static void products() {
    constexpr int K = 48, STRIDE = stride_of(K);
    Values a = noise(32 * K, 3), b = noise(16 * K, 4);
    if (PARTS == 1) {
        Buffer<bf16> round_a(a), round_b(b);
    }
    Buffer<float> in_a(a), in_b(b), out(32 * 16);
    emulator::launch(1, 32, 48 * STRIDE * 2 * PARTS, 0, [&] {
        bf16* left = reinterpret_cast<bf16*>(shared_memory());
        bf16* right = left + 32 * STRIDE * PARTS;
        for (int i = 2 * thread_index(); i < 32 * K; i += 64)
            put_pair<PARTS>(left + i / K * STRIDE + i % K, 32 * STRIDE, in_a.data()[i], in_a.data()[i + 1]);
        for (int i = 2 * thread_index(); i < 16 * K; i += 64)
            put_pair<PARTS>(right + i / K * STRIDE + i % K, 16 * STRIDE, in_b.data()[i], in_b.data()[i + 1]);
        sync_warp();
        float acc[2][2][4];
        clear(acc);
        multiply<PARTS>(acc, left, STRIDE, 32 * STRIDE, right, STRIDE, 16 * STRIDE, K);
        const int g = thread_index() / 4, t = thread_index() % 4;
        for (int m = 0; m < 2; m++)
            for (int n = 0; n < 2; n++)
                for (int i = 0; i < 4; i++) out.data()[(16 * m + 8 * (i / 2) + g) * 16 + 8 * n + 2 * t + i % 2] = acc[m][n][i];
    });
    Values want(32 * 16);
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 16; j++)
            for (int k = 0; k < K; k++) want[i * 16 + j] += a[i * K + k] * b[j * K + k];
    compare(PARTS == 1 ? "product of bf16" : "product of f32 in two bf16 parts", out.values(), want, PARTS == 1 ? 5e-7 : 1e-5);
}

static void roundings() {
    struct {
        float x;
        u16 bits;
    } cases[] = {{1.0f, 0x3f80}, {1.00390625f, 0x3f80}, {1.01171875f, 0x3f82}, {3.4e38f, 0x7f80}, {-0.0f, 0x8000}};
    bool good = true;
    for (auto c : cases) good &= to_bf16(c.x).bits == c.bits;
    verdict(good, "bf16 rounds ties to even, and too large to infinity", "");
    float worst = 0, worst_sigmoid = 0;
    for (float x = -100; x < 100; x += 0.03125f) {
        worst = std::max(worst, std::fabs(sigmoid<bf16>(x) - float(plain::sigmoid(x))));
        worst_sigmoid = std::max(worst_sigmoid, std::fabs(sigmoid<float>(x) - float(plain::sigmoid(x))));
    }
    verdict(worst < 5e-4 && worst_sigmoid < 3e-7, "sigmoid",
            std::to_string(worst) + " by tanh, " + std::to_string(worst_sigmoid * 1e6) + "e-6 by 2^x");
}

int main() {
    wrong_kernels();
#ifdef EMULATOR_SEES_RACES
    races();
#else
    missing_barrier();
#endif
    early_read();
    products<1>();
    products<2>();
    roundings();
    return finish();
}
