#include "ipa.hpp"
#include "../../kernels/ipa.cu"

template <class Z, class Kernel>
static void check(Kernel kernel, const IpaShape& s, double bound) {
    const IpaCase<Z> c(s);
    const size_t rows = size_t(s.r) * s.heads;
    Buffer<float> o(rows * s.dv), points(3 * rows * s.v_points), pair(rows * s.cz), stats(rows * 2);
    auto t = c.arguments();
    t.o = o.data(), t.o_points = points.data(), t.o_pair = pair.data(), t.stats = stats.data();
    const std::string name = "ipa " + c.name();
    run(name, (s.r + IPA_QUERIES - 1) / IPA_QUERIES, IPA_THREADS, ipa_shared(s.heads, s.d, s.points),
        {&o.memory(), &points.memory(), &pair.memory(), &stats.memory()}, kernel, t);
    const IpaOutputs want = plain_ipa(c);
    compare(name + " o", o.values(), want.o, bound);
    compare(name + " points", points.values(), want.points, bound);
    compare(name + " pairs", pair.values(), want.pair, bound);
    bool finite = true;
    for (double x : stats.values()) finite &= std::isfinite(x);
    if (!finite) verdict(false, name, "sums for the backward pass");
}

template <class Z, class Kernel>
static void all(Kernel kernel) {
    check<Z>(kernel, {1, 12, 16, 16, 4, 8, 128, 0, 1, 1}, 2e-6);
    check<Z>(kernel, {2, 3, 8, 7, 2, 3, 24, 1, 1, 1}, 2e-6);
    check<Z>(kernel, {17, 12, 16, 16, 4, 8, 128, 1, 1, 2}, 2e-6);
    check<Z>(kernel, {33, 16, 5, 8, 1, 7, 2, 1, 1, 3}, 2e-6);
    check<Z>(kernel, {130, 4, 16, 24, 4, 5, 66, 1, 2, 2}, 3e-6);
    check<Z>(kernel, {35, 2, 16, 16, 4, 8, 40, 2, 1, 2}, 2e-6);
    // Logits of thousands, and next to none.
    check<Z>(kernel, {35, 3, 16, 16, 4, 8, 40, 1, 10, 50}, 5e-5);
    check<Z>(kernel, {35, 3, 16, 16, 4, 8, 40, 1, 1e-6, 1e-6}, 2e-6);
}

int main() {
    start();
    all<bf16>(ipa_bf16);
    all<float>(ipa_f32);
    return finish();
}
