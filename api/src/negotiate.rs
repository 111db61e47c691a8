//! Which form of a result a client wants (RFC 9110 §12.5.1), and what a file is by its name.

use crate::code::Code;
use crate::problem::{Problem, Result};
use axum::http::{HeaderMap, header};

/// The forms of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pdb,
    Cif,
    Json,
    Zip,
}

/// In the order in which equals are preferred.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Pdb, "chemical/x-pdb"),
    (Kind::Cif, "chemical/x-mmcif"),
    (Kind::Json, "application/json"),
    (Kind::Zip, "application/zip"),
];

/// The form with the highest quality.
pub(crate) fn kind(headers: &HeaderMap) -> Result<Kind> {
    let mut accepted = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        let text = value
            .to_str()
            .map_err(|_| Problem::new(Code::BadHeader, "Accept: expected text, found other bytes"))?;
        accepted.extend(text.split(',').filter(|one| !one.trim().is_empty()).map(range));
    }
    if accepted.is_empty() {
        return Ok(Kind::Pdb);
    }
    let quality = |name: &str| {
        let fits = |range: &&(String, f32)| specificity(&range.0, name) > 0;
        // The most specific range decides.
        accepted
            .iter()
            .filter(fits)
            .max_by_key(|range| specificity(&range.0, name))
            .map_or(0.0, |range| range.1)
    };
    let mut best = (0.0, None);
    for (kind, name) in KINDS {
        let quality = quality(name);
        if quality > best.0 {
            best = (quality, Some(kind));
        }
    }
    best.1.ok_or_else(|| {
        let kinds = KINDS.map(|(_, name)| name).join(", ");
        Problem::new(Code::NotAcceptable, format!("expected one of {kinds} in `Accept`, found none"))
    })
}

fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or("").trim().to_ascii_lowercase();
    let quality = parts.filter_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok()).next();
    (name, quality.unwrap_or(1.0))
}

fn specificity(range: &str, name: &str) -> u8 {
    match range.strip_suffix("/*") {
        _ if range == name => 3,
        Some("*") => 1,
        Some(family) if name.split('/').next() == Some(family) => 2,
        _ => 0,
    }
}

/// A file's type by the ending of its name.
pub(crate) fn of_name(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "pdb" => "chemical/x-pdb",
        "cif" => "chemical/x-mmcif",
        "json" => "application/json",
        "html" => "text/html; charset=utf-8",
        "a3m" | "txt" | "log" | "fasta" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_accepted_form_is_taken() {
        let kind = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().unwrap());
            super::kind(&headers).ok()
        };
        for (accept, expected) in [
            ("*/*", Some(Kind::Pdb)),
            ("", Some(Kind::Pdb)),
            ("application/json", Some(Kind::Json)),
            ("chemical/*", Some(Kind::Pdb)),
            ("application/*;q=0.9, chemical/x-mmcif;q=0.4", Some(Kind::Json)),
            ("*/*;q=0.1, application/zip", Some(Kind::Zip)),
            ("chemical/x-pdb;q=0, chemical/*", Some(Kind::Cif)),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(kind(accept), expected, "{accept}");
        }
        assert_eq!(super::kind(&HeaderMap::new()).ok(), Some(Kind::Pdb));
    }
}
