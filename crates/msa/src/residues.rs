//! Letters: which are residues, and which of the 20 (and X) each is read as.

use crate::{Change, Note};

/// The letter used for an upper-case letter: selenocysteine as cysteine, the ambiguous B and Z as the
/// acids, J and O as unknown. Source: AlphaFold `residue_constants.HHBLITS_AA_TO_ID`.
pub(crate) fn canonical(letter: u8) -> u8 {
    match letter {
        b'U' => b'C',
        b'B' => b'D',
        b'Z' => b'E',
        b'J' | b'O' => b'X',
        other => other,
    }
}

/// Rewrites upper-case letters into the 20 and X, and notes which were others.
pub(crate) fn canonicalise(letters: &mut [u8], place: &str, notes: &mut Vec<Note>) {
    let mut counts = [0usize; 256];
    for letter in letters.iter_mut() {
        counts[*letter as usize] += 1;
        *letter = canonical(*letter);
    }
    let mut say = |change| notes.push(Note { place: place.to_string(), change });
    for from in *b"UBZJO" {
        let count = counts[from as usize];
        if count > 0 {
            say(Change::Read { from: from as char, to: canonical(from) as char, count });
        }
    }
    if counts[b'X' as usize] > 0 {
        say(Change::Unknown(counts[b'X' as usize]));
    }
}

/// Letters that are bases rather than residues: 20 or more, three of the four bases, and nothing else but N.
/// RNA's U has been read as C by then.
pub(crate) fn nucleotides(letters: &[u8]) -> Option<Change> {
    let kinds = b"ACGT".iter().filter(|base| letters.contains(base)).count();
    (letters.len() >= 20 && kinds >= 3 && letters.iter().all(|b| b"ACGTN".contains(b)))
        .then_some(Change::Nucleotides)
}

/// A byte as an error shows it.
pub(crate) fn show(byte: u8) -> String {
    match byte {
        b'`' => "a backtick".to_string(),
        b' '..=b'~' => format!("`{}`", byte as char),
        0 => "a NUL byte".to_string(),
        other => format!("byte 0x{other:02x}"),
    }
}
