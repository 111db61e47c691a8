//! What is to be folded, and how.

use crate::Engine;
use jobs::Digest;
use serde::{Deserialize, Serialize};

/// A blob with the name people know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alignment {
    /// Sha256 of the bytes: A3M, whose first row is the sequence.
    pub sha256: String,
    /// Its rows, the first included.
    pub rows: u32,
}

/// A structure offered as a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// For people.
    pub name: String,
    /// Sha256 of the bytes: PDB or mmCIF.
    pub sha256: String,
    /// Its chain; `None` takes the most similar one.
    pub chain: Option<String>,
}

/// How to fold. All have a default, which a client sees in the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// A model of the engine, or `auto`; in a job the one that `auto` meant when it was accepted.
    pub model: String,
    /// Recycles after the first pass; `None` is what the model has.
    pub recycles: Option<u32>,
    /// Stop recycling below this change of Cα distances, Å; 0 is never.
    pub recycle_tolerance: f64,
    /// The first seed.
    pub seed: u64,
    /// Predictions, with consecutive seeds.
    pub num_seeds: u32,
    /// Alignment rows at most, clustered and extra; `None` is what the model has.
    pub max_msa: Option<(u32, u32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: "auto".into(),
            recycles: None,
            recycle_tolerance: 0.0,
            seed: 0,
            num_seeds: 1,
            max_msa: None,
        }
    }
}

/// The request of a folding job, checked and complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// For people and for names of files: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// The 20 amino-acid letters and `X`.
    pub sequence: String,
    /// None folds the sequence alone.
    pub alignment: Option<Alignment>,
    /// Structures offered as templates.
    pub templates: Vec<Template>,
    /// How.
    pub options: Options,
    /// Of the model: a worker with other parameters gives the job back.
    pub weights_sha256: String,
}

impl Order {
    /// What decides on the result, and nothing else: two orders with the same content have the same coordinates and
    /// confidences. The name is part of it, because files carry it.
    pub fn content(&self, engine: &Engine) -> Digest {
        let key = serde_json::json!([engine.version, engine.device_class, self]);
        Digest::of(key.to_string().as_bytes())
    }

    /// Blobs it refers to, which must be kept as long as the job. Unreadable ones are left out: a job that names one
    /// cannot be folded.
    pub fn blobs(&self) -> Vec<Digest> {
        let alignment = self.alignment.iter().map(|alignment| &alignment.sha256);
        let templates = self.templates.iter().map(|template| &template.sha256);
        alignment.chain(templates).filter_map(|text| text.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    fn order() -> Order {
        Order {
            name: "t".into(),
            sequence: "MKVLA".into(),
            alignment: Some(Alignment { sha256: Digest::of(b"a").to_string(), rows: 3 }),
            templates: vec![Template {
                name: "x".into(),
                sha256: Digest::of(b"b").to_string(),
                chain: Some("B".into()),
            }],
            options: Options { model: "mini".into(), ..Options::default() },
            weights_sha256: "00".into(),
        }
    }

    #[test]
    fn what_decides_on_a_result_changes_its_content() {
        let engine = |class: &str| Engine {
            version: "1".into(),
            device_class: class.into(),
            device: "cpu".into(),
            models: vec![Model { name: "mini".into(), weights_sha256: "00".into(), about: String::new() }],
        };
        let mut others = vec![order(); 6];
        others[0].sequence = "MKVLC".into();
        others[1].alignment = None;
        others[2].templates[0].chain = None;
        others[3].options.seed = 1;
        others[4].weights_sha256 = "01".into();
        others[5].name = "u".into();
        let content = order().content(&engine("cpu"));
        assert_eq!(order().content(&engine("cpu")), content);
        assert_ne!(order().content(&engine("cuda")), content);
        assert!(others.iter().all(|other| other.content(&engine("cpu")) != content));
    }

    #[test]
    fn an_order_is_read_back_and_names_its_blobs() {
        let text = serde_json::to_string(&order()).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order());
        assert_eq!(order().blobs(), [Digest::of(b"a"), Digest::of(b"b")]);
        let more = text.replacen('{', r#"{"priority": 1, "#, 1);
        assert!(serde_json::from_str::<Order>(&more).unwrap_err().to_string().contains("priority"));
    }
}
