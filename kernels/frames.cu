// Frames of residues moved on, rigid groups and atoms that hang on them, pairs scaled to unit length; and their gradients.
// AF2 Suppl. Alg. 20, 23, 24; crates/nn/src/ops/frames/.
//
// limit: spills 0
//
// Shapes    All f32. Packed frames of r residues: quaternions [r, 4] (real part first), their matrices [r, 3, 3], zeros up to a multiple of
//           four values, translations [r, 3]. update [r, 6]: b, c, d of the quaternion (1, b, c, d), translation, both in the local frame.
//           angles [r, 7, 2]: sines and cosines; table [r, 166]: of 8 groups rotations [8, 3, 3] and origins [8, 3], each in the frame of the
//           one before; of 14 atoms group [14], place in it [14, 3], whether it is there [14].
//           rigid_groups' result: rotations [r, 8, 3, 3], origins [r, 8, 3], atoms [r, 14, 3]. Pairs: [pairs, 2].
// out = residual + result; residual null: the result alone. Gradients d_… are null where not wanted.
// Idea      frame_update: a thread a residue. rigid_groups: eight threads a residue, one a group; each goes down the chain to its group itself,
//           three products at most, and places the atoms of its group. Going back the eight add up what they have in common by shuffles.
// Grid      blocks of 64 threads, one turn.
// Shared    none.
// Floor     latency: r = 1024 has 16 and 128 blocks.
#include "primitives.cuh"

struct FrameUpdate {
    const float *update, *frames;
    const float* residual; // or null
    float* out;
    const float* grad;
    float *d_update, *d_frames; // or null
    int r, still;               // still: quaternions and rotations of `frames` get zeros
};

struct RigidGroups {
    const float *angles, *frames, *table;
    const float* residual; // or null
    float* out;
    const float* grad;
    float *d_angles, *d_frames; // or null
    int r;
    float scale; // of the backbone's translations
};

struct UnitPairs {
    const float *x, *residual;
    float* out; // going back: the gradient of x
    const float* grad;
    int pairs;
};

DEVICE i64 frame_translations(i64 r) { return 4 * r + (9 * r + 3) / 4 * 4; }
DEVICE void put_value(float* out, const float* residual, i64 at, float x) { out[at] = residual ? residual[at] + x : x; }

/// 3 × 3, row by row.
struct Turn {
    float v[9];
};
struct Shift {
    float v[3];
};
DEVICE Turn turn_at(const float* p) {
    Turn a;
#pragma unroll
    for (int i = 0; i < 9; i++) a.v[i] = p[i];
    return a;
}
DEVICE Shift shift_at(const float* p) { return Shift{{p[0], p[1], p[2]}}; }
/// a·b.
DEVICE Turn product(const Turn& a, const Turn& b) {
    Turn c;
#pragma unroll
    for (int i = 0; i < 9; i++) c.v[i] = a.v[i / 3 * 3] * b.v[i % 3] + a.v[i / 3 * 3 + 1] * b.v[3 + i % 3] + a.v[i / 3 * 3 + 2] * b.v[6 + i % 3];
    return c;
}
/// aᵀ·b.
DEVICE Turn product_tn(const Turn& a, const Turn& b) {
    Turn c;
#pragma unroll
    for (int i = 0; i < 9; i++) c.v[i] = a.v[i / 3] * b.v[i % 3] + a.v[3 + i / 3] * b.v[3 + i % 3] + a.v[6 + i / 3] * b.v[6 + i % 3];
    return c;
}
/// a·bᵀ.
DEVICE Turn product_nt(const Turn& a, const Turn& b) {
    Turn c;
#pragma unroll
    for (int i = 0; i < 9; i++) {
        const int row = i / 3 * 3, column = i % 3 * 3;
        c.v[i] = a.v[row] * b.v[column] + a.v[row + 1] * b.v[column + 1] + a.v[row + 2] * b.v[column + 2];
    }
    return c;
}
/// a·x.
DEVICE Shift turned(const Turn& a, const Shift& x) {
    Shift y;
#pragma unroll
    for (int i = 0; i < 3; i++) y.v[i] = a.v[3 * i] * x.v[0] + a.v[3 * i + 1] * x.v[1] + a.v[3 * i + 2] * x.v[2];
    return y;
}
/// aᵀ·x.
DEVICE Shift turned_back(const Turn& a, const Shift& x) {
    Shift y;
#pragma unroll
    for (int i = 0; i < 3; i++) y.v[i] = a.v[i] * x.v[0] + a.v[3 + i] * x.v[1] + a.v[6 + i] * x.v[2];
    return y;
}
DEVICE void add_to(Shift& sum, const Shift& x, float times) {
#pragma unroll
    for (int i = 0; i < 3; i++) sum.v[i] += times * x.v[i];
}
/// sum += times·x·yᵀ.
DEVICE void add_outer(Turn& sum, const Shift& x, const Shift& y, float times) {
#pragma unroll
    for (int i = 0; i < 9; i++) sum.v[i] += times * x.v[i / 3] * y.v[i % 3];
}

struct Quaternion {
    float w, x, y, z;
};
DEVICE Quaternion quaternion_at(const float* p) { return Quaternion{p[0], p[1], p[2], p[3]}; }
DEVICE float length_of(const Quaternion& q) { return square_root(q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z); }
DEVICE Quaternion scaled(const Quaternion& q, float by) { return Quaternion{q.w * by, q.x * by, q.y * by, q.z * by}; }
/// q + q·(0, b, c, d).
DEVICE Quaternion moved(const Quaternion& q, const Shift& u) {
    const float b = u.v[0], c = u.v[1], d = u.v[2];
    return Quaternion{q.w - (q.x * b + q.y * c + q.z * d), q.x + (q.w * b + q.y * d - q.z * c), q.y + (q.w * c + q.z * b - q.x * d),
                      q.z + (q.w * d + q.x * c - q.y * b)};
}
/// The matrix of a unit quaternion.
DEVICE Turn matrix_of(const Quaternion& q) {
    const float ww = q.w * q.w, xx = q.x * q.x, yy = q.y * q.y, zz = q.z * q.z;
    const float xy = 2.0f * q.x * q.y, xz = 2.0f * q.x * q.z, yz = 2.0f * q.y * q.z, wx = 2.0f * q.w * q.x, wy = 2.0f * q.w * q.y, wz = 2.0f * q.w * q.z;
    return Turn{{ww + xx - yy - zz, xy - wz, xz + wy, xy + wz, ww - xx + yy - zz, yz - wx, xz - wy, yz + wx, ww - xx - yy + zz}};
}
/// The gradient of a quaternion from that of its matrix.
DEVICE Quaternion matrix_backward(const Quaternion& q, const Turn& d) {
    const float* g = d.v;
    const float x = g[7] - g[5], y = g[2] - g[6], z = g[3] - g[1], xy = g[1] + g[3], xz = g[2] + g[6], yz = g[5] + g[7];
    return Quaternion{2.0f * (q.w * (g[0] + g[4] + g[8]) + q.z * z + q.y * y + q.x * x), 2.0f * (q.x * (g[0] - g[4] - g[8]) + q.y * xy + q.z * xz + q.w * x),
                      2.0f * (q.y * (g[4] - g[0] - g[8]) + q.x * xy + q.w * y + q.z * yz), 2.0f * (q.z * (g[8] - g[0] - g[4]) + q.w * z + q.x * xz + q.y * yz)};
}

KERNEL __launch_bounds__(64) frame_update(const __grid_constant__ FrameUpdate t) {
    const i64 i = block_index() * block_threads() + thread_index(), r = t.r, translations = frame_translations(r);
    if (i < translations - 13 * r) put_value(t.out, t.residual, 13 * r + i, 0.0f);
    if (i >= r) return;
    Quaternion q = moved(quaternion_at(t.frames + 4 * i), shift_at(t.update + 6 * i));
    q = scaled(q, 1.0f / length_of(q));
    put_value(t.out, t.residual, 4 * i, q.w);
    put_value(t.out, t.residual, 4 * i + 1, q.x);
    put_value(t.out, t.residual, 4 * i + 2, q.y);
    put_value(t.out, t.residual, 4 * i + 3, q.z);
    const Turn matrix = matrix_of(q);
    const Shift step = turned(turn_at(t.frames + 4 * r + 9 * i), shift_at(t.update + 6 * i + 3));
#pragma unroll
    for (int k = 0; k < 9; k++) put_value(t.out, t.residual, 4 * r + 9 * i + k, matrix.v[k]);
#pragma unroll
    for (int k = 0; k < 3; k++) put_value(t.out, t.residual, translations + 3 * i + k, t.frames[translations + 3 * i + k] + step.v[k]);
}

KERNEL __launch_bounds__(64) frame_update_backward(const __grid_constant__ FrameUpdate t) {
    const i64 i = block_index() * block_threads() + thread_index(), r = t.r, translations = frame_translations(r);
    if (t.d_frames && i < translations - 13 * r) t.d_frames[13 * r + i] = 0.0f;
    if (i >= r) return;
    const Quaternion before = quaternion_at(t.frames + 4 * i);
    const Shift turn = shift_at(t.update + 6 * i), step = shift_at(t.update + 6 * i + 3), of_shift = shift_at(t.grad + translations + 3 * i);
    const Turn rotation = turn_at(t.frames + 4 * r + 9 * i);
    Quaternion q = moved(before, turn);
    const float inverse = 1.0f / length_of(q);
    q = scaled(q, inverse);
    // Back through the new matrix and the normalisation.
    Quaternion d = matrix_backward(q, turn_at(t.grad + 4 * r + 9 * i));
    const Quaternion own = quaternion_at(t.grad + 4 * i);
    d = Quaternion{d.w + own.w, d.x + own.x, d.y + own.y, d.z + own.z};
    const float along = d.w * q.w + d.x * q.x + d.y * q.y + d.z * q.z;
    d = scaled(Quaternion{d.w - q.w * along, d.x - q.x * along, d.y - q.y * along, d.z - q.z * along}, inverse);
    if (t.d_update) {
        float* to = t.d_update + 6 * i;
        const Quaternion& p = before;
        to[0] = p.w * d.x + p.z * d.y - p.y * d.z - p.x * d.w;
        to[1] = p.w * d.y + p.x * d.z - p.y * d.w - p.z * d.x;
        to[2] = p.w * d.z + p.y * d.x - p.z * d.w - p.x * d.y;
        const Shift of_step = turned_back(rotation, of_shift);
#pragma unroll
        for (int k = 0; k < 3; k++) to[3 + k] = of_step.v[k];
    }
    if (!t.d_frames) return;
    const float b = turn.v[0], c = turn.v[1], e = turn.v[2], kept = t.still ? 0.0f : 1.0f;
    float* to = t.d_frames + 4 * i;
    to[0] = kept * (d.w + b * d.x + c * d.y + e * d.z);
    to[1] = kept * (d.x - b * d.w - e * d.y + c * d.z);
    to[2] = kept * (d.y - c * d.w + e * d.x - b * d.z);
    to[3] = kept * (d.z - e * d.w - c * d.x + b * d.y);
#pragma unroll
    for (int k = 0; k < 9; k++) t.d_frames[4 * r + 9 * i + k] = kept * of_shift.v[k / 3] * step.v[k % 3];
#pragma unroll
    for (int k = 0; k < 3; k++) t.d_frames[translations + 3 * i + k] = of_shift.v[k];
}

// Rows of the table.
constexpr int GROUP_ROW = 166, GROUP_SHIFTS = 72, ATOM_GROUPS = 96, ATOM_PLACES = 110, ATOM_MASK = 152, ATOMS = 14;
// The first group that is given in the frame of the one before: χ2's.
constexpr int CHAINED = 5;

/// Group g of a residue in the frame of the one before, turned by its torsion about x.
DEVICE Turn local_turn(const float* row, const float* angles, int g) {
    const Turn known = turn_at(row + 9 * g);
    if (g == 0) return known;
    const float sin = angles[2 * (g - 1)], cos = angles[2 * (g - 1) + 1];
    Turn a = known;
#pragma unroll
    for (int k = 0; k < 3; k++) {
        a.v[3 * k + 1] = known.v[3 * k + 1] * cos + known.v[3 * k + 2] * sin;
        a.v[3 * k + 2] = known.v[3 * k + 2] * cos - known.v[3 * k + 1] * sin;
    }
    return a;
}

/// Group g of a residue in the frame of its backbone.
DEVICE void group_frame(const float* row, const float* angles, int g, Turn& turn, Shift& shift) {
    const int first = g < CHAINED ? g : CHAINED - 1;
    turn = local_turn(row, angles, first);
    shift = shift_at(row + GROUP_SHIFTS + 3 * first);
    for (int k = CHAINED; k <= g; k++) {
        const Shift step = turned(turn, shift_at(row + GROUP_SHIFTS + 3 * k));
        add_to(shift, step, 1.0f);
        turn = product(turn, local_turn(row, angles, k));
    }
}

KERNEL __launch_bounds__(64) rigid_groups(const __grid_constant__ RigidGroups t) {
    const i64 thread = block_index() * block_threads() + thread_index(), i = thread / 8, r = t.r;
    const int g = int(thread % 8);
    if (i >= r) return;
    const float *row = t.table + GROUP_ROW * i, *angles = t.angles + 14 * i;
    Turn turn;
    Shift shift;
    group_frame(row, angles, g, turn, shift);
    const Turn backbone = turn_at(t.frames + 4 * r + 9 * i);
    turn = product(backbone, turn);
    shift = turned(backbone, shift);
    add_to(shift, shift_at(t.frames + frame_translations(r) + 3 * i), t.scale);
#pragma unroll
    for (int k = 0; k < 9; k++) put_value(t.out, t.residual, 9 * thread + k, turn.v[k]);
#pragma unroll
    for (int k = 0; k < 3; k++) put_value(t.out, t.residual, 72 * r + 3 * thread + k, shift.v[k]);
    for (int a = 0; a < ATOMS; a++) {
        if (int(row[ATOM_GROUPS + a]) != g) continue;
        Shift place = turned(turn, shift_at(row + ATOM_PLACES + 3 * a));
        add_to(place, shift, 1.0f);
#pragma unroll
        for (int k = 0; k < 3; k++) put_value(t.out, t.residual, 96 * r + 42 * i + 3 * a + k, place.v[k] * row[ATOM_MASK + a]);
    }
}

/// The sum over a residue's eight threads.
DEVICE float group_sum(float x) {
#pragma unroll
    for (int mask = 4; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}

KERNEL __launch_bounds__(64) rigid_groups_backward(const __grid_constant__ RigidGroups t) {
    const i64 thread = block_index() * block_threads() + thread_index(), r = t.r;
    const int g = int(thread % 8);
    // Threads behind the last residue go along, for the shuffles, and write nothing.
    const bool there = thread / 8 < r;
    const i64 i = there ? thread / 8 : r - 1, at = 8 * i + g;
    const float *row = t.table + GROUP_ROW * i, *angles = t.angles + 14 * i;
    Turn d_turn = turn_at(t.grad + 9 * at);
    Shift d_shift = shift_at(t.grad + 72 * r + 3 * at);
    for (int a = 0; a < ATOMS; a++) {
        if (int(row[ATOM_GROUPS + a]) != g) continue;
        const Shift d = shift_at(t.grad + 96 * r + 42 * i + 3 * a);
        add_outer(d_turn, d, shift_at(row + ATOM_PLACES + 3 * a), row[ATOM_MASK + a]);
        add_to(d_shift, d, row[ATOM_MASK + a]);
    }
    // What reaches the backbone.
    if (t.d_frames) {
        Turn turn;
        Shift shift;
        group_frame(row, angles, g, turn, shift);
        Turn d_backbone = product_nt(d_turn, turn);
        add_outer(d_backbone, d_shift, shift, 1.0f);
        const i64 translations = frame_translations(r);
#pragma unroll
        for (int k = 0; k < 9; k++) {
            const float sum = group_sum(d_backbone.v[k]);
            if (there && g == 0) t.d_frames[4 * r + 9 * i + k] = sum;
        }
#pragma unroll
        for (int k = 0; k < 3; k++) {
            const float sum = group_sum(d_shift.v[k]);
            if (there && g == 0) t.d_frames[translations + 3 * i + k] = t.scale * sum;
        }
        if (there && g < 4) t.d_frames[4 * i + g] = 0.0f;
        if (thread < translations - 13 * r) t.d_frames[13 * r + thread] = 0.0f;
    }
    if (!t.d_angles) return;
    const Turn backbone = turn_at(t.frames + 4 * r + 9 * i);
    d_turn = product_tn(backbone, d_turn);
    d_shift = turned_back(backbone, d_shift);
    // Up the chain from this thread's group: what it gives to each torsion there. Those of other groups of a chain add to the same.
    for (int k = 7; k >= 1; k--) {
        float sin = 0.0f, cos = 0.0f;
        const bool on_the_way = k == g || (g >= CHAINED && k < g && k >= CHAINED - 1);
        if (on_the_way) {
            Turn d_local = d_turn;
            if (k >= CHAINED) {
                Turn before;
                Shift ignored;
                group_frame(row, angles, k - 1, before, ignored);
                d_local = product_tn(before, d_turn);
                d_turn = product_nt(d_turn, local_turn(row, angles, k));
                add_outer(d_turn, d_shift, shift_at(row + GROUP_SHIFTS + 3 * k), 1.0f);
            }
            const Turn known = turn_at(row + 9 * k);
#pragma unroll
            for (int a = 0; a < 3; a++) {
                const float y = d_local.v[3 * a + 1], z = d_local.v[3 * a + 2];
                sin += y * known.v[3 * a + 2] - z * known.v[3 * a + 1];
                cos += y * known.v[3 * a + 1] + z * known.v[3 * a + 2];
            }
        }
        sin = group_sum(sin);
        cos = group_sum(cos);
        if (there && g == 0) {
            t.d_angles[14 * i + 2 * (k - 1)] = sin;
            t.d_angles[14 * i + 2 * (k - 1) + 1] = cos;
        }
    }
}

constexpr float LEAST_SQUARE = 1e-12f;

KERNEL __launch_bounds__(64) unit_pairs(const __grid_constant__ UnitPairs t) {
    const i64 i = block_index() * block_threads() + thread_index();
    if (i >= t.pairs) return;
    const float a = t.x[2 * i], b = t.x[2 * i + 1], length = square_root(max_of(a * a + b * b, LEAST_SQUARE));
    put_value(t.out, t.residual, 2 * i, a / length);
    put_value(t.out, t.residual, 2 * i + 1, b / length);
}

KERNEL __launch_bounds__(64) unit_pairs_backward(const __grid_constant__ UnitPairs t) {
    const i64 i = block_index() * block_threads() + thread_index();
    if (i >= t.pairs) return;
    const float a = t.x[2 * i], b = t.x[2 * i + 1], da = t.grad[2 * i], db = t.grad[2 * i + 1], square = a * a + b * b;
    const float length = square_root(max_of(square, LEAST_SQUARE));
    // A pair of the least length is only scaled.
    const float along = square > LEAST_SQUARE ? (a * da + b * db) / square : 0.0f;
    t.out[2 * i] = (da - a * along) / length;
    t.out[2 * i + 1] = (db - b * along) / length;
}
