//! The places atoms of a residue have in a record: its atom14 slots, then OXT.

use chem::atoms::{ATOM14_MASK, ATOM14_TO_ATOM37, OXT};
use chem::residue::UNKNOWN;

/// Slots of a residue.
pub(crate) const SLOTS: usize = 15;
/// Slot of Cα.
pub(crate) const CA: usize = 1;
/// Slot of the carbonyl C.
pub(crate) const C: usize = 2;
/// Slots of N, CA, C and O.
pub(crate) const BACKBONE: u16 = 0b1111;

/// atom37 place of each slot; `None` where the residue type has no such atom. Unknown residues are alanines.
pub(crate) const fn slots(aatype: u8) -> [Option<usize>; SLOTS] {
    let aatype = if aatype >= UNKNOWN { 0 } else { aatype as usize };
    let mut table = [None; SLOTS];
    let mut s = 0;
    while s < 14 {
        if ATOM14_MASK[aatype][s] == 1.0 {
            table[s] = Some(ATOM14_TO_ATOM37[aatype][s]);
        }
        s += 1;
    }
    table[14] = Some(OXT);
    table
}

/// Which of the 37 atoms a residue of that type may have.
pub(crate) fn mask37(aatype: u8) -> [bool; 37] {
    let mut mask = [false; 37];
    slots(aatype).into_iter().flatten().for_each(|a| mask[a] = true);
    mask
}

/// All slots of the type but OXT: what an ideal side chain has.
pub(crate) fn full(aatype: u8) -> u16 {
    let table = slots(aatype);
    (0..14).filter(|&s| table[s].is_some()).fold(0, |bits, s| bits | 1 << s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chem::residue::aatype_of_letter;

    #[test]
    fn slots_by_type() {
        let full = |l| full(aatype_of_letter(l).unwrap_or(UNKNOWN));
        assert_eq!(full(b'G'), BACKBONE);
        assert_eq!((full(b'A'), full(b'X')), (0b1_1111, 0b1_1111));
        assert_eq!(full(b'W'), 0x3fff);
        assert_eq!(mask37(7).iter().filter(|&&m| m).count(), 5); // glycine and OXT
    }
}
