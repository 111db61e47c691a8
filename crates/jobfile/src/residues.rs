//! Sequences as job files hold them.

use crate::error::quote;
use crate::{Error, Note, Place};

/// The letters in upper case. Blank space is dropped; lower case, gaps and a stop at the end are noted, as in FASTA.
///
/// # Errors  anything else, with its position; nothing at all; more letters than `most`.
pub(crate) fn residues(
    text: &str,
    place: &Place,
    most: usize,
    notes: &mut Vec<Note>,
) -> Result<String, Error> {
    let mut letters = String::with_capacity(text.len().min(most));
    let (mut lower, mut gaps, mut stops) = (0, 0, 0);
    for letter in text.chars().filter(|c| !c.is_ascii_whitespace()) {
        let at = letters.len() + 1;
        match letter {
            '*' => stops += 1,
            '-' | '.' => gaps += 1,
            'a'..='z' | 'A'..='Z' if stops > 0 => {
                let found = format!("`*` at position {at}, before others");
                return Err(Error::value(place, "stops only at the end of a sequence", found));
            }
            'a'..='z' | 'A'..='Z' => {
                if letters.len() == most {
                    return Err(Error::limit(place, "residues in one chain", most as u64));
                }
                lower += usize::from(letter.is_ascii_lowercase());
                letters.push(letter.to_ascii_uppercase());
            }
            _ => {
                let found = format!("{} at position {at}", quote(letter.encode_utf8(&mut [0; 4])));
                return Err(Error::value(place, "amino-acid letters", found));
            }
        }
    }
    if letters.is_empty() {
        return Err(Error::value(place, "amino-acid letters", "none"));
    }
    let said = [
        (lower, "lower-case residue", "read as upper case"),
        (gaps, "gap", "(`-`) removed"),
        (stops, "stop", "(`*`) at the end dropped"),
    ];
    for (count, what, done) in said.into_iter().filter(|(count, ..)| *count > 0) {
        let s = if count == 1 { "" } else { "s" };
        notes.push(Note { place: place.clone(), text: format!("{count} {what}{s} {done}") });
    }
    Ok(letters)
}
