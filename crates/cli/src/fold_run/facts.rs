//! What the files of a target say beside coordinates.

use super::network::Network;
use super::outputs::backbone;
use super::receipt::{self, Receipt};
use super::target::Run;
use crate::machine;
use crate::report::{Model as ReportModel, Report};
use fold::Prediction;
use msa::{Msa, Target};
use structure::Provenance;

/// How an alignment covers its query.
pub(super) struct Coverage {
    pub(super) neff: f64,
    /// By identity, the farthest band first; rows with a residue at each position.
    pub(super) bands: Vec<Vec<u32>>,
}

impl Coverage {
    /// None of a sequence alone.
    pub(super) fn of(msa: &Msa) -> Option<Self> {
        (msa.rows() > 1).then(|| {
            let depth = msa::depth::depth(msa);
            Self { neff: depth.neff, bands: msa::depth::coverage_by_identity(msa, &depth, 5) }
        })
    }
}

/// What ModelCIF and the report say about a run.
pub(super) struct Facts<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) network: &'a Network,
    pub(super) target: &'a Target,
    pub(super) msa: &'a Msa,
    pub(super) coverage: Option<&'a Coverage>,
    pub(super) used: usize,
    pub(super) notes: &'a [String],
}

impl Facts<'_> {
    pub(super) fn provenance(&self, seed: u64, model: &Prediction) -> Provenance {
        let rows = self.msa.rows();
        Provenance {
            software: "foldry".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            model: self.network.model.clone(),
            weights_sha256: self.network.weights_sha256.clone(),
            created: receipt::today(),
            ptm: model.ptm,
            iptm: None,
            msa: (rows > 1).then(|| format!("{rows} rows")),
            templates: (self.used > 0).then(|| format!("{} given by the user", self.used)),
            parameters: vec![
                ("recycles".into(), (model.passes - 1).to_string()),
                ("seed".into(), seed.to_string()),
                ("dtype".into(), self.run.settings.dtype.clone()),
            ],
        }
    }

    pub(super) fn report(&self, ranked: &[(u64, Prediction)], receipt: &Receipt, seconds: f64) -> Report {
        let pair = |name: &str, value: String| (name.to_string(), value);
        let models = ranked.iter().enumerate().map(|(i, (seed, model))| {
            let mut facts = vec![pair("Mean pLDDT", format!("{:.1}", model.mean_plddt()))];
            facts.extend(model.ptm.map(|p| pair("pTM", format!("{p:.2}"))));
            facts.push(pair("Recycles", (model.passes - 1).to_string()));
            ReportModel {
                label: format!("rank {}, {}, seed {seed}", i + 1, self.network.model),
                facts,
                plddt: model.plddt.clone(),
                backbone: backbone(model),
                pae: model.pae.clone(),
                max_pae: model.max_pae,
            }
        });
        let mut facts = vec![pair("Length", format!("{} residues", self.target.sequence.len()))];
        if let Some(coverage) = self.coverage {
            facts.push(pair("Alignment", format!("{} rows, Neff {:.0}", self.msa.rows(), coverage.neff)));
        }
        facts.extend([
            pair("Templates", self.used.to_string()),
            pair("Model", self.network.model.clone()),
            pair("Weights sha256", self.network.weights_sha256.clone()),
            pair("Engine", receipt.engine.clone()),
            pair("Time", machine::duration(seconds)),
        ]);
        Report {
            name: self.target.name.clone(),
            sequence: self.target.sequence.clone(),
            models: models.collect(),
            coverage: self.coverage.map(|coverage| coverage.bands.clone()).unwrap_or_default(),
            facts,
            notes: self.notes.to_vec(),
        }
    }
}
