//! Which format a file has, and its name without what names the format.

use crate::Error;
use crate::text::Text;
use std::path::Path;

/// File name without folders, compression and format endings; none for standard input.
pub(super) fn stem(label: &str) -> Option<&str> {
    let name = Path::new(label).file_name()?.to_str()?;
    let name = unpacked_name(name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => Some(stem),
        None if label == "standard input" => None,
        _ => Some(name),
    }
}

fn unpacked_name(name: &str) -> &str {
    let ending = |e: &str| name.len() > e.len() && name[name.len() - e.len()..].eq_ignore_ascii_case(e);
    for e in [".gz", ".zst", ".zstd"] {
        if name.is_char_boundary(name.len().saturating_sub(e.len())) && ending(e) {
            return &name[..name.len() - e.len()];
        }
    }
    name
}

/// The formats that hold sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Fasta,
    A3m,
    Stockholm,
}

impl Format {
    /// If it is known.
    pub(super) fn by_ending(label: &str) -> Option<Self> {
        let (_, ending) = unpacked_name(label).rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "fasta" | "fa" | "faa" | "fas" | "fst" | "seq" => Some(Self::Fasta),
            "a3m" | "a2m" => Some(Self::A3m),
            "sto" | "stk" | "stockholm" => Some(Self::Stockholm),
            _ => None,
        }
    }

    /// By the content where it is unmistakable, then by the ending, then by the look of the rows.
    ///
    /// # Errors  [`Error::Format`] for what is known to be something else.
    pub(super) fn of(label: &str, bytes: &[u8]) -> Result<Self, Error> {
        let start = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes).trim_ascii_start();
        if start.starts_with(b"# STOCKHOLM") {
            return Ok(Self::Stockholm);
        }
        let first = start.split(|b| *b == b'\n').next().unwrap_or(start).trim_ascii_end();
        let lengths = |l: &[u8]| l.len() > 1 && l.iter().all(|b| b.is_ascii_digit() || b",\t".contains(b));
        if first == b"#A3M#" || first.strip_prefix(b"#").is_some_and(lengths) {
            return Ok(Self::A3m);
        }
        let other = match first {
            [b'{' | b'[', ..] => "JSON",
            [b'P', b'K', 3, 4, ..] => "a zip archive",
            [b'%', b'P', b'D', b'F', ..] => "a PDF document",
            _ if [&b"HEADER "[..], b"ATOM  ", b"REMARK ", b"data_"].iter().any(|k| first.starts_with(k)) => {
                "coordinates (PDB or mmCIF)"
            }
            _ if [&b"sequences:"[..], b"version:"].contains(&first) => "YAML",
            _ => "",
        };
        if !other.is_empty() {
            return Err(Error::Format { file: label.to_string(), found: other.to_string() });
        }
        Ok(Self::by_ending(label).unwrap_or(if looks_like_a3m(bytes) { Self::A3m } else { Self::Fasta }))
    }
}

/// Do the first records have the first one's count of match columns, with gaps or insertions among them?
fn looks_like_a3m(bytes: &[u8]) -> bool {
    let Ok(records) = Text::new("", bytes).and_then(|text| text.records(usize::MAX, "")) else {
        return false;
    };
    let columns = |body: &[u8]| body.iter().filter(|b| b.is_ascii_uppercase() || **b == b'-').count();
    let Some(([query], rows)) = records.get(..records.len().min(200)).and_then(|r| r.split_at_checked(1))
    else {
        return false;
    };
    let aligned = |b: &u8| *b == b'-' || b.is_ascii_lowercase();
    columns(query.body) > 0
        && rows.iter().any(|r| r.body.iter().any(aligned))
        && rows.iter().all(|r| columns(r.body) == columns(query.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content_then_ending() {
        for (label, bytes, format) in [
            ("x.fasta", &b"# STOCKHOLM 1.0\nq MK\n"[..], Format::Stockholm),
            ("x.fasta.gz", b"#A3M#\n>q\nMK\n", Format::A3m),
            ("x.txt", b"#3\t1\n>q\nMKV\n", Format::A3m),
            ("x.A3M.zst", b">q\nMK\n", Format::A3m),
            ("standard input", b">q\nMKV\n>a\nM-V\n", Format::A3m),
            ("standard input", b">q\nMKV\n>a\nMLVA\n", Format::Fasta),
            ("standard input", b">q\nMKV\n>a\nMLV\n", Format::Fasta),
            ("x.sto", b"q MK\n", Format::Stockholm),
        ] {
            assert_eq!(Format::of(label, bytes).unwrap(), format, "{label}");
        }
        let message = Format::of("job.json", b"[{\"name\": 1}]").unwrap_err().to_string();
        assert_eq!(message, "job.json: expected FASTA, A3M or Stockholm, found JSON");
        assert_eq!(stem("/a/b/x.y.a3m.gz"), Some("x.y"));
        assert_eq!(stem("standard input"), None);
    }
}
