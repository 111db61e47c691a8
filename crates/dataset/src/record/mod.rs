//! The record of one chain: sequence, numbers and masks; coordinates; alignment.
//!
//! Layout, little-endian: `u32` bytes of the head, the head as one zstd frame, `u32` bytes of the
//! coordinates, the coordinates ([`coordinates`]), and the alignment as one zstd frame to the end of the
//! record, empty if there is none ([`alignment`]).
//!
//! Head: the letters [r]; which atoms differ from what the kind says, low bytes [r] then high bytes [r];
//! the first residue number and then for each residue the step less one, as variable-length numbers.

pub(crate) mod alignment;
pub(crate) mod bits;
pub(crate) mod coordinates;
pub(crate) mod slots;
#[cfg(test)]
mod tests;

use crate::chain::{MAX_CELLS, MAX_RESIDUES};
use crate::cursor::{Cursor, put_signed};
use crate::{Chain, Error, Kind};
use chem::residue::{UNKNOWN, aatype_of_letter};
use slots::{BACKBONE, full};
use std::io::Read;

/// zstd's slowest common level: written once, read at every step of training.
const LEVEL: i32 = 19;

/// Slots a residue has when its chain is of that kind and nothing is missing.
fn expected(kind: Kind, aatype: u8) -> u16 {
    match kind {
        Kind::Backbone => BACKBONE,
        Kind::AllAtom => full(aatype),
    }
}

/// The bytes of a chain's record. Pure: the same chain gives the same bytes.
///
/// # Errors
/// [`Error::Chain`] if its fields do not fit together or hold what no record can hold.
pub fn encode(id: &str, chain: &Chain) -> Result<Vec<u8>, Error> {
    chain.check(id)?;
    let kind = chain.kind();
    let present: Vec<u16> = chain.aatype.iter().zip(&chain.mask).map(|(&a, m)| bits_of(a, m)).collect();
    let mut head = chain.sequence.clone().into_bytes();
    for shift in [0, 8] {
        let differs = |(p, &a): (&u16, &u8)| ((p ^ expected(kind, a)) >> shift) as u8;
        head.extend(present.iter().zip(&chain.aatype).map(differs));
    }
    let mut previous = -1;
    for &number in &chain.residue_index {
        put_signed(&mut head, i64::from(number) - previous - 1);
        previous = i64::from(number);
    }
    let mut places = Vec::new();
    coordinates::put(&mut places, &chain.aatype, &present, &chain.positions);
    let mut out = Vec::new();
    for part in [compress(id, &head)?, places] {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(&part);
    }
    if let Some(msa) = &chain.msa {
        let mut text = Vec::new();
        alignment::put(&mut text, msa);
        out.extend_from_slice(&compress(id, &text)?);
    }
    Ok(out)
}

/// The chain of a record.
/// - `length`, `depth`, `kind` as its index entry says.
///
/// # Errors
/// What was expected and found, if the bytes are not a record of such a chain.
pub fn decode(bytes: &[u8], length: usize, depth: usize, kind: Kind) -> Result<Chain, String> {
    if !(1..=MAX_RESIDUES).contains(&length) || depth < 1 || length.saturating_mul(depth) > MAX_CELLS {
        return Err(format!("expected a chain of possible size, found {length} residues, {depth} rows"));
    }
    let mut cursor = Cursor::new(bytes);
    let size = cursor.u32()? as usize;
    // Letters, two bytes of mask, at most nine of a number.
    let head = decompress(cursor.take(size)?, length * 12).map_err(|e| format!("head: {e}"))?;
    let size = cursor.u32()? as usize;
    let places = cursor.take(size)?;
    let alignment = cursor.take_rest();

    let mut head = Cursor::new(&head);
    let letters = head.take(length)?;
    let mut aatype = Vec::with_capacity(length);
    for &letter in letters {
        let known = if letter == b'X' { Some(UNKNOWN) } else { aatype_of_letter(letter) };
        aatype.push(known.ok_or_else(|| format!("expected an amino-acid letter, found byte {letter}"))?);
    }
    let sequence: String = letters.iter().map(|&l| l as char).collect();
    let (low, high) = (head.take(length)?, head.take(length)?);
    let mut present = Vec::with_capacity(length);
    for i in 0..length {
        let bits = u16::from_le_bytes([low[i], high[i]]) ^ expected(kind, aatype[i]);
        let table = slots::slots(aatype[i]);
        if (0..16).any(|s| bits >> s & 1 == 1 && table.get(s).copied().flatten().is_none()) {
            return Err(format!("residue {}: expected atoms of its type, found others", i + 1));
        }
        present.push(bits);
    }
    let mut residue_index = Vec::with_capacity(length);
    let mut previous = -1;
    for i in 0..length {
        let step = head.signed()?;
        let number = step.checked_add(previous + 1).filter(|n| i == 0 || *n > previous);
        let number = number.and_then(|n| i32::try_from(n).ok());
        residue_index.push(number.ok_or("expected rising residue numbers of 32 bits, found others")?);
        previous = i64::from(residue_index[i]);
    }
    head.end().map_err(|e| format!("head: {e}"))?;

    let mut cursor = Cursor::new(places);
    let positions =
        coordinates::take(&mut cursor, &aatype, &present).map_err(|e| format!("coordinates: {e}"))?;
    cursor.end().map_err(|e| format!("coordinates: {e}"))?;
    let mask = aatype.iter().zip(&present).map(|(&a, &p)| mask_of(a, p)).collect();
    let msa = match (alignment, depth) {
        ([], 1) => None,
        (_, 1) => return Err(format!("expected no alignment, found {} bytes", alignment.len())),
        _ => {
            // A row is a letter, and perhaps a count before it, for each column.
            let text =
                decompress(alignment, depth * (length * 11 + 1)).map_err(|e| format!("alignment: {e}"))?;
            Some(alignment::take(&sequence, depth, &text)?)
        }
    };
    Ok(Chain { sequence, residue_index, aatype, positions, mask, msa })
}

fn bits_of(aatype: u8, mask: &[bool; 37]) -> u16 {
    let present = slots::slots(aatype).map(|a| a.is_some_and(|a| mask[a]));
    (0..slots::SLOTS).fold(0, |bits, s| bits | u16::from(present[s]) << s)
}

fn mask_of(aatype: u8, present: u16) -> [bool; 37] {
    let mut mask = [false; 37];
    for (slot, atom) in slots::slots(aatype).into_iter().enumerate() {
        if let Some(atom) = atom {
            mask[atom] = present >> slot & 1 == 1;
        }
    }
    mask
}

fn compress(id: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|e| Error::Chain { id: id.into(), what: format!("zstd: {e}") })
}

/// Grows with what comes out, so that a false size takes no memory.
fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|e| e.to_string())?;
    decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(|e| e.to_string())?;
    if out.len() > limit {
        return Err(format!("expected at most {limit} bytes after decompression, found more"));
    }
    Ok(out)
}
