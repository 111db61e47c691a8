//! What the network reads for one ensemble member of one recycle.
//! Dims: r residues, s clustered rows, e extra rows, t templates. Names are AlphaFold's.

use ndarray::{Array1, Array2, Array3, Array4};

/// Features of one sample, without the leading recycle and ensemble axis.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// `aatype` \[r\]: residue type, 0–19 in the order ARNDCQEGHILKMFPSTWYV, 20 unknown; 0 in padding.
    pub aatype: Array1<i32>,
    /// `residue_index` \[r\]: number of the residue in its chain, from 0.
    pub residue_index: Array1<i32>,
    /// `seq_length`: residues without padding, after cropping.
    pub seq_length: i32,
    /// `seq_mask` \[r\]: 1 = residue, 0 = padding.
    pub seq_mask: Array1<f32>,
    /// `target_feat` \[r, 22\]: chain break, then one-hot residue type.
    pub target_feat: Array2<f32>,
    /// `msa_feat` \[s, r, 49\]: 23 one-hot, has deletion, deletion value, 23 cluster profile, deletion mean.
    /// Only the first 25 if the configuration has no cluster features.
    pub msa_feat: Array3<f32>,
    /// `msa_mask` \[s, r\]: 1 = present.
    pub msa_mask: Array2<f32>,
    /// `msa_row_mask` \[s\]: 1 = row present.
    pub msa_row_mask: Array1<f32>,
    /// `extra_msa` \[e, r\]: residue type as in `aatype`, 21 gap (22, masked, never occurs here).
    pub extra_msa: Array2<i32>,
    /// `extra_msa_mask` \[e, r\]: 1 = present.
    pub extra_msa_mask: Array2<f32>,
    /// `extra_msa_row_mask` \[e\]: 1 = row present.
    pub extra_msa_row_mask: Array1<f32>,
    /// `extra_has_deletion` \[e, r\]: 1 where residues were deleted to the left.
    pub extra_has_deletion: Array2<f32>,
    /// `extra_deletion_value` \[e, r\]: 2/π·atan(deletions / 3).
    pub extra_deletion_value: Array2<f32>,
    /// `true_msa` \[s, r\]: the sampled rows before masking, 0–21; the target of the masked-MSA loss.
    pub true_msa: Option<Array2<i32>>,
    /// `bert_mask` \[s, r\]: 1 where the masked-MSA loss counts.
    pub bert_mask: Option<Array2<f32>>,
    /// Dense atom numbering of each residue.
    pub atoms: AtomMaps,
    /// Templates, if the model reads them and there are any (masked ones count).
    pub templates: Option<TemplateInput>,
}

/// How atom14 and atom37 numberings of each residue correspond; zero in padding and for unknown residues.
#[derive(Debug, Clone, PartialEq)]
pub struct AtomMaps {
    /// `atom14_atom_exists` \[r, 14\].
    pub atom14_exists: Array2<f32>,
    /// `residx_atom14_to_atom37` \[r, 14\]: atom37 number of each atom14 slot.
    pub atom14_to_atom37: Array2<i32>,
    /// `residx_atom37_to_atom14` \[r, 37\]: atom14 slot of each atom37 number.
    pub atom37_to_atom14: Array2<i32>,
    /// `atom37_atom_exists` \[r, 37\].
    pub atom37_exists: Array2<f32>,
}

/// Structures to imitate, aligned to the query.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateInput {
    /// `template_aatype` \[t, r\]: as `aatype`, 21 where nothing is aligned.
    pub aatype: Array2<i32>,
    /// `template_mask` \[t\]: 1 = template, 0 = padding.
    pub mask: Array1<f32>,
    /// `template_pseudo_beta` \[t, r, 3\]: Cβ (Cα of glycine), Å.
    pub pseudo_beta: Array3<f32>,
    /// `template_pseudo_beta_mask` \[t, r\].
    pub pseudo_beta_mask: Array2<f32>,
    /// `template_all_atom_positions` \[t, r, 37, 3\], Å.
    pub all_atom_positions: Array4<f32>,
    /// `template_all_atom_masks` \[t, r, 37\].
    pub all_atom_masks: Array3<f32>,
    /// `template_sum_probs` \[t, 1\]: the search program's sum of probabilities; not read by the network.
    pub sum_probs: Array2<f32>,
}

impl ModelInput {
    /// Number of residues r, padding included.
    pub fn num_res(&self) -> usize {
        self.aatype.len()
    }

    /// Number of clustered rows s, padding included.
    pub fn num_msa(&self) -> usize {
        self.msa_mask.nrows()
    }

    /// Number of extra rows e, padding included.
    pub fn num_extra(&self) -> usize {
        self.extra_msa.nrows()
    }

    /// Number of templates t, padding included.
    pub fn num_templates(&self) -> usize {
        self.templates.as_ref().map_or(0, |t| t.mask.len())
    }
}
