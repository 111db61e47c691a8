//! Which dialect a file is written in: by content where it is unmistakable, else by the name's ending.

use crate::error::quote;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The kinds of job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// JSON of alphafoldserver.com: a list of jobs.
    AlphaFoldServer,
    /// JSON of AlphaFold 3: one job.
    AlphaFold3,
    /// YAML of Boltz: one job.
    Boltz,
    /// `A:B` in FASTA, or a table with the columns `id` and `sequence`.
    ColabFold,
    /// Bodies of `POST /v1/jobs`: one, a list, or `{"jobs": [...]}`.
    Own,
}

/// The dialect of a decompressed file, or `None` if it is no job file. FASTA is one only if a sequence has `:` in it.
pub fn detect(name: &str, bytes: &[u8]) -> Option<Dialect> {
    let start = start(bytes);
    if matches!(start.first(), Some(b'{' | b'[')) {
        return Seen::look(start).dialect();
    }
    let first = start.split(|&b| b == b'\n' || b == b'\r').next().unwrap_or(start);
    let mut lines = start.split(|&b| b == b'\n' || b == b'\r');
    if first.starts_with(b">") || first.starts_with(b"#") && lines.clone().any(|l| l.starts_with(b">")) {
        // An alignment that says so is none, whatever its rows hold.
        let fasta = !matches!(ending(name).as_deref(), Some("a3m" | "a2m" | "sto" | "stk" | "stockholm"));
        let chains = lines.any(|l| !l.starts_with(b">") && !l.starts_with(b"#") && l.contains(&b':'));
        return (fasta && chains).then_some(Dialect::ColabFold);
    }
    match ending(name).as_deref() {
        Some("yaml" | "yml") => return Some(Dialect::Boltz),
        Some("csv" | "tsv") => return Some(Dialect::ColabFold),
        _ => {}
    }
    let header = String::from_utf8_lossy(&first[..first.len().min(1000)]).to_ascii_lowercase();
    let columns: Vec<&str> = header.split([',', '\t']).map(|c| c.trim().trim_matches('"')).collect();
    if columns.contains(&"id") && columns.contains(&"sequence") {
        return Some(Dialect::ColabFold);
    }
    lines.any(|l| l.trim_ascii_end() == b"sequences:").then_some(Dialect::Boltz)
}

/// What a file that is no job file looks like.
pub(crate) fn look(bytes: &[u8]) -> String {
    let start = start(bytes);
    match start.first() {
        None => "an empty file".to_string(),
        Some(b'{' | b'[') => {
            let keys: Vec<String> = Seen::look(start).keys.iter().take(8).map(|k| quote(k)).collect();
            match keys.is_empty() {
                true => "JSON without keys".to_string(),
                false => format!("JSON with the keys {}", keys.join(", ")),
            }
        }
        Some(_) => {
            let line = start.split(|&b| b == b'\n').next().unwrap_or(start);
            format!(
                "a file that begins with {}",
                quote(&String::from_utf8_lossy(&line[..line.len().min(200)]))
            )
        }
    }
}

fn start(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes).trim_ascii_start()
}

/// The ending in lower case, behind it that of a compression left out.
pub(crate) fn ending(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let name = [".gz", ".zst", ".zstd"].iter().find_map(|e| name.strip_suffix(e)).unwrap_or(&name);
    let file = name.rsplit(['/', '\\']).next()?;
    Some(file.rsplit_once('.')?.1.to_string())
}

/// Keys and dialect of a JSON document's outermost object, or of the first one in its list. Reads as far as the text is
/// sound, so that a damaged file is still known for what it is.
#[derive(Default)]
struct Seen {
    list: bool,
    dialect: Option<String>,
    keys: Vec<String>,
}

impl Seen {
    fn look(json: &[u8]) -> Self {
        let mut seen = Self::default();
        let _ = serde_json::Deserializer::from_slice(json).deserialize_any(&mut seen);
        seen
    }

    fn dialect(&self) -> Option<Dialect> {
        let has = |key: &str| self.keys.iter().any(|k| k == key);
        match self.dialect.as_deref() {
            Some("alphafoldserver") => Some(Dialect::AlphaFoldServer),
            Some("alphafold3") => Some(Dialect::AlphaFold3),
            _ if has("sequences") || has("modelSeeds") => {
                Some(if self.list { Dialect::AlphaFoldServer } else { Dialect::AlphaFold3 })
            }
            _ if has("sequence") || has("alignment") || has("jobs") => Some(Dialect::Own),
            _ => None,
        }
    }
}

/// Keys looked at; known dialects have fewer.
const KEYS: usize = 64;

impl<'de> Visitor<'de> for &mut Seen {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.list {
            self.list = true;
            list.next_element_seed(First(self))?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let dialect = key == "dialect";
            if self.keys.len() < KEYS {
                self.keys.push(key);
            }
            match dialect {
                true => self.dialect = map.next_value::<Option<String>>()?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct First<'a>(&'a mut Seen);

impl<'de> serde::de::DeserializeSeed<'de> for First<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_told_apart() {
        for (name, text, dialect) in [
            ("a.json", r#"[{"name": "x", "sequences": []}]"#, Some(Dialect::AlphaFoldServer)),
            ("a.json", r#"{"name": "x", "sequences": []}"#, Some(Dialect::AlphaFold3)),
            ("a.json", r#"[{"sequences": [], "dialect": "alphafold3"}]"#, Some(Dialect::AlphaFold3)),
            ("a.json", r#"{"dialect": "alphafoldserver", "sequ"#, Some(Dialect::AlphaFoldServer)),
            ("-", r#" [{"sequence": "MK"}]"#, Some(Dialect::Own)),
            ("-", "\u{feff}{\"jobs\": []}", Some(Dialect::Own)),
            ("a.json", r#"{"predicted_aligned_error": []}"#, None),
            ("a.json", "[[[{}]]]", None),
            ("x.YML.gz", "version: 1\n", Some(Dialect::Boltz)),
            ("-", "version: 1\nsequences:\n- protein:\n", Some(Dialect::Boltz)),
            ("a.csv", "name;seq\n", Some(Dialect::ColabFold)),
            ("-", "id,sequence\nx,MK\n", Some(Dialect::ColabFold)),
            ("a.fasta", ">x\nMK:\nMV\n", Some(Dialect::ColabFold)),
            ("a.fasta", "# note\n>x:y\nMK\n", None),
            ("a.a3m", ">x\nMK:MV\n", None),
            ("a.fasta", ">x\nMK\n", None),
            ("a.pdb", "ATOM   \n", None),
            ("", "", None),
        ] {
            assert_eq!(detect(name, text.as_bytes()), dialect, "{name} {text}");
        }
        assert_eq!(
            look(br#"{"predicted_aligned_error": []}"#),
            "JSON with the keys `predicted_aligned_error`"
        );
        assert_eq!(look(b"\n"), "an empty file");
    }
}
