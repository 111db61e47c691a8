//! All parameters in one flat vector, and which rank keeps the optimizer's state of which part.
//!
//! The vector is cut into buckets of about 25 MB; each bucket into one piece a rank (ZeRO-1). A rank updates its pieces
//! only. Buckets, pieces and their order depend on the parameters and the number of ranks alone.

use std::ops::Range;

/// Elements of a bucket: 25 MB of f32.
pub const BUCKET: usize = 6_250_000;

/// One parameter in the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where it begins.
    pub start: usize,
    /// How many elements it has.
    pub len: usize,
}

impl Slot {
    /// Whether weight decay applies: not to biases and scales.
    pub fn decays(&self) -> bool {
        self.shape.len() >= 2
    }
}

/// The flat vector's division.
#[derive(Clone, Debug)]
pub struct Layout {
    slots: Vec<Slot>,
    total: usize,
    bucket: usize,
    rank: usize,
    world: usize,
}

impl Layout {
    /// Parameters by name and shape, in order, seen by `rank` of `world`.
    pub fn new(
        shapes: impl IntoIterator<Item = (String, Vec<usize>)>,
        rank: usize,
        world: usize,
        bucket: usize,
    ) -> Self {
        let mut total = 0;
        let slots = shapes
            .into_iter()
            .map(|(name, shape)| {
                let len = shape.iter().product();
                total += len;
                Slot { name, shape, start: total - len, len }
            })
            .collect();
        Self { slots, total, bucket: bucket.max(1), rank, world }
    }

    /// The parameters, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Elements of all parameters.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The buckets, in order.
    pub fn buckets(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (total, bucket) = (self.total, self.bucket);
        (0..total).step_by(bucket).map(move |start| start..(start + bucket).min(total))
    }

    /// The pieces of `bucket`, a rank each; the last ones may be empty.
    pub fn pieces(&self, bucket: &Range<usize>) -> Vec<Range<usize>> {
        let size = bucket.len().div_ceil(self.world);
        let at = |rank: usize| (bucket.start + rank * size).min(bucket.end);
        (0..self.world).map(|rank| at(rank)..at(rank + 1)).collect()
    }

    /// This rank's piece of every bucket.
    pub fn own(&self) -> Vec<Range<usize>> {
        self.buckets().map(|b| self.pieces(&b)[self.rank].clone()).collect()
    }

    /// Own pieces cut where weight decay begins or ends and at every `block` elements: (range, decays).
    pub fn own_blocks(&self, block: usize) -> Vec<(Range<usize>, bool)> {
        let mut blocks = Vec::new();
        for piece in self.own() {
            let first = self.slots.partition_point(|s| s.start + s.len <= piece.start);
            for slot in self.slots[first..].iter().take_while(|s| s.start < piece.end) {
                let (start, end) = (slot.start.max(piece.start), (slot.start + slot.len).min(piece.end));
                blocks
                    .extend((start..end).step_by(block).map(|at| (at..(at + block).min(end), slot.decays())));
            }
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(rank: usize, world: usize) -> Layout {
        let shapes = [("a", vec![3, 5]), ("b", vec![7]), ("c", vec![]), ("d", vec![2, 3, 2])];
        Layout::new(shapes.map(|(n, s)| (n.to_string(), s)), rank, world, 8)
    }

    #[test]
    fn pieces_cover_everything_once() {
        for world in [1, 2, 3, 11] {
            let mut seen = vec![0; layout(0, world).total()];
            for rank in 0..world {
                let layout = layout(rank, world);
                let own: Vec<usize> = layout.own().into_iter().flatten().collect();
                let blocks: Vec<usize> = layout.own_blocks(3).into_iter().flat_map(|(r, _)| r).collect();
                assert_eq!(own, blocks);
                own.iter().for_each(|&i| seen[i] += 1);
            }
            assert_eq!(seen, vec![1; 35]);
        }
    }

    #[test]
    fn decay_is_for_matrices() {
        for (range, decays) in layout(0, 1).own_blocks(4) {
            assert!(range.len() <= 4);
            for i in range {
                assert_eq!(decays, !(15..23).contains(&i), "{i}");
            }
        }
    }
}
