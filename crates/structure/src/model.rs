//! The types both directions share: what was read, and what is to be written.

use crate::Error;

/// File format of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Legacy PDB, 80 columns.
    Pdb,
    /// PDBx/mmCIF or ModelCIF.
    MmCif,
}

/// What a reader accepts at most; beyond it the answer is [`Error::TooLarge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// File size, bytes.
    pub bytes: usize,
    /// Atom records of the first model.
    pub atoms: usize,
    /// Residues with coordinates and monomers in the file's sequences together; also monomers in the
    /// sequences of all chains, where chains share one.
    pub residues: usize,
    /// Length of a line, bytes.
    pub line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 512 << 20, atoms: 2_000_000, residues: 200_000, line: 64 << 10 }
    }
}

/// The protein chains of a file's first model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Structure {
    /// Entry name as in the file (`1ABC`), empty if the file gives none.
    pub id: String,
    /// Title.
    pub title: Option<String>,
    /// Experimental methods, lower case, joined by commas.
    pub method: Option<String>,
    /// Resolution, Å.
    pub resolution: Option<f32>,
    /// Date of first release, `YYYY-MM-DD`: the oldest revision, as AlphaFold filters templates.
    pub released: Option<String>,
    /// Chains with at least one amino-acid residue, in file order.
    pub chains: Vec<Chain>,
    /// What in the file was set aside, for people: a sequence its coordinates contradict.
    pub notes: Vec<String>,
}

/// One polypeptide chain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chain {
    /// The authors' chain name (`auth_asym_id`; PDB column 22). This is what users mean.
    pub id: String,
    /// mmCIF's own name (`label_asym_id`), unique in the file.
    pub label: String,
    /// The full sequence as deposited (SEQRES, `_entity_poly_seq`), residues without coordinates included.
    pub sequence: Option<Vec<Monomer>>,
    /// Residues with at least one of the 37 atoms, in file order.
    pub residues: Vec<Residue>,
}

/// One position of a deposited sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monomer {
    /// Component name as in the file (`MSE`).
    pub name: String,
    /// Type, 0–19 in chem's order, 20 = unknown; modified residues carry their parent's.
    pub aatype: u8,
}

/// One residue with coordinates, in atom37 layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Residue {
    /// Component name as in the file (`MSE`).
    pub name: String,
    /// Type, 0–19 in chem's order, 20 = unknown; modified residues carry their parent's.
    pub aatype: u8,
    /// The authors' residue number.
    pub number: i32,
    /// Insertion code, if any.
    pub insertion: Option<char>,
    /// Position in [`Chain::sequence`], counted from 1, where known.
    pub label_seq: Option<u32>,
    /// Written as HETATM.
    pub hetero: bool,
    /// Coordinates [37][x, y, z], Å; zero where `mask` is false.
    pub positions: [[f32; 3]; 37],
    /// Which of the 37 atoms are there.
    pub mask: [bool; 37],
    /// B factors [37], Å² (in predictions: pLDDT, 0–100).
    pub b_factor: [f32; 37],
    /// Occupancies [37], 0–1.
    pub occupancy: [f32; 37],
}

/// One position of a chain's full sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position<'a> {
    /// Component name (`MSE`).
    pub name: &'a str,
    /// Type, 0–19, 20 = unknown.
    pub aatype: u8,
    /// The residue's coordinates, or `None` if it was not resolved.
    pub residue: Option<&'a Residue>,
}

impl Structure {
    /// The chain of that name: by the authors' name first, then by mmCIF's own.
    pub fn chain(&self, id: &str) -> Option<&Chain> {
        let by_author = self.chains.iter().find(|c| c.id == id);
        by_author.or_else(|| self.chains.iter().find(|c| c.label == id))
    }
}

impl Chain {
    /// Every position of the chain, unresolved ones included, in sequence order.
    ///
    /// Where the file gives no sequence (or one its coordinates contradict) these are the residues with
    /// coordinates, in file order.
    pub fn full_sequence(&self) -> Vec<Position<'_>> {
        let Some(sequence) = &self.sequence else {
            let all = self.residues.iter();
            return all.map(|r| Position { name: &r.name, aatype: r.aatype, residue: Some(r) }).collect();
        };
        let mut all: Vec<Position<'_>> =
            sequence.iter().map(|m| Position { name: &m.name, aatype: m.aatype, residue: None }).collect();
        for residue in &self.residues {
            let index = residue.label_seq.and_then(|n| (n as usize).checked_sub(1));
            if let Some(position) = index.and_then(|i| all.get_mut(i)) {
                position.residue.get_or_insert(residue);
            }
        }
        all
    }
}

/// A predicted structure, ready to be written. Made by [`Prediction::new`], which checks it, so that
/// writing cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub(crate) name: String,
    pub(crate) chains: Vec<PredictedChain>,
    pub(crate) positions: Vec<[[f32; 3]; 37]>,
    pub(crate) mask: Vec<[bool; 37]>,
    pub(crate) plddt: Vec<f32>,
}

/// A chain of a [`Prediction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictedChain {
    /// Chain name: letters and digits, distinct within a prediction.
    pub id: String,
    /// Types [r_chain], 0–20.
    pub aatype: Vec<u8>,
    /// Residue numbers [r_chain], strictly increasing, -999 to 2,436,111 (what hybrid-36 can hold).
    pub numbers: Vec<i32>,
}

impl Prediction {
    /// Checks and keeps a prediction of r residues, all chains after one another.
    /// - `positions` [r][37][3], Å
    /// - `mask`      [r][37], atoms to be written
    /// - `plddt`     [r], 0–100
    ///
    /// # Errors
    /// [`Error::Prediction`] if lengths differ, a chain name or number cannot be written, a type is above 20,
    /// a masked-in coordinate is not finite or beyond 10⁶ Å, or a pLDDT is outside 0–100.
    pub fn new(
        name: &str,
        chains: Vec<PredictedChain>,
        positions: Vec<[[f32; 3]; 37]>,
        mask: Vec<[bool; 37]>,
        plddt: Vec<f32>,
    ) -> Result<Self, Error> {
        let fail = |what: String| Err(Error::Prediction { name: name.to_string(), what });
        let r: usize = chains.iter().map(|c| c.aatype.len()).sum();
        if r == 0 {
            return fail("expected at least one residue, found none".into());
        }
        for (what, found) in [("positions", positions.len()), ("mask", mask.len()), ("plddt", plddt.len())] {
            if found != r {
                return fail(format!("{what}: expected [{r}], found [{found}]"));
            }
        }
        for (i, chain) in chains.iter().enumerate() {
            let id = &chain.id;
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return fail(format!("chain name {id:?}: expected letters and digits"));
            }
            if chains[..i].iter().any(|c| c.id == *id) {
                return fail(format!("two chains are named {id:?}"));
            }
            if chain.numbers.len() != chain.aatype.len() {
                let (n, r) = (chain.numbers.len(), chain.aatype.len());
                return fail(format!("chain {id}: expected {r} residue numbers, found {n}"));
            }
            if let Some(bad) = chain.aatype.iter().find(|&&a| a > 20) {
                return fail(format!("chain {id}: expected residue types up to 20, found {bad}"));
            }
            if let Some(pair) = chain.numbers.windows(2).find(|w| w[0] >= w[1]) {
                return fail(format!("chain {id}: residue number {} comes after {}", pair[1], pair[0]));
            }
            if let Some(bad) = chain.numbers.iter().find(|n| !(-999..=2_436_111).contains(*n)) {
                return fail(format!("chain {id}: residue number {bad} is outside -999 to 2436111"));
            }
        }
        for (i, (xyz, present)) in positions.iter().zip(&mask).enumerate() {
            let atoms = xyz.iter().zip(present).filter(|(_, m)| **m);
            if let Some(bad) = atoms.flat_map(|(p, _)| p).find(|c| !c.is_finite() || c.abs() >= 1e6) {
                return fail(format!("residue {}: coordinate {bad} is not within 1000000 Å", i + 1));
            }
        }
        if let Some(i) = plddt.iter().position(|p| !(0.0..=100.0).contains(p)) {
            return fail(format!("residue {}: expected pLDDT from 0 to 100, found {}", i + 1, plddt[i]));
        }
        Ok(Prediction { name: name.to_string(), chains, positions, mask, plddt })
    }

    /// Name of the target.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Mean pLDDT over residues, 0–100.
    pub fn mean_plddt(&self) -> f32 {
        let sum: f64 = self.plddt.iter().map(|&p| f64::from(p)).sum();
        (sum / self.plddt.len() as f64) as f32
    }
}

/// Where a prediction comes from; printed into ModelCIF. Nothing here is looked up: same input, same bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// Program, `foldry`.
    pub software: String,
    /// Its version.
    pub version: String,
    /// Parameter set, `model_1_ptm`.
    pub model: String,
    /// SHA-256 of the parameter file, hexadecimal.
    pub weights_sha256: String,
    /// Day of the prediction, `YYYY-MM-DD`.
    pub created: String,
    /// Predicted TM-score, 0–1.
    pub ptm: Option<f32>,
    /// Interface predicted TM-score, 0–1.
    pub iptm: Option<f32>,
    /// Which alignment was used, in words (`128 rows from target.a3m`); `None` for a single sequence.
    pub msa: Option<String>,
    /// Which templates were used, in words; `None` for none.
    pub templates: Option<String>,
    /// Further settings as (name, value): recycles, seed.
    pub parameters: Vec<(String, String)>,
}
