// Gradients of whole layers, from their kernels and the products that kernels/README.md asks for, against central differences of
// the layers in float64: is each piece given what the one before it leaves?
#include "check.hpp"
#include "../../kernels/global_attention.cu"
#include "../../kernels/global_attention_backward.cu"
#include "../../kernels/gate_output_backward.cu"
#include "../../kernels/layer_norm_project.cu"
#include "../../kernels/layer_norm_project_backward.cu"
#include "../../kernels/sums.cu"
#include "../../kernels/triangle_multiplication.cu"
#include "../../kernels/triangle_multiplication_backward.cu"
#include <memory>

constexpr int THREADS = 64, WARPS = THREADS / 32, BLOCKS = 2;

/// A layer's inputs and parameters, in float64 and where kernels read them.
struct Inputs {
    std::vector<Values> v;
    std::vector<std::unique_ptr<Buffer<float>>> b;
    void add(size_t n, double scale = 1, double shift = 0) {
        v.push_back(noise(n, 100 + unsigned(v.size()), scale, shift));
        b.push_back(std::make_unique<Buffer<float>>(v.back()));
    }
    const float* at(int i) const { return b[size_t(i)]->data(); }
};

/// Gradients `got` of input `i` along a direction, against differences of `value`.
template <class Value>
static void differences(const std::string& name, Inputs& in, int i, const Values& got, Value value) {
    const Values at = in.v[size_t(i)], direction = noise(at.size(), 900 + unsigned(i));
    double values[2], along = 0, size = 0;
    for (int side = 0; side < 2; side++) {
        for (size_t n = 0; n < at.size(); n++) in.v[size_t(i)][n] = at[n] + (side ? 1e-5 : -1e-5) * direction[n];
        values[side] = value();
    }
    in.v[size_t(i)] = at;
    if (got.size() != at.size()) return verdict(false, name, "size");
    for (size_t n = 0; n < at.size(); n++) along += direction[n] * got[n], size += got[n] * got[n];
    compare(name, {(values[1] - values[0]) / 2e-5}, {along}, 3e-5, std::sqrt(size) + 1e-12); // `along` itself may happen to be small, or all zero
}

/// xᵀ·y over rows: [width of x, width of y], as cuBLASLt makes it.
static Values product(const Values& x, int x_width, const Values& y, int y_width, double scale = 1, int x_stride = 0, int x_first = 0) {
    if (!x_stride) x_stride = x_width;
    Values out(size_t(x_width) * y_width);
    for (size_t row = 0; row < y.size() / y_width; row++)
        for (int i = 0; i < x_width; i++)
            for (int j = 0; j < y_width; j++) out[size_t(i) * y_width + j] += scale * x[row * x_stride + x_first + i] * y[row * y_width + j];
    return out;
}
static Values columns(const Buffer<float>& x, int width, int stride, int first) {
    const int rows = int(x.size() / stride), slabs = 3;
    Buffer<float> leaves(size_t(slabs) * width), sums(width);
    run("column_sums", long((width + 63) / 64) * slabs, 256, 2048, {&leaves.memory()}, column_sums_f32,
        ColumnSums<float>{x.data() + first, nullptr, leaves.data(), stride, rows, width, slabs});
    run("sum_leaves", (width + 255) / 256, 256, 0, {&sums.memory()}, sum_leaves, SumLeaves{{{leaves.data(), {sums.data()}, slabs, width, {width, width, width, width}}}, 1});
    return sums.values();
}

/// layer_norm_project_backward, with its outputs.
struct Back {
    Buffer<float> dx, normed, leaves, norm;
    int c;
    Back(LayerNormProjectBackward<float, float> t, int rows) : dx(size_t(rows) * t.c), normed(dx.size()), leaves(size_t(BLOCKS) * WARPS * 2 * t.c), norm(2 * size_t(t.c)), c(t.c) {
        t.dx = dx.data(), t.normed = normed.data(), t.leaves = leaves.data();
        run("layer_norm_project_backward", BLOCKS, THREADS, 8 * (32 * 72 + WARPS * 16 * 40) + WARPS * (4736 + 512),
            {&dx.memory(), &normed.memory(), &leaves.memory()}, layer_norm_project_backward_f32_f32_64, t);
        run("sum_leaves", (2 * c + 255) / 256, 256, 0, {&norm.memory()}, sum_leaves, SumLeaves{{{leaves.data(), {norm.data()}, BLOCKS * WARPS, 2 * c, {2 * c, 2 * c, 2 * c, 2 * c}}}, 1});
    }
    Values half(int i) const {
        const Values all = norm.values();
        return Values(all.begin() + i * c, all.begin() + (i + 1) * c);
    }
};

static void triangle_multiplication(int n, bool incoming) {
    const int cz = 24, c = 40, rows = n * n;
    const i64 ld = (n + 7) / 8 * 8, plane = n * ld;
    enum { Z, NS, NO, AP, AG, BP, BG, WO, WG, MS, MO, BAP, BAG, BBP, BBG, BO, BGATE };
    Inputs in;
    in.add(size_t(rows) * cz), in.add(cz, 0.2, 1), in.add(cz, 0.3);
    for (int i = 0; i < 4; i++) in.add(size_t(c) * cz, 0.3);
    in.add(size_t(cz) * c, 0.3), in.add(size_t(cz) * cz, 0.3), in.add(c, 0.2, 1), in.add(c, 0.3);
    for (int i = 0; i < 4; i++) in.add(c);
    in.add(cz), in.add(cz);
    Values grad = noise(size_t(rows) * cz, 1), mask = coins(rows, 2, 0.8);
    Buffer<float> bgrad(grad), bmask(mask);
    const std::string name = std::string("triangle multiplication n=") + std::to_string(n) + (incoming ? " incoming: " : " outgoing: ");
    auto value = [&] {
        std::vector<Values> y(rows);
        Values a(size_t(rows) * c), b(a);
        for (int r = 0; r < rows; r++) {
            y[r] = plain::layer_norm(&in.v[Z][size_t(r) * cz], cz, in.v[NS], in.v[NO]);
            for (int e = 0; e < c; e++) {
                auto gated = [&](int w, int g, int bw, int bg) {
                    return (plain::dot(y[r], in.v[w], e) + in.v[bw][e]) * plain::sigmoid(plain::dot(y[r], in.v[g], e) + in.v[bg][e]) * mask[r];
                };
                a[size_t(r) * c + e] = gated(AP, AG, BAP, BAG);
                b[size_t(r) * c + e] = gated(BP, BG, BBP, BBG);
            }
        }
        double total = 0;
        for (int r = 0; r < rows; r++) {
            Values sum(c);
            for (int k = 0; k < n; k++)
                for (int e = 0; e < c; e++)
                    sum[e] += incoming ? a[size_t(k * n + r / n) * c + e] * b[size_t(k * n + r % n) * c + e]
                                       : a[size_t(r / n * n + k) * c + e] * b[size_t(r % n * n + k) * c + e];
            const Values x = plain::layer_norm(sum.data(), c, in.v[MS], in.v[MO]);
            for (int w = 0; w < cz; w++)
                total += grad[size_t(r) * cz + w] * (in.v[Z][size_t(r) * cz + w] + (plain::dot(x, in.v[WO], w) + in.v[BO][w]) *
                                                                                      plain::sigmoid(plain::dot(y[r], in.v[WG], w) + in.v[BGATE][w]));
        }
        return total;
    };

    Buffer<float> a(c * plane), b(c * plane);
    TriangleProject<float, float> p{};
    p.z = in.at(Z), p.mask = bmask.data(), p.norm_scale = in.at(NS), p.norm_offset = in.at(NO), p.ld = ld, p.n = n, p.cz = cz, p.c = c, p.slots = 2;
    p.project[0] = in.at(AP), p.gate[0] = in.at(AG), p.project[1] = in.at(BP), p.gate[1] = in.at(BG);
    p.project_bias[0] = in.at(BAP), p.gate_bias[0] = in.at(BAG), p.project_bias[1] = in.at(BBP), p.gate_bias[1] = in.at(BBG);
    p.out[0] = a.data(), p.out[1] = b.data();
    run(name + "project", BLOCKS, THREADS, 4 * 128 * stride_of(cz) + WARPS * (128 * stride_of(cz) + 4608), {&a.memory(), &b.memory()},
        triangle_project_f32_f32, p);
    auto place = [&](int e, int i, int j) { return size_t(e * plane + i * ld + j); };
    Values sums(c * plane);
    for (int e = 0; e < c; e++)
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                for (int k = 0; k < n; k++)
                    sums[place(e, i, j)] += incoming ? a[place(e, k, i)] * b[place(e, k, j)] : a[place(e, i, k)] * b[place(e, j, k)];
    Buffer<float> bsums(sums), sum_rows(size_t(rows) * c), dsums(c * plane), dupdate(size_t(rows) * cz), dgate(size_t(rows) * cz);
    const long turns = long((n + 31) / 32) * n * ((c + 63) / 64);
    run(name + "turn", turns, 256, 8448, {&sum_rows.memory()}, turn_to_rows_f32, TurnChannels<float>{bsums.data(), sum_rows.data(), ld, n, c});
    TriangleOutputBackward<float, float> o{};
    o.z = in.at(Z), o.grad = bgrad.data(), o.sums = sum_rows.data(), o.norm_in_scale = in.at(NS), o.norm_in_offset = in.at(NO);
    o.norm_out_scale = in.at(MS), o.norm_out_offset = in.at(MO), o.out_weight = in.at(WO), o.out_bias = in.at(BO), o.gate_weight = in.at(WG);
    o.gate_bias = in.at(BGATE), o.dupdate = dupdate.data(), o.dgate = dgate.data(), o.n = n, o.cz = cz, o.c = c, o.slots = 2;
    run(name + "output", BLOCKS, THREADS, 4 * 128 * stride_of(c) + WARPS * 128 * (stride_of(cz) + stride_of(c)),
        {&dupdate.memory(), &dgate.memory()}, triangle_output_backward_f32_f32, o);
    LayerNormProjectBackward<float, float> l{};
    l.x = sum_rows.data(), l.norm_scale = in.at(MS), l.norm_offset = in.at(MO), l.projected[0] = {dupdate.data(), in.at(WO), cz, cz, 1};
    l.stride0 = i64(n) * c, l.stride1 = c, l.n0 = l.n1 = n, l.c = c, l.count = 1;
    const Back of_sums(l, rows);
    run(name + "turn back", turns, 256, 8448, {&dsums.memory()}, turn_to_channels_f32, TurnChannels<float>{dsums.data(), of_sums.dx.data(), ld, n, c});
    Values da(c * plane), db(c * plane);
    for (int e = 0; e < c; e++)
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                for (int k = 0; k < n; k++) {
                    da[place(e, i, j)] += incoming ? b[place(e, i, k)] * dsums[place(e, j, k)] : dsums[place(e, i, k)] * b[place(e, k, j)];
                    db[place(e, i, j)] += incoming ? a[place(e, i, k)] * dsums[place(e, k, j)] : dsums[place(e, k, i)] * a[place(e, k, j)];
                }
    Buffer<float> bda(da), bdb(db), projected(size_t(rows) * 4 * c);
    TriangleProjectBackward<float, float> q{};
    q.z = p.z, q.mask = p.mask, q.norm_scale = p.norm_scale, q.norm_offset = p.norm_offset, q.ld = ld, q.n = n, q.cz = cz, q.c = c, q.slots = 2;
    for (int i = 0; i < 2; i++)
        q.project[i] = p.project[i], q.gate[i] = p.gate[i], q.project_bias[i] = p.project_bias[i], q.gate_bias[i] = p.gate_bias[i];
    q.grad[0] = bda.data(), q.grad[1] = bdb.data(), q.projected = projected.data();
    run(name + "project back", BLOCKS, THREADS, 4 * 128 * stride_of(cz) + WARPS * 128 * stride_of(cz), {&projected.memory()},
        triangle_project_backward_f32_f32, q);
    LayerNormProjectBackward<float, float> m{};
    m.x = in.at(Z), m.norm_scale = in.at(NS), m.norm_offset = in.at(NO), m.projected[0] = {dgate.data(), in.at(WG), cz, cz, 1};
    for (int i = 0; i < 4; i++) m.projected[i + 1] = {projected.data() + i * c, in.at(AP + i), 4 * c, c, 1};
    m.grad = bgrad.data(), m.stride0 = i64(n) * cz, m.stride1 = cz, m.n0 = m.n1 = n, m.c = cz, m.count = 5;
    const Back of_z(m, rows);

    differences(name + "z", in, Z, of_z.dx.values(), value);
    differences(name + "norm scale", in, NS, of_z.half(0), value);
    differences(name + "norm offset", in, NO, of_z.half(1), value);
    differences(name + "norm scale of sums", in, MS, of_sums.half(0), value);
    differences(name + "norm offset of sums", in, MO, of_sums.half(1), value);
    for (int i = 0; i < 4; i++) {
        differences(name + "weight " + std::to_string(i), in, AP + i, product(projected.values(), c, of_z.normed.values(), cz, 1, 4 * c, i * c), value);
        differences(name + "bias " + std::to_string(i), in, std::vector{BAP, BAG, BBP, BBG}[size_t(i)], columns(projected, c, 4 * c, i * c), value);
    }
    differences(name + "output weight", in, WO, product(dupdate.values(), cz, of_sums.normed.values(), c), value);
    differences(name + "output bias", in, BO, columns(dupdate, cz, cz, 0), value);
    differences(name + "gate weight", in, WG, product(dgate.values(), cz, of_z.normed.values(), cz), value);
    differences(name + "gate bias", in, BGATE, columns(dgate, cz, cz, 0), value);
}

static void global_attention(int s, int r) {
    constexpr int D = 8;
    const int c = 24, h = 3, hd = h * D, rows = s * r;
    enum { M, NS, NO, WQ, WKV, WG, BG, WO };
    Inputs in;
    in.add(size_t(rows) * c), in.add(c, 0.2, 1), in.add(c, 0.3), in.add(size_t(hd) * c, 0.5), in.add(size_t(2 * D) * c, 0.3);
    in.add(size_t(hd) * c, 0.3), in.add(hd), in.add(size_t(c) * hd, 0.3);
    Values grad = noise(size_t(rows) * c, 1), mask(rows, 1.0);
    for (int i = 0; i < s; i++) mask[size_t(i) * r + i % r] = i == 0 ? 1.0 : 0.0;
    Buffer<float> bgrad(grad), bmask(mask);
    const std::string name = "global attention s=" + std::to_string(s) + " r=" + std::to_string(r) + ": ";
    auto value = [&] {
        double total = 0;
        for (int column = 0; column < r; column++) {
            std::vector<Values> y(s);
            Values mean(c);
            double count = 1e-10;
            for (int i = 0; i < s; i++) {
                y[i] = plain::layer_norm(&in.v[M][(size_t(i) * r + column) * c], c, in.v[NS], in.v[NO]);
                count += mask[size_t(i) * r + column];
                for (int n = 0; n < c; n++) mean[n] += mask[size_t(i) * r + column] * y[i][n];
            }
            for (double& x : mean) x /= count;
            Values o(hd);
            for (int head = 0; head < h; head++) {
                double sum = 0;
                for (int i = 0; i < s; i++) {
                    if (mask[size_t(i) * r + column] != 1.0) continue;
                    double logit = 0;
                    for (int n = 0; n < D; n++) logit += plain::dot(mean, in.v[WQ], head * D + n) * plain::dot(y[i], in.v[WKV], n) / std::sqrt(double(D));
                    sum += std::exp(logit);
                    for (int n = 0; n < D; n++) o[head * D + n] += std::exp(logit) * plain::dot(y[i], in.v[WKV], D + n);
                }
                for (int n = 0; n < D; n++) o[head * D + n] /= sum;
            }
            for (int i = 0; i < s; i++) {
                Values gated(hd);
                for (int n = 0; n < hd; n++) gated[n] = o[n] * plain::sigmoid(plain::dot(y[i], in.v[WG], n) + in.v[BG][n]);
                for (int n = 0; n < c; n++) {
                    const size_t at = (size_t(i) * r + column) * c + n;
                    total += grad[at] * (in.v[M][at] + plain::dot(gated, in.v[WO], n));
                }
            }
        }
        return total;
    };

    Buffer<float> kv(size_t(rows) * 2 * D), o(size_t(r) * hd), mean(size_t(r) * c), queries(o.size()), stats(size_t(r) * h * 2);
    LayerNormProject<float, float> p{};
    p.x = in.at(M), p.norm_scale = in.at(NS), p.norm_offset = in.at(NO), p.weight = in.at(WKV), p.out = kv.data();
    p.stride0 = i64(r) * c, p.stride1 = c, p.n0 = s, p.n1 = r, p.c = c, p.width = p.group = 2 * D, p.slots = 2;
    run(name + "project", BLOCKS, THREADS, 4 * 128 * stride_of(c) + WARPS * (128 * stride_of(c) + 4608), {&kv.memory()}, layer_norm_project_f32_f32, p);
    GlobalAttention<float, float> f{};
    f.x = p.x, f.norm_scale = p.norm_scale, f.norm_offset = p.norm_offset, f.mask = bmask.data(), f.query_weight = in.at(WQ), f.k = kv.data();
    f.v = kv.data() + D, f.o = o.data(), f.mean = mean.data(), f.queries = queries.data(), f.stats = stats.data();
    f.stride0 = p.stride0, f.stride1 = p.stride1, f.kv_stride0 = i64(r) * 2 * D, f.kv_stride1 = 2 * D, f.s = s, f.r = r, f.c = c, f.heads = h;
    run(name + "forward", BLOCKS, THREADS, 4 * size_t(WARPS * (c + 1) + c + hd), {&o.memory(), &mean.memory(), &queries.memory(), &stats.memory()},
        global_attention_f32_f32_8, f);

    Buffer<float> d_o(size_t(rows) * hd), dgate(d_o.size()), gated(d_o.size()), dkv(kv.size()), dq(o.size()), column_grad(mean.size());
    GateOutputBackward<float, float> g{};
    g.x = p.x, g.grad = bgrad.data(), g.norm_scale = p.norm_scale, g.norm_offset = p.norm_offset, g.gate_weight = in.at(WG), g.gate_bias = in.at(BG);
    g.o = o.data(), g.out_weight = in.at(WO), g.d_o = d_o.data(), g.dgate = dgate.data(), g.gated = gated.data();
    g.stride0 = p.stride0, g.stride1 = p.stride1, g.n0 = s, g.n1 = g.o_rows = r, g.c = c, g.hv = hd, g.slots = 2;
    run(name + "gate", BLOCKS, THREADS, 2 * 2 * 2 * std::max(64 * stride_of(c), 72 * padded_k(c)) + WARPS * 256 * stride_of(c),
        {&d_o.memory(), &dgate.memory(), &gated.memory()}, gate_output_backward_f32_f32, g);
    Values sum_o = columns(d_o, r * hd, r * hd, 0);
    Buffer<float> bsum_o(sum_o);
    GlobalAttentionBackward<float> b{};
    b.mask = f.mask, b.query_weight = f.query_weight, b.k = f.k, b.v = f.v, b.queries = queries.data(), b.stats = stats.data(), b.d_o = bsum_o.data();
    b.dk = dkv.data(), b.dv = dkv.data() + D, b.dq = dq.data(), b.column_grad = column_grad.data();
    b.kv_stride0 = f.kv_stride0, b.kv_stride1 = f.kv_stride1, b.s = s, b.r = r, b.c = c, b.heads = h;
    run(name + "backward", BLOCKS, THREADS, 4 * size_t(3 * hd + h + 1), {&dkv.memory(), &dq.memory(), &column_grad.memory()},
        global_attention_backward_f32_8, b);
    LayerNormProjectBackward<float, float> l{};
    l.x = p.x, l.norm_scale = p.norm_scale, l.norm_offset = p.norm_offset, l.grad = bgrad.data(), l.column_grad = column_grad.data(), l.share = bmask.data();
    l.projected[0] = {dkv.data(), in.at(WKV), 2 * D, D, 1}, l.projected[1] = {dkv.data() + D, in.at(WKV) + D * c, 2 * D, D, 1};
    l.projected[2] = {dgate.data(), in.at(WG), hd, hd, 1};
    l.stride0 = p.stride0, l.stride1 = p.stride1, l.n0 = s, l.n1 = r, l.c = c, l.count = 3;
    const Back back(l, rows);

    differences(name + "m", in, M, back.dx.values(), value);
    differences(name + "norm scale", in, NS, back.half(0), value);
    differences(name + "norm offset", in, NO, back.half(1), value);
    differences(name + "query weight", in, WQ, product(dq.values(), hd, mean.values(), c), value);
    differences(name + "key and value weights", in, WKV, product(dkv.values(), 2 * D, back.normed.values(), c), value);
    differences(name + "gate weight", in, WG, product(dgate.values(), hd, back.normed.values(), c), value);
    differences(name + "gate bias", in, BG, columns(dgate, hd, hd, 0), value);
    differences(name + "output weight", in, WO, product(grad, c, gated.values(), hd), value);
}

int main() {
    start();
    for (int n : {2, 5, 17})
        for (bool incoming : {false, true}) triangle_multiplication(n, incoming);
    global_attention(1, 2);
    global_attention(7, 5);
    global_attention(33, 3);
    return finish();
}
