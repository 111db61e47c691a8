//! Which atoms each residue has, and how the dense atom14 numbering maps to atom37.
//! AlphaFold `data_transforms.make_atom14_masks`; tables in `chem::atoms`.

use crate::AtomMaps;
use ndarray::{Array1, Array2};

impl AtomMaps {
    /// Maps of residues of types `aatype` [r], 0–20; zero where `seq_mask` [r] is 0, as padding leaves it.
    ///
    /// # Panics
    /// If a residue type is beyond 20 or the lengths differ.
    pub fn of(aatype: &Array1<i32>, seq_mask: &Array1<f32>) -> Self {
        let r = aatype.len();
        assert_eq!(r, seq_mask.len(), "one mask value for each residue");
        let mut maps = AtomMaps {
            atom14_exists: Array2::zeros((r, 14)),
            atom14_to_atom37: Array2::zeros((r, 14)),
            atom37_to_atom14: Array2::zeros((r, 37)),
            atom37_exists: Array2::zeros((r, 37)),
        };
        for i in (0..r).filter(|&i| seq_mask[i] != 0.0) {
            let a = aatype[i] as usize;
            for slot in 0..14 {
                maps.atom14_exists[[i, slot]] = chem::atoms::ATOM14_MASK[a][slot];
                maps.atom14_to_atom37[[i, slot]] = chem::atoms::ATOM14_TO_ATOM37[a][slot] as i32;
            }
            for atom in 0..37 {
                maps.atom37_exists[[i, atom]] = chem::atoms::STANDARD_ATOM_MASK[a][atom];
                maps.atom37_to_atom14[[i, atom]] = chem::atoms::ATOM37_TO_ATOM14[a][atom] as i32;
            }
        }
        maps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn glycine_has_no_beta_carbon_and_padding_nothing() {
        let maps = AtomMaps::of(&array![7, 0, 0], &array![1.0, 1.0, 0.0]);
        let sums: Vec<f32> = maps.atom37_exists.rows().into_iter().map(|row| row.sum()).collect();
        assert_eq!(sums, [4.0, 5.0, 0.0]);
        assert_eq!(maps.atom14_to_atom37[[1, 4]], 3); // alanine's fifth slot is CB
        assert_eq!(maps.atom37_to_atom14[[1, 3]], 4);
        assert_eq!(maps.atom14_to_atom37[[2, 4]], 0);
    }
}
