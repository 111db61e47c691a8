//! Side-chain torsion angles χ1–χ4: their atoms, which residues have them, which repeat every π.
//! Source: AlphaFold `residue_constants.py` (`chi_angles_atoms`, `chi_angles_mask`, `chi_pi_periodic`).

use crate::atoms::atom_order;

/// The four atoms of each χ angle, χ1 first. Arginine's χ5 is left out: it stays within 5° of 0.
pub const CHI_ATOMS: [&[[&str; 4]]; 20] = [
    &[], // ALA
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD"], ["CB", "CG", "CD", "NE"], ["CG", "CD", "NE", "CZ"]], // ARG
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "OD1"]], // ASN
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "OD1"]], // ASP
    &[["N", "CA", "CB", "SG"]],                            // CYS
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD"], ["CB", "CG", "CD", "OE1"]], // GLN
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD"], ["CB", "CG", "CD", "OE1"]], // GLU
    &[],                                                   // GLY
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "ND1"]], // HIS
    &[["N", "CA", "CB", "CG1"], ["CA", "CB", "CG1", "CD1"]], // ILE
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD1"]], // LEU
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD"], ["CB", "CG", "CD", "CE"], ["CG", "CD", "CE", "NZ"]], // LYS
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "SD"], ["CB", "CG", "SD", "CE"]], // MET
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD1"]],                          // PHE
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD"]],                           // PRO
    &[["N", "CA", "CB", "OG"]],                                                     // SER
    &[["N", "CA", "CB", "OG1"]],                                                    // THR
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD1"]],                          // TRP
    &[["N", "CA", "CB", "CG"], ["CA", "CB", "CG", "CD1"]],                          // TYR
    &[["N", "CA", "CB", "CG1"]],                                                    // VAL
];

/// atom37 places of the four atoms of each χ angle; zeros where the residue lacks the angle.
pub const CHI_ATOM37: [[[usize; 4]; 4]; 21] = {
    let mut table = [[[0; 4]; 4]; 21];
    let mut a = 0;
    while a < 20 {
        let mut k = 0;
        while k < CHI_ATOMS[a].len() {
            let mut i = 0;
            while i < 4 {
                table[a][k][i] = match atom_order(CHI_ATOMS[a][k][i]) {
                    Some(at) => at,
                    None => panic!("every chi atom is one of the 37"),
                };
                i += 1;
            }
            k += 1;
        }
        a += 1;
    }
    table
};

/// 1 where a residue type has χ1–χ4; the last row is the unknown residue.
pub const CHI_MASK: [[f32; 4]; 21] = {
    let mut mask = [[0.0; 4]; 21];
    let mut a = 0;
    while a < 20 {
        let mut k = 0;
        while k < CHI_ATOMS[a].len() {
            mask[a][k] = 1.0;
            k += 1;
        }
        a += 1;
    }
    mask
};

/// 1 where turning a χ angle by π gives the same structure: χ2 of Asp, Phe, Tyr and χ3 of Glu.
pub const CHI_PI_PERIODIC: [[f32; 4]; 21] = {
    let mut table = [[0.0; 4]; 21];
    table[3][1] = 1.0;
    table[6][2] = 1.0;
    table[13][1] = 1.0;
    table[18][1] = 1.0;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residue::aatype_of_name;

    #[test]
    fn each_angle_continues_the_one_before() {
        for a in 0..20 {
            for pair in CHI_ATOMS[a].windows(2) {
                assert_eq!(pair[0][1..], pair[1][..3], "residue type {a}");
            }
        }
        assert_eq!(CHI_MASK.iter().flatten().sum::<f32>(), 39.0);
        assert_eq!(CHI_ATOM37[11][3], [5, 11, 19, 35]); // CG CD CE NZ of lysine
    }

    #[test]
    fn periodic_angles_are_the_last_ones() {
        for (name, k) in [("ASP", 1), ("GLU", 2), ("PHE", 1), ("TYR", 1)] {
            let a = usize::from(aatype_of_name(name).unwrap());
            assert_eq!(CHI_PI_PERIODIC[a][k], 1.0);
            assert_eq!(CHI_ATOMS[a].len(), k + 1);
        }
        assert_eq!(CHI_PI_PERIODIC.iter().flatten().sum::<f32>(), 4.0);
    }
}
