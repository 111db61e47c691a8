//! Cropping and padding of one sample. AlphaFold `random_crop_to_size`, `make_fixed_size`, `crop_templates`.

use crate::philox::Stream;
use crate::{AtomMaps, FeatureConfig, ModelInput, RawTemplates, TemplateInput};
use ndarray::{Array, Axis, Dimension, Slice};
use std::ops::Range;

/// What is kept of residues and templates: the same for all samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub residues: Range<usize>,
    /// Templates in the order in which they are kept.
    pub templates: Vec<usize>,
}

impl Window {
    /// Draws the window with TensorFlow's stateless generator.
    pub(crate) fn draw(config: &FeatureConfig, num_res: usize, num_templates: usize, seed: [i32; 2]) -> Self {
        let mut seed = seed;
        let mut next = || {
            let stream = Stream::stateless(seed);
            seed = seed.map(|s| s.wrapping_add(1));
            stream
        };
        let subsample = config.eval.subsample_templates && config.eval.fixed_size;
        let first = if subsample { next().integer(0, 0, 0, num_templates as i32 + 1) as usize } else { 0 };
        let kept = (num_templates - first).min(config.eval.max_templates);
        let crop = config.eval.crop_size.unwrap_or(num_res).min(num_res);
        let start = next().integer(0, 0, 0, (num_res - crop + 1) as i32) as usize;
        let mut order: Vec<usize> = (0..num_templates).collect();
        if subsample {
            let stream = next();
            order.sort_by(|&a, &b| stream.float(0, a).total_cmp(&stream.float(0, b)));
        }
        Window { residues: start..start + crop, templates: order[first..first + kept].to_vec() }
    }

    /// The templates kept, on all residues.
    pub(crate) fn templates(&self, raw: Option<&RawTemplates>, num_res: usize) -> TemplateInput {
        match raw {
            Some(raw) => raw.select(&self.templates),
            None => RawTemplates::none(num_res).select(&[]),
        }
    }
}

/// Sizes that padding brings a sample to.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    residues: usize,
    msa: usize,
    extra: usize,
    templates: usize,
}

/// Crops a sample to the window, then pads it if the configuration asks for fixed sizes.
pub(crate) fn fit(input: ModelInput, window: &Window, config: &FeatureConfig) -> ModelInput {
    let input = if window.residues.len() < input.num_res() { crop(input, &window.residues) } else { input };
    if !config.eval.fixed_size {
        return input;
    }
    let sizes = Sizes {
        residues: config.eval.crop_size.unwrap_or(input.num_res()),
        msa: config.num_clusters(),
        extra: config.common.max_extra_msa,
        templates: config.eval.max_templates,
    };
    pad(input, sizes)
}

/// Keeps `range` of one axis.
fn cut<T: Clone, D: Dimension>(array: &Array<T, D>, axis: usize, range: &Range<usize>) -> Array<T, D> {
    array.slice_axis(Axis(axis), Slice::from(range.clone())).to_owned()
}

fn crop(x: ModelInput, range: &Range<usize>) -> ModelInput {
    ModelInput {
        aatype: cut(&x.aatype, 0, range),
        residue_index: cut(&x.residue_index, 0, range),
        seq_length: range.len() as i32,
        seq_mask: cut(&x.seq_mask, 0, range),
        target_feat: cut(&x.target_feat, 0, range),
        msa_feat: cut(&x.msa_feat, 1, range),
        msa_mask: cut(&x.msa_mask, 1, range),
        extra_msa: cut(&x.extra_msa, 1, range),
        extra_msa_mask: cut(&x.extra_msa_mask, 1, range),
        extra_has_deletion: cut(&x.extra_has_deletion, 1, range),
        extra_deletion_value: cut(&x.extra_deletion_value, 1, range),
        true_msa: x.true_msa.map(|a| cut(&a, 1, range)),
        bert_mask: x.bert_mask.map(|a| cut(&a, 1, range)),
        atoms: AtomMaps {
            atom14_exists: cut(&x.atoms.atom14_exists, 0, range),
            atom14_to_atom37: cut(&x.atoms.atom14_to_atom37, 0, range),
            atom37_to_atom14: cut(&x.atoms.atom37_to_atom14, 0, range),
            atom37_exists: cut(&x.atoms.atom37_exists, 0, range),
        },
        templates: x.templates.map(|t| TemplateInput {
            aatype: cut(&t.aatype, 1, range),
            pseudo_beta: cut(&t.pseudo_beta, 1, range),
            pseudo_beta_mask: cut(&t.pseudo_beta_mask, 1, range),
            all_atom_positions: cut(&t.all_atom_positions, 1, range),
            all_atom_masks: cut(&t.all_atom_masks, 1, range),
            ..t
        }),
        ..x
    }
}

/// Zeros behind the leading axes, up to `sizes`; further axes stay, and so do axes that are longer.
fn grow<T, D>(array: Array<T, D>, sizes: &[usize]) -> Array<T, D>
where
    T: Copy + Default,
    D: Dimension,
{
    let mut shape = array.raw_dim();
    for (axis, &size) in sizes.iter().enumerate() {
        shape[axis] = shape[axis].max(size);
    }
    if shape == array.raw_dim() {
        return array;
    }
    let mut padded = Array::from_elem(shape, T::default());
    let inside = array.shape().to_vec();
    padded.slice_each_axis_mut(|axis| Slice::from(..inside[axis.axis.index()])).assign(&array);
    padded
}

fn pad(x: ModelInput, to: Sizes) -> ModelInput {
    let Sizes { residues: r, msa: s, extra: e, templates: t } = to;
    ModelInput {
        aatype: grow(x.aatype, &[r]),
        residue_index: grow(x.residue_index, &[r]),
        seq_length: x.seq_length,
        seq_mask: grow(x.seq_mask, &[r]),
        target_feat: grow(x.target_feat, &[r]),
        msa_feat: grow(x.msa_feat, &[s, r]),
        msa_mask: grow(x.msa_mask, &[s, r]),
        msa_row_mask: grow(x.msa_row_mask, &[s]),
        extra_msa: grow(x.extra_msa, &[e, r]),
        extra_msa_mask: grow(x.extra_msa_mask, &[e, r]),
        extra_msa_row_mask: grow(x.extra_msa_row_mask, &[e]),
        extra_has_deletion: grow(x.extra_has_deletion, &[e, r]),
        extra_deletion_value: grow(x.extra_deletion_value, &[e, r]),
        true_msa: x.true_msa.map(|a| grow(a, &[s, r])),
        bert_mask: x.bert_mask.map(|a| grow(a, &[s, r])),
        atoms: AtomMaps {
            atom14_exists: grow(x.atoms.atom14_exists, &[r]),
            atom14_to_atom37: grow(x.atoms.atom14_to_atom37, &[r]),
            atom37_to_atom14: grow(x.atoms.atom37_to_atom14, &[r]),
            atom37_exists: grow(x.atoms.atom37_exists, &[r]),
        },
        templates: x.templates.map(|x| TemplateInput {
            aatype: grow(x.aatype, &[t, r]),
            mask: grow(x.mask, &[t]),
            pseudo_beta: grow(x.pseudo_beta, &[t, r]),
            pseudo_beta_mask: grow(x.pseudo_beta_mask, &[t, r]),
            all_atom_positions: grow(x.all_atom_positions, &[t, r]),
            all_atom_masks: grow(x.all_atom_masks, &[t, r]),
            sum_probs: grow(x.sum_probs, &[t]),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn padding_is_zero_and_never_shrinks() {
        let padded = grow(array![[1, 2, 3], [4, 5, 6]], &[3, 2]);
        assert_eq!(padded, array![[1, 2, 3], [4, 5, 6], [0, 0, 0]]);
    }

    #[test]
    fn windows_reach_both_ends() {
        let mut config = FeatureConfig::preset("model_1").unwrap();
        config.eval.crop_size = Some(5);
        config.eval.subsample_templates = true;
        let windows: Vec<_> = (0..400).map(|i| Window::draw(&config, 12, 7, [i * 3, -i])).collect();
        assert!(
            windows.iter().all(|w| w.residues.len() == 5 && w.residues.end <= 12 && w.templates.len() <= 4)
        );
        for start in 0..8 {
            assert!(windows.iter().any(|w| w.residues.start == start), "no window from {start}");
        }
        assert!(windows.iter().any(|w| w.templates.is_empty()), "the draw may leave no template");
        assert!((0..7).all(|t| windows.iter().any(|w| w.templates.first() == Some(&t))));
    }
}
