//! lDDT: how many distances of the reference the model keeps, without superposition.
//! Mariani et al., Bioinformatics 29, 2722 (2013), with the conventions of `biotite.structure.lddt`: distances
//! up to and including 15 Å between atoms of different residues, averaged over distances (not over residues),
//! kept if off by at most 0.5, 1, 2, 4 Å; no check of stereochemistry, no renaming of symmetric atoms.

/// Reach of the distances that count, Å in the reference.
const REACH: f64 = 15.0;
/// Allowed deviations, Å; each kept one is worth a quarter.
const TOLERANCES: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// An atom of both structures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtomPair {
    /// Any number that tells residues apart.
    pub residue: usize,
    /// Position in the model, Å; `None` where the model lacks the atom: none of its distances is kept.
    pub model: Option<[f64; 3]>,
    /// Position in the reference, Å.
    pub reference: [f64; 3],
}

/// lDDT, 0–1, or `None` if no distance of the reference counts.
pub fn lddt(atoms: &[AtomPair]) -> Option<f64> {
    let mut order: Vec<&AtomPair> = atoms.iter().collect();
    order.sort_by(|a, b| a.reference[0].total_cmp(&b.reference[0]));
    let (mut kept, mut counted) = (0u64, 0u64);
    for (i, a) in order.iter().enumerate() {
        for b in &order[i + 1..] {
            if b.reference[0] - a.reference[0] > REACH {
                break;
            }
            let expected = squared(&a.reference, &b.reference);
            if a.residue == b.residue || expected > REACH * REACH {
                continue;
            }
            counted += 1;
            if let (Some(p), Some(q)) = (&a.model, &b.model) {
                let off = (squared(p, q).sqrt() - expected.sqrt()).abs();
                kept += TOLERANCES.iter().filter(|t| off <= **t).count() as u64;
            }
        }
    }
    (counted > 0).then(|| kept as f64 / (4 * counted) as f64)
}

fn squared(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]) * (a[k] - b[k])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(residue: usize, model: f64, reference: f64) -> AtomPair {
        AtomPair { residue, model: Some([0.0, model, 0.0]), reference: [reference, 0.0, 0.0] }
    }

    #[test]
    fn each_tolerance_is_a_quarter() {
        for (off, expected) in [(0.0, 1.0), (0.5, 1.0), (0.75, 0.75), (1.5, 0.5), (3.0, 0.25), (4.5, 0.0)] {
            let pair = [atom(1, 0.0, 0.0), atom(2, 6.0 + off, 6.0)];
            assert_eq!(lddt(&pair), Some(expected), "off by {off}");
        }
    }

    #[test]
    fn what_counts() {
        assert_eq!(lddt(&[atom(1, 0.0, 0.0), atom(1, 9.0, 3.0)]), None);
        assert_eq!(lddt(&[atom(1, 0.0, 0.0), atom(2, 15.0, 15.0)]), Some(1.0));
        assert_eq!(lddt(&[atom(1, 0.0, 0.0), atom(2, 15.0, 15.001)]), None);
        let absent = AtomPair { model: None, ..atom(3, 0.0, 4.0) };
        // Distances 1–2, 1–3, 2–3; only the first can be kept.
        assert_eq!(lddt(&[atom(1, 0.0, 0.0), atom(2, 6.0, 6.0), absent]), Some(1.0 / 3.0));
    }
}
