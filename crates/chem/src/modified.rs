//! Modified residues of the PDB and the standard residue each one was made from.
//! Parents as `_chem_comp.mon_nstd_parent_comp_id` of the PDB Chemical Component Dictionary (CC0);
//! CYX, HID and HIE are names that force fields give to cystine and to neutral histidines.

use crate::residue::{RESTYPES, aatype_of_name};

/// The entries IAS and SEC have no parent there and count as aspartate and cysteine.
/// (component id, one-letter code of its parent), sorted by id.
pub const MODIFIED: [(&str, u8); 67] = [
    ("ABA", b'A'),
    ("AIB", b'A'),
    ("ALY", b'K'),
    ("AYA", b'A'),
    ("BFD", b'D'),
    ("CAF", b'C'),
    ("CAS", b'C'),
    ("CCS", b'C'),
    ("CGU", b'E'),
    ("CIR", b'R'),
    ("CME", b'C'),
    ("CMH", b'C'),
    ("CMT", b'C'),
    ("CSA", b'C'),
    ("CSD", b'C'),
    ("CSO", b'C'),
    ("CSP", b'C'),
    ("CSR", b'C'),
    ("CSS", b'C'),
    ("CSU", b'C'),
    ("CSX", b'C'),
    ("CXM", b'M'),
    ("CYG", b'C'),
    ("CYM", b'C'),
    ("CYX", b'C'),
    ("FME", b'M'),
    ("FTR", b'W'),
    ("GMA", b'E'),
    ("HIC", b'H'),
    ("HID", b'H'),
    ("HIE", b'H'),
    ("HIP", b'H'),
    ("HYP", b'P'),
    ("IAS", b'D'),
    ("IYR", b'Y'),
    ("KCX", b'K'),
    ("LLP", b'K'),
    ("LYZ", b'K'),
    ("M3L", b'K'),
    ("MEA", b'F'),
    ("MEN", b'N'),
    ("MEQ", b'Q'),
    ("MHO", b'M'),
    ("MHS", b'H'),
    ("MLE", b'L'),
    ("MLY", b'K'),
    ("MLZ", b'K'),
    ("MSE", b'M'),
    ("NEP", b'H'),
    ("NIY", b'Y'),
    ("NLE", b'L'),
    ("OCS", b'C'),
    ("OMT", b'M'),
    ("PCA", b'Q'),
    ("PHD", b'D'),
    ("PHI", b'F'),
    ("PTR", b'Y'),
    ("SAC", b'S'),
    ("SAR", b'G'),
    ("SCH", b'C'),
    ("SCY", b'C'),
    ("SEC", b'C'),
    ("SEP", b'S'),
    ("SMC", b'C'),
    ("SNC", b'C'),
    ("TPO", b'T'),
    ("TYS", b'Y'),
];

/// One-letter code of a standard or modified residue's standard parent, or `None`.
pub fn parent_letter(name: &str) -> Option<u8> {
    if let Some(a) = aatype_of_name(name) {
        return RESTYPES.get(usize::from(a)).copied();
    }
    MODIFIED.binary_search_by_key(&name, |(id, _)| id).ok().map(|i| MODIFIED[i].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_new() {
        assert!(MODIFIED.windows(2).all(|w| w[0].0 < w[1].0), "binary search needs order");
        for (id, parent) in MODIFIED {
            assert_eq!(aatype_of_name(id), None, "{id} is a standard residue");
            assert!(RESTYPES.contains(&parent), "{id} has no standard parent");
        }
    }

    #[test]
    fn parents() {
        assert_eq!(parent_letter("MSE"), Some(b'M'));
        assert_eq!(parent_letter("TPO"), Some(b'T'));
        assert_eq!(parent_letter("TYR"), Some(b'Y'));
        assert_eq!(parent_letter("UNK"), None);
        assert_eq!(parent_letter("HOH"), None);
    }
}
