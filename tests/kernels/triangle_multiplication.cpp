#include "check.hpp"
#include "../../kernels/triangle_multiplication.cu"

struct Shape {
    int n, cz, c;
    bool mask, residual, in_place;
    int warps, slots, blocks;
};

static size_t project_shared(int parts, const Shape& s) {
    const int chunks = 2 * ((s.c + 31) / 32), slots = std::min(std::max(s.slots, 2), chunks);
    return size_t(slots) * parts * 64 * stride_of(s.cz) * 2 + size_t(s.warps) * (parts * 32 * stride_of(s.cz) * 2 + 4608);
}

static size_t output_shared(int parts, const Shape& s) {
    const int chunks = (s.cz + 31) / 32, slots = std::min(std::max(s.slots, 2), std::max(chunks, 2));
    return size_t(slots) * parts * 64 * stride_of(std::max(s.c, s.cz)) * 2 +
           size_t(s.warps) * (parts * 32 * (stride_of(s.cz) + stride_of(s.c)) * 2 + 4608);
}

template <class X, class W, class Project, class Output>
static void check(Project project, Output output, const Shape& asked, double scale, double bound) {
    const Shape s = fitted(asked, [](const Shape& s) {
        return std::max(project_shared(Parts<W>::count, s), output_shared(Parts<W>::count, s));
    });
    const int rows = s.n * s.n;
    const i64 ld = (s.n + 7) / 8 * 8;
    Values z = noise(size_t(rows) * s.cz, 1, scale), mask = coins(rows, 2, 0.8);
    Values ns = noise(s.cz, 3, 0.2, 1), no = noise(s.cz, 4, 0.3);
    Buffer<X> bz(z);
    Buffer<float> bmask(mask), bns(ns), bno(no);
    char name[160];
    std::snprintf(name, sizeof name, "%s/%s [%d,%d,%d] c=%d%s%s%s z~%g", type_name<X>(), type_name<W>(), s.n, s.n, s.cz, s.c,
                  s.mask ? " mask" : "", s.residual ? " residual" : "", s.in_place ? " in place" : "", scale);
    {
        TriangleProject<X, W> t{};
        t.z = bz.data(), t.mask = s.mask ? bmask.data() : nullptr, t.norm_scale = bns.data(), t.norm_offset = bno.data();
        t.ld = ld, t.n = s.n, t.cz = s.cz, t.c = s.c, t.slots = s.slots;
        std::vector<Values> w, b;
        for (int i = 0; i < 4; i++) {
            w.push_back(noise(size_t(s.c) * s.cz, 10 + i, 0.3));
            b.push_back(noise(s.c, 20 + i));
        }
        Buffer<W> wap(w[0]), wag(w[1]), wbp(w[2]), wbg(w[3]), a(s.c * s.n * ld), bb(s.c * s.n * ld);
        Buffer<float> bap(b[0]), bag(b[1]), bbp(b[2]), bbg(b[3]);
        t.project[0] = wap.data(), t.gate[0] = wag.data(), t.project[1] = wbp.data(), t.gate[1] = wbg.data();
        t.project_bias[0] = bap.data(), t.gate_bias[0] = bag.data(), t.project_bias[1] = bbp.data(), t.gate_bias[1] = bbg.data();
        t.out[0] = a.data(), t.out[1] = bb.data();
        const std::string full = std::string("triangle_project ") + name;
        run(full, s.blocks, 32 * s.warps, project_shared(Parts<W>::count, s), {&a.memory(), &bb.memory()}, project, t);
        Values got, want;
        bool pad = true;
        for (int i = 0; i < s.n; i++)
            for (int k = 0; k < s.n; k++) {
                const Values y = plain::layer_norm(&z[size_t(i * s.n + k) * s.cz], s.cz, ns, no);
                for (int side = 0; side < 2; side++)
                    for (int channel = 0; channel < s.c; channel++) {
                        want.push_back((plain::dot(y, w[2 * side], channel) + b[2 * side][channel]) *
                                       plain::sigmoid(plain::dot(y, w[2 * side + 1], channel) + b[2 * side + 1][channel]) *
                                       (s.mask ? mask[i * s.n + k] : 1.0));
                        got.push_back((side ? bb : a)[(channel * i64(s.n) + i) * ld + k]);
                    }
            }
        for (i64 i = 0; i < s.c * s.n * ld; i++)
            if (i % ld >= s.n) pad &= a.untouched(i) && bb.untouched(i);
        compare(full, got, want, bound);
        if (!pad) verdict(false, full, "wrote into the padding of rows");
    }
    {
        Values sums = noise(s.c * s.n * ld, 30, 4, 1), ms = noise(s.c, 31, 0.2, 1), mo = noise(s.c, 32, 0.3);
        Values wo = noise(size_t(s.cz) * s.c, 33, 0.3), bo = noise(s.cz, 34), wg = noise(size_t(s.cz) * s.cz, 35, 0.3), bg = noise(s.cz, 36);
        Buffer<W> bsums(sums), bwo(wo), bwg(wg);
        Buffer<float> bms(ms), bmo(mo), bbo(bo), bbg(bg);
        Buffer<X> fresh(size_t(rows) * s.cz);
        Buffer<X>& out = s.in_place ? bz : fresh;
        TriangleOutput<X, W> t{};
        t.z = bz.data(), t.sums = bsums.data(), t.norm_in_scale = bns.data(), t.norm_in_offset = bno.data();
        t.norm_out_scale = bms.data(), t.norm_out_offset = bmo.data(), t.out_weight = bwo.data(), t.out_bias = bbo.data();
        t.gate_weight = bwg.data(), t.gate_bias = bbg.data(), t.residual = s.residual ? bz.data() : nullptr, t.out = out.data();
        t.ld = ld, t.n = s.n, t.cz = s.cz, t.c = s.c, t.slots = s.slots;
        const std::string full = std::string("triangle_output ") + name;
        run(full, s.blocks, 32 * s.warps, output_shared(Parts<W>::count, s), {&out.memory()}, output, t);
        Values got = out.values(), want;
        for (int i = 0; i < s.n; i++)
            for (int j = 0; j < s.n; j++) {
                const double* row = &z[size_t(i * s.n + j) * s.cz];
                const Values y = plain::layer_norm(row, s.cz, ns, no);
                const Values x = plain::layer_norm(&sums[i * ld + j], s.c, ms, mo, s.n * ld);
                for (int n = 0; n < s.cz; n++)
                    want.push_back((plain::dot(x, wo, n) + bo[n]) * plain::sigmoid(plain::dot(y, wg, n) + bg[n]) +
                                   (s.residual ? row[n] : 0.0));
            }
        compare(full, got, want, bound);
    }
}

template <class X, class W, class Project, class Output>
static void all(Project project, Output output) {
    const double bound = std::is_same_v<W, bf16> ? 6e-3 : 1.5e-5;
    auto run = [&](const Shape& s, double scale) { check<X, W>(project, output, s, scale, bound); };
    run({1, 128, 128, true, true, false, 1, 2, 1}, 1);
    run({2, 64, 64, false, true, true, 1, 4, 1}, 1);
    run({17, 128, 128, true, true, true, 4, 2, 2}, 1);
    run({33, 64, 24, true, false, false, 2, 8, 3}, 1);
    run({33, 24, 72, false, true, true, 8, 2, 2}, 1);
    run({130, 16, 8, true, true, true, 8, 2, 5}, 1);
    run({5, 256, 256, false, true, false, 1, 2, 1}, 1);
    run({5, 64, 32, true, false, false, 1, 2, 1}, 1e15);
    run({5, 64, 32, true, true, false, 1, 2, 1}, 1e-6);
}

int main() {
    start();
    all<bf16, bf16>(triangle_project_bf16_bf16, triangle_output_bf16_bf16);
    all<float, bf16>(triangle_project_f32_bf16, triangle_output_f32_bf16);
    all<float, float>(triangle_project_f32_f32, triangle_output_f32_f32);
    return finish();
}
