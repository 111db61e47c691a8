//! Gradients of invariant point attention.
//!
//! Residues are projected again; then for a few queries at a time the probabilities are made again and gone back
//! through at once: to the queries, to the pairs, and to sums over queries for keys and values. From there
//! `to_inputs` goes back to the single representation, the frames and the layers' weights.

use super::forward::{PairBias, mask_row};
use super::project::{Project, point, set_point};
use super::sizes::Sizes;
use super::to_inputs::{FrameGradient, to_inputs};
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, add_bias, add_transposed_product, gemm, padded,
    point_logits_backward_row, point_logits_row, scale_row, scratch, softmax_backward_row, softmax_row,
    sum_parts, transpose,
};
use crate::ops::{value, values};
use crate::place::Source;
use candle_core::{Device, Result, Tensor};

/// Queries that are gone back through together.
const QUERIES: usize = 12;

/// Gradients to the `wanted` inputs, among which the mask is not.
pub(super) fn backward(t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let project = Project::new(t)?;
    let [s, z] = values(&t[..2])?;
    let [wb, bb] = values(&t[13..15])?;
    let (wo, grad) = (value(&t[16])?, value(grad)?);
    let Sizes { r, c, cz, h, pq, .. } = project.sizes;
    let (wide, deep, width) = (project.wide, project.sizes.deep(), project.sizes.features());
    let many = padded(width);
    let mut sums = vec![0.0; QuerySums::len(&project.sizes)];
    let mut dz = vec![0.0; if wanted[1] { z.len() } else { 0 }];
    let mut grads = vec![None; t.len()];
    scratch(3 * r * wide + 3 * h * pq * deep + r * many + 12 * r, |buffer| -> Result<()> {
        let (local, buffer) = buffer.split_at_mut(r * wide);
        let (dlocal, buffer) = buffer.split_at_mut(r * wide);
        let (ready, buffer) = buffer.split_at_mut(r * wide);
        let (key_points, buffer) = buffer.split_at_mut(3 * h * pq * deep);
        let (features, dframes) = buffer.split_at_mut(r * many);
        project.run(Source::new(&s), local, ready);
        project.key_points(ready, key_points);
        let (keys, of_values) = project.pack(ready);
        let (keys_back, values_back) = project.pack_back(ready);
        let attend = Attend {
            project: &project,
            z: &z,
            grad: &grad,
            places: (local, ready, key_points),
            bias: PairBias::new(&wb, &bb),
            keys: [keys, keys_back],
            values: [of_values, values_back],
            back_output: Packed::from_kn(&wo, c, width),
            many,
            features: SharedMut::new(features),
            dlocal: SharedMut::new(dlocal),
            dframes: SharedMut::new(dframes),
            dz: wanted[1].then(|| SharedMut::new(&mut dz)),
        };
        sum_parts(r, QUERIES, &mut sums, |q0, queries, sum| {
            attend.block(q0, queries, &mut QuerySums::of(&project.sizes, sum));
        });
        drop(attend);
        let sums = QuerySums::of(&project.sizes, &mut sums);
        to_inputs(&project, t, &grad, (local, features), (&sums, dlocal, dframes), wanted, &mut grads)
    })?;
    if wanted[1] {
        grads[1] = Some(Tensor::from_vec(dz, (r, r, cz), &Device::Cpu)?);
    }
    Ok(grads)
}

/// Gradients that are summed over queries.
pub(super) struct QuerySums<'a> {
    /// Of each head's keys, their points' coordinates, and values with theirs, as rows of `r`.
    pub keys: &'a mut [f32],
    /// Of the weight that makes biases of pairs.
    pub pair_weight: &'a mut [f32],
    /// Of the factors on squared distances.
    pub point_weights: &'a mut [f32],
}

impl<'a> QuerySums<'a> {
    /// Rows of one head.
    pub fn rows(s: &Sizes) -> usize {
        s.dk + 3 * s.pq + s.value()
    }

    fn len(s: &Sizes) -> usize {
        s.h * (Self::rows(s) * s.r + s.cz + 1)
    }

    fn of(s: &Sizes, buffer: &'a mut [f32]) -> Self {
        let (keys, buffer) = buffer.split_at_mut(s.h * Self::rows(s) * s.r);
        let (pair_weight, point_weights) = buffer.split_at_mut(s.h * s.cz);
        Self { keys, pair_weight, point_weights }
    }

    /// Keys, key points and values of one head.
    fn head(&mut self, s: &Sizes, head: usize) -> [&mut [f32]; 3] {
        let rows = Self::rows(s) * s.r;
        let (keys, rest) = self.keys[head * rows..][..rows].split_at_mut(s.dk * s.r);
        let (points, values) = rest.split_at_mut(3 * s.pq * s.r);
        [keys, points, values]
    }
}

/// What a block of queries reads, and where its gradients go.
struct Attend<'a> {
    project: &'a Project<'a>,
    z: &'a [f32],
    grad: &'a [f32],
    /// Projections, the same in attention's order, and the coordinates of keys.
    places: (&'a [f32], &'a [f32], &'a [f32]),
    bias: PairBias,
    /// Of each head, `[d, r]` and `[r, d]`.
    keys: [Vec<Packed>; 2],
    /// Of each head, `[r, v]` and `[v, r]`.
    values: [Vec<Packed>; 2],
    back_output: Packed,
    /// Distance between rows of features.
    many: usize,
    features: SharedMut<f32>,
    dlocal: SharedMut<f32>,
    dframes: SharedMut<f32>,
    dz: Option<SharedMut<f32>>,
}

/// A block of queries at work.
struct Block<'b> {
    q0: usize,
    queries: usize,
    /// For each query, its probabilities by head, then their gradients, rows `deep` apart; some rows to spare.
    p: &'b mut [f32],
    /// 1 / Σ of each query and head.
    inverse: &'b mut [f32],
    /// What each query and head summed, and its gradient.
    sums: &'b mut [f32],
    dsums: &'b mut [f32],
    features: &'b mut [f32],
    dfeatures: &'b mut [f32],
    /// `[r, 2h]` of one query and its transpose, both padded to vectors.
    of_pairs: &'b mut [f32],
    turned: &'b mut [f32],
    /// Gradients of the sums over pairs of one query, above the weights of the bias.
    above: &'b mut [f32],
}

impl Attend<'_> {
    fn block(&self, q0: usize, queries: usize, sum: &mut QuerySums<'_>) {
        let Sizes { r, c, cz, h, .. } = self.project.sizes;
        let (deep, value, many) = (self.project.sizes.deep(), self.project.sizes.value(), self.many);
        let side = vectors(2 * h);
        let rows = (2 * h * queries + side) * deep;
        let len = rows + queries * (h + 2 * h * value + many) + side * (vectors(r) + deep) + 2 * h * cz;
        scratch(len, |buffer| {
            let (p, buffer) = buffer.split_at_mut(rows);
            let (inverse, buffer) = buffer.split_at_mut(queries * h);
            let (sums, buffer) = buffer.split_at_mut(queries * h * value);
            let (dsums, buffer) = buffer.split_at_mut(queries * h * value);
            let (dfeatures, buffer) = buffer.split_at_mut(queries * many);
            let (of_pairs, buffer) = buffer.split_at_mut(side * vectors(r));
            let (turned, above) = buffer.split_at_mut(side * deep);
            above[h * cz..].copy_from_slice(&self.bias.weight);
            // SAFETY: every query has its own row.
            let features = unsafe { self.features.range(q0 * many, queries * many) };
            let of = Mat::new(&self.grad[q0 * c..], c);
            gemm(of, queries, &self.back_output, dfeatures, many, Finish::default());
            let mut block =
                Block { q0, queries, p, inverse, sums, dsums, features, dfeatures, of_pairs, turned, above };
            self.attend(&mut block);
            self.to_sums(&mut block);
            self.to_logits(&mut block);
            self.to_pairs(&mut block, sum);
            self.to_queries_and_keys(&mut block, sum);
        });
    }

    /// Probabilities, short of their division, what they sum, and the part of their gradient from pairs.
    fn attend(&self, b: &mut Block<'_>) {
        let Sizes { r, cz, h, dk, pq, .. } = self.project.sizes;
        let (wide, deep, value) = (self.project.wide, self.project.sizes.deep(), self.project.sizes.value());
        let (side, (_, ready, key_points)) = (vectors(2 * h), self.places);
        for head in 0..h {
            let q = Mat::new(&ready[b.q0 * wide + head * dk..], wide);
            gemm(q, b.queries, &self.keys[0][head], &mut b.p[head * deep..], 2 * h * deep, Finish::default());
        }
        let mut both = Packed::empty();
        for i in 0..b.queries {
            let q = b.q0 + i;
            let z = &self.z[q * r * cz..][..r * cz];
            let at = i * self.many + self.project.sizes.pairs_at();
            b.above[..h * cz].copy_from_slice(&b.dfeatures[at..][..h * cz]);
            both.refill_nk(Mat::new(b.above, cz), cz, 2 * h);
            gemm(Mat::new(z, cz), r, &both, b.of_pairs, side, Finish::default());
            transpose(b.of_pairs, side, vectors(r), side, b.turned, deep);
            let (p, dp) = b.p[2 * i * h * deep..][..2 * h * deep].split_at_mut(h * deep);
            dp.copy_from_slice(&b.turned[..h * deep]);
            // What came from pairs is out of the way: its memory takes the mask.
            let (mask, bias) = b.turned.split_at_mut(h * deep);
            mask_row(&self.project.mask, q, &mut mask[..r]);
            let points = &ready[q * wide + self.project.query_points_at()..];
            for head in 0..h {
                let p = &mut p[head * deep..][..r];
                let (q, k) = (&points[head * 3 * pq..][..3 * pq], &key_points[head * 3 * pq * deep..]);
                let (bias, weight) = (&mut bias[head * deep..][..r], self.project.point_weights[head]);
                bias.iter_mut().for_each(|x| *x += self.bias.bias[head]);
                point_logits_row(p, bias, q, k, deep, weight);
                b.inverse[i * h + head] = softmax_row(p, 1.0, &[], &mask[..r]);
            }
        }
        for head in 0..h {
            let (p, sums) = (Mat::new(&b.p[head * deep..], 2 * h * deep), &mut b.sums[head * value..]);
            gemm(p, b.queries, &self.values[0][head], sums, h * value, Finish::default());
        }
        for (sum, inverse) in b.sums.chunks_exact_mut(value).zip(&*b.inverse) {
            scale_row(sum, *inverse);
        }
    }

    /// From the features to what was summed, and to the queries' frames.
    fn to_sums(&self, b: &mut Block<'_>) {
        let Sizes { h, dv, pv, .. } = self.project.sizes;
        let value = self.project.sizes.value();
        for i in 0..b.queries {
            let (sums, frame) = (&b.sums[i * h * value..][..h * value], self.project.frame(b.q0 + i));
            let features = &mut b.features[i * self.many..];
            self.project.features(b.q0 + i, sums, features);
            let (dvalues, dpoints) = b.dfeatures[i * self.many..].split_at(h * dv);
            let (points, dsums) = (&features[h * dv..], &mut b.dsums[i * h * value..][..h * value]);
            let mut dframe = FrameGradient::default();
            for (head, dsum) in dsums.chunks_exact_mut(value).enumerate() {
                dsum[..dv].copy_from_slice(&dvalues[head * dv..][..dv]);
                for p in 0..pv {
                    let at = head * pv + p;
                    let (x, dx) = (point(points, h * pv, at), point(dpoints, h * pv, at));
                    let along = dpoints[3 * h * pv + at] / points[3 * h * pv + at];
                    let dx = [0, 1, 2].map(|a| dx[a] + along * x[a]);
                    let away = frame.relative(point(&sums[head * value + dv..], pv, p));
                    let back = frame.turn(dx);
                    dframe.add(away, dx, back.map(|x| -x));
                    set_point(&mut dsum[dv..], pv, p, back);
                }
            }
            // SAFETY: every query has its own row.
            dframe.put(unsafe { self.dframes.range((b.q0 + i) * 12, 12) });
        }
    }

    /// The probabilities' division, and their gradient replaced by that of the logits.
    fn to_logits(&self, b: &mut Block<'_>) {
        let Sizes { r, h, .. } = self.project.sizes;
        let (deep, value) = (self.project.sizes.deep(), self.project.sizes.value());
        let onto = Finish { accumulate: true, ..Finish::default() };
        for head in 0..h {
            let dsums = Mat::new(&b.dsums[head * value..], h * value);
            gemm(dsums, b.queries, &self.values[1][head], &mut b.p[(h + head) * deep..], 2 * h * deep, onto);
        }
        for i in 0..b.queries {
            let (p, dp) = b.p[2 * i * h * deep..][..2 * h * deep].split_at_mut(h * deep);
            for head in 0..h {
                let (p, dp) = (&mut p[head * deep..][..r], &mut dp[head * deep..][..r]);
                softmax_backward_row(p, b.inverse[i * h + head], dp, &mut []);
            }
        }
    }

    /// From probabilities and logits to the pairs, and to the layer that makes their bias.
    fn to_pairs(&self, b: &mut Block<'_>, sum: &mut QuerySums<'_>) {
        let Sizes { r, cz, h, .. } = self.project.sizes;
        let (deep, side) = (self.project.sizes.deep(), vectors(2 * h));
        let (mut row, mut both) = (Packed::empty(), Packed::empty());
        for i in 0..b.queries {
            let at = (b.q0 + i) * r * cz;
            let p = &b.p[2 * i * h * deep..];
            let over_pairs = i * self.many + self.project.sizes.pairs_at();
            row.refill_kn(Mat::new(&self.z[at..], cz), r, cz);
            scratch(2 * h * cz, |summed| {
                gemm(Mat::new(p, deep), 2 * h, &row, summed, cz, Finish::default());
                b.features[over_pairs..][..h * cz].copy_from_slice(&summed[..h * cz]);
                add_bias(sum.pair_weight, &summed[h * cz..]);
            });
            if let Some(dz) = &self.dz {
                b.above[..h * cz].copy_from_slice(&b.dfeatures[over_pairs..][..h * cz]);
                both.refill_kn(Mat::new(b.above, cz), 2 * h, cz);
                transpose(p, deep, side, vectors(r), b.of_pairs, side);
                // SAFETY: every query has its own row of pairs.
                let dz = unsafe { dz.range(at, r * cz) };
                gemm(Mat::new(b.of_pairs, side), r, &both, dz, cz, Finish::default());
            }
        }
    }

    /// From the logits to queries, keys, values and points.
    fn to_queries_and_keys(&self, b: &mut Block<'_>, sum: &mut QuerySums<'_>) {
        let sizes = &self.project.sizes;
        let &Sizes { r, h, dk, pq, .. } = sizes;
        let (wide, deep, value) = (self.project.wide, sizes.deep(), sizes.value());
        let (local, ready, key_points) = self.places;
        // SAFETY: every query has its own row.
        let dlocal = unsafe { self.dlocal.range(b.q0 * wide, b.queries * wide) };
        for head in 0..h {
            let (p, dp) = (&b.p[head * deep..], &b.p[(h + head) * deep..]);
            let of = Mat::new(dp, 2 * h * deep);
            gemm(of, b.queries, &self.keys[1][head], &mut dlocal[head * dk..], wide, Finish::default());
            let [dkeys, _, dvalues] = sum.head(sizes, head);
            let q = &ready[b.q0 * wide + head * dk..];
            add_transposed_product((q, wide), dk, (dp, 2 * h * deep), r, b.queries, dkeys);
            let dsums = &b.dsums[head * value..];
            add_transposed_product((dsums, h * value), value, (p, 2 * h * deep), r, b.queries, dvalues);
        }
        let points_at = sizes.parts()[..2].iter().sum::<usize>();
        for i in 0..b.queries {
            let q = b.q0 + i;
            let dlocal = &mut dlocal[i * wide..];
            scale_row(&mut dlocal[..h * dk], self.project.scale);
            let points = &ready[q * wide + self.project.query_points_at()..];
            let (local, dlocal) = (&local[q * wide + points_at..], &mut dlocal[points_at..]);
            // SAFETY: every query has its own row.
            let to = unsafe { self.dframes.range(q * 12, 12) };
            let mut dframe = FrameGradient::of(to);
            scratch(3 * pq, |dq| {
                for head in 0..h {
                    let dp = &b.p[((2 * i + 1) * h + head) * deep..][..r];
                    let (q, k) = (&points[head * 3 * pq..][..3 * pq], &key_points[head * 3 * pq * deep..]);
                    let weight = self.project.point_weights[head];
                    let [_, dpoints, _] = sum.head(sizes, head);
                    let along = point_logits_backward_row(dp, q, k, deep, weight, dq, dpoints, r);
                    sum.point_weights[head] += along;
                    for p in 0..pq {
                        let (at, dx) = (head * pq + p, point(dq, pq, p));
                        dframe.add(dx, point(local, h * pq, at), dx);
                        set_point(dlocal, h * pq, at, self.project.frame(b.q0 + i).turn_back(dx));
                    }
                }
            });
            dframe.put(to);
        }
    }
}

/// Elements rounded up to whole vectors, so that transposes turn blocks in registers.
fn vectors(n: usize) -> usize {
    n.next_multiple_of(16)
}
