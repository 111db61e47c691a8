//! What a job file asks for, whatever its dialect.

use crate::Place;

/// One job of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// As written; empty if there is none. Not yet safe as a file's name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Protein chains, in the order of the file. More than one, or one with several `ids`, is a complex.
    pub chains: Vec<Chain>,
    /// In the order of the file; empty where it names none.
    pub seeds: Vec<u64>,
    /// Ours only; other dialects leave them unsaid.
    pub options: Options,
    /// What this program cannot do and must not leave out: ligands, nucleic acids, modifications, bonds.
    pub unsupported: Vec<Unsupported>,
    /// What was changed or is not used.
    pub notes: Vec<Note>,
}

/// A protein chain, as often as it has `ids`.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Where it stands.
    pub place: Place,
    /// One for each copy; made up (A, B, …) where the format has none.
    pub ids: Vec<String>,
    /// Upper-case letters; empty where the alignment's first row is the sequence.
    pub sequence: String,
    /// Rows that belong to it.
    pub alignment: Alignment,
    /// Structures to use as templates.
    pub templates: Vec<Template>,
}

/// What a file says about a chain's alignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Alignment {
    /// Nothing: the program is to find one, if it can.
    #[default]
    None,
    /// The sequence alone is meant.
    Empty,
    /// A3M text.
    Text(String),
    /// A file, relative to the job file or absolute, as written.
    Path(String),
}

/// A text in the job file, or a file beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The text.
    Text(String),
    /// A file, relative to the job file or absolute, as written.
    Path(String),
}

/// A structure to use as a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Where it stands.
    pub place: Place,
    /// For people; empty if there is none.
    pub name: String,
    /// PDB or mmCIF.
    pub structure: Content,
    /// Its chain, if said.
    pub chain: Option<String>,
    /// Pairs of residue in the target and residue in the template's full sequence, both from 0, if said.
    pub mapping: Option<Vec<(usize, usize)>>,
}

/// What was changed or is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What.
    pub text: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What cannot be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Where it stands.
    pub place: Place,
    /// What it is, with its verb: `ligands are`.
    pub what: &'static str,
}

/// Options of our own jobs (docs/service.md); `None` where the file says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Model.
    pub model: Option<String>,
    /// Recycles after the first pass.
    pub recycles: Option<u32>,
    /// Stop recycling below this change of Cα distances, Å.
    pub recycle_tolerance: Option<f64>,
    /// Alignment rows at most, clustered and extra.
    pub max_msa: Option<(u32, u32)>,
    /// Of the queue.
    pub priority: Option<i32>,
    /// Of the queue.
    pub max_attempts: Option<u32>,
    /// Whether an earlier result of the same content may answer.
    pub reuse: Option<bool>,
    /// Whom to tell at the end.
    pub webhook: Option<Webhook>,
}

/// Whom to tell at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Address.
    pub url: String,
    /// Signs the calls.
    pub secret: Option<String>,
}
