//! Rigid groups and atoms of residues from backbone frames and torsions. AF2 Suppl. Alg. 24.

use super::math::{Matrix, Vector, add, add_outer, add_product_nt, at, product, product_tn, turn, turn_back};
use super::{FrameSections, reference};
use crate::cpu::for_blocks;
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update, reference_backward};
use crate::place::{Place, Source};
use candle_core::{Device, Result, Shape, Tensor};
use std::ops::Range;

/// Values of a residue's literature geometry; [`GroupSections`] says where.
pub const GROUP_TABLE: usize = 166;

/// Where the parts of a residue's literature geometry lie in its row of the table, and those of the result of [`rigid_groups`].
#[derive(Clone, Copy, Debug)]
pub struct GroupSections {
    r: usize,
}

impl GroupSections {
    /// The 8 groups, each in the frame of the one before: rotations `[8, 3, 3]`.
    pub const ROTATION: Range<usize> = 0..72;
    /// Their origins `[8, 3]`.
    pub const TRANSLATION: Range<usize> = 72..96;
    /// The group of each of 14 atoms, 0 to 7.
    pub const GROUP: Range<usize> = 96..110;
    /// Atoms in their group `[14, 3]`.
    pub const POSITION: Range<usize> = 110..152;
    /// 1 for the atoms there are, else 0.
    pub const MASK: Range<usize> = 152..166;

    /// Of a result for r residues.
    pub fn new(r: usize) -> Self {
        Self { r }
    }

    /// Rotations of the groups to global `[r, 8, 3, 3]`.
    pub fn rotation(self) -> Range<usize> {
        0..72 * self.r
    }

    /// Their origins `[r, 8, 3]`.
    pub fn translation(self) -> Range<usize> {
        72 * self.r..96 * self.r
    }

    /// Atoms `[r, 14, 3]`.
    pub fn atoms(self) -> Range<usize> {
        96 * self.r..138 * self.r
    }
}

/// The 8 rigid groups and 14 atoms of each residue.
/// - `angles` `[r, 7, 2]` (sin, cos): ω, φ, ψ, χ1–χ4; `frames` of the backbone, packed, translations × `scale` in the table's unit
/// - `table` `[r, 166]`: literature geometry, no gradient
///
/// Returns `[138·r]`, see [`GroupSections`]; atoms there are not lie at the origin.
pub fn rigid_groups(angles: &Tensor, frames: &Tensor, table: &Tensor, scale: f64) -> Update {
    Update::new(RigidGroups { scale }, &[angles, frames, table])
}

pub(super) struct RigidGroups {
    pub scale: f64,
}

/// Residues of one block.
const RESIDUES: usize = 64;

/// A residue's groups in the frame of its backbone.
struct Groups {
    /// Each in the frame of the one before, turned by its torsion.
    local: [Matrix; 8],
    turn: [Matrix; 8],
    shift: [Vector; 8],
}

/// The first group that is given in the frame of the one before rather than of the backbone: χ2's.
const CHAINED: usize = 5;

impl Groups {
    fn of(row: &[f32], angles: &[f32]) -> Self {
        let mut groups = Self { local: [[0.0; 9]; 8], turn: [[0.0; 9]; 8], shift: [[0.0; 3]; 8] };
        for g in 0..8 {
            let known: Matrix = at(row, GroupSections::ROTATION.start + 9 * g);
            let [sin, cos] = if g == 0 { [0.0, 1.0] } else { at(angles, 2 * (g - 1)) };
            let turned = product(&known, &[1.0, 0.0, 0.0, 0.0, cos, -sin, 0.0, sin, cos]);
            let origin: Vector = at(row, GroupSections::TRANSLATION.start + 3 * g);
            groups.local[g] = turned;
            (groups.turn[g], groups.shift[g]) = (turned, origin);
            if g >= CHAINED {
                groups.shift[g] = turn(&groups.turn[g - 1], &origin);
                let before = groups.shift[g - 1];
                add(&mut groups.shift[g], &before);
                groups.turn[g] = product(&groups.turn[g - 1], &turned);
            }
        }
        groups
    }
}

/// A residue's atoms: group, place in it, whether it is there.
fn atoms(row: &[f32]) -> impl Iterator<Item = (usize, Vector, f32)> {
    (0..14).map(|k| {
        let group = row[GroupSections::GROUP.start + k] as usize;
        (group.min(7), at(row, GroupSections::POSITION.start + 3 * k), row[GroupSections::MASK.start + k])
    })
}

impl Fused for RigidGroups {
    fn name(&self) -> &'static str {
        "rigid_groups"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (r, seven, two) = t[0].dims3()?;
        let len = FrameSections::new(r).len();
        if (seven, two) != (7, 2) || t[1].dims() != [len] || t[2].dims() != [r, GROUP_TABLE] {
            let dims: Vec<_> = t.iter().map(Tensor::dims).collect();
            candle_core::bail!(
                "rigid_groups: expected [{r}, 7, 2], [{len}] and [{r}, {GROUP_TABLE}], got {dims:?}"
            );
        }
        Ok((138 * r).into())
    }

    fn forward(&self, t: &[Tensor], angles: Source<'_>, out: Place<'_>) -> Result<()> {
        let (r, [frames, table]) = (t[0].dim(0)?, super::super::values(&t[1..])?);
        let (sections, to) = (FrameSections::new(r), GroupSections::new(r));
        let scale = self.scale as f32;
        for_blocks(r, RESIDUES, |first, n| {
            for i in first..first + n {
                let row = &table[GROUP_TABLE * i..][..GROUP_TABLE];
                // SAFETY: nothing writes the angles.
                let groups = Groups::of(row, unsafe { angles.range(14 * i, 14) });
                let backbone: Matrix = at(&frames, sections.rotation().start + 9 * i);
                let origin = at::<3>(&frames, sections.translation().start + 3 * i).map(|v| v * scale);
                let (mut turns, mut shifts) = ([0.0; 72], [0.0; 24]);
                for g in 0..8 {
                    turns[9 * g..][..9].copy_from_slice(&product(&backbone, &groups.turn[g]));
                    let mut shift = turn(&backbone, &groups.shift[g]);
                    add(&mut shift, &origin);
                    shifts[3 * g..][..3].copy_from_slice(&shift);
                }
                let mut places = [0.0; 42];
                for (k, (g, x, mask)) in atoms(row).enumerate() {
                    let mut place = turn(&at(&turns, 9 * g), &x);
                    add(&mut place, &at(&shifts, 3 * g));
                    places[3 * k..][..3].copy_from_slice(&place.map(|v| v * mask));
                }
                // SAFETY: residues are disjoint.
                unsafe {
                    out.put(to.rotation().start + 72 * i, &turns);
                    out.put(to.translation().start + 24 * i, &shifts);
                    out.put(to.atoms().start + 42 * i, &places);
                }
            }
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::rigid_groups(job, self.scale as f32)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::rigid_groups_backward(job, self.scale as f32)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        reference::rigid_groups(&t[0], &t[1], &t[2], self.scale)
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if wanted[2] {
            return reference_backward(self, t, grad, wanted);
        }
        let (r, [angles, frames, table]) = (t[0].dim(0)?, super::super::values(t)?);
        let grad = super::super::value(grad)?;
        let (sections, from, scale) = (FrameSections::new(r), GroupSections::new(r), self.scale as f32);
        let (mut d_angles, mut d_frames) = (vec![0.0; 14 * r], vec![0.0; sections.len()]);
        for i in 0..r {
            let row = &table[GROUP_TABLE * i..][..GROUP_TABLE];
            let groups = Groups::of(row, &angles[14 * i..][..14]);
            let backbone: Matrix = at(&frames, sections.rotation().start + 9 * i);
            let mut d_turn: [Matrix; 8] =
                std::array::from_fn(|g| at(&grad, from.rotation().start + 72 * i + 9 * g));
            let mut d_shift: [Vector; 8] =
                std::array::from_fn(|g| at(&grad, from.translation().start + 24 * i + 3 * g));
            for (k, (g, x, mask)) in atoms(row).enumerate() {
                let d = at::<3>(&grad, from.atoms().start + 42 * i + 3 * k).map(|v| v * mask);
                add_outer(&mut d_turn[g], &d, &x);
                add(&mut d_shift[g], &d);
            }
            // Back to the backbone's frame, and what reaches that.
            let (mut d_backbone, mut d_origin) = ([0.0; 9], [0.0; 3]);
            for g in 0..8 {
                add_product_nt(&mut d_backbone, &d_turn[g], &groups.turn[g]);
                add_outer(&mut d_backbone, &d_shift[g], &groups.shift[g]);
                add(&mut d_origin, &d_shift[g]);
                d_turn[g] = product_tn(&backbone, &d_turn[g]);
                d_shift[g] = turn_back(&backbone, &d_shift[g]);
            }
            // Down the chain, then from each turned frame to its torsion.
            for g in (1..8).rev() {
                if g >= CHAINED {
                    let origin = at(row, GroupSections::TRANSLATION.start + 3 * g);
                    let (d, d_origin) = (d_turn[g], d_shift[g]);
                    add_product_nt(&mut d_turn[g - 1], &d, &groups.local[g]);
                    add_outer(&mut d_turn[g - 1], &d_origin, &origin);
                    add(&mut d_shift[g - 1], &d_origin);
                    d_turn[g] = product_tn(&groups.turn[g - 1], &d);
                }
                let known: Matrix = at(row, GroupSections::ROTATION.start + 9 * g);
                let column = |a: usize, b: usize| -> f32 {
                    (0..3).map(|k| d_turn[g][3 * k + a] * known[3 * k + b]).sum()
                };
                d_angles[14 * i + 2 * (g - 1)] = column(1, 2) - column(2, 1);
                d_angles[14 * i + 2 * (g - 1) + 1] = column(1, 1) + column(2, 2);
            }
            d_frames[sections.rotation()][9 * i..][..9].copy_from_slice(&d_backbone);
            d_frames[sections.translation()][3 * i..][..3].copy_from_slice(&d_origin.map(|v| v * scale));
        }
        let put = |values: Vec<f32>, i: usize| {
            wanted[i].then(|| Tensor::from_vec(values, t[i].shape(), &Device::Cpu)).transpose()
        };
        Ok(vec![put(d_angles, 0)?, put(d_frames, 1)?, None])
    }
}
