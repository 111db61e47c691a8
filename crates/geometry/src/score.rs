//! All scores of a model against a reference, chain by chain paired.

use crate::gdt::gdt;
use crate::lddt::{AtomPair, lddt};
use crate::pairing::{AlignedBy, pair};
use crate::superpose::superposed_rmsd;
use crate::tmalign::{Trace, tm_align};
use crate::{Error, tmscore};
use chem::atoms::CA;
use nalgebra::Vector3;

/// A residue to be scored.
#[derive(Debug, Clone)]
pub struct ScoredResidue {
    /// Number and insertion code.
    pub key: (i32, Option<char>),
    /// Type, 0–20.
    pub aatype: u8,
    /// [37][xyz], Å.
    pub positions: [[f32; 3]; 37],
    /// [37] which atoms are there.
    pub mask: [bool; 37],
}

/// A chain to be scored.
#[derive(Debug, Clone)]
pub struct ScoredChain {
    /// Name; chains of equal names are compared, or else chains in order.
    pub name: String,
    /// Residues in order.
    pub residues: Vec<ScoredResidue>,
}

/// Scores, 0–1 but for the RMSD.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// lDDT over the atoms both have in paired residues; `None` if no distance counts.
    pub lddt: Option<f64>,
    /// lDDT over Cα atoms.
    pub lddt_ca: Option<f64>,
    /// TM-align's TM-score, normalised by the reference; it makes its own alignment.
    pub tm_score: f64,
    /// TM-score of the paired residues as they are paired, normalised by the reference.
    pub tm_score_paired: f64,
    /// GDT_TS, normalised by the reference.
    pub gdt_ts: f64,
    /// GDT_HA, normalised by the reference.
    pub gdt_ha: f64,
    /// RMSD of paired Cα atoms, Å; `None` if no residue is paired.
    pub rmsd_ca: Option<f64>,
    /// Residues paired, with Cα in both.
    pub n_common: usize,
    /// Residues of the reference with Cα.
    pub n_reference: usize,
    /// How residues were paired: by number only if all chains were.
    pub aligned_by: AlignedBy,
}

/// Scores a model. TM-align sees all chains of each side one after another; it needs no residue in common, and is
/// all there is if none can be paired.
/// # Errors  too few or too many residues, or wild coordinates.
pub fn score(model: &[ScoredChain], reference: &[ScoredChain]) -> Result<Scores, Error> {
    let named = reference.iter().all(|r| model.iter().any(|m| m.name == r.name));
    let mut aligned_by = AlignedBy::Number;
    let mut pairs: Vec<(&ScoredResidue, &ScoredResidue)> = Vec::new();
    for (i, r) in reference.iter().enumerate() {
        let found = if named { model.iter().find(|m| m.name == r.name) } else { model.get(i) };
        let Some(m) = found else { continue };
        let keys = |c: &ScoredChain| c.residues.iter().map(|x| (x.key, x.aatype)).collect::<Vec<_>>();
        let (paired, by) = pair(&keys(m), &keys(r))?;
        if by == AlignedBy::Sequence {
            aligned_by = by;
        }
        pairs.extend(paired.iter().map(|(i, j)| (&m.residues[*i], &r.residues[*j])));
    }
    let (model_ca, model_numbers) = trace(model);
    let (reference_ca, reference_numbers) = trace(reference);
    let aligned = tm_align(
        Trace { ca: &model_ca, numbers: &model_numbers },
        Trace { ca: &reference_ca, numbers: &reference_numbers },
    )?;
    let n_reference = reference_ca.len();
    let (x, y): (Vec<_>, Vec<_>) = pairs
        .iter()
        .filter(|(m, r)| m.mask[CA] && r.mask[CA])
        .map(|(m, r)| (point(m.positions[CA]), point(r.positions[CA])))
        .unzip();
    let shares = gdt(&x, &y, n_reference);
    Ok(Scores {
        lddt: lddt(&atoms(&pairs, 0..37)),
        lddt_ca: lddt(&atoms(&pairs, CA..CA + 1)),
        tm_score: aligned.tm_by_reference,
        tm_score_paired: if x.is_empty() { 0.0 } else { tmscore::tm_score(&x, &y, n_reference).0 },
        gdt_ts: shares.ts,
        gdt_ha: shares.ha,
        rmsd_ca: (!x.is_empty()).then(|| superposed_rmsd(&x, &y)),
        n_common: x.len(),
        n_reference,
        aligned_by,
    })
}

fn point(p: [f32; 3]) -> Vector3<f64> {
    let [x, y, z] = p.map(f64::from);
    Vector3::new(x, y, z)
}

/// Cα atoms and residue numbers of all chains.
fn trace(chains: &[ScoredChain]) -> (Vec<Vector3<f64>>, Vec<i32>) {
    let residues = chains.iter().flat_map(|c| &c.residues).filter(|r| r.mask[CA]);
    residues.map(|r| (point(r.positions[CA]), r.key.0)).unzip()
}

/// Atoms that both residues of a pair have.
fn atoms(pairs: &[(&ScoredResidue, &ScoredResidue)], which: std::ops::Range<usize>) -> Vec<AtomPair> {
    let mut all = Vec::new();
    for (residue, (m, r)) in pairs.iter().enumerate() {
        for a in which.clone().filter(|a| m.mask[*a] && r.mask[*a]) {
            let reference = r.positions[a].map(f64::from);
            all.push(AtomPair { residue, model: Some(m.positions[a].map(f64::from)), reference });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A helix of one residue type.
    fn helix(residues: i32, aatype: u8, first: i32) -> Vec<ScoredChain> {
        let residue = |i: i32| {
            let (mut positions, mut mask) = ([[0.0; 3]; 37], [false; 37]);
            let t = i as f32;
            positions[CA] = [2.3 * (1.745 * t).cos(), 2.3 * (1.745 * t).sin(), 1.5 * t];
            mask[CA] = true;
            ScoredResidue { key: (first + i, None), aatype, positions, mask }
        };
        vec![ScoredChain { name: "A".into(), residues: (0..residues).map(residue).collect() }]
    }

    #[test]
    fn chains_that_cannot_be_paired_still_have_a_tm_score() {
        let found = score(&helix(41, 3, 1), &helix(37, 8, 200)).unwrap();
        assert_eq!((found.n_common, found.rmsd_ca, found.lddt, found.tm_score_paired), (0, None, None, 0.0));
        assert!(found.tm_score > 0.999, "{}", found.tm_score);
        let same = score(&helix(41, 3, 1), &helix(41, 3, 1)).unwrap();
        assert!(same.n_common == 41 && same.rmsd_ca.unwrap() < 1e-6);
    }
}
