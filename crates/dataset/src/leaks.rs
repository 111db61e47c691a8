//! Does anything held out appear in training? By sequence; ids are unique in a dataset.

use crate::{Dataset, Entry, Error, Split};
use std::collections::HashMap;

/// Two chains of one sequence that are in different splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The chain in the split that is to stay clean: test before val before train.
    pub held_out: usize,
    /// The chain in the other split.
    pub other: usize,
}

/// The split that keeps a sequence which several have: the later in train, val, test.
#[derive(Default)]
pub(crate) struct Holders {
    by_sequence: HashMap<[u8; 16], (Split, usize)>,
}

impl Holders {
    /// Takes note of chain `i`.
    pub fn add(&mut self, i: usize, entry: &Entry) {
        let holder = self.by_sequence.entry(entry.sequence_hash).or_insert((entry.split, i));
        if entry.split > holder.0 {
            *holder = (entry.split, i);
        }
    }

    /// The chain that has this sequence in another split, with the better right to it.
    pub fn other(&self, entry: &Entry) -> Option<usize> {
        let (split, i) = *self.by_sequence.get(&entry.sequence_hash)?;
        (split != entry.split).then_some(i)
    }
}

impl Dataset {
    /// Every chain whose sequence a chain of another split has, told once each.
    pub fn leaks(&self) -> Vec<Leak> {
        let mut holders = Holders::default();
        self.entries().iter().enumerate().for_each(|(i, e)| holders.add(i, e));
        let leak = |(other, e)| holders.other(e).map(|held_out| Leak { held_out, other });
        self.entries().iter().enumerate().filter_map(leak).collect()
    }

    /// Checks that no sequence is in two splits, which training should do before it begins.
    ///
    /// # Errors
    /// [`Error::Leak`] naming two chains.
    pub fn check_splits(&self) -> Result<(), Error> {
        let leaks = self.leaks();
        let Some(leak) = leaks.first() else { return Ok(()) };
        let name = |i: usize| (self.entry(i).id.clone(), self.entry(i).split);
        let ((held_out, split), (other, other_split)) = (name(leak.held_out), name(leak.other));
        Err(Error::Leak { held_out, split, other, other_split, count: leaks.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::chain;
    use crate::{Prepared, Writer};

    fn set(chains: &[(&str, usize, Split)]) -> Dataset {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.foldset");
        let mut writer = Writer::create(&path, None).unwrap();
        for &(id, length, split) in chains {
            let prepared = Prepared::new(id, "", &chain(length, 1, false)).unwrap();
            writer.add(prepared.with_split("c", split, false)).unwrap();
        }
        writer.finish().unwrap();
        Dataset::open(&path).unwrap()
    }

    /// What a training loop would read, and what it must not.
    fn sequences(set: &Dataset, split: Split) -> Vec<String> {
        set.split(split).into_iter().map(|i| set.chain(i).unwrap().sequence).collect()
    }

    #[test]
    fn a_sequence_in_two_splits_is_told() {
        use Split::{Test, Train, Val};
        let clean = set(&[("a", 9, Train), ("b", 10, Val), ("c", 11, Test), ("d", 9, Train), ("e", 10, Val)]);
        clean.check_splits().unwrap();
        let training = sequences(&clean, Train);
        assert_eq!(training.len(), 2);
        assert!([Val, Test].iter().all(|&s| sequences(&clean, s).iter().all(|q| !training.contains(q))));

        let mixed = set(&[("a", 9, Train), ("b", 9, Test), ("c", 9, Val), ("d", 11, Train)]);
        assert_eq!(mixed.leaks(), [Leak { held_out: 1, other: 0 }, Leak { held_out: 1, other: 2 }]);
        assert!(sequences(&mixed, Test).iter().any(|q| sequences(&mixed, Train).contains(q)));
        let message = mixed.check_splits().unwrap_err().to_string();
        let expected =
            "chain a (train) has the sequence of b (test); 2 chains in all have one of another split";
        assert_eq!(message, expected);
    }
}
