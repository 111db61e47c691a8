//! The same in candle's differentiable operations, of any number type.

use super::{FrameSections, GroupSections};
use candle_core::{D, DType, Result, Tensor};
use std::ops::Range;

fn section(t: &Tensor, range: Range<usize>, shape: &[usize]) -> Result<Tensor> {
    t.narrow(0, range.start, range.len())?.reshape(shape)
}

/// See [`super::frame_update`].
pub fn frame_update(update: &Tensor, frames: &Tensor, still: bool) -> Result<Tensor> {
    let r = update.dim(0)?;
    let sections = FrameSections::new(r);
    let kept = |t: Tensor| if still { t.detach() } else { t };
    let quaternion = kept(section(frames, sections.quaternion(), &[r, 4])?);
    let rotations = kept(section(frames, sections.rotation(), &[r, 3, 3])?);
    let translation = section(frames, sections.translation(), &[r, 3])?;
    let part = |i: usize| update.narrow(1, i, 1);
    let q = |i: usize| quaternion.narrow(1, i, 1);
    let (b, c, d) = (part(0)?, part(1)?, part(2)?);
    let (w, x, y, z) = (q(0)?, q(1)?, q(2)?, q(3)?);
    // (w, x, y, z)·(0, b, c, d)
    let turn = Tensor::cat(
        &[
            ((&x * &b)? + (&y * &c)?)?.add(&(&z * &d)?)?.neg()?,
            ((&w * &b)? + (&y * &d)?)?.sub(&(&z * &c)?)?,
            ((&w * &c)? + (&z * &b)?)?.sub(&(&x * &d)?)?,
            ((&w * &d)? + (&x * &c)?)?.sub(&(&y * &b)?)?,
        ],
        1,
    )?;
    let turned = (&quaternion + turn)?;
    let quaternion = turned.broadcast_div(&turned.sqr()?.sum_keepdim(1)?.sqrt()?)?;
    let translation = (translation + turn_points(&rotations, &update.narrow(1, 3, 3)?)?)?;
    let gap = sections.translation().start - sections.rotation().end;
    let gap = Tensor::zeros(gap, update.dtype(), update.device())?;
    let rotation = rotation(&quaternion)?.flatten_all()?;
    Tensor::cat(&[quaternion.flatten_all()?, rotation, gap, translation.flatten_all()?], 0)
}

/// Rotation matrices `[r, 3, 3]` of unit quaternions `[r, 4]`.
fn rotation(q: &Tensor) -> Result<Tensor> {
    let r = q.dim(0)?;
    let part = |i: usize| q.narrow(1, i, 1);
    let (w, x, y, z) = (part(0)?, part(1)?, part(2)?, part(3)?);
    let (ww, xx, yy, zz) = (w.sqr()?, x.sqr()?, y.sqr()?, z.sqr()?);
    let twice = |a: &Tensor, b: &Tensor| -> Result<Tensor> { (a * b)? * 2.0 };
    let (xy, xz, yz) = (twice(&x, &y)?, twice(&x, &z)?, twice(&y, &z)?);
    let (wx, wy, wz) = (twice(&w, &x)?, twice(&w, &y)?, twice(&w, &z)?);
    let entries = [
        (((&ww + &xx)? - &yy)? - &zz)?,
        (&xy - &wz)?,
        (&xz + &wy)?,
        (&xy + &wz)?,
        (((&ww - &xx)? + &yy)? - &zz)?,
        (&yz - &wx)?,
        (&xz - &wy)?,
        (&yz + &wx)?,
        (((&ww - &xx)? - &yy)? + &zz)?,
    ];
    Tensor::cat(&entries, 1)?.reshape((r, 3, 3))
}

/// Each rotation `[n, 3, 3]` times its vector `[n, 3]`.
fn turn_points(rotation: &Tensor, v: &Tensor) -> Result<Tensor> {
    rotation.broadcast_mul(&v.unsqueeze(1)?)?.sum(D::Minus1)
}

/// `[n, 3, 3]` products, row by row sums of three.
fn turn_frames(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let column = |k: usize| -> Result<Tensor> { a.narrow(2, k, 1)?.broadcast_mul(&b.narrow(1, k, 1)?) };
    (column(0)? + column(1)?)? + column(2)?
}

/// See [`super::rigid_groups`].
pub fn rigid_groups(angles: &Tensor, frames: &Tensor, table: &Tensor, scale: f64) -> Result<Tensor> {
    let r = angles.dim(0)?;
    let sections = FrameSections::new(r);
    let backbone = section(frames, sections.rotation(), &[r, 3, 3])?;
    let origin = (section(frames, sections.translation(), &[r, 3])? * scale)?;
    let known = |range: Range<usize>, shape: &[usize]| {
        table.narrow(1, range.start, range.len())?.contiguous()?.reshape(shape)
    };
    // Turns about x; the backbone group is not turned.
    let still =
        Tensor::new(&[[[0.0f32, 1.0]]], angles.device())?.to_dtype(angles.dtype())?.repeat((r, 1, 1))?;
    let angles = Tensor::cat(&[&still, angles], 1)?.reshape((r * 8, 2))?;
    let (sin, cos) = (angles.narrow(1, 0, 1)?, angles.narrow(1, 1, 1)?);
    let (zero, one) = (sin.zeros_like()?, sin.ones_like()?);
    let turns = Tensor::cat(&[&one, &zero, &zero, &zero, &cos, &sin.neg()?, &zero, &sin, &cos], 1)?
        .reshape((r * 8, 3, 3))?;
    let local =
        turn_frames(&known(GroupSections::ROTATION, &[r * 8, 3, 3])?, &turns)?.reshape((r, 8, 3, 3))?;
    let shifts = known(GroupSections::TRANSLATION, &[r, 8, 3])?;

    // χ2–χ4 are given in the frame of the group before: chain them up.
    let mut rotations = Vec::with_capacity(8);
    let mut translations = Vec::with_capacity(8);
    for i in 0..8 {
        let (mut turn, mut shift) = (local.narrow(1, i, 1)?.squeeze(1)?, shifts.narrow(1, i, 1)?.squeeze(1)?);
        if i >= 5 {
            let (before, origin): (&Tensor, &Tensor) = (&rotations[i - 1], &translations[i - 1]);
            shift = (turn_points(before, &shift)? + origin)?;
            turn = turn_frames(before, &turn)?;
        }
        rotations.push(turn);
        translations.push(shift);
    }
    for i in 0..8 {
        translations[i] = (turn_points(&backbone, &translations[i])? + &origin)?;
        rotations[i] = turn_frames(&backbone, &rotations[i])?;
    }
    let rotation = Tensor::stack(&rotations, 1)?; // [r, 8, 3, 3]
    let translation = Tensor::stack(&translations, 1)?;

    // Each atom in the frame of its group.
    let first = Tensor::arange(0u32, r as u32, table.device())?.affine(8.0, 0.0)?.unsqueeze(1)?;
    let group =
        known(GroupSections::GROUP, &[r, 14])?.to_dtype(DType::U32)?.broadcast_add(&first)?.flatten_all()?;
    let turn = rotation.reshape((r * 8, 9))?.index_select(&group, 0)?.reshape((r * 14, 3, 3))?;
    let shift = translation.reshape((r * 8, 3))?.index_select(&group, 0)?;
    let atoms = (turn_points(&turn, &known(GroupSections::POSITION, &[r * 14, 3])?)? + shift)?;
    let atoms = atoms.broadcast_mul(&known(GroupSections::MASK, &[r * 14, 1])?)?;
    Tensor::cat(&[rotation.flatten_all()?, translation.flatten_all()?, atoms.flatten_all()?], 0)
}
