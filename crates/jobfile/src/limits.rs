//! How much a job file may cost.

/// Upper bounds on one job file. Memory follows from them: readers hold a small multiple of `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file, decompressed; also of YAML with its aliases written out.
    pub bytes: u64,
    /// Jobs of one file.
    pub entries: usize,
    /// Chains, ligands and ions of one job, copies counted.
    pub chains: usize,
    /// Residues of one chain.
    pub residues: usize,
    /// Seeds of one job.
    pub seeds: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 20, entries: 10_000, chains: 1000, residues: 100_000, seeds: 1000 }
    }
}

/// Hard bound on entries of any list in a file, so that a list of empty entries stays small in memory.
pub(crate) const LIST: usize = 100_000;
/// Nodes of a YAML file, its aliases written out.
pub(crate) const NODES: usize = 100_000;
/// Lists and maps within each other in YAML. JSON: 128, by `serde_json`.
pub(crate) const DEPTH: usize = 24;
