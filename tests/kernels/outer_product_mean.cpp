#include "check.hpp"
#include "../../kernels/outer_product_mean.cu"

struct Shape {
    int s, r, e, cz, first, residues;
    bool residual;
    int warps;
};

static void check_counts(int s, int r) {
    Values mask = coins(size_t(s) * r, 1, 0.7);
    for (int i = 0; i < s; i++) mask[size_t(i) * r] = 0; // a residue that nothing has
    Buffer<float> bm(mask), counts(size_t(r) * r);
    PairCounts t{bm.data(), counts.data(), s, r};
    const int across = (r + 31) / 32;
    const std::string name = "pair_counts s=" + std::to_string(s) + " r=" + std::to_string(r);
    run(name, long(across) * across, 256, 2 * 32 * 33 * 4, {&counts.memory()}, pair_counts, t);
    bool exact = true;
    for (int i = 0; i < r; i++)
        for (int j = 0; j < r; j++) {
            double sum = 0;
            for (int q = 0; q < s; q++) sum += mask[size_t(q) * r + i] * mask[size_t(q) * r + j];
            exact &= counts[size_t(i) * r + j] == sum;
        }
    verdict(exact, name, "exact");
}

template <class X, class W, class Kernel>
static void check(Kernel kernel, const Shape& asked, double scale, double bound) {
    auto shared_of = [](const Shape& s) { return 2 * Parts<W>::count * (128 + size_t(s.warps) * 32) * 72 * 2 + s.warps * 4608; };
    const Shape s = fitted(asked, shared_of);
    const size_t pairs = size_t(s.r) * s.r, k = size_t(s.e) * s.e;
    Values outer = noise(s.residues * s.e * size_t(s.r) * s.e, 1, scale), w = noise(s.cz * k, 2, 0.3), b = noise(s.cz, 3);
    Values z = noise(pairs * s.cz, 4), counts(pairs);
    for (size_t i = 0; i < pairs; i++) counts[i] = double(i % 5 == 0 ? 0 : i % (s.s + 1)); // some pairs share nothing
    Buffer<W> bouter(outer), bw(w);
    Buffer<float> bb(b), bcounts(counts);
    Buffer<X> bz(z), fresh(pairs * s.cz);
    Buffer<X>& out = s.residual ? bz : fresh;
    OuterProductProject<X, W> t{};
    t.outer = bouter.data(), t.weight = bw.data(), t.bias = bb.data(), t.counts = bcounts.data();
    t.residual = s.residual ? bz.data() : nullptr, t.out = out.data();
    t.first_residue = s.first, t.residues = s.residues, t.r = s.r, t.e = s.e, t.cz = s.cz;

    const int mine = s.residues * s.r;
    const long blocks = long((mine + 32 * s.warps - 1) / (32 * s.warps)) * ((s.cz + 127) / 128);
    char name[160];
    std::snprintf(name, sizeof name, "outer_product_project %s/%s r=%d e=%d cz=%d residues %d+%d%s outer~%g", type_name<X>(),
                  type_name<W>(), s.r, s.e, s.cz, s.first, s.residues, s.residual ? " residual in place" : "", scale);
    run(name, blocks, 32 * s.warps, shared_of(s), {&out.memory()}, kernel, t);

    Values got, want;
    bool others = true;
    for (size_t pair = 0; pair < pairs; pair++) {
        const int i = int(pair / s.r) - s.first, j = int(pair % s.r);
        for (int n = 0; n < s.cz; n++) {
            const double before = s.residual ? z[pair * s.cz + n] : 0.0;
            if (i < 0 || i >= s.residues) {
                others &= s.residual ? out[pair * s.cz + n] == before : out.untouched(pair * s.cz + n);
                continue;
            }
            double sum = b[n];
            for (int p = 0; p < s.e; p++)
                for (int q = 0; q < s.e; q++)
                    sum += outer[((size_t(i) * s.e + p) * s.r + j) * s.e + q] * w[(size_t(n) * s.e + p) * s.e + q];
            want.push_back(sum / (counts[pair] + 1e-3) + before);
            got.push_back(out[pair * s.cz + n]);
        }
    }
    compare(name, got, want, bound);
    if (!others) verdict(false, name, "wrote other residues' pairs");
}

template <class X, class W, class Kernel>
static void all(Kernel kernel) {
    const double bound = std::is_same_v<X, bf16> ? 4e-3 : std::is_same_v<W, bf16> ? 2e-6 : 1.5e-5;
    check<X, W>(kernel, {3, 1, 32, 128, 0, 1, true, 1}, 1, bound);
    check<X, W>(kernel, {7, 17, 32, 128, 5, 3, true, 2}, 1, bound);
    check<X, W>(kernel, {512, 33, 8, 40, 0, 33, false, 4}, 100, bound);
    check<X, W>(kernel, {5, 130, 16, 136, 127, 3, true, 1}, 1, bound);
    check<X, W>(kernel, {5, 2, 24, 64, 1, 1, false, 8}, 1e-6, bound);
}

int main() {
    start();
    check_counts(1, 1);
    check_counts(33, 17);
    check_counts(70, 130);
    all<bf16, bf16>(outer_product_project_bf16_bf16);
    all<float, bf16>(outer_product_project_f32_bf16);
    all<float, float>(outer_product_project_f32_f32);
    return finish();
}
