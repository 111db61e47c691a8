//! All samples of one prediction, and their exchange with AlphaFold's named arrays.

use crate::named::{Dim, FeatureArray, Reader, integers, sample, stack};
use crate::{AtomMaps, Error, ModelInput, TemplateInput};
use ndarray::{ArrayD, Ix1, Ix2, Ix3, Ix4, IxDyn};
use std::collections::BTreeMap;

/// Network input of every recycle and ensemble member.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    /// (recycles + 1) · ensemble samples in the order of AlphaFold's leading axis: recycle outer, ensemble inner.
    pub samples: Vec<ModelInput>,
    /// Ensemble members that each recycle averages.
    pub num_ensemble: usize,
    /// First residue of the random crop, in the uncropped query; 0 if nothing was cropped.
    pub crop_start: usize,
    /// `random_crop_to_size_seed`: what the crop was drawn with; `None` if the arrays did not say.
    pub crop_seed: Option<[i32; 2]>,
}

impl FeatureSet {
    /// The samples that recycle `recycle` averages; if rows are not resampled, the same for every recycle.
    pub fn recycle(&self, recycle: usize) -> &[ModelInput] {
        let members = self.num_ensemble.clamp(1, self.samples.len().max(1));
        let passes = self.samples.len() / members;
        let start = recycle.min(passes.saturating_sub(1)) * members;
        self.samples.get(start..start + members).unwrap_or_default()
    }

    /// Sets how many samples each recycle averages.
    ///
    /// # Errors
    /// `Error::Ensemble` if the samples cannot be shared out evenly.
    pub fn with_num_ensemble(mut self, num_ensemble: usize) -> Result<Self, Error> {
        if num_ensemble == 0 || !self.samples.len().is_multiple_of(num_ensemble) {
            return Err(Error::Ensemble { samples: self.samples.len(), num_ensemble });
        }
        self.num_ensemble = num_ensemble;
        Ok(self)
    }

    /// Builds the set from AlphaFold's processed arrays, looked up by name, all with the leading axis of
    /// samples; whole numbers may arrive as f32. One ensemble member is assumed, see
    /// [`FeatureSet::with_num_ensemble`]. Masks of rows, the atom maps and `seq_length` are derived if absent.
    ///
    /// # Errors
    /// `Error::Missing`, `Error::Shape` or `Error::Value` with the array's name, expected and found.
    pub fn from_arrays(get: &dyn Fn(&str) -> Option<ArrayD<f32>>) -> Result<Self, Error> {
        use Dim::{Named, Size};
        let (n, r, s, e) = (Named("samples"), Named("residues"), Named("msa rows"), Named("extra rows"));
        let mut reader = Reader::new(get);
        let any = i32::MIN..=i32::MAX;

        let aatype = integers("aatype", reader.required("aatype", &[n, r])?, 0..=20)?;
        let residue_index = integers("residue_index", reader.required("residue_index", &[n, r])?, any)?;
        let seq_mask = reader.required("seq_mask", &[n, r])?;
        let seq_length = match reader.optional("seq_length", &[n])? {
            Some(array) => integers("seq_length", array, 0..=i32::MAX)?,
            None => seq_mask.sum_axis(ndarray::Axis(1)).mapv(|v| v as i32),
        };
        let target_feat = reader.required("target_feat", &[n, r, Size(22)])?;
        let msa_feat = reader.required("msa_feat", &[n, s, r, Named("msa channels")])?;
        if !matches!(reader.size("msa channels"), 25 | 49) {
            return Err(Error::Shape {
                name: "msa_feat".into(),
                expected: "[samples, msa rows, residues, 49 or 25]".into(),
                found: msa_feat.shape().to_vec(),
            });
        }
        let msa_mask = reader.required("msa_mask", &[n, s, r])?;
        let msa_row_mask = match reader.optional("msa_row_mask", &[n, s])? {
            Some(array) => array,
            None => row_mask(&msa_mask),
        };
        let extra_msa = integers("extra_msa", reader.required("extra_msa", &[n, e, r])?, 0..=22)?;
        let extra_msa_mask = reader.required("extra_msa_mask", &[n, e, r])?;
        let extra_msa_row_mask = match reader.optional("extra_msa_row_mask", &[n, e])? {
            Some(array) => array,
            None => row_mask(&extra_msa_mask),
        };
        let extra_has_deletion = reader.required("extra_has_deletion", &[n, e, r])?;
        let extra_deletion_value = reader.required("extra_deletion_value", &[n, e, r])?;
        let true_msa = match reader.optional("true_msa", &[n, s, r])? {
            Some(array) => Some(integers("true_msa", array, 0..=22)?),
            None => None,
        };
        let bert_mask = reader.optional("bert_mask", &[n, s, r])?;
        let atoms = AtomArrays::read(&mut reader)?;
        let templates = TemplateArrays::read(&mut reader)?;

        let samples = (0..reader.size("samples"))
            .map(|i| {
                let aatype = sample::<_, Ix1>(&aatype, i);
                let seq_mask = sample::<_, Ix1>(&seq_mask, i);
                ModelInput {
                    residue_index: sample(&residue_index, i),
                    seq_length: seq_length[IxDyn(&[i])],
                    target_feat: sample(&target_feat, i),
                    msa_feat: sample::<_, Ix3>(&msa_feat, i),
                    msa_mask: sample(&msa_mask, i),
                    msa_row_mask: sample(&msa_row_mask, i),
                    extra_msa: sample(&extra_msa, i),
                    extra_msa_mask: sample(&extra_msa_mask, i),
                    extra_msa_row_mask: sample(&extra_msa_row_mask, i),
                    extra_has_deletion: sample(&extra_has_deletion, i),
                    extra_deletion_value: sample(&extra_deletion_value, i),
                    true_msa: true_msa.as_ref().map(|a| sample(a, i)),
                    bert_mask: bert_mask.as_ref().map(|a| sample(a, i)),
                    atoms: match &atoms {
                        Some(arrays) => arrays.sample(i),
                        None => AtomMaps::of(&aatype, &seq_mask),
                    },
                    templates: templates.as_ref().map(|arrays| arrays.sample(i)),
                    aatype,
                    seq_mask,
                }
            })
            .collect();
        Ok(FeatureSet { samples, num_ensemble: 1, crop_start: 0, crop_seed: None })
    }

    /// AlphaFold's processed arrays with the leading axis of samples, sorted by name.
    ///
    /// # Panics
    /// If the samples differ in shape or in which optional parts they have.
    pub fn to_arrays(&self) -> BTreeMap<String, FeatureArray> {
        let mut arrays = BTreeMap::new();
        let all = &self.samples;
        let mut real = |name: &str, array| arrays.insert(name.to_string(), FeatureArray::F32(array));
        real("seq_mask", stack(all.iter().map(|x| &x.seq_mask)));
        real("target_feat", stack(all.iter().map(|x| &x.target_feat)));
        real("msa_feat", stack(all.iter().map(|x| &x.msa_feat)));
        real("msa_mask", stack(all.iter().map(|x| &x.msa_mask)));
        real("msa_row_mask", stack(all.iter().map(|x| &x.msa_row_mask)));
        real("extra_msa_mask", stack(all.iter().map(|x| &x.extra_msa_mask)));
        real("extra_msa_row_mask", stack(all.iter().map(|x| &x.extra_msa_row_mask)));
        real("extra_has_deletion", stack(all.iter().map(|x| &x.extra_has_deletion)));
        real("extra_deletion_value", stack(all.iter().map(|x| &x.extra_deletion_value)));
        real("atom14_atom_exists", stack(all.iter().map(|x| &x.atoms.atom14_exists)));
        real("atom37_atom_exists", stack(all.iter().map(|x| &x.atoms.atom37_exists)));
        let bert: Vec<_> = all.iter().filter_map(|x| x.bert_mask.as_ref()).collect();
        if !bert.is_empty() {
            assert_eq!(bert.len(), all.len(), "all samples or none have a masked MSA");
            real("bert_mask", stack(bert.iter().copied()));
        }
        let templates: Vec<_> = all.iter().filter_map(|x| x.templates.as_ref()).collect();
        if !templates.is_empty() {
            assert_eq!(templates.len(), all.len(), "all samples or none have templates");
            real("template_mask", stack(templates.iter().map(|t| &t.mask)));
            real("template_pseudo_beta", stack(templates.iter().map(|t| &t.pseudo_beta)));
            real("template_pseudo_beta_mask", stack(templates.iter().map(|t| &t.pseudo_beta_mask)));
            real("template_all_atom_positions", stack(templates.iter().map(|t| &t.all_atom_positions)));
            real("template_all_atom_masks", stack(templates.iter().map(|t| &t.all_atom_masks)));
            real("template_sum_probs", stack(templates.iter().map(|t| &t.sum_probs)));
        }
        let mut whole = |name: &str, array| arrays.insert(name.to_string(), FeatureArray::I32(array));
        if !templates.is_empty() {
            whole("template_aatype", stack(templates.iter().map(|t| &t.aatype)));
        }
        let true_msa: Vec<_> = all.iter().filter_map(|x| x.true_msa.as_ref()).collect();
        if !true_msa.is_empty() {
            assert_eq!(true_msa.len(), all.len(), "all samples or none have a masked MSA");
            whole("true_msa", stack(true_msa.iter().copied()));
        }
        whole("aatype", stack(all.iter().map(|x| &x.aatype)));
        whole("residue_index", stack(all.iter().map(|x| &x.residue_index)));
        whole("seq_length", ArrayD::from_shape_fn(IxDyn(&[all.len()]), |i| all[i[0]].seq_length));
        whole("extra_msa", stack(all.iter().map(|x| &x.extra_msa)));
        whole("residx_atom14_to_atom37", stack(all.iter().map(|x| &x.atoms.atom14_to_atom37)));
        whole("residx_atom37_to_atom14", stack(all.iter().map(|x| &x.atoms.atom37_to_atom14)));
        if let Some(seed) = self.crop_seed {
            whole("random_crop_to_size_seed", ArrayD::from_shape_fn(IxDyn(&[all.len(), 2]), |i| seed[i[1]]));
        }
        arrays
    }
}

/// 1 for each row that has a residue. `mask` [samples, rows, residues].
fn row_mask(mask: &ArrayD<f32>) -> ArrayD<f32> {
    mask.map_axis(ndarray::Axis(2), |row| if row.iter().any(|v| *v != 0.0) { 1.0 } else { 0.0 })
}

struct AtomArrays {
    atom14_exists: ArrayD<f32>,
    atom14_to_atom37: ArrayD<i32>,
    atom37_to_atom14: ArrayD<i32>,
    atom37_exists: ArrayD<f32>,
}

impl AtomArrays {
    /// All four arrays, or `None` if none of them is there.
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Error> {
        use Dim::{Named, Size};
        let dims = |atoms| [Named("samples"), Named("residues"), Size(atoms)];
        let Some(atom14_exists) = reader.optional("atom14_atom_exists", &dims(14))? else { return Ok(None) };
        let to37 = reader.required("residx_atom14_to_atom37", &dims(14))?;
        let to14 = reader.required("residx_atom37_to_atom14", &dims(37))?;
        Ok(Some(AtomArrays {
            atom14_exists,
            atom14_to_atom37: integers("residx_atom14_to_atom37", to37, 0..=36)?,
            atom37_to_atom14: integers("residx_atom37_to_atom14", to14, 0..=13)?,
            atom37_exists: reader.required("atom37_atom_exists", &dims(37))?,
        }))
    }

    fn sample(&self, i: usize) -> AtomMaps {
        AtomMaps {
            atom14_exists: sample::<_, Ix2>(&self.atom14_exists, i),
            atom14_to_atom37: sample(&self.atom14_to_atom37, i),
            atom37_to_atom14: sample(&self.atom37_to_atom14, i),
            atom37_exists: sample(&self.atom37_exists, i),
        }
    }
}

struct TemplateArrays {
    aatype: ArrayD<i32>,
    mask: ArrayD<f32>,
    pseudo_beta: ArrayD<f32>,
    pseudo_beta_mask: ArrayD<f32>,
    all_atom_positions: ArrayD<f32>,
    all_atom_masks: ArrayD<f32>,
    sum_probs: ArrayD<f32>,
}

impl TemplateArrays {
    /// All template arrays, or `None` if there is no `template_aatype` or no template in it.
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Error> {
        use Dim::{Named, Size};
        let (n, t, r) = (Named("samples"), Named("templates"), Named("residues"));
        let Some(aatype) = reader.optional("template_aatype", &[n, t, r])? else { return Ok(None) };
        if reader.size("templates") == 0 {
            return Ok(None);
        }
        let sum_probs = reader.optional("template_sum_probs", &[n, t, Size(1)])?;
        let leading = [reader.size("samples"), reader.size("templates"), 1];
        Ok(Some(TemplateArrays {
            aatype: integers("template_aatype", aatype, 0..=21)?,
            mask: reader.required("template_mask", &[n, t])?,
            pseudo_beta: reader.required("template_pseudo_beta", &[n, t, r, Size(3)])?,
            pseudo_beta_mask: reader.required("template_pseudo_beta_mask", &[n, t, r])?,
            all_atom_positions: reader
                .required("template_all_atom_positions", &[n, t, r, Size(37), Size(3)])?,
            all_atom_masks: reader.required("template_all_atom_masks", &[n, t, r, Size(37)])?,
            sum_probs: sum_probs.unwrap_or_else(|| ArrayD::zeros(IxDyn(&leading))),
        }))
    }

    fn sample(&self, i: usize) -> TemplateInput {
        TemplateInput {
            aatype: sample(&self.aatype, i),
            mask: sample(&self.mask, i),
            pseudo_beta: sample(&self.pseudo_beta, i),
            pseudo_beta_mask: sample(&self.pseudo_beta_mask, i),
            all_atom_positions: sample::<_, Ix4>(&self.all_atom_positions, i),
            all_atom_masks: sample(&self.all_atom_masks, i),
            sum_probs: sample(&self.sum_probs, i),
        }
    }
}
