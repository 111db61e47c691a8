//! Training samples from a dataset: only its training split, never a chain or a sequence held out.

use crate::recipe::ChainFilter;
use crate::{Known, Sample, SampleConfig};
use dataset::{Chain, Dataset, Entry, Kind, Split};
use features::FeatureConfig;
use std::collections::HashSet;
use std::sync::Arc;
use train::{BoxError, DataSource, RngKey};

/// Sites of the trainer's randomness: what samples are drawn with, and how often those of a step are recycled.
const SITE: u32 = 0;
const RECYCLES: u32 = 1;

/// The training split as samples.
pub struct TrainingChains {
    dataset: Arc<Dataset>,
    chains: Vec<usize>,
    features: FeatureConfig,
    sample: SampleConfig,
}

impl TrainingChains {
    /// Chains of the training split that `filter` admits and whose sequence is not held out.
    pub fn new(
        dataset: Arc<Dataset>,
        filter: &ChainFilter,
        features: FeatureConfig,
        sample: SampleConfig,
    ) -> Self {
        let chains = training_view(&dataset, filter);
        Self { dataset, chains, features, sample }
    }

    /// Numbers of the chains in the dataset.
    pub fn chains(&self) -> &[usize] {
        &self.chains
    }
}

/// Numbers of the chains that may be trained on: of the training split, admitted by `filter`, and with a sequence that
/// no chain of the other splits has.
pub fn training_view(dataset: &Dataset, filter: &ChainFilter) -> Vec<usize> {
    let leaks: HashSet<usize> = dataset.leaks().into_iter().map(|leak| leak.other).collect();
    let admitted = |&i: &usize| {
        (filter.shortest..=filter.longest).contains(&dataset.entry(i).length) && !leaks.contains(&i)
    };
    let all = dataset.split(Split::Train).into_iter().filter(admitted);
    all.take(filter.first.unwrap_or(usize::MAX)).collect()
}

impl DataSource for TrainingChains {
    type Batch = Sample;

    fn len(&self) -> u64 {
        self.chains.len() as u64
    }

    fn get(&self, index: u64, key: RngKey) -> Result<Sample, BoxError> {
        let i = self.chains[index as usize];
        let chain = self.dataset.chain(i)?;
        let known = known(self.dataset.entry(i), chain);
        let recycles = key.of_step().site(RECYCLES).below(self.sample.recycles as u64 + 1) as usize;
        Ok(Sample::draw(&known, &self.features, &self.sample, recycles, key.site(SITE).u64())?)
    }
}

/// A chain of a dataset with what its index says.
pub fn known(entry: &Entry, chain: Chain) -> Known {
    Known {
        id: entry.id.clone(),
        sequence: chain.sequence,
        residue_index: chain.residue_index,
        aatype: chain.aatype,
        positions: chain.positions,
        mask: chain.mask,
        backbone_only: entry.kind == Kind::Backbone,
        resolution: entry.resolution,
        msa: chain.msa,
    }
}
