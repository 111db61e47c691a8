//! FASTA: one target a record.

use crate::name::from_header;
use crate::residues::{canonicalise, nucleotides};
use crate::text::{Record, Text, first_word, header_text, residue_error};
use crate::{Change, Error, Limits, Note, Target};

/// A record that is no target, and the name it would have had.
#[derive(Debug)]
pub(crate) struct Refused {
    pub name: String,
    pub error: Box<Error>,
}

/// Reads every record as a target, or as what is wrong with it; `stem` names those whose header is empty.
///
/// # Errors  if the file as a whole has no records.
pub(crate) fn parse(
    text: &Text<'_>,
    stem: &str,
    limits: &Limits,
) -> Result<Vec<Result<Target, Refused>>, Error> {
    let records = text.records(limits.records, "records")?;
    let read = |(index, record): (usize, &Record<'_>)| {
        let unnamed = format!("{stem}_{}", index + 1);
        target(text, record, &unnamed, limits).map_err(|error| {
            let name = from_header(&header_text(record.header).0, &unnamed).safe;
            Refused { name, error: Box::new(error) }
        })
    };
    let mut targets: Vec<_> = records.iter().enumerate().map(read).collect();
    if let Some(first) = targets.iter_mut().find_map(|t| t.as_mut().ok()) {
        first.notes.splice(0..0, text.notes.iter().cloned());
        if let Some(note) = looks_aligned(text, &records) {
            first.notes.push(note);
        }
    }
    Ok(targets)
}

fn target(text: &Text<'_>, record: &Record<'_>, unnamed: &str, limits: &Limits) -> Result<Target, Error> {
    let place = format!("{}:{}", text.file, record.line);
    let mut notes = Vec::new();
    let mut say = |change| notes.push(Note { place: place.clone(), change });
    let (description, replaced) = header_text(record.header);
    if replaced {
        say(Change::HeaderEncoding);
    }
    let name = from_header(&description, unnamed);
    if let Some(from) = name.was {
        say(Change::Renamed { from, to: name.safe.clone() });
    }
    let mut residues = Residues::read(text, record, limits)?;
    if residues.letters.is_empty() {
        return Err(Error::NoSequence { place: text.line(record.line), name: first_word(record.header) });
    }
    if residues.lower > 0 {
        say(Change::LowerCase(residues.lower));
    }
    if residues.stops > 0 {
        say(Change::Stops(residues.stops));
    }
    if residues.gaps > 0 {
        say(Change::Gaps(residues.gaps));
    }
    canonicalise(&mut residues.letters, &place, &mut notes);
    if let Some(change) = nucleotides(&residues.letters) {
        notes.push(Note { place, change });
    }
    Ok(Target {
        name: name.safe,
        description,
        sequence: String::from_utf8_lossy(&residues.letters).into_owned(),
        source: text.file.to_string(),
        msa: None,
        notes,
    })
}

/// The upper-case letters of a record, and what was met on the way.
struct Residues {
    letters: Vec<u8>,
    lower: usize,
    gaps: usize,
    stops: usize,
}

impl Residues {
    fn read(text: &Text<'_>, record: &Record<'_>, limits: &Limits) -> Result<Self, Error> {
        let mut found = Self { letters: Vec::new(), lower: 0, gaps: 0, stops: 0 };
        let mut stop = 0; // offset of the first `*`
        for (i, &byte) in record.body.iter().enumerate() {
            let offset = record.offset + i;
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => {
                    if found.stops > 0 {
                        return Err(inner_stop(text, stop));
                    }
                    if found.letters.len() == limits.columns {
                        let (file, limit) = (text.file.to_string(), limits.columns as u64);
                        return Err(Error::Limit { file, what: "residues in one sequence", limit });
                    }
                    found.lower += usize::from(byte.is_ascii_lowercase());
                    found.letters.push(byte.to_ascii_uppercase());
                }
                b'-' | b'.' => found.gaps += 1,
                b'*' => {
                    if found.stops == 0 {
                        stop = offset;
                    }
                    found.stops += 1;
                }
                _ if byte.is_ascii_whitespace() => {}
                _ => return Err(residue_error(text, offset)),
            }
        }
        Ok(found)
    }
}

fn inner_stop(text: &Text<'_>, offset: usize) -> Error {
    let (expected, found) =
        ("stops only at the end of a sequence", "`*` before further residues".to_string());
    Error::Residue { place: text.place(offset), expected, found }
}

/// Two or more records of one length, gaps among them: rows rather than chains.
fn looks_aligned(text: &Text<'_>, records: &[Record<'_>]) -> Option<Note> {
    let width = |r: &Record<'_>| r.body.iter().filter(|b| !b.is_ascii_whitespace()).count();
    let [first, rest @ ..] = records else { return None };
    let gapped = records.iter().any(|r| r.body.contains(&b'-'));
    if rest.is_empty() || !gapped || rest.iter().any(|r| width(r) != width(first)) {
        return None;
    }
    Some(Note { place: text.file.to_string(), change: Change::LooksAligned(records.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Target>, Error> {
        let text = Text::new("x.fasta", bytes)?;
        parse(&text, "x", &Limits::default())?.into_iter().map(|t| t.map_err(|r| *r.error)).collect()
    }

    fn one(bytes: &[u8]) -> (String, Vec<String>) {
        let mut targets = read(bytes).unwrap();
        assert_eq!(targets.len(), 1);
        let t = targets.remove(0);
        (t.sequence, t.notes.iter().map(|n| n.to_string()).collect())
    }

    #[test]
    fn wrapped_records_are_joined() {
        let targets = read(b"\n>a first one\nMKV\n  LA \n\n>b\nGG\n").unwrap();
        let got: Vec<_> =
            targets.iter().map(|t| (t.name.as_str(), t.description.as_str(), t.sequence.as_str())).collect();
        assert_eq!(got, [("a", "a first one", "MKVLA"), ("b", "b", "GG")]);
        assert!(targets.iter().all(|t| t.notes.is_empty()));
    }

    #[test]
    fn what_is_changed_is_said() {
        let (sequence, notes) = one(b"\xef\xbb\xbf>a\r\nmkU-B\r\nZOXjj**\r\n");
        assert_eq!(sequence, "MKCDEXXXX");
        assert_eq!(
            notes,
            [
                "x.fasta: byte order mark skipped",
                "x.fasta: Windows or old Mac line ends (`\\r`) read as line ends",
                "x.fasta:1: 4 lower-case residues read as upper case",
                "x.fasta:1: 2 stops (`*`) at the end dropped",
                "x.fasta:1: 1 gap (`-`) removed",
                "x.fasta:1: 1 `U` read as `C`",
                "x.fasta:1: 1 `B` read as `D`",
                "x.fasta:1: 1 `Z` read as `E`",
                "x.fasta:1: 2 `J` read as `X`",
                "x.fasta:1: 1 `O` read as `X`",
                "x.fasta:1: 1 unknown residue (`X`), without coordinates",
            ]
        );
    }

    #[test]
    fn wrong_bytes_are_placed() {
        for (bytes, message) in [
            (&b">a\nMKV\n  M7L\n"[..], "x.fasta:3:4: expected an amino-acid letter, found `7`"),
            (b">a\r\nMK\rM?", "x.fasta:3:2: expected an amino-acid letter, found `?`"),
            (b">a\nM\0K", "x.fasta:2:2: expected an amino-acid letter, found a NUL byte"),
            (b">a\nM\xc3\xa9", "x.fasta:2:2: expected an amino-acid letter, found byte 0xc3"),
            (
                b">a\nMK*V",
                "x.fasta:2:3: expected stops only at the end of a sequence, found `*` before further residues",
            ),
            (
                b">a\nMK:VL",
                "x.fasta:2:3: expected one chain, found a chain separator `:`; complexes are not supported yet",
            ),
            (b"MKVL\n>a\nMK", "x.fasta:1:1: expected a header line beginning with `>`, found `MKVL`"),
            (b">a\n\n>b\nMK", "x.fasta:1: expected residues after the header of `a`, found none"),
            (b">a b\n--\n", "x.fasta:1: expected residues after the header of `a`, found none"),
            (b" \r\n\n", "x.fasta: expected at least one sequence, found an empty file"),
            (b"# nothing\n", "x.fasta: expected FASTA, A3M or Stockholm, found only comment lines"),
            (b"\xff\xfe>\0a\0", "x.fasta: expected FASTA, A3M or Stockholm, found UTF-16 text"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_bad_record_leaves_the_others() {
        let text = Text::new("x.fasta", b"\xef\xbb\xbf>a b\nM1\n>\nMK\n>c\n\n").unwrap();
        let read = parse(&text, "x", &Limits::default()).unwrap();
        let names: Vec<_> = read.iter().map(|t| t.as_ref().map_or_else(|r| &r.name, |t| &t.name)).collect();
        assert_eq!(names, ["a", "x_2", "c"]);
        assert!(read[0].is_err() && read[2].is_err());
        assert_eq!(read[1].as_ref().unwrap().notes[0].change, Change::ByteOrderMark);
    }

    #[test]
    fn bases_are_told_from_residues() {
        let notes = |bytes| read(bytes).unwrap()[0].notes.iter().any(|n| n.change == Change::Nucleotides);
        assert!(notes(b">d\nACGTTGCAACGTNACGTTGCA\n") && notes(b">r\nacguugcaacguacguugca\n"));
        assert!(!notes(b">p\nACGTTGCAACGTACGTTGCAM\n") && !notes(b">short\nGACGATG\n"));
        assert!(!notes(b">g\nGGGGGGGGGGGGGGGGGGGGGGGGG\n"));
    }

    #[test]
    fn headers_may_be_anything() {
        let targets = read(b">\nMK\n>caf\xe9\nML\n>../etc\nMV\n").unwrap();
        let names: Vec<_> = targets.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["x_1", "caf_", "etc"]);
        assert_eq!(targets[1].description, "caf\u{fffd}");
        assert_eq!(targets[1].notes.len(), 2);
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { records: 2, columns: 3, ..Limits::default() };
        let run = |bytes| parse(&Text::new("x", bytes).unwrap(), "x", &limits);
        let whole = run(b">a\nM\n>b\nM\n>c\nM").unwrap_err().to_string();
        assert_eq!(whole, "x: expected at most 2 records, found more");
        let one = run(b">a\nMKVL").unwrap().remove(0).unwrap_err().error.to_string();
        assert_eq!(one, "x: expected at most 3 residues in one sequence, found more");
    }

    #[test]
    fn an_alignment_by_another_name_is_said() {
        let notes =
            |bytes| read(bytes).unwrap()[0].notes.iter().any(|n| matches!(n.change, Change::LooksAligned(_)));
        assert!(notes(b">a\nMKV\n>b\nM-V"));
        assert!(!notes(b">a\nMKV\n>b\nMLV"));
        assert!(!notes(b">a\nM-V"));
    }
}
