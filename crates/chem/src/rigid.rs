//! Rigid groups: which group each atom turns with, where it sits there, and how groups chain together.
//! Suppl. 1.8.4 and Table 2; arithmetic as `_make_rigid_group_constants` in AlphaFold's
//! `residue_constants.py` (f64, rounded to f32 at the end) and the base atoms of `all_atom.atom37_to_frames`.

pub use crate::rigid_positions::GROUP_ATOMS;

use crate::atoms::{atom_order, atom14_order};
use crate::chi::{CHI_ATOM37, CHI_ATOMS};
use std::sync::LazyLock;

/// Group of each atom14 slot, 0..=7; 0 where the slot is empty.
pub static ATOM14_TO_GROUP: LazyLock<[[usize; 14]; 21]> = LazyLock::new(|| {
    let mut table = [[0; 14]; 21];
    for_each_atom(|a, name, group, _| table[a][slot(a, name)] = group);
    table
});

/// Position of each atom14 slot in its group's frame, Å; zeros where the slot is empty.
pub static ATOM14_GROUP_POSITIONS: LazyLock<[[[f32; 3]; 14]; 21]> = LazyLock::new(|| {
    let mut table = [[[0.0; 3]; 14]; 21];
    for_each_atom(|a, name, _, at| table[a][slot(a, name)] = at.map(|x| x as f32));
    table
});

/// Group of each atom37 atom, 0..=7; 0 where the residue lacks the atom.
pub static ATOM37_TO_GROUP: LazyLock<[[usize; 37]; 21]> = LazyLock::new(|| {
    let mut table = [[0; 37]; 21];
    for_each_atom(|a, name, group, _| table[a][place(name)] = group);
    table
});

/// Position of each atom37 atom in its group's frame, Å; zeros where the residue lacks the atom.
pub static ATOM37_GROUP_POSITIONS: LazyLock<[[[f32; 3]; 37]; 21]> = LazyLock::new(|| {
    let mut table = [[[0.0; 3]; 37]; 21];
    for_each_atom(|a, name, _, at| table[a][place(name)] = at.map(|x| x as f32));
    table
});

/// Frame of each group at torsion zero as a 4×4 matrix (row-major, last column in Å), relative to the backbone
/// for groups 0–4 and to the previous χ group for 5–7; all zeros where the residue lacks the group.
pub static RIGID_GROUP_DEFAULT_FRAME: LazyLock<[[[[f32; 4]; 4]; 8]; 21]> = LazyLock::new(|| {
    let mut table = [[[[0.0; 4]; 4]; 8]; 21];
    for a in 0..20 {
        for (group, frame) in default_frames(a).into_iter().enumerate() {
            table[a][group] = frame.map(|row| row.map(|x| x as f32));
        }
    }
    table
});

/// 1 where a residue type has the group. As in AlphaFold, pre-ω and φ count as absent (they hold no heavy
/// atoms), and the unknown residue has backbone and ψ.
pub const RIGID_GROUP_MASK: [[f32; 8]; 21] = {
    let mut mask = [[0.0; 8]; 21];
    let mut a = 0;
    while a < 21 {
        mask[a][0] = 1.0;
        mask[a][3] = 1.0;
        if a < 20 {
            let mut k = 0;
            while k < CHI_ATOMS[a].len() {
                mask[a][4 + k] = 1.0;
                k += 1;
            }
        }
        a += 1;
    }
    mask
};

/// atom37 places of the three atoms that define each group's frame: a point on the negative x axis, the
/// origin, a point in the xy plane. Backbone: C, Cα, N (x and z are then mirrored); ψ: Cα, C, O; χ: the last
/// three of its four atoms. Zeros where the group is absent.
pub const RIGID_GROUP_BASE_ATOM37: [[[usize; 3]; 8]; 21] = {
    let mut table = [[[0; 3]; 8]; 21];
    let mut a = 0;
    while a < 21 {
        table[a][0] = [2, 1, 0];
        table[a][3] = [1, 2, 4];
        if a < 20 {
            let mut k = 0;
            while k < CHI_ATOMS[a].len() {
                let [_, p, q, r] = CHI_ATOM37[a][k];
                table[a][4 + k] = [p, q, r];
                k += 1;
            }
        }
        a += 1;
    }
    table
};

fn for_each_atom(mut f: impl FnMut(usize, &str, usize, [f64; 3])) {
    for (a, atoms) in GROUP_ATOMS.iter().enumerate() {
        for (name, group, position) in *atoms {
            f(a, name, *group, *position);
        }
    }
}

fn place(name: &str) -> usize {
    atom_order(name).expect("every rigid-group atom is one of the 37")
}

fn slot(aatype: usize, name: &str) -> usize {
    atom14_order(aatype as u8, name).expect("every rigid-group atom has an atom14 slot")
}

type Frame = [[f64; 4]; 4];

/// The 8 default frames of a residue type < 20.
fn default_frames(a: usize) -> [Frame; 8] {
    let at = |name: &str| -> [f64; 3] {
        let found = GROUP_ATOMS[a].iter().find(|(n, _, _)| *n == name);
        found.expect("frames are defined by the residue's own atoms").2
    };
    let identity = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    let (n, ca, c) = (at("N"), at("CA"), at("C"));
    let mut frames = [[[0.0; 4]; 4]; 8];
    frames[0] = identity;
    frames[1] = identity;
    frames[2] = frame(sub(n, ca), [1.0, 0.0, 0.0], n);
    frames[3] = frame(sub(c, ca), sub(ca, n), c);
    for (k, names) in CHI_ATOMS[a].iter().enumerate() {
        let end = at(names[2]);
        frames[4 + k] = if k == 0 {
            frame(sub(end, at(names[1])), sub(at(names[0]), at(names[1])), end)
        } else {
            // The axis of χ2–χ4 starts at the origin of the group before it.
            frame(end, [-1.0, 0.0, 0.0], end)
        };
    }
    frames
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Gram–Schmidt: x along `ex`, y in the plane of `ex` and `ey`, columns x, y, z, `origin`.
fn frame(ex: [f64; 3], ey: [f64; 3], origin: [f64; 3]) -> Frame {
    let norm = dot(ex, ex).sqrt();
    let x = ex.map(|v| v / norm);
    let along = dot(ey, x);
    let y: [f64; 3] = std::array::from_fn(|i| ey[i] - along * x[i]);
    let norm = dot(y, y).sqrt();
    let y = y.map(|v| v / norm);
    let z = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    let row = |i: usize| [x[i], y[i], z[i], origin[i]];
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atoms::ATOM14_MASK;

    #[test]
    fn every_atom_is_placed_once() {
        for a in 0..20 {
            let atoms = ATOM14_MASK[a].iter().filter(|m| **m == 1.0).count();
            assert_eq!(GROUP_ATOMS[a].len(), atoms);
            let mut names: Vec<_> = GROUP_ATOMS[a].iter().map(|(n, _, _)| n).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), atoms);
        }
        assert_eq!(ATOM14_TO_GROUP[1][9..11], [7, 7]); // NH1, NH2 of arginine turn with χ4
        assert_eq!(ATOM37_TO_GROUP[1][29], 7);
        assert_eq!(ATOM14_GROUP_POSITIONS[14][6], [0.477, 1.424, 0.0]); // CD of proline
        assert_eq!(ATOM37_GROUP_POSITIONS[14][11], [0.477, 1.424, 0.0]);
    }

    #[test]
    fn frames_are_rotations_exactly_where_groups_are() {
        for a in 0..21 {
            for g in 0..8 {
                let m = &RIGID_GROUP_DEFAULT_FRAME[a][g];
                let present = a < 20 && (g < 3 || RIGID_GROUP_MASK[a][g] == 1.0);
                for i in 0..3 {
                    for j in 0..3 {
                        let d: f32 = (0..3).map(|k| m[i][k] * m[j][k]).sum();
                        let expected = if i == j && present { 1.0 } else { 0.0 };
                        assert!((d - expected).abs() < 1e-6, "residue {a} group {g}");
                    }
                }
                assert_eq!(m[3][3], if present { 1.0 } else { 0.0 });
            }
        }
    }

    #[test]
    fn torsion_atom_of_each_chi_group_lies_in_its_xy_plane() {
        for a in 0..20 {
            for (k, names) in CHI_ATOMS[a].iter().enumerate() {
                let atom = GROUP_ATOMS[a].iter().find(|(n, _, _)| *n == names[3]).unwrap();
                assert_eq!(atom.1, 4 + k);
                assert!(atom.2[1] > 0.0 && atom.2[2].abs() < 0.005);
            }
        }
    }
}
