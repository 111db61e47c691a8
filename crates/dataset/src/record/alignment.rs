//! An alignment's rows as text that compresses well.
//!
//! One line a row after the query's: for each column the letter, `-` for a gap, `.` where the letter is the
//! query's; before it, in decimal, how many residues are inserted there, if any.

use crate::chain::{MAX_CELLS, MAX_RESIDUES};
use msa::{Limits, Msa};
use std::collections::HashSet;

pub(crate) fn put(out: &mut Vec<u8>, msa: &Msa) {
    (1..msa.rows()).for_each(|row| put_row(out, msa.query(), msa, row));
}

fn put_row(out: &mut Vec<u8>, query: &[u8], msa: &Msa, row: usize) {
    let mut insertions = msa.deletions(row).iter().peekable();
    for (column, (&letter, query)) in msa.row(row).iter().zip(query).enumerate() {
        if let Some(insertion) = insertions.next_if(|d| d.column as usize == column) {
            out.extend_from_slice(insertion.count.to_string().as_bytes());
        }
        out.push(if letter == *query { b'.' } else { letter });
    }
    out.push(b'\n');
}

/// One alignment from several of the same width: rows in the order given, of equal rows the first, as AF2
/// joins its searches; at most `max_rows` with the query. `None` if no row is left but the query.
pub(crate) fn join(sequence: &str, parts: &[Msa], max_rows: usize) -> Result<Option<Msa>, String> {
    let query = sequence.as_bytes();
    let mut seen = HashSet::from([query]);
    let most = max_rows.min(MAX_CELLS / query.len().max(1));
    let (mut text, mut depth) = (Vec::new(), 1);
    for (msa, row) in parts.iter().flat_map(|msa| (1..msa.rows()).map(move |row| (msa, row))) {
        if depth < most && seen.insert(msa.row(row)) {
            put_row(&mut text, query, msa, row);
            depth += 1;
        }
    }
    if depth == 1 { Ok(None) } else { take(sequence, depth, &text).map(Some) }
}

/// Most residues that all insertions of an alignment may have together.
const MAX_INSERTED: usize = 1 << 26;

/// The alignment of `depth` rows whose first is `sequence`. Goes through A3M, which is what crate `msa` reads.
pub(crate) fn take(sequence: &str, depth: usize, text: &[u8]) -> Result<Msa, String> {
    let query = sequence.as_bytes();
    let mut a3m = Vec::with_capacity(text.len() + depth * 3 + query.len() + 4);
    a3m.extend_from_slice(b">query\n");
    a3m.extend_from_slice(query);
    a3m.push(b'\n');
    let mut inserted = 0usize;
    for (index, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let row = index + 2;
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(format!("alignment row {row}: expected a line end, found none"));
        };
        a3m.extend_from_slice(b">\n");
        let (mut column, mut count) = (0, 0usize);
        for &byte in line {
            if byte.is_ascii_digit() {
                count = count * 10 + usize::from(byte - b'0');
                if inserted + count > MAX_INSERTED {
                    return Err(format!("alignment row {row}: expected at most {MAX_INSERTED} insertions"));
                }
                continue;
            }
            let same = query.get(column).copied();
            let letter = match (byte, same) {
                (b'.', Some(letter)) => letter,
                (b'A'..=b'Z' | b'-', Some(_)) => byte,
                (_, None) => {
                    return Err(format!("alignment row {row}: expected {column} columns, found more"));
                }
                _ => return Err(format!("alignment row {row}: expected a letter, found byte {byte}")),
            };
            a3m.resize(a3m.len() + count, b'x');
            inserted += count;
            count = 0;
            a3m.push(letter);
            column += 1;
        }
        a3m.push(b'\n');
    }
    let limits =
        Limits { rows: depth, columns: MAX_RESIDUES, cells: MAX_CELLS, bytes: u64::MAX, ..Limits::default() };
    let (msa, _) = msa::a3m::parse("alignment", &a3m, &limits).map_err(|e| e.to_string())?;
    if msa.rows() != depth {
        return Err(format!("expected {depth} alignment rows, found {}", msa.rows()));
    }
    Ok(msa)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A3M: &[u8] = b">q\nMKVLA\n>b\nM-abVLA\n>c\nXabcdefghijklK--U\n>d\n-----\n>e\nMKVLA\n";

    #[test]
    fn rows_and_insertions_come_back() {
        let (msa, _) = msa::a3m::parse("x", A3M, &Limits::default()).unwrap();
        let mut text = Vec::new();
        put(&mut text, &msa);
        assert_eq!(text, b".-2...\nX12.--U\n-----\n.....\n");
        let back = take("MKVLA", 5, &text).unwrap();
        for row in 0..5 {
            assert_eq!((back.row(row), back.deletions(row)), (msa.row(row), msa.deletions(row)));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, depth, word) in [
            (&b"....\n"[..], 2, "expected 5 match columns"),
            (b"......\n", 2, "found more"),
            (b".....", 2, "line end"),
            (b"..a..\n", 2, "byte 97"),
            (b"99999999.....\n", 2, "insertions"),
            (b"99999999999999999999999999.....\n", 2, "insertions"),
            (b".....\n", 3, "expected 3 alignment rows, found 2"),
            (b".....\n.....\n", 2, "at most 2"),
        ] {
            let error = take("MKVLA", depth, text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
