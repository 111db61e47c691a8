//! The published parameter sets: data/weights.json.

use serde::Deserialize;

/// The catalogue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalogue {
    /// Where its facts come from.
    #[serde(rename = "note")]
    _note: String,
    /// The archive from which AlphaFold models are taken.
    pub default_archive: String,
    pub entries: Vec<Entry>,
}

/// One downloadable file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub name: String,
    pub url: String,
    pub about: String,
    pub licence: String,
    /// Bytes, where published.
    pub size: Option<u64>,
    /// The publisher's rounded figure.
    pub size_stated: Option<String>,
    /// Hexadecimal, where published.
    pub sha256: Option<String>,
    /// Files to take out of a tar; empty if the file itself is the parameter set.
    pub members: Vec<String>,
}

impl Entry {
    /// The last part of the address.
    pub fn file_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }
}

/// Reads the catalogue that is built in.
pub(super) fn catalogue() -> anyhow::Result<Catalogue> {
    Ok(serde_json::from_str(include_str!("../../../../../data/weights.json"))?)
}

impl Catalogue {
    /// The entry that is called so or that holds a model called so.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        let member = format!("params_{name}.npz");
        self.entries.iter().find(|e| e.name == name || e.file_name() == name).or_else(|| {
            self.entries.iter().find(|e| e.name == self.default_archive && e.members.contains(&member))
        })
    }
}

/// The model a file holds: `params_model_1.npz` and `model_1.safetensors` hold `model_1`.
pub(super) fn model_name(file: &str) -> Option<&str> {
    let (stem, kind) = file.rsplit_once('.')?;
    match kind {
        "npz" => Some(stem.strip_prefix("params_").unwrap_or(stem)),
        "pt" | "safetensors" => Some(stem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sound() {
        let all = catalogue().unwrap();
        assert!(all.entry(&all.default_archive).is_some());
        assert_eq!(all.entry("model_3_ptm").unwrap().name, all.default_archive);
        assert_eq!(
            all.entry("finetuning_no_templ_ptm_1").unwrap().file_name(),
            "finetuning_no_templ_ptm_1.pt"
        );
        assert!(all.entry("model_9").is_none());
        for entry in &all.entries {
            assert!(entry.url.starts_with("https://"), "{}", entry.url);
            assert!(!entry.licence.is_empty() && !entry.about.is_empty());
            assert!(entry.sha256.as_ref().is_none_or(|s| s.len() == 64));
            assert!(entry.members.iter().all(|m| !m.contains('/') && model_name(m).is_some()));
            assert_eq!(entry.file_name().ends_with(".tar"), !entry.members.is_empty());
        }
    }

    #[test]
    fn files_tell_their_model() {
        assert_eq!(model_name("params_model_1_ptm.npz"), Some("model_1_ptm"));
        assert_eq!(model_name("finetuning_3.pt"), Some("finetuning_3"));
        assert_eq!(model_name("weights.lock.json"), None);
    }
}
