//! The arrays of one sample from its rows. AF2 Suppl. Table 1; AlphaFold `make_msa_feat`.
//! Dims: s centres, e extra rows, r residues.

use crate::clusters::Summary;
use crate::{AtomMaps, ModelInput, RawFeatures, TemplateInput};
use ndarray::{Array1, Array2, Array3};

/// Rows of one sample, ready to be written out.
pub(crate) struct Drawn {
    /// Rows of the centres in the alignment, [s].
    pub centres: Vec<u32>,
    /// Their types after masking, [s · r].
    pub msa: Vec<u8>,
    /// Cells that were chosen for masking, [s, r]; `None` if nothing is masked.
    pub bert_mask: Option<Array2<f32>>,
    /// Profiles and deletion means, if configured.
    pub summary: Option<Summary>,
    /// Extra rows, [e].
    pub extra: Vec<u32>,
}

/// 2/π·atan(count / 3): a count of deletions squeezed into [0, 1).
/// The arc tangent is rounded correctly (almost always: f64 in between), NumPy's is off by one in a third of cases.
pub(crate) fn deletion_value(count: f32) -> f32 {
    let angle = f64::from(count / 3.0).atan() as f32;
    angle * std::f32::consts::FRAC_2_PI
}

/// One sample without cropping and padding.
pub(crate) fn assemble(raw: &RawFeatures, drawn: Drawn, templates: Option<TemplateInput>) -> ModelInput {
    let r = raw.num_res();
    let (s, e) = (drawn.centres.len(), drawn.extra.len());
    let aatype = Array1::from_iter(raw.aatype.iter().map(|&a| i32::from(a)));
    let seq_mask = Array1::ones(r);
    let types = |rows: &[u32]| {
        let cells: Vec<i32> = rows.iter().flat_map(|&row| raw.row(row)).map(|&a| i32::from(a)).collect();
        Array2::from_shape_vec((rows.len(), r), cells).expect("rows of r cells")
    };
    // Column 0 is the chain break, of which a chain has none.
    let mut target_feat = Array2::zeros((r, 22));
    for (i, &a) in raw.aatype.iter().enumerate() {
        target_feat[[i, 1 + a as usize]] = 1.0;
    }
    let (mut extra_has_deletion, mut extra_deletion_value) = (Array2::zeros((e, r)), Array2::zeros((e, r)));
    for (i, &row) in drawn.extra.iter().enumerate() {
        for deletion in raw.deletions(row) {
            let at = [i, deletion.column as usize];
            extra_has_deletion[at] = (deletion.count as f32).clamp(0.0, 1.0);
            extra_deletion_value[at] = deletion_value(deletion.count as f32);
        }
    }
    ModelInput {
        residue_index: Array1::from_vec(raw.residue_index.clone()),
        seq_length: r as i32,
        target_feat,
        msa_feat: msa_feat(raw, &drawn),
        msa_mask: Array2::ones((s, r)),
        msa_row_mask: Array1::ones(s),
        extra_msa: types(&drawn.extra),
        extra_msa_mask: Array2::ones((e, r)),
        extra_msa_row_mask: Array1::ones(e),
        extra_has_deletion,
        extra_deletion_value,
        true_msa: drawn.bert_mask.is_some().then(|| types(&drawn.centres)),
        bert_mask: drawn.bert_mask,
        atoms: AtomMaps::of(&aatype, &seq_mask),
        templates,
        aatype,
        seq_mask,
    }
}

/// [s, r, 49]: 23 one-hot, has deletion, deletion value, 23 profile, deletion mean; [s, r, 25] without a summary.
fn msa_feat(raw: &RawFeatures, drawn: &Drawn) -> Array3<f32> {
    let (s, r) = (drawn.centres.len(), raw.num_res());
    let channels = if drawn.summary.is_some() { 49 } else { 25 };
    let mut feat = vec![0.0f32; s * r * channels];
    for (cell, feat) in feat.chunks_exact_mut(channels).enumerate() {
        feat[drawn.msa[cell] as usize] = 1.0;
        if let Some(summary) = &drawn.summary {
            feat[25..48].copy_from_slice(&summary.profile[cell]);
            feat[48] = deletion_value(summary.deletion_mean[cell]);
        }
    }
    for (i, &row) in drawn.centres.iter().enumerate() {
        for deletion in raw.deletions(row) {
            let cell = (i * r + deletion.column as usize) * channels;
            feat[cell + 23] = (deletion.count as f32).clamp(0.0, 1.0);
            feat[cell + 24] = deletion_value(deletion.count as f32);
        }
    }
    Array3::from_shape_vec((s, r, channels), feat).expect("s · r cells of as many channels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletion_values() {
        assert_eq!(deletion_value(0.0), 0.0);
        assert_eq!(deletion_value(3.0), 0.5);
        assert!(deletion_value(1e9) <= 1.0 && deletion_value(1e9) > 0.999);
    }
}
