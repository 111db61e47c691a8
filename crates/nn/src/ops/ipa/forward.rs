//! The fused forward.

use super::MASKED;
use super::project::{Project, ROWS};
use super::sizes::Sizes;
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, for_blocks, gemm, padded, point_logits_row, scale_row, scratch,
    softmax_row, transpose,
};
use crate::ops::{value, values};
use crate::place::{Place, Source};
use candle_core::{Result, Tensor};

/// Queries that attend together: as many rows as the matrix product keeps in registers.
const QUERIES: usize = 12;

pub(super) fn forward(t: &[Tensor], s: Source<'_>, out: Place<'_>) -> Result<()> {
    let project = Project::new(t)?;
    let z = value(&t[1])?;
    let [wb, bb] = values(&t[13..15])?;
    let [wo, bo] = values(&t[16..])?;
    let Sizes { r, c, h, pq, .. } = project.sizes;
    let (wide, many, deep) = (project.wide, padded(project.sizes.features()), project.sizes.deep());
    let bias = PairBias::new(&wb, &bb);
    let output = Packed::from_nk(&wo, project.sizes.features(), c);
    scratch(r * wide + 3 * h * pq * deep + r * many.max(wide), |buffer| {
        let (ready, buffer) = buffer.split_at_mut(r * wide);
        let (key_points, features) = buffer.split_at_mut(3 * h * pq * deep);
        // The projections are no longer needed once they are placed: their memory takes the features.
        project.run(s, features, ready);
        project.key_points(ready, key_points);
        attend(&project, &z, &bias, (ready, key_points), features, many);
        for_blocks(r, ROWS, |row, rows| {
            let finish = Finish { bias: &bo, relu: false, accumulate: out.adds() };
            // SAFETY: blocks of rows are disjoint; the source was read before.
            let out = unsafe { out.range(row * c, rows * c) };
            gemm(Mat::new(&features[row * many..], many), rows, &output, out, c, finish);
        });
    });
    Ok(())
}

/// The layer that makes biases of pairs, scaled so that they have a third of the logits' variance.
pub(super) struct PairBias {
    /// `[h, c_z]`.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl PairBias {
    pub fn new(weight: &[f32], bias: &[f32]) -> Self {
        let scaled = |x: &[f32]| x.iter().map(|&x| (f64::from(x) * (1.0f64 / 3.0).sqrt()) as f32).collect();
        Self { weight: scaled(weight), bias: scaled(bias) }
    }
}

/// All features of all residues, rows `many` apart.
fn attend(
    project: &Project<'_>,
    z: &[f32],
    bias: &PairBias,
    (ready, key_points): (&[f32], &[f32]),
    features: &mut [f32],
    many: usize,
) {
    let Sizes { r, cz, h, dk, pq, .. } = project.sizes;
    let (wide, deep, value) = (project.wide, project.sizes.deep(), project.sizes.value());
    let (keys, values) = project.pack(ready);
    let of_bias = Packed::from_nk(&bias.weight, cz, h);
    // Padded to whole vectors, so that transposes turn blocks in registers.
    let (side, long) = (h.next_multiple_of(16), r.next_multiple_of(16));
    let share = SharedMut::new(features);
    for_blocks(r, QUERIES, |q0, queries| {
        // SAFETY: every query has its own row.
        let features = unsafe { share.range(q0 * many, queries * many) };
        scratch(queries * h * (deep + value + 1) + side * (long + deep) + r, |buffer| {
            let (p, buffer) = buffer.split_at_mut(queries * h * deep);
            let (sums, buffer) = buffer.split_at_mut(queries * h * value);
            let (inverse, buffer) = buffer.split_at_mut(queries * h);
            let (of_pairs, buffer) = buffer.split_at_mut(long * side);
            let (turned, mask) = buffer.split_at_mut(side * deep);
            for head in 0..h {
                let q = Mat::new(&ready[q0 * wide + head * dk..], wide);
                gemm(q, queries, &keys[head], &mut p[head * deep..], h * deep, Finish::default());
            }
            let mut row = Packed::empty();
            for i in 0..queries {
                let z = &z[(q0 + i) * r * cz..][..r * cz];
                let p = &mut p[i * h * deep..][..h * deep];
                let inverse = &mut inverse[i * h..][..h];
                let finish = Finish { bias: &bias.bias, ..Finish::default() };
                gemm(Mat::new(z, cz), r, &of_bias, of_pairs, side, finish);
                transpose(of_pairs, side, long, side, turned, deep);
                mask_row(&project.mask, q0 + i, mask);
                let points = &ready[(q0 + i) * wide + project.query_points_at()..];
                for head in 0..h {
                    let p = &mut p[head * deep..][..r];
                    let (q, k) = (&points[head * 3 * pq..][..3 * pq], &key_points[head * 3 * pq * deep..]);
                    let weight = project.point_weights[head];
                    point_logits_row(p, &turned[head * deep..][..r], q, k, deep, weight);
                    inverse[head] = softmax_row(p, 1.0, &[], mask);
                }
                row.refill_kn(Mat::new(z, cz), r, cz);
                let over_pairs = &mut features[i * many + project.sizes.pairs_at()..][..h * cz];
                gemm(Mat::new(p, deep), h, &row, over_pairs, cz, Finish::default());
                for (sum, inverse) in over_pairs.chunks_exact_mut(cz).zip(inverse) {
                    scale_row(sum, *inverse);
                }
            }
            for head in 0..h {
                let (p, sums) = (Mat::new(&p[head * deep..], h * deep), &mut sums[head * value..]);
                gemm(p, queries, &values[head], sums, h * value, Finish::default());
            }
            for (sum, inverse) in sums.chunks_exact_mut(value).zip(inverse) {
                scale_row(sum, *inverse);
            }
            for (i, sums) in sums.chunks_exact(h * value).enumerate() {
                project.features(q0 + i, sums, &mut features[i * many..]);
            }
        });
    });
}

/// What is added to the logits of query `i`: −1e5 where it or the key is masked.
pub(super) fn mask_row(mask: &[f32], i: usize, to: &mut [f32]) {
    to.iter_mut().zip(mask).for_each(|(to, m)| *to = (mask[i] * m - 1.0) * MASKED);
}
