//! What a job made.

use jobs::Digest;
use serde::{Deserialize, Serialize};

/// A file of a result: a blob and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Item {
    /// As `foldry fold` calls it: `rank_001.pdb`, `summary.json` …
    #[cfg_attr(feature = "schema", schema(example = "rank_001.pdb"))]
    pub name: String,
    /// Of its bytes.
    pub sha256: String,
    /// How many.
    pub bytes: u64,
}

/// One prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Ranked {
    /// From 1, the best.
    pub rank: u32,
    /// Its seed.
    pub seed: u64,
    /// Mean pLDDT, 0–100.
    pub mean_plddt: f64,
    /// Predicted TM-score, of models that have it.
    pub ptm: Option<f64>,
    /// Passes made.
    pub passes: u32,
}

/// The result of a folding job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Product {
    /// What folded it.
    pub version: String,
    /// On what.
    pub device: String,
    /// The model.
    pub model: String,
    /// Its parameters.
    pub weights_sha256: String,
    /// Length of the sequence.
    pub residues: u32,
    /// From the claim to the files, seconds.
    pub seconds: f64,
    /// Predictions, the best first; their files are `rank_NNN.pdb`, `.cif`, `.scores.json`, `.pae.json`.
    pub ranking: Vec<Ranked>,
    /// All files, `summary.json` and `report.html` among them.
    pub files: Vec<Item>,
}

impl Product {
    /// A file by its name.
    pub fn file(&self, name: &str) -> Option<&Item> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Blobs it refers to.
    pub fn blobs(&self) -> Vec<Digest> {
        self.files.iter().filter_map(|file| file.sha256.parse().ok()).collect()
    }
}
