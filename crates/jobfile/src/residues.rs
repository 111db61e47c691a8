//! Sequences as job files hold them.

use crate::error::quote;
use crate::{Error, Place};

/// The letters in upper case; blank space is dropped, lower case and a stop at the end are noted.
///
/// # Errors  anything else, with its position; nothing at all; more letters than `most`.
pub(crate) fn residues(
    text: &str,
    place: &Place,
    most: usize,
    notes: &mut Vec<String>,
) -> Result<String, Error> {
    let (mut letters, mut lower, mut stops) = (String::with_capacity(text.len().min(most)), 0, 0);
    for letter in text.chars().filter(|c| !c.is_ascii_whitespace()) {
        match letter {
            '*' => stops += 1,
            'a'..='z' | 'A'..='Z' if stops == 0 => {
                if letters.len() == most {
                    return Err(Error::limit(place, "residues in one chain", most as u64));
                }
                lower += usize::from(letter.is_ascii_lowercase());
                letters.push(letter.to_ascii_uppercase());
            }
            _ => {
                let (at, found) =
                    if stops > 0 { (letters.len() + 1, '*') } else { (letters.len() + 1, letter) };
                let found = format!("{} at position {at}", quote(found.encode_utf8(&mut [0; 4])));
                let found = if stops > 0 { format!("{found}, before others") } else { found };
                return Err(Error::value(place, "amino-acid letters", found));
            }
        }
    }
    if letters.is_empty() {
        return Err(Error::value(place, "amino-acid letters", "none"));
    }
    for (count, what) in
        [(lower, "lower-case residues read as upper case"), (stops, "stops (`*`) at the end dropped")]
    {
        if count > 0 {
            notes.push(format!("{place}: {count} {what}"));
        }
    }
    Ok(letters)
}
