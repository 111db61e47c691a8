//! What every residue gives to attention: queries, keys, values, and points in space.

use super::EPS;
use super::sizes::{Sizes, point_factor};
use crate::cpu::{Finish, Mat, Packed, SharedMut, for_blocks, gemm, padded, scale_row, transpose};
use crate::ops::{Value, value, values};
use crate::place::Source;
use candle_core::{Result, Tensor};

/// A residue's frame: x ↦ rotation·x + translation.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Row by row.
    pub rotation: &'a [f32],
    pub translation: &'a [f32],
}

impl Frame<'_> {
    /// rotation·x
    pub fn turn(&self, x: [f32; 3]) -> [f32; 3] {
        [0, 1, 2].map(|a| (0..3).map(|b| self.rotation[3 * a + b] * x[b]).sum())
    }

    /// rotationᵀ·x
    pub fn turn_back(&self, x: [f32; 3]) -> [f32; 3] {
        [0, 1, 2].map(|b| (0..3).map(|a| self.rotation[3 * a + b] * x[a]).sum())
    }

    /// rotation·x + translation
    pub fn apply(&self, x: [f32; 3]) -> [f32; 3] {
        let x = self.turn(x);
        [0, 1, 2].map(|a| x[a] + self.translation[a])
    }

    /// x − translation
    pub fn relative(&self, x: [f32; 3]) -> [f32; 3] {
        [0, 1, 2].map(|a| x[a] - self.translation[a])
    }
}

/// Point `i` of `n`, stored as all x, then y, then z.
pub(super) fn point(x: &[f32], n: usize, i: usize) -> [f32; 3] {
    [x[i], x[n + i], x[2 * n + i]]
}

pub(super) fn set_point(x: &mut [f32], n: usize, i: usize, to: [f32; 3]) {
    (x[i], x[n + i], x[2 * n + i]) = (to[0], to[1], to[2]);
}

/// Residues that are projected together.
pub(super) const ROWS: usize = 24;

/// The projections and what they are made with.
pub(super) struct Project<'a> {
    pub sizes: Sizes,
    pub mask: Value<'a>,
    rotation: Value<'a>,
    translation: Value<'a>,
    weights: Packed,
    bias: Vec<f32>,
    /// Of squared distances, for each head.
    pub point_weights: Vec<f32>,
    /// Factor on queries.
    pub scale: f32,
    /// Distance between rows of projections.
    pub wide: usize,
}

impl<'a> Project<'a> {
    pub fn new(t: &'a [Tensor]) -> Result<Self> {
        let sizes = Sizes::of(t)?;
        let [wq, bq, wkv, bkv, wqp, bqp, wkvp, bkvp] = values(&t[5..13])?;
        let factor = point_factor(sizes.pq);
        let softplus = |&x: &f32| f64::from(x).max(0.0) + (-f64::from(x).abs()).exp().ln_1p();
        Ok(Self {
            sizes,
            mask: value(&t[2])?,
            rotation: value(&t[3])?,
            translation: value(&t[4])?,
            weights: Packed::from_nk_list(&[&wq, &wkv, &wqp, &wkvp], sizes.c),
            bias: [&bq[..], &bkv, &bqp, &bkvp].concat(),
            point_weights: value(&t[15])?.iter().map(|x| (softplus(x) * factor) as f32).collect(),
            scale: (1.0 / (3.0 * sizes.dk as f64)).sqrt() as f32,
            wide: padded(sizes.width()),
        })
    }

    /// The frame of residue `i`.
    pub fn frame(&self, i: usize) -> Frame<'_> {
        Frame { rotation: &self.rotation[9 * i..][..9], translation: &self.translation[3 * i..][..3] }
    }

    /// `local` takes the projections as the layers give them, `[r, width]`; `ready` the same in the order and places
    /// that attention wants, all by head: queries, scaled; keys; points of queries, then of keys, in space, x, y and z
    /// of each head; values with their points.
    pub fn run(&self, s: Source<'_>, local: &mut [f32], ready: &mut [f32]) {
        let (wide, c, width) = (self.wide, self.sizes.c, self.sizes.width());
        let (local, ready) = (SharedMut::new(local), SharedMut::new(ready));
        for_blocks(self.sizes.r, ROWS, |row, rows| {
            // SAFETY: blocks of rows are disjoint, and nothing is written to the source before all are projected.
            let (s, local, ready) = unsafe {
                let (start, len) = (row * wide, rows * wide);
                (s.range(row * c, rows * c), local.range(start, len), ready.range(start, len))
            };
            let finish = Finish { bias: &self.bias, ..Finish::default() };
            gemm(Mat::new(s, c), rows, &self.weights, local, wide, finish);
            for i in 0..rows {
                let at = i * wide..i * wide + width;
                self.place(self.frame(row + i), &local[at.clone()], &mut ready[at]);
            }
        });
    }

    /// One residue's part of [`Project::run`].
    fn place(&self, frame: Frame<'_>, local: &[f32], ready: &mut [f32]) {
        let Sizes { h, dk, dv, pq, pv, .. } = self.sizes;
        let [of_q, of_kv, of_q_points, _] = self.sizes.parts();
        let (q, local) = local.split_at(of_q);
        let (kv, local) = local.split_at(of_kv);
        let (q_points, kv_points) = local.split_at(of_q_points);
        let (to_q, ready) = ready.split_at_mut(h * dk);
        let (to_k, ready) = ready.split_at_mut(h * dk);
        let (to_q_points, ready) = ready.split_at_mut(3 * h * pq);
        let (to_k_points, to_v) = ready.split_at_mut(3 * h * pq);
        to_q.copy_from_slice(q);
        scale_row(to_q, self.scale);
        for head in 0..h {
            let (k, v) = kv[head * (dk + dv)..][..dk + dv].split_at(dk);
            to_k[head * dk..][..dk].copy_from_slice(k);
            let (to_v, to_v_points) = to_v[head * (dv + 3 * pv)..][..dv + 3 * pv].split_at_mut(dv);
            to_v.copy_from_slice(v);
            for p in 0..pq {
                let x = point(q_points, h * pq, head * pq + p);
                set_point(&mut to_q_points[head * 3 * pq..], pq, p, frame.apply(x));
            }
            for p in 0..pq + pv {
                let x = frame.apply(point(kv_points, h * (pq + pv), head * (pq + pv) + p));
                if p < pq {
                    set_point(&mut to_k_points[head * 3 * pq..], pq, p, x);
                } else {
                    set_point(to_v_points, pv, p - pq, x);
                }
            }
        }
    }

    /// Keys of each head packed for logits, and values for the weighted sum.
    pub fn pack(&self, ready: &[f32]) -> (Vec<Packed>, Vec<Packed>) {
        let Sizes { r, h, dk, .. } = self.sizes;
        let value = self.sizes.value();
        let keys = (0..h).map(|head| {
            let mut packed = Packed::empty();
            packed.refill_nk(Mat::new(&ready[self.keys_at() + head * dk..], self.wide), dk, r);
            packed
        });
        let values = (0..h).map(|head| {
            let mut packed = Packed::empty();
            packed.refill_kn(Mat::new(&ready[self.values_at() + head * value..], self.wide), r, value);
            packed
        });
        (keys.collect(), values.collect())
    }

    /// Keys of each head packed for gradients of queries, values for gradients of probabilities.
    pub fn pack_back(&self, ready: &[f32]) -> (Vec<Packed>, Vec<Packed>) {
        let Sizes { r, h, dk, .. } = self.sizes;
        let value = self.sizes.value();
        let keys = (0..h).map(|head| {
            let mut packed = Packed::empty();
            packed.refill_kn(Mat::new(&ready[self.keys_at() + head * dk..], self.wide), r, dk);
            packed
        });
        let values = (0..h).map(|head| {
            let mut packed = Packed::empty();
            packed.refill_nk(Mat::new(&ready[self.values_at() + head * value..], self.wide), value, r);
            packed
        });
        (keys.collect(), values.collect())
    }

    /// Coordinates of the keys' points as rows `[h·3·pq, r]`, `deep` apart.
    pub fn key_points(&self, ready: &[f32], to: &mut [f32]) {
        let Sizes { r, h, pq, .. } = self.sizes;
        let at = self.query_points_at() + 3 * h * pq;
        transpose(&ready[at..], self.wide, r, 3 * h * pq, to, self.sizes.deep());
    }

    /// Where a residue's keys lie in its row of `ready`.
    pub fn keys_at(&self) -> usize {
        self.sizes.h * self.sizes.dk
    }

    /// Where the points of its queries lie.
    pub fn query_points_at(&self) -> usize {
        2 * self.sizes.h * self.sizes.dk
    }

    /// Where its values lie.
    pub fn values_at(&self) -> usize {
        self.query_points_at() + 6 * self.sizes.h * self.sizes.pq
    }

    /// The features of residue `i` from what its query summed, `[h, value]`; those from pairs are left alone.
    pub fn features(&self, i: usize, sums: &[f32], features: &mut [f32]) {
        let Sizes { h, dv, pv, .. } = self.sizes;
        let frame = self.frame(i);
        let (values, points) = features[..self.sizes.pairs_at()].split_at_mut(h * dv);
        let (points, norms) = points.split_at_mut(3 * h * pv);
        for (head, sums) in sums.chunks_exact(self.sizes.value()).enumerate() {
            values[head * dv..][..dv].copy_from_slice(&sums[..dv]);
            for p in 0..pv {
                let x = frame.turn_back(frame.relative(point(&sums[dv..], pv, p)));
                set_point(points, h * pv, head * pv + p, x);
                norms[head * pv + p] = (x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + EPS).sqrt();
            }
        }
    }
}
