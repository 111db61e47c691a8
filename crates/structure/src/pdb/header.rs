//! What the records before the atoms say: name, title, method, resolution, dates, sequences.

use std::collections::HashMap;

use crate::builder::{Counts, Parents};
use crate::fields::{decimal, text};
use crate::{Error, Place, Structure};

/// Collects header records.
#[derive(Default)]
pub(super) struct Header {
    pub(super) structure: Structure,
    pub(super) parents: Parents,
    /// Component names by chain (SEQRES).
    pub(super) sequences: HashMap<String, Vec<String>>,
    methods: Vec<String>,
}

/// Columns `from..=to` as the format counts them (from 1), cut where the line ends.
pub(super) fn columns(line: &[u8], from: usize, to: usize) -> &[u8] {
    let end = to.min(line.len());
    line.get(from - 1..end).unwrap_or(&[])
}

/// Chain name: column 22, or 21–22 where programs with many chains use both.
pub(super) fn chain_name(line: &[u8], last_column: usize) -> String {
    text(columns(line, last_column - 1, last_column))
}

impl Header {
    /// Takes a record that is not an atom; unknown ones are skipped.
    pub(super) fn record(&mut self, at: Place, line: &[u8], counts: &mut Counts) -> Result<(), Error> {
        match columns(line, 1, 6) {
            b"HEADER" => self.structure.id = text(columns(line, 63, 66)),
            b"TITLE " => {
                let part = text(columns(line, 11, 80));
                let title = self.structure.title.get_or_insert_default();
                if title.len() < 4096 {
                    *title = format!("{title} {part}").trim().to_string();
                }
            }
            b"EXPDTA" => self.methods.push(text(columns(line, 11, 79)).to_lowercase()),
            b"REVDAT" if text(columns(line, 8, 10)) == "1" && self.structure.released.is_none() => {
                self.structure.released = date(columns(line, 14, 22));
            }
            b"REMARK" if text(columns(line, 8, 10)) == "2" => {
                let remark = text(columns(line, 11, 79));
                if let Some(value) = remark.strip_prefix("RESOLUTION.") {
                    let number = value.split_whitespace().next().and_then(|v| decimal(v.as_bytes()));
                    self.structure.resolution = number.or(self.structure.resolution);
                }
            }
            b"MODRES" => {
                let parent = chem::residue::aatype_of_name(&text(columns(line, 25, 27)));
                if let Some(parent) = parent.filter(|&p| p < 20) {
                    self.parents.entry(text(columns(line, 13, 15))).or_insert(parent);
                }
            }
            b"SEQRES" => {
                let names =
                    columns(line, 20, 80).split(|b| b.is_ascii_whitespace()).filter(|n| !n.is_empty());
                let sequence = self.sequences.entry(chain_name(line, 12)).or_default();
                for name in names {
                    counts.residue(at)?;
                    sequence.push(text(name));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn method(&self) -> Option<String> {
        let joined = self.methods.join(" ").replace("; ", ",");
        Some(joined).filter(|m| !m.is_empty())
    }
}

/// `24-JUL-84` as `1984-07-24`; two-digit years before 60 are of this century.
fn date(field: &[u8]) -> Option<String> {
    const MONTHS: &str = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
    let written = text(field);
    let mut parts = written.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let (day, year): (u32, u32) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.find(&month.to_uppercase()).filter(|m| m % 3 == 0 && month.len() == 3)? / 3 + 1;
    if parts.next().is_some() || !(1..=31).contains(&day) || year > 99 {
        return None;
    }
    let century = if year < 60 { 2000 } else { 1900 };
    Some(format!("{:04}-{month:02}-{day:02}", century + year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(b"24-JUL-84").as_deref(), Some("1984-07-24"));
        assert_eq!(date(b"01-feb-26").as_deref(), Some("2026-02-01"));
        for bad in [&b"24-JU-84"[..], b"00-JUL-84", b"24-XXX-84", b"", b"1-2-3-4", b"24-ANF-84"] {
            assert_eq!(date(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
