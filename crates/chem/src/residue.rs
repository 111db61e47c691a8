//! Residue types and their letters, names and ids.
//! Order and HHblits ids as in AlphaFold's `residue_constants.py`.

/// One-letter codes in the order that numbers residue types (`aatype`): three-letter names sorted.
pub const RESTYPES: [u8; 20] = *b"ARNDCQEGHILKMFPSTWYV";

/// [`RESTYPES`], then `X` (20) and the alignment gap `-` (21).
pub const RESTYPES_WITH_X_AND_GAP: [u8; 22] = *b"ARNDCQEGHILKMFPSTWYVX-";

/// `aatype` of an unknown residue.
pub const UNKNOWN: u8 = 20;

/// `aatype` of a gap, in alignments only.
pub const GAP: u8 = 21;

/// Three-letter names by `aatype`; the last is unknown.
pub const NAMES: [&str; 21] = [
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE", "PRO",
    "SER", "THR", "TRP", "TYR", "VAL", "UNK",
];

/// `aatype` 0..=19 of an upper-case one-letter code, or `None`.
pub const fn aatype_of_letter(letter: u8) -> Option<u8> {
    let mut i = 0;
    while i < 20 {
        if RESTYPES[i] == letter {
            return Some(i as u8);
        }
        i += 1;
    }
    None
}

/// `aatype` 0..=19 of a standard three-letter name, 20 for `UNK`, or `None`.
pub fn aatype_of_name(name: &str) -> Option<u8> {
    NAMES.iter().position(|n| *n == name).map(|i| i as u8)
}

/// One-letter code of an `aatype`; `X` for 20, `-` for 21, `X` beyond.
pub const fn letter(aatype: u8) -> u8 {
    if (aatype as usize) < 22 { RESTYPES_WITH_X_AND_GAP[aatype as usize] } else { b'X' }
}

/// Three-letter name of an `aatype`; `UNK` from 20 on.
pub const fn name(aatype: u8) -> &'static str {
    if aatype < 20 { NAMES[aatype as usize] } else { NAMES[20] }
}

/// HHblits' alphabet by id: amino acids sorted by letter, then `X` and the gap.
pub const HHBLITS_LETTERS: [u8; 22] = *b"ACDEFGHIKLMNPQRSTVWYX-";

/// HHblits id of an upper-case letter or `-`: B counts as D, Z as E, U as C, J and O as X; else `None`.
pub const fn hhblits_id(letter: u8) -> Option<u8> {
    let canonical = match letter {
        b'B' => b'D',
        b'Z' => b'E',
        b'U' => b'C',
        b'J' | b'O' => b'X',
        other => other,
    };
    let mut i = 0;
    while i < 22 {
        if HHBLITS_LETTERS[i] == canonical {
            return Some(i as u8);
        }
        i += 1;
    }
    None
}

/// `aatype` (0..=21) of each HHblits id (`MAP_HHBLITS_AATYPE_TO_OUR_AATYPE`).
pub const HHBLITS_TO_AATYPE: [u8; 22] = {
    let mut map = [GAP; 22];
    let mut i = 0;
    while i < 22 {
        map[i] = match HHBLITS_LETTERS[i] {
            b'X' => UNKNOWN,
            b'-' => GAP,
            l => match aatype_of_letter(l) {
                Some(a) => a,
                None => panic!("every HHblits letter is a residue type"),
            },
        };
        i += 1;
    }
    map
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_names_are_inverse() {
        for a in 0..20u8 {
            assert_eq!(aatype_of_letter(letter(a)), Some(a));
            assert_eq!(aatype_of_name(name(a)), Some(a));
        }
        let mut sorted = NAMES[..20].to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, NAMES[..20], "restypes are the three-letter names sorted");
        assert_eq!(aatype_of_letter(b'X'), None);
        assert_eq!((letter(20), letter(21), letter(99)), (b'X', b'-', b'X'));
    }

    #[test]
    fn hhblits_map_is_the_published_permutation() {
        let published = [0, 4, 3, 6, 13, 7, 8, 9, 11, 10, 12, 2, 14, 5, 1, 15, 16, 19, 17, 18, 20, 21];
        assert_eq!(HHBLITS_TO_AATYPE, published);
        let folded = [(b'B', b'D'), (b'Z', b'E'), (b'U', b'C'), (b'J', b'X'), (b'O', b'X')];
        for (rare, common) in folded {
            assert_eq!(hhblits_id(rare), hhblits_id(common));
        }
        assert_eq!(hhblits_id(b'-'), Some(21));
        assert_eq!(hhblits_id(b'a'), None);
    }
}
