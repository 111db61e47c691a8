//! The order of things: what is done once, and what for every sample. AlphaFold `tf/input_pipeline.py`.

use crate::assemble::{Drawn, assemble};
use crate::fit::{Window, fit};
use crate::masking::{Replacements, profile};
use crate::philox::{Operations, crop_seed};
use crate::sampling::{Rows, block_delete, crop_extra, replace_with_unknown, sample};
use crate::{Error, FeatureConfig, FeatureSet, ModelInput, RawFeatures, TemplateInput, clusters};
use std::borrow::Cow;

/// Random operations before those of the samples: the two that replace residues by X.
const OPERATIONS_BEFORE: u64 = 2;

/// Samples, masks, clusters, crops and pads: AlphaFold's `np_example_to_features(raw, config, seed)`.
///
/// The same (raw, config, seed) gives the same bits on any number of threads.
///
/// # Errors
/// `Error::Config` if the configuration is not valid.
pub fn process(raw: &RawFeatures, config: &FeatureConfig, seed: u64) -> Result<FeatureSet, Error> {
    config.validate()?;
    let mut raw = Cow::Borrowed(raw);
    let unknown = config.common.replace_msa_with_unknown;
    if unknown > 0.0 {
        replace_with_unknown(raw.to_mut(), unknown, &mut Operations::new(seed, 0, 0));
    }
    let crop_seed = crop_seed(seed);
    let num_templates = raw.templates.as_ref().map_or(0, |t| t.len());
    let window = Window::draw(config, raw.num_res(), num_templates, crop_seed);
    let replacements = config
        .common
        .masked_msa
        .map(|masked| Replacements::new(&masked, &profile(&raw), config.eval.masked_msa_replace_fraction));
    let templates = config.common.use_templates.then(|| {
        let templates = raw.templates.as_ref();
        window.templates(templates, raw.num_res())
    });
    let shared = Shared { raw: &raw, config, window: &window, replacements, templates };

    let num_samples = config.num_samples();
    let samples = (0..num_samples as u64)
        .map(|i| {
            // One sample continues the graph; several are the repetitions of a graph of their own.
            let first = if num_samples == 1 { OPERATIONS_BEFORE } else { 0 };
            shared.sample(Operations::new(seed, first, i))
        })
        .collect();
    Ok(FeatureSet {
        samples,
        num_ensemble: config.eval.num_ensemble,
        crop_start: window.residues.start,
        crop_seed: Some(crop_seed),
    })
}

/// What all samples have in common.
struct Shared<'a> {
    raw: &'a RawFeatures,
    config: &'a FeatureConfig,
    window: &'a Window,
    replacements: Option<Replacements>,
    templates: Option<TemplateInput>,
}

impl Shared<'_> {
    /// Draws and builds one sample. The order of random operations is AlphaFold's.
    fn sample(&self, mut operations: Operations) -> ModelInput {
        let (raw, common) = (self.raw, &self.config.common);
        let rows = match &common.block_delete_msa {
            Some(blocks) => block_delete(raw.num_alignments(), blocks, &mut operations),
            None => (0..raw.num_alignments() as u32).collect(),
        };
        let Rows { centres, extra } = sample(rows, self.config.num_clusters(), &mut operations);
        let mut msa: Vec<u8> = centres.iter().flat_map(|&row| raw.row(row)).copied().collect();
        let bert_mask = self.replacements.as_ref().map(|r| r.apply(&mut msa, &mut operations));
        let summary = common.msa_cluster_features.then(|| {
            let assignment = clusters::nearest(&msa, &extra, raw);
            clusters::summarize(&msa, &centres, &extra, &assignment, raw)
        });
        let extra = crop_extra(extra, common.max_extra_msa, &mut operations);
        let drawn = Drawn { centres, msa, bert_mask, summary, extra };
        let templates = self.templates.clone().filter(|t| self.config.eval.fixed_size || !t.mask.is_empty());
        fit(assemble(raw, drawn, templates), self.window, self.config)
    }
}
