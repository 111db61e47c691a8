//! Backbone frames as tensors, and all atoms from backbone and torsions. AF2 Suppl. Alg. 23, 24.

use crate::convert::from_vec;
use candle_core::{Device, Result, Tensor};
use chem::{atoms, rigid};
use nn::ops::{self, FrameSections, GROUP_TABLE, GroupSections};
use std::ops::Range;

/// One rigid motion a residue.
#[derive(Clone)]
pub struct Frames {
    /// Quaternions, rotations and translations in one tensor, as `nn` has them.
    packed: Tensor,
    sections: FrameSections,
    r: usize,
    /// Whether no gradient goes through the rotations.
    still: bool,
}

impl Frames {
    /// All at the origin, unturned ("black hole").
    pub fn identity(r: usize, device: &Device) -> Result<Self> {
        Self::new(&[1.0, 0.0, 0.0, 0.0].repeat(r), &vec![0.0; 3 * r], device)
    }

    /// From unit quaternions, real part first, and translations of r residues.
    pub fn new(quaternions: &[f32], translations: &[f32], device: &Device) -> Result<Self> {
        let r = translations.len() / 3;
        let packed = ops::pack_frames(quaternions, translations, device)?;
        Ok(Self { packed, sections: FrameSections::new(r), r, still: false })
    }

    /// Composed with an update `[r, 6]`: quaternion (1, b, c, d) and translation, both in the local frame.
    pub fn update(&self, update: &Tensor) -> Result<Self> {
        let packed = ops::frame_update(update, &self.packed, self.still).tensor()?;
        Ok(Self { packed, still: false, ..*self })
    }

    /// Without gradient through the rotation, as between layers of the structure module.
    pub fn stop_rotation(&self) -> Self {
        Self { still: true, ..self.clone() }
    }

    /// Unit quaternions `[r, 4]`, real part first.
    fn quaternion(&self) -> Result<Tensor> {
        self.turning(section(&self.packed, self.sections.quaternion(), &[self.r, 4])?)
    }

    /// Rotation matrices `[r, 3, 3]`.
    pub fn rotation(&self) -> Result<Tensor> {
        self.turning(section(&self.packed, self.sections.rotation(), &[self.r, 3, 3])?)
    }

    /// Translations `[r, 3]`.
    pub fn translation(&self) -> Result<Tensor> {
        section(&self.packed, self.sections.translation(), &[self.r, 3])
    }

    fn turning(&self, t: Tensor) -> Result<Tensor> {
        Ok(if self.still { t.detach() } else { t })
    }

    /// Quaternion and translation × `scale`, `[r, 7]`.
    pub fn to_tensor(&self, scale: f64) -> Result<Tensor> {
        Tensor::cat(&[self.quaternion()?, (self.translation()? * scale)?], 1)
    }
}

/// A contiguous part of a flat tensor, as a tensor of this shape.
fn section(t: &Tensor, range: Range<usize>, shape: &[usize]) -> Result<Tensor> {
    t.narrow(0, range.start, range.len())?.reshape(shape)
}

/// Literature geometry of each residue's type: rigid groups and the atoms in them, a row a residue as `nn` has it.
pub struct Literature(Tensor);

impl Literature {
    /// Of these residue types, on `device`.
    pub fn new(aatype: &[u8], device: &Device) -> Result<Self> {
        let mut table = Vec::with_capacity(aatype.len() * GROUP_TABLE);
        for kind in aatype.iter().map(|&a| usize::from(a).min(20)) {
            let frames = &rigid::RIGID_GROUP_DEFAULT_FRAME[kind];
            table.extend(frames.iter().flat_map(|frame| frame[..3].iter().flat_map(|row| row[..3].to_vec())));
            table.extend(frames.iter().flat_map(|frame| frame[..3].iter().map(|row| row[3])));
            table.extend(rigid::ATOM14_TO_GROUP[kind].iter().map(|&group| group as f32));
            table.extend(rigid::ATOM14_GROUP_POSITIONS[kind].as_flattened());
            table.extend(atoms::ATOM14_MASK[kind]);
        }
        Ok(Self(from_vec(table, &[aatype.len(), GROUP_TABLE], device)?))
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
    let all = ops::rigid_groups(angles, &backbone.packed, &known.0, scale).tensor()?;
    let (r, sections) = (backbone.r, GroupSections::new(backbone.r));
    Ok(AllAtoms {
        rotation: section(&all, sections.rotation(), &[r, 8, 3, 3])?,
        translation: section(&all, sections.translation(), &[r, 8, 3])?,
        atom14: section(&all, sections.atoms(), &[r, 14, 3])?,
    })
}
