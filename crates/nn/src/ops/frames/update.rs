//! Frames composed with an update. AF2 Suppl. Alg. 23.

use super::math::{add, add_outer, at, rotation, rotation_backward, turn, turn_back};
use super::{FrameSections, reference};
use crate::cpu::for_blocks;
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Device, Result, Shape, Tensor};

/// Frames composed with updates in the local frame: quaternion (1, b, c, d), not normalised, and translation.
/// - `update` `[r, 6]`: b, c, d, translation; `frames` packed, see [`FrameSections`]
/// - `still`: no gradient goes to the quaternions and rotations of `frames`, as between layers of the structure module
///
/// Returns packed frames; their quaternions have unit length again.
pub fn frame_update(update: &Tensor, frames: &Tensor, still: bool) -> Update {
    Update::new(FrameUpdate { still }, &[update, frames])
}

/// Frames of unit quaternions (r of 4 values) and translations (r of 3), packed.
///
/// # Errors  If memory for them cannot be had.
pub fn pack_frames(quaternions: &[f32], translations: &[f32], device: &Device) -> Result<Tensor> {
    let sections = FrameSections::new(translations.len() / 3);
    let mut packed = vec![0.0; sections.len()];
    packed[sections.quaternion()].copy_from_slice(quaternions);
    let rotations = quaternions.chunks_exact(4).flat_map(|q| rotation(&at(q, 0)));
    packed[sections.rotation()].iter_mut().zip(rotations).for_each(|(to, v)| *to = v);
    packed[sections.translation()].copy_from_slice(translations);
    Tensor::from_vec(packed, sections.len(), device)
}

pub(super) struct FrameUpdate {
    pub still: bool,
}

/// Residues of one block.
const RESIDUES: usize = 256;

/// A residue's part of packed frames.
struct Frame {
    quaternion: [f32; 4],
    rotation: [f32; 9],
    translation: [f32; 3],
}

impl Frame {
    fn of(packed: &[f32], sections: FrameSections, i: usize) -> Self {
        Self {
            quaternion: at(packed, sections.quaternion().start + 4 * i),
            rotation: at(packed, sections.rotation().start + 9 * i),
            translation: at(packed, sections.translation().start + 3 * i),
        }
    }
}

/// q + q·(0, b, c, d), not normalised.
fn turned(q: &[f32; 4], update: &[f32]) -> [f32; 4] {
    let ([w, x, y, z], [b, c, d]) = (*q, at(update, 0));
    [
        w - (x * b + y * c + z * d),
        x + (w * b + y * d - z * c),
        y + (w * c + z * b - x * d),
        z + (w * d + x * c - y * b),
    ]
}

fn length(q: &[f32; 4]) -> f32 {
    q.iter().map(|v| v * v).sum::<f32>().sqrt()
}

impl Fused for FrameUpdate {
    fn name(&self) -> &'static str {
        "frame_update"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (r, six) = t[0].dims2()?;
        let len = FrameSections::new(r).len();
        if six != 6 || t[1].dims() != [len] {
            candle_core::bail!(
                "frame_update: expected [{r}, 6] and [{len}], got {:?} and {:?}",
                t[0].dims(),
                t[1].dims()
            );
        }
        Ok(len.into())
    }

    fn forward(&self, t: &[Tensor], update: Source<'_>, out: Place<'_>) -> Result<()> {
        let (r, frames) = (t[0].dim(0)?, super::super::value(&t[1])?);
        let sections = FrameSections::new(r);
        for_blocks(r, RESIDUES, |first, n| {
            for i in first..first + n {
                let before = Frame::of(&frames, sections, i);
                // SAFETY: nothing writes the update.
                let update = unsafe { update.range(6 * i, 6) };
                let turned = turned(&before.quaternion, update);
                let length = length(&turned);
                let quaternion = turned.map(|v| v / length);
                let mut translation = before.translation;
                add(&mut translation, &turn(&before.rotation, &at(update, 3)));
                // SAFETY: residues are disjoint.
                unsafe {
                    out.put(sections.quaternion().start + 4 * i, &quaternion);
                    out.put(sections.rotation().start + 9 * i, &rotation(&quaternion));
                    out.put(sections.translation().start + 3 * i, &translation);
                }
            }
        });
        let gap = sections.rotation().end..sections.translation().start;
        // SAFETY: no residue has these.
        unsafe { out.put(gap.start, &[0.0; 3][..gap.len()]) };
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::frame_update(job)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::frame_update_backward(job, self.still)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        reference::frame_update(&t[0], &t[1], self.still)
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let [updates, frames, grad] = [&t[0], &t[1], grad].map(super::super::value);
        let (updates, frames, grad) = (updates?, frames?, grad?);
        let r = t[0].dim(0)?;
        let sections = FrameSections::new(r);
        let (mut d_updates, mut d_frames) = (vec![0.0; 6 * r], vec![0.0; sections.len()]);
        for i in 0..r {
            let (before, grad) = (Frame::of(&frames, sections, i), Frame::of(&grad, sections, i));
            let update = &updates[6 * i..][..6];
            // Back through the matrix of the new quaternion, and its normalisation.
            let turned = turned(&before.quaternion, update);
            let length = length(&turned);
            let quaternion = turned.map(|v| v / length);
            let mut d = rotation_backward(&quaternion, &grad.rotation);
            d.iter_mut().zip(grad.quaternion).for_each(|(d, g)| *d += g);
            let along: f32 = d.iter().zip(quaternion).map(|(d, q)| d * q).sum();
            let [gw, gx, gy, gz]: [f32; 4] = std::array::from_fn(|k| (d[k] - quaternion[k] * along) / length);
            let ([w, x, y, z], [b, c, e]) = (before.quaternion, at(update, 0));
            let d_update = &mut d_updates[6 * i..][..6];
            d_update[0] = w * gx + z * gy - y * gz - x * gw;
            d_update[1] = w * gy + x * gz - y * gw - z * gx;
            d_update[2] = w * gz + y * gx - z * gw - x * gy;
            d_update[3..].copy_from_slice(&turn_back(&before.rotation, &grad.translation));
            d_frames[sections.translation()][3 * i..][..3].copy_from_slice(&grad.translation);
            if self.still {
                continue;
            }
            d_frames[4 * i..][..4].copy_from_slice(&[
                gw + b * gx + c * gy + e * gz,
                gx - b * gw - e * gy + c * gz,
                gy - c * gw + e * gx - b * gz,
                gz - e * gw - c * gx + b * gy,
            ]);
            let mut d_rotation = [0.0; 9];
            add_outer(&mut d_rotation, &grad.translation, &at(update, 3));
            d_frames[sections.rotation()][9 * i..][..9].copy_from_slice(&d_rotation);
        }
        let made = [(d_updates, &t[0]), (d_frames, &t[1])];
        let put = |((values, like), &wanted): ((Vec<f32>, &Tensor), &bool)| {
            wanted.then(|| Tensor::from_vec(values, like.shape(), &Device::Cpu)).transpose()
        };
        made.into_iter().zip(wanted).map(put).collect()
    }
}
