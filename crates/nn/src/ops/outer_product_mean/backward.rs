//! Gradients of the outer product mean.
//!
//! Two passes over blocks of pairs: one gives the first factor's gradient and the output weights', the other,
//! with the roles of the residues exchanged, the second factor's. So each pass sums over its partners in
//! place and nothing is added across threads but gradients of weights.

use super::EPS;
use super::forward::{Factors, PARTNERS, RESIDUES};
use crate::cpu::{
    Finish, Mat, Number, Packed, SharedMut, add_transposed_product, gemm, layer_norm_backward_row,
    layer_norm_row, padded, scale_row, scratch, sum_parts, transpose,
};
use crate::ops::sums::{Sums, add_rows, gradients};
use crate::ops::{value, values};
use crate::place::Source;
use candle_core::{Result, Tensor};

/// Gradients to the `wanted` inputs, among which the mask is not.
pub(super) fn backward(t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let factors = Factors::new(t)?;
    let (m, grad, wo) = (value(&t[0])?, value(grad)?, value(&t[8])?);
    let ([s, r, _, e], deep) = (factors.sizes, factors.deep);
    let cz = wo.len() / (e * e);
    // The same weights with the second factor's channel major.
    let mut swapped = vec![0.0; wo.len()];
    for (from, to) in wo.chunks_exact(e * e).zip(swapped.chunks_exact_mut(e * e)) {
        transpose(from, e, e, e, to, e);
    }
    let of_output = Sums::new(t, wanted, &[&[8], &[9]]);
    let of_factors = Sums::new(t, wanted, &[&[2, 3], &[4, 6], &[5, 7]]);
    let (mut output_total, mut factors_total) = (of_output.buffer(), of_factors.buffer());
    let mut dm = vec![0.0; m.len()];
    scratch(2 * r * e * deep + r * r, |buffer| {
        let (da, buffer) = buffer.split_at_mut(r * e * deep);
        let (db, count) = buffer.split_at_mut(r * e * deep);
        factors.count(count);
        scratch(r * e * deep + s * r * e, |buffer| {
            let (a, b) = buffer.split_at_mut(r * e * deep);
            factors.project(Source::new(&m), a, b);
            let packed = Packed::from_kn(b, s, r * e);
            let mut pass = Pass {
                factors: &factors,
                grad: &grad,
                count,
                back: Packed::from_kn(&wo, cz, e * e),
                cz,
                step: (r, 1),
                partners: blocks(r, |j0, n, p| p.refill_nk(Mat::new(&b[j0 * e..], r * e), n * e, s)),
            };
            pass.run(da, (&of_output, &mut output_total), Some((a, &packed)), wanted);
            drop(packed);
            pass.back = Packed::from_kn(&swapped, cz, e * e);
            pass.step = (1, r);
            pass.partners = blocks(r, |i0, n, p| p.refill_kn(Mat::new(&a[i0 * e * deep..], deep), n * e, s));
            pass.run(db, (&Sums::new(t, wanted, &[]), &mut []), None, wanted);
        });
        back_to_input(&factors, t, &m, [da, db], &mut dm, (&of_factors, &mut factors_total), wanted)
    })?;
    gradients(dm, &[(&of_output, &output_total), (&of_factors, &factors_total)], t, wanted)
}

/// A factor packed block by block of residues.
fn blocks(r: usize, pack: impl Fn(usize, usize, &mut Packed)) -> Vec<Packed> {
    let of = |j0: usize| {
        let mut packed = Packed::empty();
        pack(j0, PARTNERS.min(r - j0), &mut packed);
        packed
    };
    (0..r).step_by(PARTNERS).map(of).collect()
}

/// What gives one factor's gradient.
struct Pass<'a> {
    factors: &'a Factors<'a>,
    grad: &'a [f32],
    count: &'a [f32],
    /// Output weights `[c_z, e·e]`, this factor's channel major.
    back: Packed,
    cz: usize,
    /// The pair of residue i of this factor and j of the other is i·step.0 + j·step.1.
    step: (usize, usize),
    /// The other factor, `[residues·e, s]` a block.
    partners: Vec<Packed>,
}

impl Pass<'_> {
    /// The factor's gradient `[r, e, s]` and, given both factors, what the output's weights sum up.
    fn run(
        &self,
        out: &mut [f32],
        (places, total): (&Sums, &mut [f32]),
        ab: Option<(&[f32], &Packed)>,
        wanted: &[bool],
    ) {
        let ([_, r, _, e], deep, across) = (self.factors.sizes, self.factors.deep, self.factors.across());
        let (cz, wide) = (self.cz, padded(e * e));
        let share = SharedMut::new(out);
        sum_parts(r, RESIDUES, total, |i0, residues, sum| {
            let most = residues * PARTNERS;
            scratch(residues * e * across + most * (2 * wide + cz), |buffer| {
                let (outer, buffer) = buffer.split_at_mut(residues * e * across);
                let (rows, buffer) = buffer.split_at_mut(most * wide);
                let (drows, update) = buffer.split_at_mut(most * wide);
                // SAFETY: every block of residues has its own rows.
                let out = unsafe { share.range(i0 * e * deep, residues * e * deep) };
                for (block, packed) in self.partners.iter().enumerate() {
                    let j0 = block * PARTNERS;
                    let partners = PARTNERS.min(r - j0);
                    let pairs = residues * partners;
                    for (pair, update) in update.chunks_exact_mut(cz).take(pairs).enumerate() {
                        let at = (i0 + pair / partners) * self.step.0 + (j0 + pair % partners) * self.step.1;
                        update.copy_from_slice(&self.grad[at * cz..][..cz]);
                        scale_row(update, 1.0 / (self.count[at] + EPS));
                    }
                    if let Some((a, b)) = ab {
                        if wanted[8] {
                            self.factors.outer(
                                (Mat::new(a, deep), i0, residues),
                                (b, j0, partners),
                                outer,
                                Number::F32,
                                rows,
                                wide,
                            );
                            let sum = places.of(sum, 8);
                            add_transposed_product((update, cz), cz, (rows, wide), e * e, pairs, sum);
                        }
                        add_rows(places.of(sum, 9), update, cz, pairs);
                    }
                    gemm(Mat::new(update, cz), pairs, &self.back, drows, wide, Finish::default());
                    // [i, j, e, e] → [i, e, j, e]
                    for i in 0..residues {
                        for k in 0..e {
                            let to = &mut outer[(i * e + k) * across..][..partners * e];
                            for (j, to) in to.chunks_exact_mut(e).enumerate() {
                                to.copy_from_slice(&drows[(i * partners + j) * wide + k * e..][..e]);
                            }
                        }
                    }
                    let onto = Finish { accumulate: block > 0, ..Finish::default() };
                    gemm(Mat::new(outer, across), residues * e, packed, out, deep, onto);
                }
            });
        });
    }
}

/// From the factors' gradients to the input's.
fn back_to_input(
    factors: &Factors<'_>,
    t: &[Tensor],
    m: &[f32],
    [da, db]: [&[f32]; 2],
    dm: &mut [f32],
    (places, total): (&Sums, &mut [f32]),
    wanted: &[bool],
) -> Result<()> {
    let ([s, r, c, e], deep, [scale, offset]) = (factors.sizes, factors.deep, &factors.norm);
    let mask: &[f32] = &factors.mask;
    let [wa, _, wb] = values(&t[4..7])?;
    let back = Packed::from_kn(&[&wa[..], &wb[..]].concat(), 2 * e, c);
    let share = SharedMut::new(dm);
    sum_parts(r, 1, total, |i, _, sum| {
        scratch(s * (2 * c + 2 * e), |buffer| {
            let (normed, buffer) = buffer.split_at_mut(s * c);
            let (dnormed, dab) = buffer.split_at_mut(s * c);
            transpose(&da[i * e * deep..], deep, e, s, dab, 2 * e);
            transpose(&db[i * e * deep..], deep, e, s, &mut dab[e..], 2 * e);
            for q in 0..s {
                scale_row(&mut dab[q * 2 * e..][..2 * e], mask[q * r + i]);
                layer_norm_row(&m[(q * r + i) * c..][..c], scale, offset, &mut normed[q * c..][..c]);
            }
            if wanted[4] || wanted[6] {
                add_transposed_product((dab, 2 * e), 2 * e, (normed, c), c, s, places.range(sum, 4, 6));
            }
            add_rows(places.range(sum, 5, 7), dab, 2 * e, s);
            gemm(Mat::new(dab, 2 * e), s, &back, dnormed, c, Finish::default());
            let (dscale, doffset) = places.pair(sum, 2);
            for (q, grad) in dnormed.chunks_exact(c).enumerate() {
                let at = (q * r + i) * c;
                // SAFETY: every residue writes its own elements.
                let dm = unsafe { share.range(at, c) };
                layer_norm_backward_row(&m[at..][..c], scale, grad, dm, dscale, doffset);
            }
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::OuterProductMean;
    use crate::ops::gradcheck::check_backward;
    use crate::ops::plain::testing::noise;
    use candle_core::{DType, Tensor};

    fn inputs([s, r, c, e, cz]: [usize; 5], scale: f64, masked: f64) -> Vec<Tensor> {
        vec![
            (noise(&[s, r, c], 1) * scale).unwrap(),
            noise(&[s, r], 2).ge(masked).unwrap().to_dtype(DType::F32).unwrap(),
            noise(&[c], 3),
            noise(&[c], 4),
            noise(&[e, c], 5),
            noise(&[e], 6),
            noise(&[e, c], 7),
            noise(&[e], 8),
            noise(&[cz, e * e], 9),
            noise(&[cz], 10),
        ]
    }

    #[test]
    fn odd_sizes() {
        let all = [0, 2, 3, 4, 5, 6, 7, 8, 9];
        let sizes = [
            ([3, 1, 7, 8, 9], 1.0),
            ([5, 2, 17, 16, 8], 1e3),
            ([6, 17, 9, 4, 11], 1e-4),
            ([4, 33, 19, 8, 7], 1.0),
        ];
        for (sizes, scale) in sizes {
            check_backward(&OuterProductMean, &inputs(sizes, scale, -0.5), &all, Some(2e-6));
        }
        check_backward(&OuterProductMean, &inputs([5, 67, 7, 4, 6], 1.0, 2.0), &[0, 8, 9], None);
    }

    #[test]
    fn only_what_is_wanted() {
        let t = inputs([4, 5, 7, 3, 6], 1.0, -0.5);
        for wanted in [&[0][..], &[8], &[5, 9], &[2], &[1, 6]] {
            check_backward(&OuterProductMean, &t, wanted, None);
        }
    }
}
