//! Stockholm: rows in blocks of `name sequence` lines, as jackhmmer, hmmsearch and Pfam write them.
//!
//! Columns where the query (first row) has a gap are removed and what other rows have there is counted
//! as insertions, as in AlphaFold's `parsers.parse_stockholm`; descriptions are row names, as there.
//! Beyond it, `.`, `_` and `~` are gaps too and lower-case letters are residues.

use crate::text::{Text, header_text, residue_error};
use crate::{Change, Error, Limits, Msa, Note};
use std::collections::HashMap;

/// A piece of a row: one line of one block.
struct Piece<'a> {
    row: usize,
    offset: usize,
    letters: &'a [u8],
}

/// Reads an alignment; `file` is its name in messages.
///
/// # Errors  naming the place: a line that is no `name sequence`, a byte that is no residue, a row that
/// does not fit the query, a second alignment, or more than `limits` allow.
pub fn parse(file: &str, bytes: &[u8], limits: &Limits) -> Result<(Msa, Vec<Note>), Error> {
    let text = Text::new(file, bytes)?;
    let rows = Rows::split(&text, limits)?;
    let mut notes = text.notes.clone();
    let mut say = |change| notes.push(Note { place: file.to_string(), change });

    if !rows.ended {
        say(Change::NoEnd);
    }
    let query = rows.gather(&text, 0, limits)?;
    let keep: Vec<bool> = query.iter().map(|&b| b != b'-').collect();
    let width = keep.iter().filter(|k| **k).count();
    if width == 0 {
        return Err(Error::NoSequence { place: text.line(rows.lines[0]), name: rows.name(0) });
    }
    if width.saturating_mul(rows.names.len()) > limits.cells {
        let what = "alignment cells (rows times columns)";
        return Err(Error::Limit { file: file.to_string(), what, limit: limits.cells as u64 });
    }
    if width < keep.len() {
        say(Change::QueryGaps(keep.len() - width));
    }
    let mut msa = Msa::empty(width);
    msa.letters_mut().reserve_exact(width * rows.names.len());
    for row in 0..rows.names.len() {
        let letters = rows.gather(&text, row, limits)?;
        if letters.len() != keep.len() {
            return Err(Error::RowLength {
                place: text.line(rows.lines[row]),
                row: row + 1,
                name: rows.name(row),
                expected: keep.len(),
                found: letters.len(),
            });
        }
        let (mut inserted, mut column) = (0, 0);
        for (&letter, &keep) in letters.iter().zip(&keep) {
            if keep {
                if inserted > 0 {
                    msa.push_deletion(column, inserted);
                    inserted = 0;
                }
                msa.letters_mut().push(letter);
                column += 1;
            } else {
                inserted += u32::from(letter != b'-');
            }
        }
        msa.close_row(&header_text(rows.names[row]).0);
    }
    Ok((msa, notes))
}

/// The pieces of all rows, those of one row side by side.
struct Rows<'a> {
    names: Vec<&'a [u8]>,
    /// First line of each row.
    lines: Vec<usize>,
    pieces: Vec<Piece<'a>>,
    /// End of each row's pieces.
    ends: Vec<usize>,
    /// The file has its last line, `//`.
    ended: bool,
}

impl<'a> Rows<'a> {
    fn split(text: &Text<'a>, limits: &Limits) -> Result<Self, Error> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut lines = Vec::new();
        let mut index: HashMap<&[u8], usize> = HashMap::new();
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        let mut ended = false;
        for line in text.lines() {
            match line.text {
                [] => continue,
                [b'/', b'/', ..] => {
                    ended = true;
                    continue;
                }
                [b'#', rest @ ..] => {
                    if ended && rest.trim_ascii_start().starts_with(b"STOCKHOLM") {
                        return Err(Error::SecondAlignment { place: text.line(line.number) });
                    }
                    continue;
                }
                _ => {}
            }
            let place = || text.line(line.number);
            if ended {
                let (expected, found) = ("nothing after `//`", "another line".to_string());
                return Err(Error::Line { place: place(), expected, found });
            }
            let blank = line.text.iter().position(u8::is_ascii_whitespace).unwrap_or(line.text.len());
            let (name, rest) = line.text.split_at(blank);
            let letters = rest.trim_ascii_start();
            let expected = "a row name, blank space and residues";
            if letters.is_empty() {
                return Err(Error::Line { place: place(), expected, found: "one word".to_string() });
            }
            if letters.iter().any(u8::is_ascii_whitespace) {
                let found = "more than two words".to_string();
                return Err(Error::Line { place: place(), expected, found });
            }
            let row = *index.entry(name).or_insert(names.len());
            if row == names.len() {
                if row == limits.rows {
                    let (file, limit) = (text.file.to_string(), limits.rows as u64);
                    return Err(Error::Limit { file, what: "alignment rows", limit });
                }
                names.push(name);
                lines.push(line.number);
            }
            let offset = line.offset + line.text.len() - letters.len();
            pieces.push(Piece { row, offset, letters });
        }
        if names.is_empty() {
            return Err(Error::Empty { file: text.file.to_string() });
        }
        pieces.sort_by_key(|p| p.row); // stable: blocks stay in order
        let mut ends = vec![0; names.len()];
        for (i, piece) in pieces.iter().enumerate() {
            ends[piece.row] = i + 1;
        }
        Ok(Self { names, lines, pieces, ends, ended })
    }

    fn name(&self, row: usize) -> String {
        header_text(self.names[row]).0.chars().take(60).collect()
    }

    /// A row's letters: upper case, every gap `-`.
    fn gather(&self, text: &Text<'_>, row: usize, limits: &Limits) -> Result<Vec<u8>, Error> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        let mut letters = Vec::new();
        for piece in &self.pieces[start..self.ends[row]] {
            // Ten file columns a residue: room for the insert columns of deep jackhmmer alignments.
            if letters.len() + piece.letters.len() > limits.columns.saturating_mul(10) {
                let (file, limit) = (text.file.to_string(), limits.columns as u64 * 10);
                return Err(Error::Limit { file, what: "columns in the file", limit });
            }
            for (i, &byte) in piece.letters.iter().enumerate() {
                letters.push(match byte {
                    b'A'..=b'Z' | b'-' => byte,
                    b'a'..=b'z' => byte.to_ascii_uppercase(),
                    b'.' | b'_' | b'~' => b'-',
                    b'*' => b'X',
                    _ => return Err(residue_error(text, piece.offset + i)),
                });
            }
        }
        Ok(letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Msa, Vec<Note>), Error> {
        parse("x.sto", bytes, &Limits::default())
    }

    const BLOCKS: &[u8] = b"# STOCKHOLM 1.0\n#=GF ID test\n#=GS a/1-5 DE something\n\n\
        q      MK--V\na/1-5  M-GGV\nb      -KG-v\n#=GC RF xx..x\n\n\
        q      -L-\na/1-5  DLE\nb      .-.\n//\n";

    #[test]
    fn query_gaps_become_insertions() {
        let (msa, notes) = read(BLOCKS).unwrap();
        let rows: Vec<_> = (0..msa.rows()).map(|i| std::str::from_utf8(msa.row(i)).unwrap()).collect();
        assert_eq!(rows, ["MKVL", "M-VL", "-KV-"]);
        assert_eq!(msa.deletion_row(1), [0, 0, 2, 1]);
        assert_eq!(msa.deletion_row(2), [0, 0, 1, 0]);
        assert_eq!(msa.description(1), "a/1-5");
        assert_eq!(notes.iter().map(|n| &n.change).collect::<Vec<_>>(), [&Change::QueryGaps(4)]);
    }

    #[test]
    fn a_file_without_an_end_is_said_to_be() {
        let (msa, notes) = read(b"# STOCKHOLM 1.0\nq MKV\nb M-V\n").unwrap();
        assert_eq!((msa.rows(), &notes[0].change), (2, &Change::NoEnd));
        assert!(read(b"# STOCKHOLM 1.0\nq MKV\n//\n").unwrap().1.is_empty());
    }

    #[test]
    fn errors_name_the_place() {
        for (bytes, message) in [
            (
                &b"# STOCKHOLM 1.0\nq MKV\nb MK\n//\n"[..],
                "x.sto:3: row 2 (`b`): expected 3 match columns as in the query, found 2",
            ),
            (b"# STOCKHOLM 1.0\nq MKV\nb  M5V\n", "x.sto:3:5: expected an amino-acid letter, found `5`"),
            (
                b"# STOCKHOLM 1.0\nq\n",
                "x.sto:2: expected a row name, blank space and residues, found one word",
            ),
            (
                b"# STOCKHOLM 1.0\nq MKV 3\n",
                "x.sto:2: expected a row name, blank space and residues, found more than two words",
            ),
            (
                b"# STOCKHOLM 1.0\nq MKV\n//\n# STOCKHOLM 1.0\nr MK\n//\n",
                "x.sto:4: expected one alignment, found the start of another",
            ),
            (
                b"# STOCKHOLM 1.0\nq MKV\n//\nr MK\n",
                "x.sto:4: expected nothing after `//`, found another line",
            ),
            (b"# STOCKHOLM 1.0\n//\n", "x.sto: expected at least one sequence, found an empty file"),
            (b"# STOCKHOLM 1.0\nq --\n", "x.sto:2: expected residues after the header of `q`, found none"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn limits_hold() {
        let run = |limits: Limits| parse("x", BLOCKS, &limits).unwrap_err().to_string();
        let d = Limits::default;
        assert_eq!(run(Limits { rows: 2, ..d() }), "x: expected at most 2 alignment rows, found more");
        assert_eq!(
            run(Limits { columns: 0, ..d() }),
            "x: expected at most 0 columns in the file, found more"
        );
        let cells = "x: expected at most 11 alignment cells (rows times columns), found more";
        assert_eq!(run(Limits { cells: 11, ..d() }), cells);
    }
}
