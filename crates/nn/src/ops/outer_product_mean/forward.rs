//! The fused forward, and the parts of it that going back does again.

use super::EPS;
use crate::cpu::{
    Finish, Mat, Number, Packed, SharedMut, for_blocks, gemm, gemm_parallel, layer_norm_rows_as, padded,
    scratch, transpose,
};
use crate::ops::{Value, values};
use crate::place::{Place, Source};
use candle_core::{Result, Tensor};

/// Residues i whose outer products are held at a time: 3 × 32 channels fill the register blocks.
pub(super) const RESIDUES: usize = 3;
/// Residues j with which they are paired at a time, so that what is summed is projected from the cache.
pub(super) const PARTNERS: usize = 32;

/// Sizes, and what projects the MSA to the two factors.
pub(super) struct Factors<'a> {
    /// Sequences, residues, MSA channels, channels of a factor.
    pub sizes: [usize; 4],
    /// Distance between rows of the first factor.
    pub deep: usize,
    pub mask: Value<'a>,
    pub norm: [Value<'a>; 2],
    project: Packed,
    /// What the factors are rounded to.
    number: Number,
    bias: Vec<f32>,
}

impl<'a> Factors<'a> {
    pub fn new(t: &'a [Tensor]) -> Result<Self> {
        let (s, r, c) = t[0].dims3()?;
        let [mask, scale, offset, wa, ba, wb, bb] = values(&t[1..8])?;
        Ok(Self {
            sizes: [s, r, c, t[4].dim(0)?],
            deep: padded(s),
            mask,
            norm: [scale, offset],
            project: wa.number().pack_nk_list(&[&wa, &wb], c),
            number: wa.number(),
            bias: [&ba[..], &bb[..]].concat(),
        })
    }

    /// a as `[r, e, s]`, rows `deep` apart, so that they run over the summed sequences; b as `[s, r·e]`.
    pub fn project(&self, m: Source<'_>, a: &mut [f32], b: &mut [f32]) {
        let ([s, r, c, e], deep) = (self.sizes, self.deep);
        let (share_a, share_b) = (SharedMut::new(a), SharedMut::new(b));
        for_blocks(r, 1, |i, _| {
            scratch(s * (c + 2 * e), |buffer| {
                let (normed, ab) = buffer.split_at_mut(s * c);
                // SAFETY: source and result are two memories.
                let m = |q: usize| unsafe { m.range((q * r + i) * c, c) };
                let [scale, offset] = &self.norm;
                layer_norm_rows_as(self.number, s, m, scale, offset, normed);
                let finish = Finish { bias: &self.bias, ..Finish::default() };
                gemm(Mat::of(self.number, normed, c), s, &self.project, ab, 2 * e, finish);
                for (q, ab) in ab.chunks_exact_mut(2 * e).enumerate() {
                    let present = self.mask[q * r + i];
                    ab.iter_mut().for_each(|v| *v *= present);
                    // SAFETY: every residue writes its own elements.
                    unsafe { share_b.range((q * r + i) * e, e) }.copy_from_slice(&ab[e..]);
                }
                // SAFETY: as above.
                transpose(ab, 2 * e, s, e, unsafe { share_a.range(i * e * deep, e * deep) }, deep);
            });
        });
    }

    /// How many sequences each pair of residues shares, `[r, r]`.
    pub fn count(&self, count: &mut [f32]) {
        let [s, r, ..] = self.sizes;
        scratch(r * s, |columns| {
            transpose(&self.mask, r, s, r, columns, s);
            let shared_by = Packed::from_nk(columns, s, r);
            gemm_parallel(Mat::new(columns, s), r, &shared_by, count, r, Finish::default());
        });
    }

    /// Outer products of residues `i0..i0 + residues` and `j0..j0 + partners`, summed over the sequences,
    /// as `[i, j, e, e]`: one row of e² a pair, rows `wide` apart. `a` is of f32 or of the packed factor's numbers, the result
    /// of `number`, f32 for an odd e; `outer` is scratch.
    pub fn outer(
        &self,
        (a, i0, residues): (Mat<'_>, usize, usize),
        (b, j0, partners): (&Packed, usize, usize),
        outer: &mut [f32],
        number: Number,
        rows: &mut [f32],
        wide: usize,
    ) {
        let ([.., e], across) = (self.sizes, self.across());
        // Columns of packed factors begin at a multiple of its panels' width.
        let b = b.columns(j0 * e, partners * e);
        gemm(a.from_row(i0 * e), residues * e, b, outer, across, Finish::default());
        for i in 0..residues {
            for k in 0..e {
                let from = &outer[(i * e + k) * across..][..partners * e];
                for (j, from) in from.chunks_exact(e).enumerate() {
                    let to = (i * partners + j) * wide + number.depth(k * e);
                    number.copy(from, &mut rows[to..][..number.depth(e)]);
                }
            }
        }
    }

    /// Distance between rows of a block of outer products as they are summed.
    pub fn across(&self) -> usize {
        padded(PARTNERS * self.sizes[3])
    }
}

/// The update of the pair representation.
pub(super) fn forward(t: &[Tensor], m: Source<'_>, out: Place<'_>) -> Result<()> {
    let factors = Factors::new(t)?;
    let [wo, bo] = values(&t[8..])?;
    let ([s, r, _, e], cz) = (factors.sizes, bo.len());
    let output = wo.number().pack_nk(&wo, e * e, cz);
    scratch(r * e * factors.deep, |a| {
        let packed = scratch(s * r * e, |b| {
            factors.project(m, a, b);
            factors.number.pack_kn(b, s, r * e)
        });
        // Once, not with each block of partners.
        let a = factors.number.round_rows(a, factors.deep, s);
        let number = if e.is_multiple_of(2) { wo.number() } else { Number::F32 };
        scratch(r * r, |count| {
            factors.count(count);
            for_blocks(r, RESIDUES, |i0, residues| {
                let (pairs, wide) = (residues * PARTNERS, padded(number.depth(e * e)));
                let across = factors.across();
                scratch(residues * e * across + pairs * (wide + cz), |buffer| {
                    let (outer, buffer) = buffer.split_at_mut(residues * e * across);
                    let (rows, update) = buffer.split_at_mut(pairs * wide);
                    for j0 in (0..r).step_by(PARTNERS) {
                        let partners = PARTNERS.min(r - j0);
                        factors.outer((a, i0, residues), (&packed, j0, partners), outer, number, rows, wide);
                        let finish = Finish { bias: &bo, ..Finish::default() };
                        gemm(Mat::of(number, rows, wide), residues * partners, &output, update, cz, finish);
                        for (pair, update) in
                            update.chunks_exact_mut(cz).enumerate().take(residues * partners)
                        {
                            let at = (i0 + pair / partners) * r + j0 + pair % partners;
                            let inverse = 1.0 / (count[at] + EPS);
                            update.iter_mut().for_each(|v| *v *= inverse);
                            // SAFETY: every block of residues i writes its own rows.
                            unsafe { out.put(at * cz, update) };
                        }
                    }
                });
            });
        });
    });
    Ok(())
}
