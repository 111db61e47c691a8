//! How deep an alignment is: what a report shows and a user judges a prediction by.

use crate::Msa;

/// Rows per column, identities and the effective number of sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    /// Rows with a residue in each column, the query included, `[columns]`.
    pub coverage: Vec<u32>,
    /// Share of a row's aligned residues that equal the query's, 0–1, `[rows]`; 0 for a row of gaps.
    pub identity: Vec<f32>,
    /// Effective number of sequences: each row counts one over the number of rows at least 80% identical
    /// to it (itself included), measured over columns where either has a residue, as in the AlphaFold
    /// paper (Methods, "Quantifying the influence of MSA depth").
    pub neff: f64,
    /// Whether `neff` is an estimate from evenly spaced rows, each compared with all others.
    pub neff_sampled: bool,
}

/// Row comparisons spent on Neff; beyond, rows are sampled. About a second at 300 columns.
const COMPARISONS: usize = 30_000_000;

/// Measures an alignment.
pub fn depth(msa: &Msa) -> Depth {
    let query = msa.query();
    let mut coverage = vec![0; msa.columns()];
    let mut identity = Vec::with_capacity(msa.rows());
    for i in 0..msa.rows() {
        let (mut aligned, mut same) = (0u32, 0u32);
        for ((&letter, &wanted), count) in msa.row(i).iter().zip(query).zip(&mut coverage) {
            let present = u32::from(letter != b'-');
            *count += present;
            aligned += present;
            same += u32::from(letter == wanted);
        }
        identity.push(if aligned == 0 { 0.0 } else { same as f32 / aligned as f32 });
    }
    let (neff, neff_sampled) = neff(msa);
    Depth { coverage, identity, neff, neff_sampled }
}

/// Rows per column by identity to the query: `[bins][columns]`, bin b holding identities in
/// (b / bins, (b + 1) / bins], the lowest also 0. Sums over bins give [`Depth::coverage`].
///
/// # Panics  if `depth` is of another alignment (fewer rows), or `bins` is 0.
pub fn coverage_by_identity(msa: &Msa, depth: &Depth, bins: usize) -> Vec<Vec<u32>> {
    let mut counts = vec![vec![0; msa.columns()]; bins];
    for i in 0..msa.rows() {
        let bin = ((depth.identity[i] * bins as f32).ceil() as usize).clamp(1, bins) - 1;
        for (count, &letter) in counts[bin].iter_mut().zip(msa.row(i)) {
            *count += u32::from(letter != b'-');
        }
    }
    counts
}

fn neff(msa: &Msa) -> (f64, bool) {
    let rows = msa.rows();
    let residues: Vec<usize> = (0..rows).map(|i| msa.row(i).iter().filter(|b| **b != b'-').count()).collect();
    let step = (rows * rows).div_ceil(COMPARISONS).max(1);
    let sample: Vec<usize> = (0..rows).step_by(step).collect();
    // The sampled rows stay in cache while all rows go by once.
    let mut close = vec![0usize; sample.len()];
    for j in 0..rows {
        let row = msa.row(j);
        for (count, &i) in close.iter_mut().zip(&sample) {
            *count += usize::from(i == j || similar(msa.row(i), row, residues[i] + residues[j]));
        }
    }
    let sum: f64 = close.iter().map(|&count| 1.0 / count as f64).sum();
    (sum * rows as f64 / sample.len() as f64, step > 1)
}

/// At least 80% of the columns in which either row has a residue are equal. `most` bounds those columns.
fn similar(a: &[u8], b: &[u8], most: usize) -> bool {
    let most = most.min(a.len());
    let ((blocks_a, rest_a), (blocks_b, rest_b)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    let (mut differ, mut gaps) = (0usize, 0usize);
    // Most pairs are told apart by their first columns.
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        let (d, g) = count(a, b);
        differ += usize::from(d);
        gaps += usize::from(g);
        if differ * 5 > most {
            return false;
        }
    }
    let (d, g) = count(rest_a, rest_b);
    (differ + usize::from(d)) * 5 <= a.len() - gaps - usize::from(g)
}

/// Columns that differ, and columns of gaps in both; at most 255 columns. Of fixed length this is a few
/// vector instructions.
#[inline(always)]
fn count(a: &[u8], b: &[u8]) -> (u8, u8) {
    let (mut differ, mut gaps) = (0u8, 0u8);
    for (&x, &y) in a.iter().zip(b) {
        // Never beyond 255; checks against that would keep the loop from being vectorised.
        differ = differ.wrapping_add(u8::from(x != y));
        gaps = gaps.wrapping_add(u8::from((x == b'-') & (y == b'-')));
    }
    (differ, gaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, a3m};

    fn msa(text: &str) -> Msa {
        a3m::parse("x", text.as_bytes(), &Limits::default()).unwrap().0
    }

    #[test]
    fn counts_by_hand() {
        // Row 3 is 4 of 5 like the query (80%), row 4 shares 2 of 3 aligned, 2 of 5 in either.
        let msa = msa(">q\nMKVLA\n>b\nMKVLA\n>c\nMKVLG\n>d\nMK--G\n>e\n-----\n");
        let depth = depth(&msa);
        assert_eq!(depth.coverage, [4, 4, 3, 3, 4]);
        assert_eq!(depth.identity, [1.0, 1.0, 0.8, 2.0 / 3.0, 0.0]);
        // q, b and c lie within 80% of one another; d and e of nobody.
        assert_eq!(depth.neff, 3.0);
        assert!(!depth.neff_sampled);
        let bins = coverage_by_identity(&msa, &depth, 5);
        assert_eq!(bins[4], [2, 2, 2, 2, 2]);
        assert_eq!(bins[3], [2, 2, 1, 1, 2]); // 0.8 belongs to (0.6, 0.8], 2/3 as well
        let sums: Vec<u32> = (0..5).map(|c| bins.iter().map(|b| b[c]).sum()).collect();
        assert_eq!(sums, depth.coverage);
    }

    #[test]
    fn large_alignments_are_sampled_close_to_the_truth() {
        // 9,000 rows in 3,000 families of three copies: Neff is the number of distinct families.
        let mut state = 7u64;
        let mut text = String::from(">q\n");
        let mut families = Vec::new();
        for _ in 0..3000 {
            let row: String = (0..30)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    b"ACDEFGHIKLMNPQRSTVWY"[(state >> 33) as usize % 20] as char
                })
                .collect();
            families.push(row);
        }
        for (i, row) in families.iter().flat_map(|f| [f, f, f]).enumerate() {
            text += &if i == 0 { format!("{row}\n") } else { format!(">r{i}\n{row}\n") };
        }
        let depth = depth(&msa(&text));
        assert!(depth.neff_sampled);
        assert!((depth.neff - 3000.0).abs() < 1.0, "{}", depth.neff);
    }
}
