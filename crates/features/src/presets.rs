//! AlphaFold's five models. AF2 Suppl. Table 5.

use crate::{CommonConfig, Error, EvalConfig, FeatureConfig, MaskedMsa};

/// Names of the models whose features are known; those with `_ptm` have the same features.
const NAMES: [&str; 10] = [
    "model_1",
    "model_2",
    "model_3",
    "model_4",
    "model_5",
    "model_1_ptm",
    "model_2_ptm",
    "model_3_ptm",
    "model_4_ptm",
    "model_5_ptm",
];

impl FeatureConfig {
    /// The feature settings of `model_1` … `model_5` and `model_1_ptm` … `model_5_ptm`, as in AlphaFold's
    /// `model/config.py` (sizes fixed by padding, one ensemble member, three recycles).
    ///
    /// # Errors
    /// `Error::Preset` if `name` is none of these.
    pub fn preset(name: &str) -> Result<Self, Error> {
        if !NAMES.contains(&name) {
            return Err(Error::Preset { name: name.into(), known: NAMES.join(", ") });
        }
        let model = name.trim_start_matches("model_").trim_end_matches("_ptm");
        let templates = matches!(model, "1" | "2");
        Ok(FeatureConfig {
            common: CommonConfig {
                masked_msa: Some(MaskedMsa { profile_prob: 0.1, same_prob: 0.1, uniform_prob: 0.1 }),
                max_extra_msa: if matches!(model, "1" | "3" | "4") { 5120 } else { 1024 },
                msa_cluster_features: true,
                num_recycle: 3,
                reduce_msa_clusters_by_max_templates: templates,
                resample_msa_in_recycling: true,
                use_templates: templates,
                block_delete_msa: None,
                replace_msa_with_unknown: 0.0,
                template_features: serde::de::IgnoredAny,
                unsupervised_features: serde::de::IgnoredAny,
            },
            eval: EvalConfig {
                fixed_size: true,
                subsample_templates: false,
                masked_msa_replace_fraction: 0.15,
                max_msa_clusters: 512,
                max_templates: 4,
                num_ensemble: 1,
                crop_size: None,
                feat: serde::de::IgnoredAny,
            },
        })
    }

    /// The names that [`FeatureConfig::preset`] knows.
    pub fn preset_names() -> &'static [&'static str] {
        &NAMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_differ_as_in_table_5() {
        let sizes = |name: &str| {
            let config = FeatureConfig::preset(name).unwrap();
            config.validate().unwrap();
            (config.num_clusters(), config.common.max_extra_msa, config.common.use_templates)
        };
        assert_eq!(sizes("model_1"), (508, 5120, true));
        assert_eq!(sizes("model_2_ptm"), (508, 1024, true));
        assert_eq!(sizes("model_3"), (512, 5120, false));
        assert_eq!(sizes("model_4_ptm"), (512, 5120, false));
        assert_eq!(sizes("model_5"), (512, 1024, false));
        assert!(NAMES.iter().all(|name| FeatureConfig::preset(name).is_ok()));
    }

    #[test]
    fn unknown_preset_names_the_known_ones() {
        let error = FeatureConfig::preset("model_6").unwrap_err().to_string();
        assert!(error.contains("`model_6`") && error.contains("model_5_ptm"), "{error}");
        assert!(FeatureConfig::preset("model_1_ptm_ptm").is_err());
    }
}
