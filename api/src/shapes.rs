//! The JSON that clients send.

use crate::object;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A job to be folded. `sequence`, `alignment` or both are needed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// For people and for names of files; what cannot be part of a file's name becomes `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, example = "t1")]
    pub name: Option<String>,
    /// One chain: amino-acid letters; blanks, gaps and a final `*` are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        pattern = r"^[A-Za-z \t\r\n.-]*[A-Za-z][A-Za-z \t\r\n.-]*[* \t\r\n.-]*$",
        example = "MKVLAAGIVGLLLAQPSWA"
    )]
    pub sequence: Option<String>,
    /// A3M, aligned FASTA or Stockholm, as text; its first row is the sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = ">q\nMKVLAAGIVGLLLAQPSWA\n>a\nMKVIAAGIVGLLL-QPSWA\n")]
    pub alignment: Option<String>,
    /// Structures offered as templates.
    #[serde(default, deserialize_with = "object::list", skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<NewTemplate>,
    /// How to fold.
    #[serde(default, deserialize_with = "object::one")]
    pub options: NewOptions,
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(minimum = -100, maximum = 100, example = 0)]
    pub priority: i32,
    /// Attempts before the job fails; the server's policy if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 20, example = 5)]
    pub max_attempts: Option<u32>,
    /// Whom to tell of the end.
    #[serde(default, deserialize_with = "object::maybe", skip_serializing_if = "Option::is_none")]
    pub webhook: Option<NewWebhook>,
    /// Answer from an earlier result of the same content.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    #[schema(default = true)]
    pub reuse: bool,
}

/// A structure offered as a template.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTemplate {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, example = "x.pdb")]
    pub name: Option<String>,
    /// PDB or mmCIF, as text.
    #[schema(example = "ATOM      1  CA  ALA A   1       1.000   2.000   3.000  1.00  0.00           C  \n")]
    pub structure: String,
    /// Its chain; the most similar one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9]{1,4}$", example = "A")]
    pub chain: Option<String>,
}

/// How to fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewOptions {
    /// A model of `GET /v1/engine`; `auto` is its first.
    #[schema(default = "auto", example = "auto")]
    pub model: String,
    /// Recycles after the first pass; what the model has if absent.
    #[schema(minimum = 0, example = 3)]
    pub recycles: Option<u32>,
    /// Stop recycling below this change of Cα distances, Å; 0 is never.
    #[schema(minimum = 0, maximum = 1000, example = 0.0)]
    pub recycle_tolerance: f64,
    /// The first seed.
    #[schema(minimum = 0, maximum = 9007199254740991_u64, example = 0)]
    pub seed: u64,
    /// Predictions, with consecutive seeds.
    #[schema(minimum = 1, example = 1)]
    pub num_seeds: u32,
    /// Alignment rows at most, clustered and extra; what the model has if absent.
    #[schema(value_type = Option<Vec<u32>>, min_items = 2, max_items = 2, example = json!([512, 1024]))]
    pub max_msa: Option<(u32, u32)>,
}

impl Default for NewOptions {
    fn default() -> Self {
        work::Options::default().into()
    }
}

impl From<work::Options> for NewOptions {
    fn from(options: work::Options) -> Self {
        let work::Options { model, recycles, recycle_tolerance, seed, num_seeds, max_msa } = options;
        Self { model, recycles, recycle_tolerance, seed, num_seeds, max_msa }
    }
}

impl From<NewOptions> for work::Options {
    fn from(options: NewOptions) -> Self {
        let NewOptions { model, recycles, recycle_tolerance, seed, num_seeds, max_msa } = options;
        Self { model, recycles, recycle_tolerance, seed, num_seeds, max_msa }
    }
}

/// Whom to tell of a job's end, with a signature (Standard Webhooks).
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// An `https` address on the public internet.
    #[schema(pattern = "^https://", max_length = 2000, example = "https://example.com/hook")]
    pub url: String,
    /// `whsec_` and base64 of 24 to 64 bytes; signs what is sent.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]+=*$", example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
}

/// A secret is never printed.
impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewWebhook({:?})", self.url)
    }
}

/// Jobs that are accepted together or not at all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// At least one.
    #[serde(deserialize_with = "object::list")]
    #[schema(min_items = 1)]
    pub jobs: Vec<NewJob>,
}

/// Bodies for `POST /v1/jobs`, made from an input file.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inputs {
    /// One for each chain of the file; nothing is accepted yet.
    pub jobs: Vec<NewJob>,
    /// What was changed in the input, or is worth knowing.
    pub notes: Vec<String>,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}
