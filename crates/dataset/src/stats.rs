//! Counts of a dataset, from its index alone.

use crate::{Dataset, Entry, Kind, Split};
use serde::Serialize;
use std::collections::HashSet;

/// Lower ends of the bins of lengths, residues.
const LENGTHS: [usize; 10] = [1, 50, 100, 150, 200, 300, 400, 512, 768, 1024];
/// Lower ends of the bins of alignment depths, rows.
const DEPTHS: [usize; 8] = [1, 2, 5, 17, 65, 257, 1025, 16_385];

/// What [`stats`] gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Over the whole dataset.
    pub all: Counts,
    /// By split, in the order train, val, test.
    pub splits: Vec<(Split, Counts)>,
    /// By kind of chain.
    pub kinds: Vec<(Kind, usize)>,
    /// Chains whose sequence is in another split too.
    pub leaks: usize,
}

/// Counts of some chains.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// Chains.
    pub chains: usize,
    /// Residues of all chains.
    pub residues: usize,
    /// Different clusters.
    pub clusters: usize,
    /// Chains with more than their own row of alignment.
    pub with_alignment: usize,
    /// Held-out chains without a similar training chain.
    pub no_train_homolog: usize,
    /// Chains with a resolution.
    pub with_resolution: usize,
    /// First and last date, where there are any.
    pub dates: Option<(String, String)>,
    /// Least, lower quartile, median, upper quartile, greatest.
    pub lengths: Option<[usize; 5]>,
    /// The same of alignment rows.
    pub depths: Option<[usize; 5]>,
    /// Chains by length.
    pub length_histogram: Vec<Bin>,
    /// Chains by alignment rows.
    pub depth_histogram: Vec<Bin>,
}

/// A bar of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Least value.
    pub from: usize,
    /// Greatest value; `None` if the bin is open.
    pub to: Option<usize>,
    /// Chains.
    pub chains: usize,
}

/// Counts chains, lengths, depths.
pub fn stats(dataset: &Dataset) -> Stats {
    let entries = dataset.entries();
    let of = |split| (split, Counts::of(entries.iter().filter(|e| e.split == split)));
    let kind = |kind| (kind, entries.iter().filter(|e| e.kind == kind).count());
    Stats {
        all: Counts::of(entries.iter()),
        splits: Split::ALL.map(of).to_vec(),
        kinds: Kind::ALL.map(kind).to_vec(),
        leaks: dataset.leaks().len(),
    }
}

impl Counts {
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let entries: Vec<&Entry> = entries.collect();
        let count = |test: &dyn Fn(&Entry) -> bool| entries.iter().filter(|e| test(e)).count();
        let sorted = |value: fn(&Entry) -> usize| {
            let mut values: Vec<usize> = entries.iter().map(|e| value(e)).collect();
            values.sort_unstable();
            values
        };
        let (lengths, depths) = (sorted(|e| e.length), sorted(|e| e.depth));
        let dates = || entries.iter().filter_map(|e| e.date);
        let clusters: HashSet<&str> = entries.iter().map(|e| e.cluster.as_str()).collect();
        Self {
            chains: entries.len(),
            residues: lengths.iter().sum(),
            clusters: clusters.len(),
            with_alignment: count(&|e| e.depth > 1),
            no_train_homolog: count(&|e| e.no_train_homolog),
            with_resolution: count(&|e| e.resolution.is_some()),
            dates: dates().min().zip(dates().max()).map(|(a, b)| (a.to_string(), b.to_string())),
            length_histogram: histogram(&lengths, &LENGTHS),
            depth_histogram: histogram(&depths, &DEPTHS),
            lengths: quartiles(&lengths),
            depths: quartiles(&depths),
        }
    }
}

/// Values at 0, ¼, ½, ¾ and 1 of the way through (the nearest rank).
fn quartiles(sorted: &[usize]) -> Option<[usize; 5]> {
    let last = sorted.len().checked_sub(1)?;
    Some([0, 1, 2, 3, 4].map(|q| sorted[(last * q + 2) / 4]))
}

fn histogram(sorted: &[usize], edges: &[usize]) -> Vec<Bin> {
    let below = |edge: usize| sorted.partition_point(|&v| v < edge);
    let bin = |(i, &from): (usize, &usize)| {
        let next = edges.get(i + 1);
        let chains = next.map_or(sorted.len(), |&n| below(n)) - below(from);
        Bin { from, to: next.map(|n| n - 1), chains }
    };
    edges.iter().enumerate().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bin() {
        let values: Vec<usize> = (1..=1500).step_by(7).collect();
        let bins = histogram(&values, &LENGTHS);
        assert_eq!(bins.iter().map(|b| b.chains).sum::<usize>(), values.len());
        assert_eq!(bins[0], Bin { from: 1, to: Some(49), chains: 7 });
        let last = bins.last().unwrap();
        assert_eq!((last.from, last.to), (1024, None));
    }

    #[test]
    fn quartiles_of_few_and_none() {
        assert_eq!(quartiles(&[]), None);
        assert_eq!(quartiles(&[5]), Some([5; 5]));
        assert_eq!(quartiles(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), Some([1, 3, 5, 7, 9]));
    }
}
