//! Outer product mean: how the MSA informs the pair representation. AF2 Suppl. Alg. 10.
//!
//! Fused: for a few residues i at a time, the outer products with all j are summed over the sequences
//! in one matrix product and projected at once; [r, r, e²] never exists.

use super::plain;
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, for_blocks, gemm, gemm_parallel, layer_norm_row, padded, scratch,
    transpose,
};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Weights; linear weights are `[out, in]`.
pub struct OuterProductWeights<'a> {
    /// Layer norm, `[c_m]` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// First factor `[e, c_m]`, `[e]`.
    pub a: (&'a Tensor, &'a Tensor),
    /// Second factor `[e, c_m]`, `[e]`.
    pub b: (&'a Tensor, &'a Tensor),
    /// Output `[c_z, e·e]` (first factor's channel major), `[c_z]`.
    pub out: (&'a Tensor, &'a Tensor),
}

/// Added to the number of sequences two residues share, as in AlphaFold's code.
const EPS: f32 = 1e-3;

/// The update of the pair representation, `[r, r, c_z]`.
/// - `m` `[s, r, c_m]`; `mask` `[s, r]`, 1 = present
///
/// Deviation from the paper, as in AlphaFold's code: the output bias is added before the division by
/// (count + 1e-3).
pub fn outer_product_mean(m: &Tensor, mask: &Tensor, w: &OuterProductWeights<'_>) -> Update {
    let weights = [w.norm.0, w.norm.1, w.a.0, w.a.1, w.b.0, w.b.1, w.out.0, w.out.1];
    Update::new(OuterProductMean, &[&[m, mask], &weights[..]].concat())
}

struct OuterProductMean;

/// Residues i whose outer products are held at a time: 3 × 32 channels fill the register blocks.
const RESIDUES: usize = 3;
/// Residues j with which they are paired at a time, so that what is summed is projected from the cache.
const PARTNERS: usize = 32;

impl Fused for OuterProductMean {
    fn name(&self) -> &'static str {
        "outer_product_mean"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (_, r, _) = t[0].dims3()?;
        Ok((r, r, t[8].dim(0)?).into())
    }

    fn forward(&self, t: &[Tensor], m: Source<'_>, out: Place<'_>) -> Result<()> {
        let (s, r, c) = t[0].dims3()?;
        let (cz, e) = (t[8].dim(0)?, t[4].dim(0)?);
        let [mask, scale, offset, wa, ba, wb, bb, wo, bo] = super::values(&t[1..])?;
        let mask: &[f32] = &mask;
        let project = Packed::from_nk_list(&[&wa, &wb], c);
        let bias = [&ba[..], &bb[..]].concat();
        let output = Packed::from_nk(&wo, e * e, cz);

        // a as [r, e, s], so that its rows run over the summed sequences; b as [s, r·e].
        let deep = padded(s);
        scratch(r * e * deep, |a| {
            let packed = scratch(s * r * e, |b| {
                let (share_a, share_b) = (SharedMut::new(a), SharedMut::new(b));
                for_blocks(r, 1, |i, _| {
                    scratch(s * (c + 2 * e), |buffer| {
                        let (normed, ab) = buffer.split_at_mut(s * c);
                        for q in 0..s {
                            // SAFETY: source and result are two memories.
                            let m = unsafe { m.range((q * r + i) * c, c) };
                            layer_norm_row(m, &scale, &offset, &mut normed[q * c..][..c]);
                        }
                        let finish = Finish { bias: &bias, ..Finish::default() };
                        gemm(Mat::new(normed, c), s, &project, ab, 2 * e, finish);
                        for (q, ab) in ab.chunks_exact_mut(2 * e).enumerate() {
                            let present = mask[q * r + i];
                            ab.iter_mut().for_each(|v| *v *= present);
                            // SAFETY: every residue writes its own elements.
                            unsafe { share_b.range((q * r + i) * e, e) }.copy_from_slice(&ab[e..]);
                        }
                        // SAFETY: as above.
                        transpose(ab, 2 * e, s, e, unsafe { share_a.range(i * e * deep, e * deep) }, deep);
                    });
                });
                Packed::from_kn(b, s, r * e)
            });
            scratch(r * r, |count| {
                // How many sequences each pair of residues shares.
                let mut columns = vec![0.0; r * s]; // [r, s]
                transpose(mask, r, s, r, &mut columns, s);
                let shared_by = Packed::from_nk(&columns, s, r);
                gemm_parallel(Mat::new(&columns, s), r, &shared_by, count, r, Finish::default());

                for_blocks(r, RESIDUES, |i0, residues| {
                    let (pairs, wide) = (residues * PARTNERS, padded(e * e));
                    // Columns of packed factors begin at a multiple of its panels' width.
                    let across = padded(PARTNERS * e);
                    scratch(residues * e * across + pairs * (wide + cz), |buffer| {
                        let (outer, buffer) = buffer.split_at_mut(residues * e * across);
                        let (rows, update) = buffer.split_at_mut(pairs * wide);
                        for j0 in (0..r).step_by(PARTNERS) {
                            let partners = PARTNERS.min(r - j0);
                            let b = packed.columns(j0 * e, partners * e);
                            let a = Mat::new(&a[i0 * e * deep..], deep);
                            gemm(a, residues * e, b, outer, across, Finish::default());
                            // [i, e, j, e] → [i, j, e, e]: one row of e² a pair.
                            for i in 0..residues {
                                for k in 0..e {
                                    let from = &outer[(i * e + k) * across..][..partners * e];
                                    for (j, from) in from.chunks_exact(e).enumerate() {
                                        rows[(i * partners + j) * wide + k * e..][..e].copy_from_slice(from);
                                    }
                                }
                            }
                            let finish = Finish { bias: &bo, ..Finish::default() };
                            gemm(Mat::new(rows, wide), residues * partners, &output, update, cz, finish);
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

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let x = plain::layer_norm(&t[0], &t[2], &t[3])?;
        let mask = t[1].unsqueeze(2)?;
        let a = plain::linear(&x, &t[4], &t[5])?.broadcast_mul(&mask)?; // [s, r, e]
        let b = plain::linear(&x, &t[6], &t[7])?.broadcast_mul(&mask)?;
        let (s, r, e) = a.dims3()?;
        let outer = a.reshape((s, r * e))?.t()?.contiguous()?.matmul(&b.reshape((s, r * e))?)?;
        let outer = outer.reshape((r, e, r, e))?.transpose(1, 2)?.contiguous()?.reshape((r, r, e * e))?;
        let count = (t[1].t()?.contiguous()?.matmul(&t[1])? + EPS as f64)?; // [r, r]
        plain::linear(&outer, &t[8], &t[9])?.broadcast_div(&count.unsqueeze(2)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        let (s, r, c, e, cz) = (6, 7, 5, 4, 9);
        let mask = noise(&[s, r], 2).ge(-0.5).unwrap().to_dtype(candle_core::DType::F32).unwrap();
        let t = [
            noise(&[s, r, c], 1),
            mask,
            noise(&[c], 3),
            noise(&[c], 4),
            noise(&[e, c], 5),
            noise(&[e], 6),
            noise(&[e, c], 7),
            noise(&[e], 8),
            noise(&[cz, e * e], 9),
            noise(&[cz], 10),
        ];
        check(&OuterProductMean, &t, &[0, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
