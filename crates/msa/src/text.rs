//! The bytes of one text file, its lines and its `>` records.

use crate::residues::show;
use crate::{Change, Error, Note, Place};

/// One file's text: byte order mark and trailing NULs gone.
pub(crate) struct Text<'a> {
    pub file: &'a str,
    pub bytes: &'a [u8],
    pub notes: Vec<Note>,
}

/// A line without its end and without blank space around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub number: usize,
    /// Offset of `text` in the file.
    pub offset: usize,
    pub text: &'a [u8],
}

/// A header and all bytes up to the next one.
pub(crate) struct Record<'a> {
    /// The header without `>`.
    pub header: &'a [u8],
    /// Its line.
    pub line: usize,
    /// Offset of `body` in the file.
    pub offset: usize,
    /// Everything between this header line and the next.
    pub body: &'a [u8],
}

impl<'a> Text<'a> {
    /// # Errors  for text that is empty or not in a one-byte encoding.
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Result<Self, Error> {
        let mut notes = Vec::new();
        let mut note = |change| notes.push(Note { place: file.to_string(), change });
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(Error::Format { file: file.to_string(), found: "UTF-16 text".to_string() });
        }
        let mut text = bytes;
        if let Some(rest) = text.strip_prefix(&[0xef, 0xbb, 0xbf]) {
            text = rest;
            note(Change::ByteOrderMark);
        }
        while let Some(rest) = text.strip_suffix(&[0]) {
            text = rest;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::Empty { file: file.to_string() });
        }
        if text.contains(&b'\r') {
            note(Change::LineEnds);
        }
        Ok(Self { file, bytes: text, notes })
    }

    /// Where an offset is. Counts lines from the start, so for errors only.
    pub fn place(&self, offset: usize) -> Place {
        let before = &self.bytes[..offset.min(self.bytes.len())];
        let mut line = 1;
        let mut start = 0;
        for (i, &b) in before.iter().enumerate() {
            if b == b'\n' || (b == b'\r' && self.bytes.get(i + 1) != Some(&b'\n')) {
                line += 1;
                start = i + 1;
            }
        }
        Place { file: self.file.to_string(), line, column: before.len() - start + 1 }
    }

    /// A whole line as a place.
    pub fn line(&self, line: usize) -> Place {
        Place { file: self.file.to_string(), line, column: 0 }
    }

    pub fn lines(&self) -> Lines<'a> {
        Lines { bytes: self.bytes, offset: 0, number: 0 }
    }

    /// Splits at lines beginning with `>`. Lines beginning with `#` before the first are skipped.
    ///
    /// # Errors  if residues come before the first header, or there are more records than `limit`.
    pub fn records(&self, limit: usize, what: &'static str) -> Result<Vec<Record<'a>>, Error> {
        let mut records: Vec<Record<'a>> = Vec::new();
        let mut end = 0; // of the open record's body
        for line in self.lines() {
            let line_end = line.offset + line.text.len();
            match line.text.first() {
                Some(b'>') => {
                    if records.len() == limit {
                        return Err(Error::Limit { file: self.file.to_string(), what, limit: limit as u64 });
                    }
                    close(&mut records, self.bytes, end);
                    records.push(Record {
                        header: line.text[1..].trim_ascii(),
                        line: line.number,
                        offset: line_end,
                        body: &[],
                    });
                }
                None => {}
                Some(b'#') if records.is_empty() => {}
                Some(&first) if records.is_empty() => {
                    let found = match line.text {
                        text if text.len() > 1 && text.iter().all(|b| (b' '..=b'~').contains(b)) => {
                            let word = text.split(|b| *b == b' ').next().unwrap_or(text);
                            format!("`{}`", String::from_utf8_lossy(&word[..word.len().min(20)]))
                        }
                        _ => show(first),
                    };
                    return Err(Error::NoHeader { place: self.place(line.offset), found });
                }
                Some(_) => {}
            }
            end = line_end;
        }
        close(&mut records, self.bytes, end);
        if records.is_empty() {
            let found = "only comment lines".to_string();
            return Err(Error::Format { file: self.file.to_string(), found });
        }
        Ok(records)
    }
}

fn close<'a>(records: &mut [Record<'a>], bytes: &'a [u8], end: usize) {
    if let Some(last) = records.last_mut() {
        last.body = &bytes[last.offset..end];
    }
}

pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        self.number += 1;
        let length = rest.iter().position(|&b| b == b'\n' || b == b'\r').unwrap_or(rest.len());
        let line = &rest[..length];
        let text = line.trim_ascii_start();
        let offset = self.offset + line.len() - text.len();
        let ending = if rest[length..].starts_with(b"\r\n") { 2 } else { 1 };
        self.offset += length + ending;
        Some(Line { number: self.number, offset, text: text.trim_ascii_end() })
    }
}

/// A header as text; the flag says that bytes had to be replaced.
pub(crate) fn header_text(header: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(header);
    let clean: String =
        text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    let changed = clean.as_bytes() != header;
    (clean, changed)
}

/// First word of a header, shortened for messages.
pub(crate) fn first_word(header: &[u8]) -> String {
    let (text, _) = header_text(header);
    text.split_whitespace().next().unwrap_or("").chars().take(60).collect()
}

/// The error for a byte that is no residue: a chain separator, a NUL before the next alignment of a
/// database file (both have their own words), or something else.
pub(crate) fn residue_error(text: &Text<'_>, offset: usize) -> Error {
    let place = text.place(offset);
    let found = text.bytes.get(offset).copied().unwrap_or(0);
    match found {
        b':' | b'/' => Error::Complex { place, found: format!("a chain separator {}", show(found)) },
        0 if text.bytes[offset..].iter().find(|b| !b.is_ascii_whitespace() && **b != 0) == Some(&b'>') => {
            Error::SecondAlignment { place }
        }
        _ => Error::Residue { place, expected: "an amino-acid letter", found: show(found) },
    }
}
