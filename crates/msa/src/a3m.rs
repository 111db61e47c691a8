//! A3M: FASTA-like rows in which lower-case letters are insertions against the query.
//!
//! Match columns and insertion counts are those of AlphaFold's `parsers.parse_a3m`. Beyond it: `.` is
//! padding, `*` is `X`, rows of secondary structure are skipped, and a query with gaps or lower-case
//! letters is brought into shape (and said).

use crate::text::{Record, Text, first_word, header_text, residue_error};
use crate::{Change, Error, Limits, Msa, Note};

/// Reads an alignment; `file` is its name in messages.
///
/// # Errors  naming the place: a byte that is no residue, a row that does not fit the query, several
/// chains or alignments in the file, or more than `limits` allow.
pub fn parse(file: &str, bytes: &[u8], limits: &Limits) -> Result<(Msa, Vec<Note>), Error> {
    let mut text = Text::new(file, bytes)?;
    one_chain(&text)?;
    let mut records = text.records(limits.rows, "alignment rows")?;
    let all = records.len();
    records.retain(|r| !STRUCTURE_ROWS.contains(&r.header));
    let mut notes = std::mem::take(&mut text.notes);
    let mut say = |change| notes.push(Note { place: file.to_string(), change });
    if records.len() < all {
        say(Change::StructureRows(all - records.len()));
    }
    let Some(first) = records.first() else {
        return Err(Error::Empty { file: file.to_string() });
    };
    let columns = Columns::of(&text, first, records.get(1), limits)?;
    for change in &columns.changes {
        say(change.clone());
    }
    let width = columns.letters.len();
    if width.saturating_mul(records.len()) > limits.cells {
        let what = "alignment cells (rows times columns)";
        return Err(Error::Limit { file: file.to_string(), what, limit: limits.cells as u64 });
    }
    let mut msa = Msa::empty(width);
    msa.letters_mut().reserve_exact(width * records.len());
    msa.letters_mut().extend_from_slice(&columns.letters);
    msa.close_row(&header_text(first.header).0);
    let mut stops = 0;
    for (index, record) in records.iter().enumerate().skip(1) {
        stops += row(&text, index, record, &columns, &mut msa)?;
        msa.close_row(&header_text(record.header).0);
    }
    if stops > 0 {
        say(Change::RowStops(stops));
    }
    Ok((msa, notes))
}

/// Names HHsuite gives to annotation rows.
const STRUCTURE_ROWS: [&[u8]; 4] = [b"ss_pred", b"ss_conf", b"ss_dssp", b"sa_dssp"];

/// ColabFold's first line, `#lengths<tab>cardinalities`, may name several chains.
fn one_chain(text: &Text<'_>) -> Result<(), Error> {
    let Some(line) = text.lines().find(|l| !l.text.is_empty()) else { return Ok(()) };
    let Some(header) = line.text.strip_prefix(b"#") else { return Ok(()) };
    let header = String::from_utf8_lossy(header);
    let Some((lengths, copies)) = header.split_once('\t') else { return Ok(()) };
    let digits = |s: &str| s.split(',').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if !digits(lengths) || !digits(copies.trim()) || (!lengths.contains(',') && copies.trim() == "1") {
        return Ok(());
    }
    let chains = lengths.split(',').count();
    let found = match chains {
        1 => format!("{} copies of a chain", copies.trim()),
        n => format!("{n} chains of lengths {}", lengths.chars().take(60).collect::<String>()),
    };
    Err(Error::Complex { place: text.line(line.number), found })
}

/// Which columns of the file are residues of the query.
struct Columns {
    /// The query's letters, upper case, without gaps.
    letters: Vec<u8>,
    /// Per column of the file: is it one of `letters`?
    keep: Vec<bool>,
    changes: Vec<Change>,
}

impl Columns {
    fn of(
        text: &Text<'_>,
        query: &Record<'_>,
        second: Option<&Record<'_>>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut written = Vec::new();
        let mut changes = Vec::new();
        for (i, &byte) in query.body.iter().enumerate() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'*' => {
                    if written.len() == limits.columns {
                        let (file, limit) = (text.file.to_string(), limits.columns as u64);
                        return Err(Error::Limit { file, what: "alignment columns", limit });
                    }
                    written.push((byte, query.offset + i));
                }
                b'.' => {}
                _ if byte.is_ascii_whitespace() => {}
                _ => return Err(residue_error(text, query.offset + i)),
            }
        }
        let stops = written.iter().rev().take_while(|(b, _)| *b == b'*').count();
        written.truncate(written.len() - stops);
        if stops > 0 {
            changes.push(Change::Stops(stops));
        }
        if let Some((_, offset)) = written.iter().find(|(b, _)| *b == b'*') {
            let (expected, found) =
                ("stops only at the end of the query", "`*` before further residues".to_string());
            return Err(Error::Residue { place: text.place(*offset), expected, found });
        }
        let lower = written.iter().filter(|(b, _)| b.is_ascii_lowercase()).count();
        if lower > 0 {
            // Either the query is soft-masked and every letter is a column, or these are insertions.
            let matches = written.len() - lower;
            let width =
                second.map(|r| r.body.iter().filter(|b| b.is_ascii_uppercase() || **b == b'-').count());
            if matches > 0 && width.is_some_and(|w| w != written.len()) {
                written.retain(|(b, _)| !b.is_ascii_lowercase());
                changes.push(Change::QueryInsertions(lower));
            } else {
                changes.push(Change::LowerCase(lower));
            }
        }
        let keep: Vec<bool> = written.iter().map(|(b, _)| *b != b'-').collect();
        let letters: Vec<u8> =
            written.iter().filter(|(b, _)| *b != b'-').map(|(b, _)| b.to_ascii_uppercase()).collect();
        if letters.is_empty() {
            return Err(Error::NoSequence { place: text.line(query.line), name: first_word(query.header) });
        }
        if letters.len() < keep.len() {
            changes.push(Change::QueryGaps(keep.len() - letters.len()));
        }
        Ok(Self { letters, keep, changes })
    }
}

/// Adds one row's letters and insertions; returns how many `*` became `X`.
fn row(
    text: &Text<'_>,
    index: usize,
    record: &Record<'_>,
    columns: &Columns,
    msa: &mut Msa,
) -> Result<usize, Error> {
    let mut stops = 0;
    let mut inserted = 0u32; // since the last kept column
    let mut read = 0; // columns of the file
    let mut kept = 0; // columns of the alignment
    let mut surplus_stops = 0;
    for (i, &byte) in record.body.iter().enumerate() {
        let letter = match byte {
            b'A'..=b'Z' | b'-' => byte,
            b'a'..=b'z' => {
                inserted += 1;
                continue;
            }
            b'.' => continue,
            b'*' if read >= columns.keep.len() => {
                surplus_stops += 1; // a stop behind the last column
                continue;
            }
            b'*' => {
                stops += 1;
                b'X'
            }
            _ if byte.is_ascii_whitespace() => continue,
            _ => return Err(residue_error(text, record.offset + i)),
        };
        match columns.keep.get(read) {
            Some(true) => {
                if inserted > 0 {
                    msa.push_deletion(kept, inserted);
                    inserted = 0;
                }
                msa.letters_mut().push(letter);
                kept += 1;
            }
            Some(false) => inserted += u32::from(letter != b'-'),
            None => {}
        }
        read += 1;
    }
    if read != columns.keep.len() {
        return Err(Error::RowLength {
            place: text.line(record.line),
            row: index + 1,
            name: first_word(record.header),
            expected: columns.keep.len(),
            found: read + surplus_stops,
        });
    }
    Ok(stops)
}

/// An alignment as A3M. Which residues were inserted is not kept, only how many: they become `x`.
pub fn write(msa: &Msa) -> String {
    let mut out = String::with_capacity(msa.letters().len() + msa.rows() * 24);
    for row in 0..msa.rows() {
        out.push('>');
        out.push_str(msa.description(row));
        out.push('\n');
        let letters = |range: std::ops::Range<usize>| msa.row(row)[range].iter().map(|&b| char::from(b));
        let mut from = 0;
        for deletion in msa.deletions(row) {
            let column = deletion.column as usize;
            out.extend(letters(from..column));
            out.extend(std::iter::repeat_n('x', deletion.count as usize));
            from = column;
        }
        out.extend(letters(from..msa.columns()));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Msa, Vec<Note>), Error> {
        parse("x.a3m", bytes, &Limits::default())
    }

    fn rows(msa: &Msa) -> Vec<&str> {
        (0..msa.rows()).map(|i| std::str::from_utf8(msa.row(i)).unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let text = b">q a query\nMKVLA\n>b\nM-abVLA\n>c\naK----\n";
        let (read, _) = parse("x.a3m", text, &Limits::default()).unwrap();
        let written = write(&read);
        assert_eq!(written, ">q a query\nMKVLA\n>b\nM-xxVLA\n>c\nxK----\n");
        assert_eq!(parse("x.a3m", written.as_bytes(), &Limits::default()).unwrap().0, read);
    }

    #[test]
    fn insertions_are_counted_before_their_column() {
        let (msa, notes) = read(b"#A3M#\n>q\nMKVL\n>a one\nabM-\nVcL\n>b\n-KdefV-gg\n").unwrap();
        assert_eq!(rows(&msa), ["MKVL", "M-VL", "-KV-"]);
        assert_eq!(msa.deletion_row(0), [0, 0, 0, 0]);
        assert_eq!(msa.deletion_row(1), [2, 0, 0, 1]);
        assert_eq!(msa.deletion_row(2), [0, 0, 3, 0]);
        assert_eq!(msa.deletions(2), [crate::Deletion { column: 2, count: 3 }]);
        assert_eq!(msa.description(1), "a one");
        assert!(notes.is_empty());
    }

    #[test]
    fn a_query_with_gaps_loses_those_columns() {
        let (msa, notes) = read(b">q\n-MK-V\n>a\nGMaK-V\n>b\n-M-GbV\n").unwrap();
        assert_eq!(rows(&msa), ["MKV", "MKV", "M-V"]);
        assert_eq!(msa.deletion_row(1), [1, 1, 0]);
        assert_eq!(msa.deletion_row(2), [0, 0, 2]);
        assert_eq!(notes[0].change, Change::QueryGaps(2));
    }

    #[test]
    fn lower_case_in_the_query_is_masking_or_insertion() {
        let (msa, notes) = read(b">q\nMkvL\n>a\nM-VL\n").unwrap();
        assert_eq!(rows(&msa), ["MKVL", "M-VL"]);
        assert_eq!(notes[0].change, Change::LowerCase(2));
        let (msa, notes) = read(b">q\nMkvL\n>a\nMaL\n").unwrap();
        assert_eq!(rows(&msa), ["ML", "ML"]);
        assert_eq!(notes[0].change, Change::QueryInsertions(2));
        assert_eq!(rows(&read(b">q\nmkv\n").unwrap().0), ["MKV"]);
    }

    #[test]
    fn rows_that_do_not_fit_are_named() {
        for (bytes, message) in [
            (
                &b">q\nMKV\n>a\nMKV\n>b x\nM\n-\n"[..],
                "x.a3m:5: row 3 (`b`): expected 3 match columns as in the query, found 2",
            ),
            (
                b">q\nMKV\n>b\nMKVL\n",
                "x.a3m:3: row 2 (`b`): expected 3 match columns as in the query, found 4",
            ),
            (b">q\nMKV\n>b\nMK1\n", "x.a3m:4:3: expected an amino-acid letter, found `1`"),
            (b">q\nMKV\n>b\n", "x.a3m:3: row 2 (`b`): expected 3 match columns as in the query, found 0"),
            (b">q\n---\n", "x.a3m:1: expected residues after the header of `q`, found none"),
            (
                b">q\nM*K\n",
                "x.a3m:2:2: expected stops only at the end of the query, found `*` before further residues",
            ),
            (b">q\nMK\n\0>r\nMKV\n", "x.a3m:3:1: expected one alignment, found the start of another"),
            (
                b"#3,2\t1,1\n>101\t102\nMKVGG\n",
                "x.a3m:1: expected one chain, found 2 chains of lengths 3,2; complexes are not supported yet",
            ),
            (
                b"#3\t2\n>101\nMKV\n",
                "x.a3m:1: expected one chain, found 2 copies of a chain; complexes are not supported yet",
            ),
            (b">ss_pred\nCCC\n", "x.a3m: expected at least one sequence, found an empty file"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn colabfold_headers_stops_and_structure_rows() {
        let (msa, notes) = read(b"#3\t1\n>101\nMKV*\n>ss_pred\nCCH\n>ss_conf\n998\n>a\nM*V*\n\0").unwrap();
        assert_eq!(rows(&msa), ["MKV", "MXV"]);
        let changes: Vec<_> = notes.into_iter().map(|n| n.change).collect();
        assert_eq!(changes, [Change::StructureRows(2), Change::Stops(1), Change::RowStops(1)]);
    }

    #[test]
    fn limits_hold() {
        let run = |limits: Limits| parse("x", b">q\nMKV\n>a\nMKV\n>b\nMKV", &limits).unwrap_err().to_string();
        let d = Limits::default;
        assert_eq!(run(Limits { rows: 2, ..d() }), "x: expected at most 2 alignment rows, found more");
        assert_eq!(run(Limits { columns: 2, ..d() }), "x: expected at most 2 alignment columns, found more");
        let cells = "x: expected at most 8 alignment cells (rows times columns), found more";
        assert_eq!(run(Limits { cells: 8, ..d() }), cells);
    }
}
