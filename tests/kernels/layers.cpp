// Whole layers from their kernels, as crates/nn/src/ops defines them, against float64: do the pieces fit together?
#include "check.hpp"
#include "../../kernels/layer_norm_project.cu"
#include "../../kernels/attention.cu"
#include "../../kernels/gate_output.cu"
#include "../../kernels/triangle_multiplication.cu"
#include "../../kernels/outer_product_mean.cu"

/// A parameter: rounded values and where the kernels read them.
template <class T>
struct Parameter {
    Values v;
    Buffer<T> b;
    Parameter(size_t n, unsigned seed, double scale = 1, double shift = 0) : v(noise(n, seed, scale, shift)), b(v) {}
    const T* data() const { return b.data(); }
};

constexpr int THREADS = 64;
static size_t row_shared(int parts, int chunks, int k, int own_rows) {
    return size_t(std::max(2, std::min(2, chunks))) * parts * 64 * k * 2 + THREADS / 32 * (size_t(parts) * 32 * own_rows * 2 + 4608);
}

/// attention.rs on z [n, n, c] with pair_bias.rs of z itself: triangle attention. `ending` attends within columns.
template <class T, class Project, class Attend, class Gate>
static void triangle_attention(Project project, Attend attend, Gate gate, int n, bool ending, double bound) {
    constexpr int D = 16;
    constexpr int P = Parts<T>::count;
    const int c = 40, h = 3, hd = h * D, rows = n * n, ld = (n + 31) / 32 * 32;
    Parameter<T> z(size_t(rows) * c, 1), wq(size_t(hd) * c, 2, 0.3), wk(size_t(hd) * c, 3, 0.3), wv(size_t(hd) * c, 4, 0.3);
    Parameter<T> wb(size_t(h) * c, 5, 0.5), wg(size_t(hd) * c, 6, 0.3), wo(size_t(c) * hd, 7, 0.3);
    Parameter<float> ns(c, 8, 0.2, 1), no(c, 9, 0.3), bg(hd, 10), bo(c, 11);
    Values mask = coins(rows, 12, 0.7);
    for (int i = 0; i < n; i++) mask[ending ? i * n : i] = 0; // the first attended row is masked altogether
    Buffer<float> bmask(mask);
    Values all = wq.v;
    for (const Values* w : {&wk.v, &wv.v, &wb.v}) all.insert(all.end(), w->begin(), w->end());
    Buffer<T> weight(all), qkv(size_t(3) * rows * hd), o(size_t(rows) * hd), out(size_t(rows) * c);
    Buffer<float> bias(size_t(h) * n * ld);
    const std::string name = std::string("triangle attention ") + type_name<T>() + " n=" + std::to_string(n) + (ending ? " ending" : " starting");

    const i64 s0 = ending ? c : i64(n) * c, s1 = ending ? i64(n) * c : c;
    LayerNormProject<T, T> p{};
    p.x = z.data(), p.norm_scale = ns.data(), p.norm_offset = no.data(), p.weight = weight.data(), p.out = qkv.data(), p.heads_out = bias.data();
    p.stride0 = s0, p.stride1 = s1, p.group_stride = i64(rows) * hd, p.heads_stride = i64(n) * ld, p.heads_stride0 = ld;
    p.n0 = p.n1 = n, p.c = c, p.width = 3 * hd, p.heads = h, p.group = hd, p.scaled = hd, p.slots = 2;
    p.scale = LOG2E / std::sqrt(float(D)), p.heads_scale = LOG2E;
    run(name + " project", 2, THREADS, row_shared(P, 3, stride_of(c), stride_of(c)), {&qkv.memory(), &bias.memory()}, project, p);

    Attention<T> t{};
    t.q = qkv.data(), t.k = t.q + size_t(rows) * hd, t.v = t.k + size_t(rows) * hd, t.o = o.data(), t.bias = bias.data(), t.mask = bmask.data();
    t.batch_stride = t.o_batch_stride = i64(n) * hd, t.position_stride = t.o_position_stride = hd, t.head_stride = t.o_head_stride = D;
    t.bias_head_stride = i64(n) * ld, t.bias_stride0 = ld;
    t.mask_batch_stride = ending ? 1 : n, t.mask_position_stride = ending ? n : 1;
    t.batch = t.n = n, t.heads = h;
    const int row_blocks = (n + 1) / 2, in_group = std::min(8, row_blocks);
    run(name + " attention", long((row_blocks + in_group - 1) / in_group) * in_group * h * ((n + 63) / 64), 256,
        2 * (18432 + 2 * (256 + P * 64 * 24 * 4)), {&o.memory()}, attend, t);

    GateOutput<T, T> g{};
    g.x = z.data(), g.norm_scale = ns.data(), g.norm_offset = no.data(), g.gate_weight = wg.data(), g.gate_bias = bg.data(), g.o = o.data();
    g.out_weight = wo.data(), g.out_bias = bo.data(), g.residual = z.data(), g.out = out.data();
    g.stride0 = s0, g.stride1 = s1, g.n0 = g.n1 = n, g.c = c, g.hv = hd, g.slots = 2;
    run(name + " output", 3, THREADS, row_shared(P, 2, std::max(stride_of(c), stride_of(hd)), stride_of(c) + stride_of(hd)), {&out.memory()},
        gate, g);

    Values want(size_t(rows) * c);
    std::vector<Values> y(rows), q(rows), k(rows), v(rows), b(rows);
    auto at = [&](int i, int j) { return ending ? j * n + i : i * n + j; }; // memory of attended row i, position j
    for (int r = 0; r < rows; r++) {
        y[r] = plain::layer_norm(&z.v[size_t(r) * c], c, ns.v, no.v);
        for (int w = 0; w < hd; w++) {
            q[r].push_back(plain::dot(y[r], wq.v, w)), k[r].push_back(plain::dot(y[r], wk.v, w)), v[r].push_back(plain::dot(y[r], wv.v, w));
            if (w < h) b[r].push_back(plain::dot(y[r], wb.v, w));
        }
    }
    for (int row = 0; row < n; row++)
        for (int i = 0; i < n; i++) {
            Values gated(hd);
            for (int head = 0; head < h; head++) {
                Values prob(n);
                double top = -INFINITY, sum = 0;
                for (int j = 0; j < n; j++) {
                    double s = 0;
                    for (int e = head * D; e < (head + 1) * D; e++) s += q[at(row, i)][e] * k[at(row, j)][e];
                    s = s / std::sqrt(double(D)) + b[at(i, j)][head]; // query i, key j: z[i, j], or z[j, i] around the ending node
                    prob[j] = mask[at(row, j)] == 1.0 ? s : double(float(float(s) - 1e9f));
                    top = std::max(top, prob[j]);
                }
                for (double& x : prob) sum += x = std::exp(x - top);
                for (int e = head * D; e < (head + 1) * D; e++) {
                    double value = 0;
                    for (int j = 0; j < n; j++) value += prob[j] * v[at(row, j)][e];
                    gated[e] = value / sum * plain::sigmoid(plain::dot(y[at(row, i)], wg.v, e) + bg.v[e]);
                }
            }
            for (int w = 0; w < c; w++)
                want[size_t(at(row, i)) * c + w] = z.v[size_t(at(row, i)) * c + w] + plain::dot(gated, wo.v, w) + bo.v[w];
        }
    compare(name, out.values(), want, bound);
}

/// triangle_multiplication.rs; the products between the kernels are made here as cuBLASLt makes them.
template <class T, class Project, class Output>
static void triangle_multiplication(Project project, Output output, int n, bool incoming, double bound) {
    constexpr int P = Parts<T>::count;
    const int cz = 24, c = 40, rows = n * n;
    const i64 ld = (n + 7) / 8 * 8, plane = n * ld;
    Parameter<T> z(size_t(rows) * cz, 1), wap(c * cz, 2, 0.3), wag(c * cz, 3, 0.3), wbp(c * cz, 4, 0.3), wbg(c * cz, 5, 0.3);
    Parameter<T> wo(cz * c, 6, 0.3), wg(cz * cz, 7, 0.3);
    Parameter<float> ns(cz, 8, 0.2, 1), no(cz, 9, 0.3), ms(c, 10, 0.2, 1), mo(c, 11, 0.3), bap(c, 12), bag(c, 13), bbp(c, 14), bbg(c, 15);
    Parameter<float> bo(cz, 16), bg(cz, 17);
    Values mask = coins(rows, 18, 0.8);
    Buffer<float> bmask(mask);
    Buffer<T> a(c * plane), b(c * plane), out(size_t(rows) * cz);
    const std::string name = std::string("triangle multiplication ") + type_name<T>() + " n=" + std::to_string(n) + (incoming ? " incoming" : " outgoing");

    TriangleProject<T, T> t{};
    t.z = z.data(), t.mask = bmask.data(), t.norm_scale = ns.data(), t.norm_offset = no.data();
    t.project[0] = wap.data(), t.gate[0] = wag.data(), t.project[1] = wbp.data(), t.gate[1] = wbg.data();
    t.project_bias[0] = bap.data(), t.gate_bias[0] = bag.data(), t.project_bias[1] = bbp.data(), t.gate_bias[1] = bbg.data();
    t.out[0] = a.data(), t.out[1] = b.data(), t.ld = ld, t.n = n, t.cz = cz, t.c = c, t.slots = 2;
    run(name + " project", 2, THREADS, row_shared(P, 4, stride_of(cz), stride_of(cz)), {&a.memory(), &b.memory()}, project, t);

    Values sums(c * plane);
    for (int e = 0; e < c; e++)
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int k = 0; k < n; k++)
                    sum += incoming ? a[e * plane + k * ld + i] * b[e * plane + k * ld + j] : a[e * plane + i * ld + k] * b[e * plane + j * ld + k];
                sums[e * plane + i * ld + j] = sum;
            }
    Buffer<T> bsums(sums);
    TriangleOutput<T, T> u{};
    u.z = u.residual = z.data(), u.sums = bsums.data(), u.norm_in_scale = ns.data(), u.norm_in_offset = no.data();
    u.norm_out_scale = ms.data(), u.norm_out_offset = mo.data(), u.out_weight = wo.data(), u.out_bias = bo.data();
    u.gate_weight = wg.data(), u.gate_bias = bg.data(), u.out = out.data(), u.ld = ld, u.n = n, u.cz = cz, u.c = c, u.slots = 2;
    run(name + " output", 3, THREADS, row_shared(P, 1, stride_of(c), stride_of(cz) + stride_of(c)), {&out.memory()}, output, u);

    std::vector<Values> y(rows);
    Values fa(size_t(rows) * c), fb(fa), want(size_t(rows) * cz);
    for (int r = 0; r < rows; r++) {
        y[r] = plain::layer_norm(&z.v[size_t(r) * cz], cz, ns.v, no.v);
        for (int e = 0; e < c; e++) {
            fa[size_t(r) * c + e] = (plain::dot(y[r], wap.v, e) + bap.v[e]) * plain::sigmoid(plain::dot(y[r], wag.v, e) + bag.v[e]) * mask[r];
            fb[size_t(r) * c + e] = (plain::dot(y[r], wbp.v, e) + bbp.v[e]) * plain::sigmoid(plain::dot(y[r], wbg.v, e) + bbg.v[e]) * mask[r];
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            Values sum(c);
            for (int k = 0; k < n; k++)
                for (int e = 0; e < c; e++)
                    sum[e] += incoming ? fa[size_t(k * n + i) * c + e] * fb[size_t(k * n + j) * c + e]
                                       : fa[size_t(i * n + k) * c + e] * fb[size_t(j * n + k) * c + e];
            const Values x = plain::layer_norm(sum.data(), c, ms.v, mo.v);
            for (int w = 0; w < cz; w++)
                want[size_t(i * n + j) * cz + w] = z.v[size_t(i * n + j) * cz + w] +
                                                   (plain::dot(x, wo.v, w) + bo.v[w]) * plain::sigmoid(plain::dot(y[i * n + j], wg.v, w) + bg.v[w]);
        }
    compare(name, out.values(), want, bound);
}

/// outer_product_mean.rs; the outer products between the kernels are made here, three residues at a time.
template <class T, class Project, class Output>
static void outer_product_mean(Project project, Output output, int s, int r, double bound) {
    constexpr int P = Parts<T>::count;
    const int c = 24, e = 8, cz = 40, rows = s * r;
    Parameter<T> m(size_t(rows) * c, 1), ab(2 * e * c, 2, 0.3), wo(cz * e * e, 3, 0.3), z(size_t(r) * r * cz, 4);
    Parameter<float> ns(c, 5, 0.2, 1), no(c, 6, 0.3), bab(2 * e, 7), bo(cz, 8);
    Values mask = coins(rows, 9, 0.6);
    for (int q = 0; q < s; q++) mask[size_t(q) * r] = 0; // a residue that no sequence has
    Buffer<float> bmask(mask), counts(size_t(r) * r);
    Buffer<T> factors(size_t(2) * rows * e), out(size_t(r) * r * cz);
    const std::string name = std::string("outer product mean ") + type_name<T>() + " s=" + std::to_string(s) + " r=" + std::to_string(r);

    run(name + " counts", long((r + 31) / 32) * ((r + 31) / 32), 256, 8448, {&counts.memory()}, pair_counts, PairCounts{bmask.data(), counts.data(), s, r});
    LayerNormProject<T, T> p{};
    p.x = m.data(), p.norm_scale = ns.data(), p.norm_offset = no.data(), p.weight = ab.data(), p.bias = bab.data(), p.mask = bmask.data();
    p.out = factors.data(), p.stride0 = i64(r) * c, p.stride1 = c, p.group_stride = i64(rows) * e;
    p.n0 = s, p.n1 = r, p.c = c, p.width = 2 * e, p.group = e, p.slots = 2;
    run(name + " project", 2, THREADS, row_shared(P, 1, stride_of(c), stride_of(c)), {&factors.memory()}, project, p);
    for (int first = 0; first < r; first += 3) {
        const int residues = std::min(3, r - first);
        Values outer(size_t(residues) * e * r * e);
        for (int i = 0; i < residues * e; i++)
            for (int j = 0; j < r * e; j++)
                for (int q = 0; q < s; q++)
                    outer[size_t(i) * r * e + j] += factors[size_t(q) * r * e + first * e + i] * factors[size_t(rows) * e + size_t(q) * r * e + j];
        Buffer<T> bouter(outer);
        OuterProductProject<T, T> t{};
        t.outer = bouter.data(), t.weight = wo.data(), t.bias = bo.data(), t.counts = counts.data(), t.residual = z.data(), t.out = out.data();
        t.first_residue = first, t.residues = residues, t.r = r, t.e = e, t.cz = cz;
        run(name + " output", (residues * r + THREADS - 1) / THREADS, THREADS, 2 * P * (128 + THREADS) * 72 * 2 + THREADS / 32 * 4608,
            {&out.memory()}, output, t);
    }

    // Pairs that share no sequence get bias / 1e-3, a thousand times the others: compared apart.
    Values want, got, want_alone, got_alone;
    std::vector<Values> a(rows, Values(e)), b(a);
    for (int row = 0; row < rows; row++) {
        const Values y = plain::layer_norm(&m.v[size_t(row) * c], c, ns.v, no.v);
        for (int k = 0; k < e; k++) {
            a[row][k] = (plain::dot(y, ab.v, k) + bab.v[k]) * mask[row];
            b[row][k] = (plain::dot(y, ab.v, e + k) + bab.v[e + k]) * mask[row];
        }
    }
    for (int i = 0; i < r; i++)
        for (int j = 0; j < r; j++) {
            Values outer(e * e);
            double count = 1e-3;
            for (int q = 0; q < s; q++) {
                count += mask[q * r + i] * mask[q * r + j];
                for (int k = 0; k < e * e; k++) outer[k] += a[q * r + i][k / e] * b[q * r + j][k % e];
            }
            for (int w = 0; w < cz; w++) {
                const size_t at = size_t(i * r + j) * cz + w;
                (count > 0.5 ? want : want_alone).push_back(z.v[at] + (plain::dot(outer, wo.v, w) + bo.v[w]) / count);
                (count > 0.5 ? got : got_alone).push_back(out[at]);
            }
        }
    compare(name, got, want, bound);
    compare(name + ", pairs that share nothing", got_alone, want_alone, bound);
}

int main() {
    start();
    for (int n : {1, 17, 33})
        for (bool turned : {false, true}) {
            triangle_attention<bf16>(layer_norm_project_bf16_bf16, attention_bf16_16, gate_output_bf16_bf16, n, turned, 8e-3);
            triangle_attention<float>(layer_norm_project_f32_f32, attention_f32_16, gate_output_f32_f32, n, turned, 2e-5);
            triangle_multiplication<bf16>(triangle_project_bf16_bf16, triangle_output_bf16_bf16, n, turned, 8e-3);
            triangle_multiplication<float>(triangle_project_f32_f32, triangle_output_f32_f32, n, turned, 2e-5);
        }
    for (int r : {2, 17}) {
        outer_product_mean<bf16>(layer_norm_project_bf16_bf16, outer_product_project_bf16_bf16, 7, r, 8e-3);
        outer_product_mean<float>(layer_norm_project_f32_f32, outer_product_project_f32_f32, 33, r, 2e-5);
    }
    return finish();
}
