//! Which residues of a target and a template belong together, where the user says so.
//!
//! Two forms: FASTA of two aligned rows, target and template, which may be parts of their chains (as a
//! search program's local alignment is); or JSON as in AlphaFold 3's jobs, `queryIndices` and
//! `templateIndices`, both from 0.

use serde::Deserialize;
use structure::{Chain, Structure};

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Aligned rows of equal width, `-` for a gap.
    Rows { query: Vec<u8>, template: Vec<u8> },
    /// Indices from 0.
    Pairs(Vec<(usize, usize)>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Indices {
    query_indices: Vec<usize>,
    template_indices: Vec<usize>,
}

/// Reads a mapping; `file` is its name in messages.
///
/// # Errors  in words, naming the place.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Mapping, String> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        let read: Indices = serde_json::from_slice(bytes).map_err(|e| format!("{file}: {e}"))?;
        let (q, t) = (read.query_indices, read.template_indices);
        if q.len() != t.len() || q.is_empty() {
            let what = "expected as many queryIndices as templateIndices, at least one";
            return Err(format!("{file}: {what}, found {} and {}", q.len(), t.len()));
        }
        return Ok(Mapping::Pairs(q.into_iter().zip(t).collect()));
    }
    let mut rows: Vec<Vec<u8>> = Vec::new();
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in (1..).zip(text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii)) {
        if line.starts_with(b">") {
            rows.push(Vec::new());
            continue;
        }
        for (column, &byte) in (1..).zip(line) {
            let Some(row) = rows.last_mut() else {
                return Err(format!("{file}:{number}: expected a header line beginning with `>`"));
            };
            match byte {
                b'-' | b'.' => row.push(b'-'),
                b'A'..=b'Z' | b'a'..=b'z' => row.push(byte.to_ascii_uppercase()),
                _ => {
                    let shown = byte.escape_ascii();
                    return Err(format!(
                        "{file}:{number}:{column}: expected a residue or `-`, found `{shown}`"
                    ));
                }
            }
        }
    }
    let count = rows.len();
    let Ok([query, template]) = <[Vec<u8>; 2]>::try_from(rows) else {
        return Err(format!("{file}: expected two rows, target and template, found {count}"));
    };
    if query.len() != template.len() || query.is_empty() {
        let (q, t) = (query.len(), template.len());
        return Err(format!("{file}: expected rows of one width, found {q} and {t} columns"));
    }
    Ok(Mapping::Rows { query, template })
}

impl Mapping {
    /// The chain that is meant, and pairs of target index and index in the chain's full sequence.
    ///
    /// # Errors  why the mapping does not fit, in words.
    pub fn resolve(
        &self,
        sequence: &str,
        structure: &Structure,
        chain: Option<&str>,
    ) -> Result<(String, Vec<(usize, usize)>), String> {
        let chains: Vec<&Chain> =
            structure.chains.iter().filter(|c| chain.is_none_or(|id| c.id == id)).collect();
        let known = || structure.chains.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(", ");
        match self {
            Self::Pairs(pairs) => match chains.as_slice() {
                [one] => Ok((one.id.clone(), pairs.clone())),
                [] => Err(format!("there is no chain {}, chains are {}", chain.unwrap_or("at all"), known())),
                _ => Err(format!("the mapping needs a chain: add one of {} behind a colon", known())),
            },
            Self::Rows { query, template } => {
                let start = find(query, &types(sequence.bytes()))
                    .ok_or("the mapping's first row is not a part of the target's sequence")?;
                let found = chains.iter().find_map(|c| {
                    let types: Vec<u8> = c.full_sequence().iter().map(|p| p.aatype).collect();
                    Some((c.id.clone(), find(template, &types)?))
                });
                let (id, offset) = found.ok_or_else(|| {
                    let among =
                        chain.map_or_else(|| format!("chain {}", known()), |id| format!("chain {id}"));
                    format!("the mapping's second row is not a part of {among}")
                })?;
                let (mut q, mut t, mut pairs) = (start, offset, Vec::new());
                for (&a, &b) in query.iter().zip(template) {
                    if a != b'-' && b != b'-' {
                        pairs.push((q, t));
                    }
                    q += usize::from(a != b'-');
                    t += usize::from(b != b'-');
                }
                Ok((id, pairs))
            }
        }
    }
}

fn types(letters: impl Iterator<Item = u8>) -> Vec<u8> {
    letters.map(|l| chem::residue::aatype_of_letter(l).unwrap_or(chem::residue::UNKNOWN)).collect()
}

/// Where the residues of an aligned row begin in a sequence; `X` fits anything, as modified residues go
/// by either name.
fn find(row: &[u8], sequence: &[u8]) -> Option<usize> {
    let row = types(row.iter().copied().filter(|&b| b != b'-'));
    let unknown = chem::residue::UNKNOWN;
    let same = |(a, b): (&u8, &u8)| a == b || *a == unknown || *b == unknown;
    (!row.is_empty())
        .then(|| sequence.windows(row.len()).position(|window| window.iter().zip(&row).all(same)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure() -> Structure {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/examples/4mo0_A.ref.pdb");
        structure::read(&std::fs::read(path).unwrap(), None, &structure::Limits::default()).unwrap()
    }

    #[test]
    fn rows_are_found_in_their_chains() {
        let structure = structure();
        let types: Vec<u8> = structure.chains[0].full_sequence().iter().map(|p| p.aatype).collect();
        let letters: Vec<u8> = types[6..16].iter().map(|&t| b"ARNDCQEGHILKMFPSTWYVX"[t as usize]).collect();
        let part = String::from_utf8(letters).unwrap();
        // Target: 3 residues before; its row lacks the template's second and has one more in front.
        let target = format!("GGGW{}{}", &part[..1], &part[2..]);
        let text = format!(">t\nW{}-{}\n>s\n-{part}\n", &part[..1], &part[2..]);
        let mapping = parse("m", text.as_bytes()).unwrap();
        let (chain, pairs) = mapping.resolve(&target, &structure, None).unwrap();
        let expected: Vec<_> = std::iter::once((4, 6)).chain((8..16).map(|t| (t - 3, t))).collect();
        assert_eq!((chain.as_str(), pairs), ("A", expected));
        let why = |target: &str, chain| mapping.resolve(target, &structure, chain).unwrap_err();
        assert!(why("GGGW", None).contains("first row"));
        assert!(why(&target, Some("Z")).contains("not a part of chain Z"));
        let pairs = parse("m", br#"{"queryIndices": [3, 4], "templateIndices": [0, 9]}"#).unwrap();
        assert_eq!(pairs.resolve("GGGWA", &structure, None).unwrap().1, [(3, 0), (4, 9)]);
        assert!(pairs.resolve("G", &structure, Some("Z")).unwrap_err().contains("chains are A"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("MK\n", "m:1: expected a header"),
            (">a\nMK\n", "m: expected two rows, target and template, found 1"),
            (">a\nMK\n>b\nM\n", "m: expected rows of one width, found 2 and 1 columns"),
            (">a\nMK\n>b\nM7\n", "m:4:2: expected a residue or `-`, found `7`"),
            (r#"{"queryIndices": [1], "templateIndices": []}"#, "found 1 and 0"),
            (r#"{"queryIndices": [-1], "templateIndices": [0]}"#, "m: invalid value"),
            ("{", "m: EOF"),
            ("", "m: expected two rows, target and template, found 0"),
        ] {
            let error = parse("m", text.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
