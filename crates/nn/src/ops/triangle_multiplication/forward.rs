//! The fused forward, and the parts of it that going back does again.

use super::Edges;
use crate::cpu::{
    Finish, Mat, Number, Packed, SharedMut, for_blocks, gate_rows, gemm, layer_norm_rows_as, mul_sigmoid,
    padded, scratch, transpose,
};
use crate::ops::{Value, values};
use crate::place::{Place, Source};
use candle_core::{Result, Tensor};
use std::ops::Range;

/// Sizes, and what projects the pair representation to the two factors.
pub(super) struct Factors<'a> {
    /// Residues, pair channels, channels of the sums.
    pub sizes: [usize; 3],
    /// Pair (i, k) of a factor lies at i·step.0 + k·step.1: (i, k) or, for incoming edges, (k, i).
    pub step: (usize, usize),
    /// Distance between rows of the factors and sums.
    pub wide: usize,
    pub mask: Value<'a>,
    pub norm: [Value<'a>; 2],
    /// Weights of a's and b's projections, then of their gates, and the biases of both.
    pub project: Packed,
    /// What the factors are rounded to.
    pub number: Number,
    pub bias: Vec<f32>,
    pub gate_bias: Vec<f32>,
}

impl<'a> Factors<'a> {
    /// All channels of the factors.
    pub fn new(t: &'a [Tensor], edges: Edges) -> Result<Self> {
        Self::of_channels(t, edges, 0..t[4].dim(0)?)
    }

    /// Only these channels of the factors.
    fn of_channels(t: &'a [Tensor], edges: Edges, channels: Range<usize>) -> Result<Self> {
        let (r, _, cz) = t[0].dims3()?;
        let [mask, scale, offset, wap, bap, wag, bag, wbp, bbp, wbg, bbg] = values(&t[1..12])?;
        let weights = [&wap, &wbp, &wag, &wbg].map(|w| &w[channels.start * cz..channels.end * cz]);
        let [bap, bbp, bag, bbg] = [&bap, &bbp, &bag, &bbg].map(|b| &b[channels.clone()]);
        Ok(Self {
            sizes: [r, cz, channels.len()],
            step: match edges {
                Edges::Outgoing => (r, 1),
                Edges::Incoming => (1, r),
            },
            wide: padded(r),
            mask,
            norm: [scale, offset],
            project: wap.number().pack_nk_list(&weights, cz),
            number: wap.number(),
            bias: [bap, bbp].concat(),
            gate_bias: [bag, bbg].concat(),
        })
    }

    /// a and b as `[2, c, r, r]`, rows `wide` apart.
    pub fn project(&self, z: Source<'_>, ab: &mut [f32]) {
        let ([r, cz, c], step, wide) = (self.sizes, self.step, self.wide);
        let share = SharedMut::new(ab);
        for_blocks(r, 1, |i, _| {
            scratch(r * (cz.max(2 * c) + 4 * c + 2 * c), |buffer| {
                let (normed, buffer) = buffer.split_at_mut(r * cz.max(2 * c));
                let (projected, gated) = buffer.split_at_mut(r * 4 * c);
                // SAFETY: nothing is written before the sums are complete.
                let z = |k: usize| unsafe { z.range((i * step.0 + k * step.1) * cz, cz) };
                let [scale, offset] = &self.norm;
                layer_norm_rows_as(self.number, r, z, scale, offset, &mut normed[..r * cz]);
                gemm(Mat::of(self.number, normed, cz), r, &self.project, projected, 4 * c, Finish::default());
                for k in 0..r {
                    let (x, gate) = projected[k * 4 * c..][..4 * c].split_at(2 * c);
                    let present = self.mask[i * step.0 + k * step.1];
                    let gated = &mut gated[k * 2 * c..][..2 * c];
                    gate_rows(x, &self.bias, gate, &self.gate_bias, present, gated);
                }
                // The normalised input is no longer needed: its memory takes the channels as rows.
                transpose(gated, 2 * c, r, 2 * c, normed, r);
                for (channel, row) in normed.chunks_exact(r).take(2 * c).enumerate() {
                    // SAFETY: every i writes its own rows.
                    unsafe { share.range((channel * r + i) * wide, r) }.copy_from_slice(row);
                }
            });
        });
    }

    /// The sums over triangles, `[c, r, r]`, rows `wide` apart.
    pub fn sum(&self, ab: &[f32], sums: &mut [f32]) {
        let ([r, _, c], wide) = (self.sizes, self.wide);
        let share = SharedMut::new(sums);
        for_blocks(c, 1, |channel, _| {
            let of = |channel: usize| Mat::new(&ab[channel * r * wide..], wide);
            let mut b = self.number.empty();
            b.refill_nk(of(c + channel), r, r);
            // SAFETY: channels are disjoint.
            let sums = unsafe { share.range(channel * r * wide, r * wide) };
            gemm(of(channel), r, &b, sums, wide, Finish::default());
        });
    }
}

/// Floats that the factors may take; with more, they are made and multiplied a few channels at a time. The layer norm
/// is computed again for each few, which is little where the products are so long.
const FACTORS: usize = 1 << 27;
/// Channels at a time then: four weights of 32 columns fill the matrix product's panels.
const CHANNELS: usize = 32;

/// Channels whose factors are made at a time, of `c`, for `r` residues.
pub fn channels_at_a_time(r: usize, c: usize) -> usize {
    if 2 * c * r * padded(r) <= FACTORS { c } else { CHANNELS.min(c) }
}

/// The update of the pair representation.
pub(super) fn forward(edges: Edges, t: &[Tensor], z: Source<'_>, out: Place<'_>) -> Result<()> {
    forward_by(channels_at_a_time(t[0].dim(0)?, t[4].dim(0)?), edges, t, z, out)
}

/// The same with so many channels at a time.
pub(super) fn forward_by(
    few: usize,
    edges: Edges,
    t: &[Tensor],
    z: Source<'_>,
    out: Place<'_>,
) -> Result<()> {
    let [ns, no, wo, bo, wg, bg] = values(&t[12..])?;
    let (r, _, cz) = t[0].dims3()?;
    let [scale, offset] = values(&t[2..4])?;
    let (c, wide) = (ns.len(), padded(r));
    let parts = (0..c).step_by(few).map(|start| Factors::of_channels(t, edges, start..c.min(start + few)));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    scratch((c + 2 * few) * r * wide, |buffer| {
        let (sums, ab) = buffer.split_at_mut(c * r * wide);
        for (factors, sums) in parts.iter().zip(sums.chunks_mut(few * r * wide)) {
            let ab = &mut ab[..2 * factors.sizes[2] * r * wide];
            factors.project(z, ab);
            factors.sum(ab, sums);
        }
        let number = wo.number();
        let (output, gate) = (number.pack_nk(&wo, c, cz), number.pack_nk(&wg, cz, cz));
        for_blocks(r, 1, |i, _| {
            scratch(r * (2 * c.max(cz) + 2 * cz), |buffer| {
                let (row, buffer) = buffer.split_at_mut(r * c.max(cz));
                let (summed, buffer) = buffer.split_at_mut(r * c.max(cz));
                let (normed, gates) = buffer.split_at_mut(r * cz);
                transpose(&sums[i * wide..], r * wide, c, r, row, c);
                let sums = |j: usize| &row[j * c..][..c];
                layer_norm_rows_as(number, r, sums, &ns, &no, &mut summed[..r * c]);
                // SAFETY: only this row's thread writes here, and later.
                let z = |j: usize| unsafe { z.range((i * r + j) * cz, cz) };
                layer_norm_rows_as(number, r, z, &scale, &offset, normed);
                gemm(Mat::of(number, normed, cz), r, &gate, gates, cz, Finish::default());
                let finish = Finish { bias: &bo, ..Finish::default() };
                // The row of sums is no longer needed: its memory takes the update.
                gemm(Mat::of(number, summed, c), r, &output, row, cz, finish);
                for (j, gate) in gates.chunks_exact(cz).enumerate() {
                    let update = &mut row[j * cz..][..cz];
                    mul_sigmoid(update, gate, &bg);
                    // SAFETY: every i writes its own rows.
                    unsafe { out.put((i * r + j) * cz, update) };
                }
            });
        });
    });
    Ok(())
}
