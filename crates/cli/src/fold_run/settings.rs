//! From what is wanted to the settings a result depends on.

use super::network::Network;
use super::receipt::{Settings, sha256};
use crate::failure::bad_input;
use crate::precision::Precision;

/// What a user may choose.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Recycles after the first pass; by default what the model has.
    pub recycles: Option<u64>,
    /// Stop recycling below this change, Å; 0 is never.
    pub recycle_tolerance: f64,
    /// The first seed.
    pub seed: u64,
    /// Predictions, with consecutive seeds.
    pub num_seeds: u64,
    /// Alignment rows at most, clustered and extra; by default what the model has.
    pub max_msa: Option<(usize, usize)>,
    /// Numbers of the matrix products.
    pub dtype: Precision,
}

/// The settings a result depends on; brings the network's feature configuration in line with them.
///
/// # Errors  bad input: row counts the configuration refuses.
pub fn settle(wanted: &Wanted, network: &mut Network) -> anyhow::Result<Settings> {
    let config = &mut network.features;
    if let Some((clusters, extra)) = wanted.max_msa {
        config.eval.max_msa_clusters = clusters;
        config.common.max_extra_msa = extra;
    }
    if let Some(recycles) = wanted.recycles {
        config.common.num_recycle = recycles as usize;
    }
    config.validate().map_err(|e| match wanted.max_msa {
        Some((clusters, extra)) => bad_input(format!("max-msa {clusters}:{extra}: {e}")),
        None => bad_input(e),
    })?;
    let text = serde_json::to_vec(&*config)?;
    Ok(Settings {
        recycles: config.common.num_recycle,
        max_msa_clusters: config.eval.max_msa_clusters,
        max_extra_msa: config.common.max_extra_msa,
        config_sha256: sha256([text.as_slice()]),
        model: network.model.clone(),
        weights_sha256: network.weights_sha256.clone(),
        dtype: wanted.dtype.name().into(),
        device: network.device_name().into(),
        recycle_tolerance: wanted.recycle_tolerance,
        seed: wanted.seed,
        num_seeds: wanted.num_seeds as usize,
    })
}
