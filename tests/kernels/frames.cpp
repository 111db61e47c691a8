// Cases of kernels/frames.cu: frames moved on, rigid groups and atoms, pairs of unit length, against the same in float64; gradients against
// differences of that.
#include "check.hpp"
#include "../../kernels/frames.cu"
#include <functional>

using Function = std::function<Values(const Values&)>;

/// The gradient of Σ weights·f(x) to x.
static Values differences(const Function& f, Values x, const Values& weights) {
    auto value = [&] {
        const Values y = f(x);
        double sum = 0;
        for (size_t i = 0; i < y.size(); i++) sum += weights[i] * y[i];
        return sum;
    };
    Values d(x.size());
    for (size_t i = 0; i < x.size(); i++) {
        const double was = x[i], h = 1e-5 * std::max(1.0, std::fabs(was));
        x[i] = was + h;
        const double above = value();
        x[i] = was - h;
        d[i] = (above - value()) / (2 * h);
        x[i] = was;
    }
    return d;
}

static void matrix(const double* q, double* to) {
    const double w = q[0], x = q[1], y = q[2], z = q[3];
    const double m[9] = {w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), w * w - x * x + y * y - z * z,
                         2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z};
    std::copy(m, m + 9, to);
}

static size_t translations(int r) { return 4 * r + (9 * r + 3) / 4 * 4; }
static size_t packed(int r) { return translations(r) + 3 * r; }

/// Frames of unit quaternions.
static Values frames(int r, unsigned seed) {
    Values f(packed(r)), q = noise(4 * r, seed), t = noise(3 * r, seed + 1, 3);
    for (int i = 0; i < r; i++) {
        double square = 0;
        for (int k = 0; k < 4; k++) square += q[4 * i + k] * q[4 * i + k];
        for (int k = 0; k < 4; k++) f[4 * i + k] = q[4 * i + k] / std::sqrt(square);
        matrix(&f[4 * i], &f[4 * r + 9 * i]);
    }
    std::copy(t.begin(), t.end(), f.begin() + long(translations(r)));
    return f;
}

/// Update [r, 6] and packed frames, one after the other.
static Values move_on(int r, const Values& x) {
    Values out(packed(r));
    const double* f = &x[6 * r];
    for (int i = 0; i < r; i++) {
        const double *u = &x[6 * i], *p = f + 4 * i, *turn = f + 4 * r + 9 * i, w = p[0], a = p[1], b = p[2], c = p[3];
        double q[4] = {w - a * u[0] - b * u[1] - c * u[2], a + w * u[0] + b * u[2] - c * u[1], b + w * u[1] + c * u[0] - a * u[2],
                       c + w * u[2] + a * u[1] - b * u[0]};
        const double length = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
        for (int k = 0; k < 4; k++) out[4 * i + k] = q[k] / length;
        matrix(&out[4 * i], &out[4 * r + 9 * i]);
        for (int k = 0; k < 3; k++) {
            double sum = f[translations(r) + 3 * i + k];
            for (int l = 0; l < 3; l++) sum += turn[3 * k + l] * u[3 + l];
            out[translations(r) + 3 * i + k] = sum;
        }
    }
    return out;
}

/// Angles [r, 7, 2] and packed frames, one after the other.
static Values groups(int r, const Values& x, const Values& table, double scale) {
    Values out(138 * size_t(r));
    const double* f = &x[14 * r];
    for (int i = 0; i < r; i++) {
        const double *row = &table[166 * i], *backbone = f + 4 * r + 9 * i, *origin = f + translations(r) + 3 * i;
        double turns[8][9], shifts[8][3];
        for (int g = 0; g < 8; g++) {
            const double sin = g ? x[14 * i + 2 * g - 2] : 0, cos = g ? x[14 * i + 2 * g - 1] : 1, about[9] = {1, 0, 0, 0, cos, -sin, 0, sin, cos};
            double local[9] = {};
            for (int e = 0; e < 9; e++)
                for (int k = 0; k < 3; k++) local[e] += row[9 * g + e / 3 * 3 + k] * about[3 * k + e % 3];
            for (int e = 0; e < 9; e++) {
                turns[g][e] = g < 5 ? local[e] : 0;
                for (int k = 0; k < 3 && g >= 5; k++) turns[g][e] += turns[g - 1][e / 3 * 3 + k] * local[3 * k + e % 3];
            }
            for (int a = 0; a < 3; a++) {
                shifts[g][a] = g < 5 ? row[72 + 3 * g + a] : shifts[g - 1][a];
                for (int k = 0; k < 3 && g >= 5; k++) shifts[g][a] += turns[g - 1][3 * a + k] * row[72 + 3 * g + k];
            }
        }
        double *to_turns = &out[72 * i], *to_shifts = &out[72 * r + 24 * i], *to_atoms = &out[96 * r + 42 * i];
        for (int g = 0; g < 8; g++) {
            for (int e = 0; e < 9; e++)
                for (int k = 0; k < 3; k++) to_turns[9 * g + e] += backbone[e / 3 * 3 + k] * turns[g][3 * k + e % 3];
            for (int a = 0; a < 3; a++) {
                to_shifts[3 * g + a] = scale * origin[a];
                for (int k = 0; k < 3; k++) to_shifts[3 * g + a] += backbone[3 * a + k] * shifts[g][k];
            }
        }
        for (int a = 0; a < 14; a++) {
            const int g = int(row[96 + a]);
            for (int k = 0; k < 3; k++) {
                double place = to_shifts[3 * g + k];
                for (int l = 0; l < 3; l++) place += to_turns[9 * g + 3 * k + l] * row[110 + 3 * a + l];
                to_atoms[3 * a + k] = place * row[152 + a];
            }
        }
    }
    return out;
}

static Values unit(const Values& x) {
    Values y(x.size());
    for (size_t i = 0; i < x.size(); i += 2) {
        const double length = std::sqrt(std::max(x[i] * x[i] + x[i + 1] * x[i + 1], 1e-12));
        y[i] = x[i] / length, y[i + 1] = x[i + 1] / length;
    }
    return y;
}

static Values part(const Values& v, size_t from, size_t to) { return Values(v.begin() + long(from), v.begin() + long(to)); }
static Values joined(Values a, const Values& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}
static Values sum(Values a, const Values& b) {
    for (size_t i = 0; i < a.size(); i++) a[i] += b[i];
    return a;
}

static void check_update(int r, bool still) {
    const std::string name = "frame_update r=" + std::to_string(r) + (still ? " still" : "");
    Values update = noise(6 * r, 1), given = frames(r, 2), before = noise(packed(r), 4), grad = noise(packed(r), 5);
    Buffer<float> u(update), f(given), b(before), g(grad), out(packed(r)), du(6 * r), df(packed(r));
    FrameUpdate t{u.data(), f.data(), nullptr, out.data(), g.data(), du.data(), df.data(), r, still};
    const long blocks = (r + 63) / 64;
    const Values x = joined(update, given), want = move_on(r, x);
    run(name, blocks, 64, 0, {&out.memory()}, frame_update, t);
    compare(name, out.values(), want, 3e-7);
    t.residual = t.out = b.data();
    run(name + " added", blocks, 64, 0, {&b.memory()}, frame_update, t);
    compare(name + " added", b.values(), sum(before, want), 3e-7);
    Values dx = differences([&](const Values& x) { return move_on(r, x); }, x, grad);
    if (still) std::fill(dx.begin() + 6 * r, dx.begin() + 6 * r + long(translations(r)), 0.0);
    run(name + " backward", blocks, 64, 0, {&du.memory(), &df.memory()}, frame_update_backward, t);
    compare(name + " gradient of the update", du.values(), part(dx, 0, 6 * r), 1e-6);
    compare(name + " gradient of frames", df.values(), part(dx, 6 * r, dx.size()), 1e-6);
    Buffer<float> alone(6 * r);
    t.d_update = alone.data(), t.d_frames = nullptr;
    run(name + " backward, the update alone", blocks, 64, 0, {&alone.memory()}, frame_update_backward, t);
    verdict(alone.values() == du.values(), name, "the update's gradient alone is the same");
}

static void check_groups(int r) {
    const std::string name = "rigid_groups r=" + std::to_string(r);
    const double scale = 10;
    Values angles = noise(14 * r, 1), given = frames(r, 2), table = noise(166 * r, 4), before = noise(138 * r, 5), grad = noise(138 * r, 6);
    for (int i = 0; i < r; i++)
        for (int a = 0; a < 14; a++) table[166 * i + 96 + a] = (a + i) % 8, table[166 * i + 152 + a] = a != 4;
    Buffer<float> an(angles), f(given), ta(table), b(before), g(grad), out(138 * r), da(14 * r), df(packed(r));
    RigidGroups t{an.data(), f.data(), ta.data(), nullptr, out.data(), g.data(), da.data(), df.data(), r, float(scale)};
    const long blocks = (8 * r + 63) / 64;
    const Values x = joined(angles, given), want = groups(r, x, table, scale);
    run(name, blocks, 64, 0, {&out.memory()}, rigid_groups, t);
    compare(name, out.values(), want, 5e-7);
    t.residual = t.out = b.data();
    run(name + " added", blocks, 64, 0, {&b.memory()}, rigid_groups, t);
    compare(name + " added", b.values(), sum(before, want), 5e-7);
    const Values dx = differences([&](const Values& x) { return groups(r, x, table, scale); }, x, grad);
    run(name + " backward", blocks, 64, 0, {&da.memory(), &df.memory()}, rigid_groups_backward, t);
    compare(name + " gradient of angles", da.values(), part(dx, 0, 14 * r), 1e-6);
    compare(name + " gradient of frames", df.values(), part(dx, 14 * r, dx.size()), 1e-6);
    Buffer<float> angles_alone(14 * r), frames_alone(packed(r));
    t.d_angles = angles_alone.data(), t.d_frames = nullptr;
    run(name + " backward, angles alone", blocks, 64, 0, {&angles_alone.memory()}, rigid_groups_backward, t);
    t.d_angles = nullptr, t.d_frames = frames_alone.data();
    run(name + " backward, frames alone", blocks, 64, 0, {&frames_alone.memory()}, rigid_groups_backward, t);
    verdict(angles_alone.values() == da.values() && frames_alone.values() == df.values(), name, "each gradient alone is the same");
}

static void check_units(int pairs, double scale) {
    const std::string name = "unit_pairs " + std::to_string(pairs);
    Values x = noise(2 * pairs, 1, scale), grad = noise(2 * pairs, 2);
    Buffer<float> bx(x), g(grad), out(2 * pairs), dx(2 * pairs);
    UnitPairs t{bx.data(), nullptr, out.data(), g.data(), pairs};
    const long blocks = (pairs + 63) / 64;
    run(name, blocks, 64, 0, {&out.memory()}, unit_pairs, t);
    compare(name, out.values(), unit(x), 3e-7);
    // By hand: differences cannot be taken across the least length.
    Values want(x.size());
    for (size_t i = 0; i < x.size(); i += 2) {
        const double square = x[i] * x[i] + x[i + 1] * x[i + 1], length = std::sqrt(std::max(square, 1e-12));
        const double along = square > 1e-12 ? (x[i] * grad[i] + x[i + 1] * grad[i + 1]) / square : 0;
        for (size_t k : {i, i + 1}) want[k] = (grad[k] - x[k] * along) / length;
    }
    t.out = dx.data();
    run(name + " backward", blocks, 64, 0, {&dx.memory()}, unit_pairs_backward, t);
    compare(name + " gradient", dx.values(), want, 1e-6);
    t.out = bx.data(), t.residual = bx.data();
    run(name + " in place", blocks, 64, 0, {&bx.memory()}, unit_pairs, t);
    compare(name + " in place", bx.values(), sum(x, unit(x)), 3e-7);
}

int main() {
    start();
    for (int r : {1, 2, 17, 33, 130}) {
        check_update(r, false);
        check_update(r, true);
        check_groups(r);
        check_units(7 * r, r == 17 ? 1e3 : r == 33 ? 1e-7 : 1);
    }
    return finish();
}
