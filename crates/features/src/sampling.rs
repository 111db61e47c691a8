//! Which alignment rows a sample sees. AF2 Suppl. 1.2.6, 1.2.7; AlphaFold `data_transforms`:
//! `block_delete_msa`, `sample_msa`, `crop_extra_msa`, `randomly_replace_msa_with_unknown`.

use crate::philox::Operations;
use crate::{BlockDeletion, RawFeatures};
use chem::residue::{GAP, UNKNOWN};

/// Replaces a share of the residues of rows and query by X. Always draws, so that later draws stay the same.
pub(crate) fn replace_with_unknown(raw: &mut RawFeatures, share: f32, operations: &mut Operations) {
    let (rows, start) = operations.uniform(raw.msa.len());
    let (query, query_start) = operations.uniform(raw.aatype.len());
    if share == 0.0 {
        return;
    }
    for (i, cell) in raw.msa.iter_mut().enumerate() {
        if *cell != GAP && rows.float(start, i) < share {
            *cell = UNKNOWN;
        }
    }
    for (i, residue) in raw.aatype.iter_mut().enumerate() {
        if query.float(query_start, i) < share {
            *residue = UNKNOWN;
        }
    }
}

/// Rows that remain of `num_seq` after contiguous blocks are deleted; the query always does. Suppl. Alg. 1.
pub(crate) fn block_delete(num_seq: usize, config: &BlockDeletion, operations: &mut Operations) -> Vec<u32> {
    let block = (num_seq as f32 * config.msa_fraction_per_block).floor() as usize;
    let blocks = if config.randomize_num_blocks {
        let (stream, start) = operations.uniform(1);
        stream.integer(start, 0, 0, config.num_blocks as i32 + 1) as usize
    } else {
        config.num_blocks
    };
    let (stream, start) = operations.uniform(blocks);
    let mut keep = vec![true; num_seq];
    for i in 0..blocks {
        let first = stream.integer(start, i, 0, num_seq as i32) as usize;
        // What reaches beyond the end piles up on the last row, which is therefore deleted too.
        for row in first..(first + block).min(num_seq) {
            keep[row] = false;
        }
    }
    keep[0] = true;
    (0..num_seq as u32).filter(|&row| keep[row as usize]).collect()
}

/// The rows of one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Cluster centres; the query is the first.
    pub centres: Vec<u32>,
    /// All others, in shuffled order.
    pub extra: Vec<u32>,
}

/// Shuffles `rows` behind the query and takes the first `max_seq` as centres.
pub(crate) fn sample(mut rows: Vec<u32>, max_seq: usize, operations: &mut Operations) -> Rows {
    operations.shuffle(rows.get_mut(1..).unwrap_or_default());
    let extra = rows.split_off(max_seq.min(rows.len()));
    Rows { centres: rows, extra }
}

/// Draws at most `max_extra` of the extra rows.
pub(crate) fn crop_extra(mut extra: Vec<u32>, max_extra: usize, operations: &mut Operations) -> Vec<u32> {
    if max_extra == 0 {
        return Vec::new();
    }
    operations.shuffle(&mut extra);
    extra.truncate(max_extra);
    extra
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_stays_first_and_no_row_is_lost() {
        let rows = sample((0..37).collect(), 11, &mut Operations::new(8, 0, 2));
        assert_eq!((rows.centres.len(), rows.extra.len(), rows.centres[0]), (11, 26, 0));
        let mut all = [rows.centres, rows.extra].concat();
        all.sort_unstable();
        assert_eq!(all, (0..37).collect::<Vec<u32>>());
        let few = sample(vec![0], 5, &mut Operations::new(8, 0, 0));
        assert_eq!((few.centres.as_slice(), few.extra.len()), ([0].as_slice(), 0));
    }

    #[test]
    fn blocks_are_contiguous_and_spare_the_query() {
        let config =
            BlockDeletion { msa_fraction_per_block: 0.3, randomize_num_blocks: false, num_blocks: 1 };
        for seed in 0..40 {
            let kept = block_delete(53, &config, &mut Operations::new(seed, 2, 0));
            assert_eq!(kept[0], 0);
            let jumps = kept.windows(2).filter(|w| w[1] != w[0] + 1).count();
            assert!(jumps <= 1, "one block leaves one hole: {kept:?}");
            assert!(kept.len() >= 53 - 15 && kept.len() < 53);
        }
    }
}
