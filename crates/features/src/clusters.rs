//! Extra rows join their nearest centre. AF2 Suppl. 1.2.7; AlphaFold `nearest_neighbor_clusters` and
//! `summarize_clusters`. Dims: s centres, e extra rows, r residues.

use crate::RawFeatures;
use chem::residue::GAP;
use rayon::prelude::*;

/// The centre that agrees with each extra row in most residues; the first of equals. [e]
///
/// Gaps and masked cells agree with nothing. `centres` [s · r] after masking, `extra` rows of `raw`.
/// AlphaFold multiplies one-hot matrices; counting equal bytes gives the same whole numbers.
pub(crate) fn nearest(centres: &[u8], extra: &[u32], raw: &RawFeatures) -> Vec<u32> {
    const NEVER: u8 = 255; // in centres; extra rows keep their gaps, 21
    let r = raw.num_res();
    let centres: Vec<u8> = centres.iter().map(|&a| if a < GAP { a } else { NEVER }).collect();
    let assign = |&row: &u32| {
        let row = raw.row(row);
        let mut best = (0, 0);
        for (i, centre) in centres.chunks_exact(r).enumerate() {
            let agreement = equal_bytes(centre, row);
            if agreement > best.0 {
                best = (agreement, i as u32);
            }
        }
        best.1
    };
    extra.par_iter().with_min_len(16).map(assign).collect()
}

/// Positions where `a` and `b` have the same byte. Sixteen lanes of byte sums, each at most 255, so that it is
/// vectorised on any x86-64.
fn equal_bytes(a: &[u8], b: &[u8]) -> u32 {
    const LANES: usize = 16;
    let mut total = 0;
    for (a, b) in a.chunks(LANES * 255).zip(b.chunks(LANES * 255)) {
        let mut lanes = [0u8; LANES];
        let (whole_a, rest_a) = a.as_chunks::<LANES>();
        let (whole_b, rest_b) = b.as_chunks::<LANES>();
        for (a, b) in whole_a.iter().zip(whole_b) {
            for lane in 0..LANES {
                lanes[lane] = lanes[lane].wrapping_add(u8::from(a[lane] == b[lane]));
            }
        }
        total += lanes.iter().map(|&lane| u32::from(lane)).sum::<u32>();
        total += rest_a.iter().zip(rest_b).filter(|(a, b)| a == b).count() as u32;
    }
    total
}

/// What the members of each cluster look like.
pub(crate) struct Summary {
    /// Share of each type at each cell, the centre included, [s · r][23].
    pub profile: Vec<[f32; 23]>,
    /// Mean number of deletions at each cell, [s · r].
    pub deletion_mean: Vec<f32>,
}

/// Profiles and deletion means of clusters.
/// - `centres` [s · r] types after masking, `centre_rows` [s] their rows in `raw`
/// - `extra` [e] rows, `assignment` [e] their centres
pub(crate) fn summarize(
    centres: &[u8],
    centre_rows: &[u32],
    extra: &[u32],
    assignment: &[u32],
    raw: &RawFeatures,
) -> Summary {
    let r = raw.num_res();
    let mut members = vec![Vec::new(); centre_rows.len()];
    for (&row, &cluster) in extra.iter().zip(assignment) {
        members[cluster as usize].push(row);
    }
    let mut summary =
        Summary { profile: vec![[0.0; 23]; centres.len()], deletion_mean: vec![0.0; centres.len()] };
    let profiles = summary.profile.par_chunks_mut(r).zip(summary.deletion_mean.par_chunks_mut(r));
    profiles.enumerate().for_each(|(cluster, (profile, deletions))| {
        for &row in &members[cluster] {
            for (cell, &aatype) in profile.iter_mut().zip(raw.row(row)) {
                cell[aatype as usize] += 1.0;
            }
            for deletion in raw.deletions(row) {
                deletions[deletion.column as usize] += deletion.count as f32;
            }
        }
        for (cell, &aatype) in profile.iter_mut().zip(&centres[cluster * r..]) {
            cell[aatype as usize] += 1.0;
        }
        for deletion in raw.deletions(centre_rows[cluster]) {
            deletions[deletion.column as usize] += deletion.count as f32;
        }
        // In AlphaFold's order of additions: ε, the centre, the members.
        let count = (1e-6 + 1.0f32) + members[cluster].len() as f32;
        profile.iter_mut().flatten().for_each(|share| *share /= count);
        deletions.iter_mut().for_each(|mean| *mean /= count);
    });
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_do_not_overflow_the_byte_counters() {
        let a = vec![7u8; 9001];
        let mut b = a.clone();
        b[500] = 8;
        assert_eq!((equal_bytes(&a, &a), equal_bytes(&a, &b)), (9001, 9000));
    }
}
