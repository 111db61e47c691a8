//! A split judged chain by chain, with baselines, and the tables made of it.

use crate::accuracy::{Accuracy, accuracy, median, spearman};
use crate::judge::{Judged, judge};
use crate::{Known, Result, baselines};
use fold::Model;
use serde::Serialize;
use std::fmt::Write as _;

/// Scores of one chain by every way to predict it.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// The chain.
    pub id: String,
    /// Residues.
    pub length: usize,
    /// Rows of its alignment, itself included.
    pub depth: usize,
    /// Whether no chain of the training split is related to it.
    pub no_homolog: bool,
    /// The network with the alignment.
    pub aligned: Row,
    /// The network with the sequence alone.
    pub alone: Row,
    /// Its true secondary structure and nothing else.
    pub secondary: Row,
    /// Random torsions.
    pub random: Row,
}

/// One way's scores.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// lDDT-Cα, 0–1.
    pub lddt_ca: f64,
    /// TM-score.
    pub tm_score: f64,
    /// Å.
    pub drmsd: f64,
    /// Mean pLDDT, 0–100; 0 without a network.
    pub plddt: f64,
}

impl From<Judged> for Row {
    fn from(j: Judged) -> Self {
        Self { plddt: j.plddt, ..j.accuracy.into() }
    }
}

impl From<Accuracy> for Row {
    fn from(a: Accuracy) -> Self {
        Self { lddt_ca: a.lddt_ca, tm_score: a.tm_score, drmsd: a.drmsd, plddt: 0.0 }
    }
}

/// Judges one chain. `number` seeds the random baseline.
///
/// # Errors  as [`judge`].
pub fn record(
    model: &Model,
    features: &features::FeatureConfig,
    recycles: usize,
    (chain, no_homolog, number): (&Known, bool, u64),
) -> Result<Record> {
    let aligned: Row = judge(model, chain, features, recycles, false)?.into();
    let alone =
        if chain.depth() == 1 { aligned } else { judge(model, chain, features, recycles, true)?.into() };
    Ok(Record {
        id: chain.id.clone(),
        length: chain.len(),
        depth: chain.depth(),
        no_homolog,
        aligned,
        alone,
        secondary: accuracy(&baselines::secondary_structure(chain), chain)?.into(),
        random: accuracy(&baselines::random(chain.len(), number), chain)?.into(),
    })
}

type Group = (&'static str, fn(&Record) -> bool);

/// Which chains a line of the table is about.
const GROUPS: [Group; 9] = [
    ("all", |_| true),
    ("without homologs in training", |r| r.no_homolog),
    ("30–79 residues", |r| r.length < 80),
    ("80–127 residues", |r| (80..128).contains(&r.length)),
    ("128–255 residues", |r| (128..256).contains(&r.length)),
    ("256 residues and more", |r| r.length >= 256),
    ("alignment of 1 row", |r| r.depth == 1),
    ("alignment of 2–15 rows", |r| (2..16).contains(&r.depth)),
    ("alignment of 16 rows and more", |r| r.depth >= 16),
];

/// The table in Markdown: medians of lDDT-Cα and TM-score (and of dRMSD with the alignment) for every group, and how
/// pLDDT follows lDDT.
pub fn table(records: &[Record]) -> String {
    let mut text = String::from(
        "| chains | n | with alignment: lDDT-Cα / TM / dRMSD Å | sequence alone: lDDT-Cα / TM | true secondary structure: lDDT-Cα / TM | random: lDDT-Cα / TM |\n|---|---|---|---|---|---|\n",
    );
    for (name, of) in GROUPS {
        let group: Vec<&Record> = records.iter().filter(|r| of(r)).collect();
        let mid = |f: fn(&Record) -> f64| {
            let all: Vec<f64> = group.iter().map(|r| f(r)).collect();
            median(&all)
        };
        let Some(lddt) = mid(|r| r.aligned.lddt_ca) else { continue };
        let number = |x: Option<f64>| x.unwrap_or_default();
        let _ = writeln!(
            text,
            "| {name} | {} | {lddt:.3} / {:.3} / {:.1} | {:.3} / {:.3} | {:.3} / {:.3} | {:.3} / {:.3} |",
            group.len(),
            number(mid(|r| r.aligned.tm_score)),
            number(mid(|r| r.aligned.drmsd)),
            number(mid(|r| r.alone.lddt_ca)),
            number(mid(|r| r.alone.tm_score)),
            number(mid(|r| r.secondary.lddt_ca)),
            number(mid(|r| r.secondary.tm_score)),
            number(mid(|r| r.random.lddt_ca)),
            number(mid(|r| r.random.tm_score)),
        );
    }
    let mut rank = |name: &str, of: fn(&Record) -> Row| {
        let pairs: Vec<Row> = records.iter().map(of).collect();
        let column = |f: fn(&Row) -> f64| pairs.iter().map(f).collect::<Vec<f64>>();
        if let Some(rho) = spearman(&column(|r| r.plddt), &column(|r| r.lddt_ca)) {
            let _ = writeln!(
                text,
                "\nSpearman correlation of mean pLDDT and lDDT-Cα over chains, {name}: {rho:.3}"
            );
        }
    };
    rank("with alignment", |r| r.aligned);
    rank("sequence alone", |r| r.alone);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_what_they_say() {
        let row = |x: f64| Row { lddt_ca: x, tm_score: x / 2.0, drmsd: 9.0, plddt: 100.0 * x };
        let record = |length, depth, no_homolog, x: f64| Record {
            id: "a".into(),
            length,
            depth,
            no_homolog,
            aligned: row(x),
            alone: row(x - 0.1),
            secondary: row(0.2),
            random: row(0.1),
        };
        let text = table(&[record(40, 1, true, 0.5), record(90, 20, false, 0.7), record(300, 3, false, 0.6)]);
        assert!(text.contains("| all | 3 | 0.600 / 0.300 / 9.0 | 0.500 / 0.250 |"), "{text}");
        assert!(text.contains("| without homologs in training | 1 | 0.500"), "{text}");
        assert!(text.contains("| 30–79 residues | 1 | 0.500") && !text.contains("128–255"), "{text}");
        assert!(text.contains("with alignment: 1.000"), "{text}");
    }
}
