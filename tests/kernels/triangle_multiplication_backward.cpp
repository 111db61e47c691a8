#include "check.hpp"
#include "../../kernels/triangle_multiplication_backward.cu"

struct Shape {
    int n, cz, c;
    bool mask;
    int warps, slots, blocks;
};

static size_t output_shared(int parts, const Shape& s) {
    const int chunks = 2 * ((s.cz + 63) / 64), slots = std::min(std::max(s.slots, 2), chunks);
    return size_t(slots) * parts * 128 * stride_of(std::max(s.c, s.cz)) + size_t(s.warps) * parts * 64 * (stride_of(s.cz) + stride_of(s.c));
}
static size_t project_shared(int parts, const Shape& s) {
    const int chunks = 4 * ((s.c + 63) / 64), slots = std::min(std::max(s.slots, 2), chunks);
    return size_t(slots) * parts * 128 * stride_of(s.cz) + size_t(s.warps) * parts * 64 * stride_of(s.cz);
}

template <class X, class W, class Output, class Project>
static void check(Output output, Project project, const Shape& asked, double scale, double bound) {
    constexpr int P = Parts<W>::count;
    const Shape s = fitted(asked, [](const Shape& s) { return std::max(project_shared(P, s), output_shared(P, s)); });
    const int rows = s.n * s.n;
    const i64 ld = (s.n + 7) / 8 * 8;
    Values z = noise(size_t(rows) * s.cz, 1, scale), mask = coins(rows, 2, 0.8), ns = noise(s.cz, 3, 0.2, 1), no = noise(s.cz, 4, 0.3);
    Buffer<X> bz(z);
    Buffer<float> bmask(mask), bns(ns), bno(no);
    char text[160];
    std::snprintf(text, sizeof text, "%s/%s [%d,%d,%d] c=%d%s z~%g", type_name<X>(), type_name<W>(), s.n, s.n, s.cz, s.c, s.mask ? " mask" : "", scale);
    {
        const std::string name = std::string("triangle_output_backward ") + text;
        Values grad = noise(size_t(rows) * s.cz, 5), sums = noise(size_t(rows) * s.c, 6, 4, 1), ms = noise(s.c, 7, 0.2, 1), mo = noise(s.c, 8, 0.3);
        Values wo = noise(size_t(s.cz) * s.c, 9, 0.3), bo = noise(s.cz, 10), wg = noise(size_t(s.cz) * s.cz, 11, 0.3), bg = noise(s.cz, 12);
        Buffer<X> bgrad(grad);
        Buffer<W> bsums(sums), bwo(wo), bwg(wg), dupdate(size_t(rows) * s.cz), dgate(dupdate.size());
        Buffer<float> bms(ms), bmo(mo), bbo(bo), bbg(bg);
        TriangleOutputBackward<X, W> t{};
        t.z = bz.data(), t.grad = bgrad.data(), t.sums = bsums.data(), t.norm_in_scale = bns.data(), t.norm_in_offset = bno.data();
        t.norm_out_scale = bms.data(), t.norm_out_offset = bmo.data(), t.out_weight = bwo.data(), t.out_bias = bbo.data();
        t.gate_weight = bwg.data(), t.gate_bias = bbg.data(), t.dupdate = dupdate.data(), t.dgate = dgate.data();
        t.n = s.n, t.cz = s.cz, t.c = s.c, t.slots = s.slots;
        run(name, s.blocks, 32 * s.warps, output_shared(P, s), {&dupdate.memory(), &dgate.memory()}, output, t);
        Values want_update, want_gate;
        for (int row = 0; row < rows; row++) {
            const Values y = plain::layer_norm(&z[size_t(row) * s.cz], s.cz, ns, no), x = plain::layer_norm(&sums[size_t(row) * s.c], s.c, ms, mo);
            for (int n = 0; n < s.cz; n++) {
                const double gate = plain::sigmoid(plain::dot(y, wg, n) + bg[n]), g = grad[size_t(row) * s.cz + n];
                want_update.push_back(g * gate);
                want_gate.push_back(g * (plain::dot(x, wo, n) + bo[n]) * gate * (1 - gate));
            }
        }
        compare(name + " dupdate", dupdate.values(), want_update, bound);
        compare(name + " dgate", dgate.values(), want_gate, bound);
    }
    {
        const std::string name = std::string("triangle_project_backward ") + text;
        TriangleProjectBackward<X, W> t{};
        t.z = bz.data(), t.mask = s.mask ? bmask.data() : nullptr, t.norm_scale = bns.data(), t.norm_offset = bno.data();
        std::vector<Values> w, b;
        for (unsigned i = 0; i < 4; i++) {
            w.push_back(noise(size_t(s.c) * s.cz, 20 + i, 0.3));
            b.push_back(noise(s.c, 30 + i));
        }
        Values da = noise(size_t(s.c) * s.n * ld, 40), db = noise(size_t(s.c) * s.n * ld, 41);
        Buffer<W> wap(w[0]), wag(w[1]), wbp(w[2]), wbg(w[3]), bda(da), bdb(db), projected(size_t(rows) * 4 * s.c);
        Buffer<float> bap(b[0]), bag(b[1]), bbp(b[2]), bbg(b[3]);
        for (i64 i = 0; i < s.c * s.n * ld; i++) // padding of the rows
            if (i % ld >= s.n) round_to(bda.data()[i], NAN), round_to(bdb.data()[i], NAN);
        t.project[0] = wap.data(), t.gate[0] = wag.data(), t.project[1] = wbp.data(), t.gate[1] = wbg.data();
        t.project_bias[0] = bap.data(), t.gate_bias[0] = bag.data(), t.project_bias[1] = bbp.data(), t.gate_bias[1] = bbg.data();
        t.grad[0] = bda.data(), t.grad[1] = bdb.data(), t.projected = projected.data();
        t.ld = ld, t.n = s.n, t.cz = s.cz, t.c = s.c, t.slots = s.slots;
        run(name, s.blocks, 32 * s.warps, project_shared(P, s), {&projected.memory()}, project, t);
        Values want(projected.size());
        for (int row = 0; row < rows; row++) {
            const Values y = plain::layer_norm(&z[size_t(row) * s.cz], s.cz, ns, no);
            for (int side = 0; side < 2; side++)
                for (int e = 0; e < s.c; e++) {
                    const double p = plain::dot(y, w[2 * side], e) + b[2 * side][e], gate = plain::sigmoid(plain::dot(y, w[2 * side + 1], e) + b[2 * side + 1][e]);
                    const double grad = (side ? db : da)[(i64(e) * s.n + row / s.n) * ld + row % s.n] * (s.mask ? mask[row] : 1.0);
                    want[(size_t(row) * 4 + 2 * side) * s.c + e] = grad * gate;
                    want[(size_t(row) * 4 + 2 * side + 1) * s.c + e] = grad * p * gate * (1 - gate);
                }
        }
        compare(name, projected.values(), want, bound);
    }
}

template <class W, class ToRows, class ToChannels>
static void check_turns(ToRows to_rows, ToChannels to_channels, int n, int c) {
    const i64 ld = n + 5;
    Values channels = noise(size_t(c) * n * ld, 1), want(size_t(n) * n * c);
    Buffer<W> from(channels), rows(want.size()), back(channels.size());
    for (int i = 0; i < n * n; i++)
        for (int e = 0; e < c; e++) want[size_t(i) * c + e] = channels[(i64(e) * n + i / n) * ld + i % n];
    const std::string name = std::string("turns ") + type_name<W>() + " n=" + std::to_string(n) + " c=" + std::to_string(c);
    const long blocks = long((n + 31) / 32) * n * ((c + 63) / 64);
    run(name, blocks, 256, 8448, {&rows.memory()}, to_rows, TurnChannels<W>{from.data(), rows.data(), ld, n, c});
    run(name, blocks, 256, 8448, {&back.memory()}, to_channels, TurnChannels<W>{back.data(), rows.data(), ld, n, c});
    bool same = true;
    for (i64 i = 0; i < c * n * ld; i++) same &= i % ld < n ? back[size_t(i)] == channels[size_t(i)] : back.untouched(size_t(i));
    compare(name + " to rows", rows.values(), want, 0, 1e-30);
    verdict(same, name + " and back", "exact, padding untouched");
}

template <class X, class W, class Output, class Project>
static void all(Output output, Project project) {
    const double bound = std::is_same_v<W, bf16> ? 8e-3 : 3e-5;
    auto run = [&](const Shape& s, double scale) { check<X, W>(output, project, s, scale, bound); };
    run({1, 128, 128, true, 1, 2, 1}, 1);
    run({2, 64, 64, false, 1, 4, 1}, 1);
    run({17, 128, 128, true, 4, 2, 2}, 1);
    run({33, 64, 24, true, 2, 8, 3}, 1);
    run({33, 24, 72, false, 8, 2, 2}, 1);
    run({5, 256, 256, true, 1, 2, 1}, 1);
    run({5, 64, 32, true, 1, 2, 1}, 1e15);
    run({5, 64, 32, true, 1, 2, 1}, 1e-6);
}

int main() {
    start();
    all<bf16, bf16>(triangle_output_backward_bf16_bf16, triangle_project_backward_bf16_bf16);
    all<float, bf16>(triangle_output_backward_f32_bf16, triangle_project_backward_f32_bf16);
    all<float, float>(triangle_output_backward_f32_f32, triangle_project_backward_f32_f32);
    for (int n : {1, 33, 130}) {
        check_turns<bf16>(turn_to_rows_bf16, turn_to_channels_bf16, n, n == 33 ? 72 : 8);
        check_turns<float>(turn_to_rows_f32, turn_to_channels_f32, n, n == 33 ? 128 : 24);
    }
    return finish();
}
