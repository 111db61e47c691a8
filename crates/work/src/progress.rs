//! What a folding child tells while it works. Each becomes an event of the job, its kind the tag.

use serde::{Deserialize, Serialize};

/// One thing told; the tag `kind` is the event's kind, the rest its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Progress {
    /// What begins: `features`, `network` or `write`.
    Stage {
        /// Which one.
        stage: String,
    },
    /// What it will take.
    Plan {
        /// Memory at its highest.
        bytes: u64,
        /// Time of the network; unknown on a GPU.
        seconds: Option<f64>,
    },
    /// What was changed in the input, or is worth knowing.
    Note {
        /// A sentence.
        text: String,
    },
    /// How the alignment covers the sequence, told before folding begins.
    Coverage {
        /// Rows of the alignment, the sequence included.
        rows: u32,
        /// Effective number of rows.
        neff: f64,
        /// Bands of identity with the sequence, the closest first; in each, how many rows have a residue at each position.
        bands: Vec<Vec<u32>>,
    },
    /// Blocks of a pass went by; told a few times a second at most.
    Block {
        /// Which seed.
        seed: u64,
        /// The pass, from 1, recycles being passes 2 and on.
        pass: u32,
        /// Passes in all.
        passes: u32,
        /// Blocks done in this pass.
        block: u32,
        /// Blocks of a pass.
        blocks: u32,
    },
    /// A pass ended.
    Pass {
        /// Which seed.
        seed: u64,
        /// The pass, from 1.
        pass: u32,
        /// Passes in all.
        passes: u32,
        /// Mean pLDDT, 0–100.
        mean_plddt: f64,
        /// Predicted TM-score, of models that have it.
        ptm: Option<f64>,
        /// Mean change of Cα distances since the pass before, Å.
        change: f64,
        /// Since the pass before.
        seconds: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_kind() {
        let stage = Progress::Stage { stage: "features".into() };
        let json = serde_json::to_value(&stage).unwrap();
        assert_eq!(json, serde_json::json!({"kind": "stage", "stage": "features"}));
        assert_eq!(serde_json::from_value::<Progress>(json).unwrap(), stage);
    }
}
