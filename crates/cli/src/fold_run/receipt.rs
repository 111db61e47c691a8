//! What a result was made from, and whether a finished one is the one that is asked for.

use msa::Target;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Everything besides the target that decides on a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Model name.
    pub model: String,
    /// SHA-256 of the parameter file.
    pub weights_sha256: String,
    /// Number type of the parameters.
    pub dtype: String,
    /// Where it is computed.
    pub device: String,
    /// Recycles after the first pass.
    pub recycles: usize,
    /// Early stop, Å; 0 is never.
    pub recycle_tolerance: f64,
    /// First seed.
    pub seed: u64,
    /// Seeds from the first one on.
    pub num_seeds: usize,
    /// Clustered rows, at most.
    pub max_msa_clusters: usize,
    /// Extra rows, at most.
    pub max_extra_msa: usize,
    /// SHA-256 of the features' configuration.
    pub config_sha256: String,
}

/// Settings and the input's hash, as `summary.json` holds them under `receipt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Engine and version.
    pub engine: String,
    /// SHA-256 over sequence, alignment and templates.
    pub inputs_sha256: String,
    /// SHA-256 over the processed features of each seed.
    pub features_sha256: Vec<String>,
    /// The settings.
    #[serde(flatten)]
    pub settings: Settings,
}

/// What a second run finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// No such folder, or an empty one.
    Nothing,
    /// A finished result of the same input and settings, every file as it was written.
    Same(Box<serde_json::Value>),
    /// A result with files missing or cut off; which.
    Damaged(String),
    /// A finished result of others, or with files that were changed since; what differs.
    Differs(Vec<String>),
    /// Something that is no result of ours; what.
    Foreign(&'static str),
}

/// The name and version of this program.
pub fn engine() -> String {
    format!("foldry {}", env!("CARGO_PKG_VERSION"))
}

/// SHA-256 over parts, hexadecimal. Each part is preceded by its length, so that no two lists are alike.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Hash of what a target brings, with the templates' keys.
pub fn inputs_sha256(target: &Target, templates: &[String]) -> String {
    let mut parts = vec![target.sequence.as_bytes().to_vec()];
    if let Some(msa) = &target.msa {
        parts.push(msa.letters().to_vec());
        let deletions = (0..msa.rows())
            .flat_map(|row| msa.deletions(row).iter().flat_map(move |d| [row as u32, d.column, d.count]));
        parts.push(deletions.flat_map(u32::to_le_bytes).collect());
    }
    parts.extend(templates.iter().map(|t| t.as_bytes().to_vec()));
    sha256(parts.iter().map(Vec::as_slice))
}

/// SHA-256 of a file's content, hexadecimal.
pub fn sha256_of(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

/// Looks at a target's folder. The engine's version and the features' hash, which follows from the rest,
/// are not held against a finished result.
pub fn look(folder: &Path, inputs_sha256: &str, settings: &Settings) -> Found {
    if !folder.exists() {
        return Found::Nothing;
    }
    let Ok(mut entries) = std::fs::read_dir(folder) else { return Found::Foreign("a file") };
    if entries.next().is_none() {
        return Found::Nothing;
    }
    let Ok(bytes) = std::fs::read(folder.join("summary.json")) else {
        return Found::Foreign("another folder");
    };
    let summary = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
    let Some(summary) = summary.filter(|s| s["receipt"].is_object() && s["files"].is_object()) else {
        return Found::Damaged("summary.json is cut off or not ours".to_string());
    };
    let old = &summary["receipt"];
    let mut differs = Vec::new();
    if old["inputs_sha256"] != inputs_sha256 {
        differs.push("other sequence, alignment or templates".to_string());
    }
    if let Ok(serde_json::Value::Object(new)) = serde_json::to_value(settings) {
        for (name, value) in new.iter().filter(|(name, value)| old[name.as_str()] != **value) {
            differs.push(format!("{name} {} instead of {value}", old[name.as_str()]));
        }
    }
    if !differs.is_empty() {
        return Found::Differs(differs);
    }
    for (name, known) in summary["files"].as_object().into_iter().flatten() {
        match std::fs::read(folder.join(name)) {
            _ if !super::draft::is_ours(name) => {
                return Found::Damaged(format!("{name} is not a result's"));
            }
            Err(_) => return Found::Damaged(format!("{name} is missing")),
            Ok(content) if known["sha256"] == sha256_of(&content) => {}
            Ok(content) if known["bytes"].as_u64() > Some(content.len() as u64) => {
                return Found::Damaged(format!("{name} is cut off"));
            }
            Ok(_) => differs.push(format!("{name} changed since")),
        }
    }
    if differs.is_empty() { Found::Same(Box::new(summary)) } else { Found::Differs(differs) }
}

/// Today, UTC, `YYYY-MM-DD`.
pub fn today() -> String {
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date_of_day((seconds / 86_400) as i64)
}

/// Date of a day counted from 1970-01-01 (Hinnant, `civil_from_days`).
fn date_of_day(day: i64) -> String {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{m:02}-{d:02}", yoe + era * 400 + i64::from(m <= 2))
}

#[cfg(test)]
pub(super) fn example() -> Settings {
    Settings {
        model: "model_1_ptm".into(),
        weights_sha256: "ab".repeat(32),
        dtype: "f32".into(),
        device: "cpu".into(),
        recycles: 3,
        recycle_tolerance: 0.5,
        seed: 7,
        num_seeds: 2,
        max_msa_clusters: 512,
        max_extra_msa: 1024,
        config_sha256: "cd".repeat(32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_result_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let (place, settings) = (folder.path().join("t"), example());
        assert_eq!(look(&place, "in", &settings), Found::Nothing);
        std::fs::create_dir(&place).unwrap();
        assert_eq!(look(&place, "in", &settings), Found::Nothing);
        std::fs::write(place.join("rank_001.pdb"), "ATOM").unwrap();
        assert_eq!(look(&place, "in", &settings), Found::Foreign("another folder"));
        assert_eq!(look(&place.join("rank_001.pdb"), "in", &settings), Found::Foreign("a file"));
        let receipt = Receipt {
            engine: "foldry 0.0.1".into(),
            inputs_sha256: "in".into(),
            features_sha256: vec!["x".into()],
            settings: settings.clone(),
        };
        let file = serde_json::json!({"bytes": 4, "sha256": sha256_of(b"ATOM")});
        let summary = serde_json::json!({"name": "t", "receipt": receipt, "files": {"rank_001.pdb": file}});
        let text = summary.to_string();
        for cut in [0, 1, text.len() / 2, text.len() - 1] {
            std::fs::write(place.join("summary.json"), &text[..cut]).unwrap();
            assert!(matches!(look(&place, "in", &settings), Found::Damaged(_)), "{cut}");
        }
        std::fs::write(place.join("summary.json"), &text).unwrap();
        assert_eq!(look(&place, "in", &settings), Found::Same(Box::new(summary)));
        for (content, found) in [
            (Some(""), Found::Damaged("rank_001.pdb is cut off".into())),
            (Some("ATOZ"), Found::Differs(vec!["rank_001.pdb changed since".into()])),
            (Some("ATOMS"), Found::Differs(vec!["rank_001.pdb changed since".into()])),
            (None, Found::Damaged("rank_001.pdb is missing".into())),
        ] {
            match content {
                Some(content) => std::fs::write(place.join("rank_001.pdb"), content).unwrap(),
                None => std::fs::remove_file(place.join("rank_001.pdb")).unwrap(),
            }
            assert_eq!(look(&place, "in", &settings), found);
        }
        let other = Settings { recycles: 1, seed: 8, ..settings };
        let Found::Differs(what) = look(&place, "other", &other) else { panic!("same") };
        assert_eq!(
            what,
            ["other sequence, alignment or templates", "recycles 3 instead of 1", "seed 7 instead of 8"]
        );
    }

    #[test]
    fn input_hash_sees_every_part() {
        let parse =
            |text: &str| msa::parse("x.a3m", text.as_bytes(), &msa::Limits::default()).unwrap().remove(0);
        let base = inputs_sha256(&parse(">q\nMKV\n>a\nM-V\n"), &[]);
        assert_eq!(base, inputs_sha256(&parse(">q\nMKV\n>b\nM-V\n"), &[])); // names of rows do not count
        for (text, templates) in [
            (">q\nMKV\n>a\nMK-\n", vec![]),
            (">q\nMKV\n>a\nMa-V\n", vec![]),
            (">q\nMKV\n>a\nM-V\n", vec!["t".to_string()]),
        ] {
            assert_ne!(base, inputs_sha256(&parse(text), &templates), "{text}");
        }
        assert_ne!(sha256([&b"ab"[..], b"c"]), sha256([&b"a"[..], b"bc"]));
    }

    #[test]
    fn days_have_dates() {
        assert_eq!(
            [0, 59, 19_782, 20_514].map(date_of_day),
            ["1970-01-01", "1970-03-01", "2024-02-29", "2026-03-02"]
        );
    }
}
