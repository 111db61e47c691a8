#include "check.hpp"
#include "../../kernels/outer_product_mean_backward.cu"

struct Shape {
    int r, e, cz, first, residues, warps, slots, blocks;
};

template <class X, class W, class Kernel, class Turn>
static void check(Kernel kernel, Turn turn, const Shape& asked, double scale, double bound) {
    auto shared_of = [](const Shape& s) {
        constexpr int P = Parts<W>::count;
        const int chunks = s.e * s.e / 64, slots = std::min(std::max(s.slots, 2), std::max(chunks, 2));
        return size_t(slots) * P * 144 * padded_k(s.cz) + s.warps * (size_t(P) * 64 * stride_of(s.cz) + 4608);
    };
    const Shape s = fitted(asked, shared_of);
    const int pairs = s.residues * s.r, wide = s.e * s.e;
    Values grad = noise(size_t(s.r) * s.r * s.cz, 1, scale), w = noise(size_t(s.cz) * wide, 2, 0.3), counts(size_t(s.r) * s.r);
    for (size_t i = 0; i < counts.size(); i++) counts[i] = double(i % 5 == 0 ? 0 : i % 70);
    Values outer = noise(size_t(pairs) * wide, 3);
    Buffer<X> bgrad(grad);
    Buffer<W> bw(w), bouter(outer), scaled(size_t(pairs) * s.cz), douter(size_t(pairs) * wide), rows(size_t(pairs) * wide);
    Buffer<float> bcounts(counts);
    const OuterProductBackward<X, W> t{bgrad.data(), bw.data(), bcounts.data(), scaled.data(), douter.data(), s.first, s.residues, s.r, s.e, s.cz, s.slots};
    char text[160];
    std::snprintf(text, sizeof text, "outer_product_backward %s/%s r=%d e=%d cz=%d residues %d+%d grad~%g", type_name<X>(), type_name<W>(), s.r, s.e,
                  s.cz, s.first, s.residues, scale);
    const std::string name = text;
    run(name, s.blocks, 32 * s.warps, shared_of(s), {&scaled.memory(), &douter.memory()}, kernel, t);
    run(name + " turn", 3, 256, 0, {&rows.memory()}, turn, OuterProductTurn<W>{bouter.data(), rows.data(), s.residues, s.r, s.e});

    // Pairs that share no sequence have gradients a thousand times the others': compared apart.
    Values got[2], want[2], got_scaled[2], want_scaled[2], want_rows(rows.size());
    for (int pair = 0; pair < pairs; pair++) {
        const size_t place = size_t(s.first) * s.r + pair;
        const int alone = counts[place] == 0;
        Values g(s.cz);
        for (int n = 0; n < s.cz; n++) {
            g[n] = grad[place * s.cz + n] / (counts[place] + 1e-3);
            want_scaled[alone].push_back(g[n]);
            got_scaled[alone].push_back(scaled[size_t(pair) * s.cz + n]);
        }
        for (int k = 0; k < wide; k++) {
            const size_t at = ((size_t(pair / s.r) * s.e + k / s.e) * s.r + pair % s.r) * s.e + k % s.e;
            double sum = 0;
            for (int n = 0; n < s.cz; n++) sum += g[n] * w[size_t(n) * wide + k];
            want[alone].push_back(sum);
            got[alone].push_back(douter[at]);
            want_rows[size_t(pair) * wide + k] = outer[at];
        }
    }
    for (int alone = 0; alone < 2; alone++) {
        const std::string of = alone ? ", pairs that share nothing" : "";
        if (want[alone].empty()) continue;
        compare(name + " douter" + of, got[alone], want[alone], bound);
        compare(name + " scaled" + of, got_scaled[alone], want_scaled[alone], std::is_same_v<W, bf16> ? 3e-3 : 2e-7);
    }
    compare(name + " turn", rows.values(), want_rows, 0);
}

template <class X, class W, class Kernel, class Turn>
static void all(Kernel kernel, Turn turn) {
    const double bound = std::is_same_v<W, bf16> ? 4e-3 : 1.5e-5;
    check<X, W>(kernel, turn, {1, 32, 128, 0, 1, 1, 2, 1}, 1, bound);
    check<X, W>(kernel, turn, {2, 24, 64, 1, 1, 8, 9, 1}, 1e-6, bound);
    check<X, W>(kernel, turn, {17, 32, 128, 5, 3, 2, 2, 1}, 1, bound);
    check<X, W>(kernel, turn, {33, 8, 40, 0, 33, 4, 2, 3}, 100, bound);
    check<X, W>(kernel, turn, {130, 16, 136, 127, 3, 8, 4, 2}, 1, bound);
}

int main() {
    start();
    for (int n : {8, 1000}) {
        Values v = noise(n, 3, 10.0);
        Buffer<float> from(v);
        Buffer<bf16> to(n), want(v);
        run("outer_product_round", 2, 64, 0, {&to.memory()}, outer_product_round, RoundValues{from.data(), to.data(), n});
        compare("outer_product_round " + std::to_string(n), to.values(), want.values(), 0);
    }
    all<bf16, bf16>(outer_product_backward_bf16_bf16, outer_product_turn_bf16);
    all<float, bf16>(outer_product_backward_f32_bf16, outer_product_turn_bf16);
    all<float, float>(outer_product_backward_f32_f32, outer_product_turn_f32);
    return finish();
}
