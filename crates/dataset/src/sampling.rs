//! How often a chain is drawn for training. AF2 Suppl. 1.2.5.

use crate::{Dataset, Split};
use std::collections::HashMap;

/// Weights of the chains of [`Dataset::split`], in its order: one over the size of the chain's cluster within
/// the split, times max(min(r, 512), 256)/512 for its length r. Not normalised.
///
/// Deviation: AF2 accepts a drawn chain with this probability; drawing by weight gives the same distribution.
pub fn weights(dataset: &Dataset, split: Split) -> Vec<f64> {
    let entries: Vec<_> = dataset.split(split).into_iter().map(|i| dataset.entry(i)).collect();
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    entries.iter().for_each(|e| *sizes.entry(&e.cluster).or_default() += 1);
    entries.iter().map(|e| length_factor(e.length) / sizes[e.cluster.as_str()] as f64).collect()
}

/// Longer chains have more crops to show.
fn length_factor(residues: usize) -> f64 {
    residues.clamp(256, 512) as f64 / 512.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::chain;
    use crate::{Prepared, Writer};

    #[test]
    fn clusters_count_once_and_long_chains_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.foldset");
        let mut writer = Writer::create(&path, None).unwrap();
        for (id, length, cluster, split) in [
            ("a", 9, "x", Split::Train),
            ("b", 384, "x", Split::Train),
            ("c", 10, "x", Split::Val),
            ("d", 700, "y", Split::Train),
            ("e", 256, "x", Split::Train),
        ] {
            let prepared = Prepared::new(id, "", &chain(length, 1, false)).unwrap();
            writer.add(prepared.with_split(cluster, split, false)).unwrap();
        }
        writer.finish().unwrap();
        let set = Dataset::open(&path).unwrap();
        assert_eq!(weights(&set, Split::Train), [0.5 / 3.0, 0.75 / 3.0, 1.0, 0.5 / 3.0]);
        assert_eq!(weights(&set, Split::Val), [0.5]);
        assert_eq!(weights(&set, Split::Test), [0.0; 0]);
    }
}
