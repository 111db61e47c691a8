//! Backbone frames as tensors, and all atoms from backbone and torsions. AF2 Suppl. Alg. 23, 24.

use crate::convert::from_vec;
use candle_core::{D, Device, Result, Tensor};
use chem::{atoms, rigid};

/// One rigid motion a residue: rotation `[r, 3, 3]`, translation `[r, 3]`.
#[derive(Clone)]
pub struct Frames {
    /// Unit quaternion `[r, 4]`, real part first.
    pub quaternion: Tensor,
    /// Rotation matrix.
    pub rotation: Tensor,
    /// Translation.
    pub translation: Tensor,
}

impl Frames {
    /// All at the origin, unturned ("black hole").
    pub fn identity(r: usize, device: &Device) -> Result<Self> {
        let quaternion = from_vec([1.0, 0.0, 0.0, 0.0].repeat(r), &[r, 4], device)?;
        Self::new(quaternion, from_vec(vec![0.0; r * 3], &[r, 3], device)?)
    }

    /// From unit quaternions `[r, 4]` and translations `[r, 3]`.
    pub fn new(quaternion: Tensor, translation: Tensor) -> Result<Self> {
        Ok(Self { rotation: rotation(&quaternion)?, quaternion, translation })
    }

    /// Composed with an update `[r, 6]`: quaternion (1, b, c, d) and translation, both in the local frame.
    pub fn update(&self, update: &Tensor) -> Result<Self> {
        let part = |i: usize| update.narrow(1, i, 1);
        let q = |i: usize| self.quaternion.narrow(1, i, 1);
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
        let quaternion = (&self.quaternion + turn)?;
        let norm = quaternion.sqr()?.sum_keepdim(1)?.sqrt()?;
        let quaternion = quaternion.broadcast_div(&norm)?;
        let shift = turn_points(&self.rotation, &update.narrow(1, 3, 3)?)?;
        Self::new(quaternion, (&self.translation + shift)?)
    }

    /// Without gradient through the rotation, as between layers of the structure module.
    pub fn stop_rotation(&self) -> Self {
        Self {
            quaternion: self.quaternion.detach(),
            rotation: self.rotation.detach(),
            translation: self.translation.clone(),
        }
    }

    /// Quaternion and translation × `scale`, `[r, 7]`.
    pub fn to_tensor(&self, scale: f64) -> Result<Tensor> {
        Tensor::cat(&[&self.quaternion, &(&self.translation * scale)?], 1)
    }
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

/// Literature geometry of each residue's type: rigid groups and the atoms in them.
pub struct Literature {
    /// Each group in the frame of the one before: rotations `[r·8, 3, 3]`.
    rotation: Tensor,
    /// Its origin `[r, 8, 3]`, Å.
    translation: Tensor,
    /// No turn, for the backbone group: sin and cos `[r, 1, 2]`.
    still: Tensor,
    /// The group of each atom `[r·14]`, counted over all residues.
    group: Tensor,
    /// Atoms in their group `[r·14, 3]`, Å.
    positions: Tensor,
    /// Which atoms there are `[r·14, 1]`.
    mask: Tensor,
}

impl Literature {
    /// Of these residue types, on `device`.
    pub fn new(aatype: &[u8], device: &Device) -> Result<Self> {
        let r = aatype.len();
        let kind = |a: &u8| usize::from(*a).min(20);
        let mut rotation = Vec::with_capacity(r * 72);
        let mut translation = Vec::with_capacity(r * 24);
        for frames in aatype.iter().map(|a| &rigid::RIGID_GROUP_DEFAULT_FRAME[kind(a)]) {
            for frame in frames {
                for row in &frame[..3] {
                    rotation.extend(&row[..3]);
                    translation.push(row[3]);
                }
            }
        }
        let (mut group, mut positions, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for (i, a) in aatype.iter().enumerate() {
            group.extend(rigid::ATOM14_TO_GROUP[kind(a)].iter().map(|&g| (i * 8 + g) as u32));
            positions.extend(rigid::ATOM14_GROUP_POSITIONS[kind(a)].as_flattened());
            mask.extend(atoms::ATOM14_MASK[kind(a)]);
        }
        Ok(Self {
            rotation: from_vec(rotation, &[r * 8, 3, 3], device)?,
            translation: from_vec(translation, &[r, 8, 3], device)?,
            still: from_vec([0.0, 1.0].repeat(r), &[r, 1, 2], device)?,
            group: Tensor::from_vec(group, r * 14, device)?,
            positions: from_vec(positions, &[r * 14, 3], device)?,
            mask: from_vec(mask, &[r * 14, 1], device)?,
        })
    }
}

/// What the torsions and literature geometry give.
pub struct AllAtoms {
    /// Rotations of the 8 rigid groups to global `[r, 8, 3, 3]`.
    pub rotation: Tensor,
    /// Their origins `[r, 8, 3]`, Å.
    pub translation: Tensor,
    /// Atoms `[r, 14, 3]`, Å; those a residue type lacks are at the origin.
    pub atom14: Tensor,
}

/// Rigid groups and atoms of each residue from its backbone frame and torsions. AF2 Suppl. Alg. 24.
/// - `backbone` translation in Å × `scale`; `angles` `[r, 7, 2]` (sin, cos): ω, φ, ψ, χ1–χ4
pub fn all_atoms(known: &Literature, backbone: &Frames, scale: f64, angles: &Tensor) -> Result<AllAtoms> {
    let r = angles.dim(0)?;
    // Turns about x; the backbone group is not turned.
    let angles = Tensor::cat(&[&known.still, angles], 1)?.reshape((r * 8, 2))?;
    let (sin, cos) = (angles.narrow(1, 0, 1)?, angles.narrow(1, 1, 1)?);
    let (zero, one) = (sin.zeros_like()?, sin.ones_like()?);
    let turns = Tensor::cat(&[&one, &zero, &zero, &zero, &cos, &sin.neg()?, &zero, &sin, &cos], 1)?
        .reshape((r * 8, 3, 3))?;
    let local = turn_frames(&known.rotation, &turns)?.reshape((r, 8, 3, 3))?;

    // χ2–χ4 are given in the frame of the group before: chain them up.
    let group = |i: usize| -> Result<(Tensor, Tensor)> {
        Ok((local.narrow(1, i, 1)?.squeeze(1)?, known.translation.narrow(1, i, 1)?.squeeze(1)?))
    };
    let mut rotations = Vec::with_capacity(8);
    let mut translations = Vec::with_capacity(8);
    for i in 0..8 {
        let (mut turn, mut shift) = group(i)?;
        if i >= 5 {
            let (before, origin): (&Tensor, &Tensor) = (&rotations[i - 1], &translations[i - 1]);
            shift = (turn_points(before, &shift)? + origin)?;
            turn = turn_frames(before, &turn)?;
        }
        rotations.push(turn);
        translations.push(shift);
    }
    let origin = (&backbone.translation * scale)?;
    for i in 0..8 {
        translations[i] = (turn_points(&backbone.rotation, &translations[i])? + &origin)?;
        rotations[i] = turn_frames(&backbone.rotation, &rotations[i])?;
    }
    let rotation = Tensor::stack(&rotations, 1)?; // [r, 8, 3, 3]
    let translation = Tensor::stack(&translations, 1)?;

    // Each atom in the frame of its group.
    let turn = rotation.reshape((r * 8, 9))?.index_select(&known.group, 0)?.reshape((r * 14, 3, 3))?;
    let shift = translation.reshape((r * 8, 3))?.index_select(&known.group, 0)?;
    let atoms = (turn_points(&turn, &known.positions)? + shift)?;
    let atoms = atoms.broadcast_mul(&known.mask)?;
    Ok(AllAtoms { rotation, translation, atom14: atoms.reshape((r, 14, 3))? })
}
