//! Outer product mean: how the MSA informs the pair representation. AF2 Suppl. Alg. 10.
//!
//! Fused: for a few residues i at a time, the outer products with all j are summed over the sequences
//! in one matrix product and projected at once; [r, r, e²] never exists.

use super::plain;
use crate::cpu::{Finish, Mat, Packed, SharedMut, for_blocks, gemm, gemm_parallel, layer_norm_row, scratch};
use crate::fused::{Fused, apply};
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
pub fn outer_product_mean(m: &Tensor, mask: &Tensor, w: &OuterProductWeights<'_>) -> Result<Tensor> {
    apply(OuterProductMean, &[m, mask, w.norm.0, w.norm.1, w.a.0, w.a.1, w.b.0, w.b.1, w.out.0, w.out.1])
}

struct OuterProductMean;

/// Residues i whose outer products are held at a time: 3 × 32 channels fill the register blocks.
const RESIDUES: usize = 3;

impl Fused for OuterProductMean {
    fn name(&self) -> &'static str {
        "outer_product_mean"
    }

    fn forward(&self, t: &[Tensor]) -> Result<(Vec<f32>, Shape)> {
        let (s, r, c) = t[0].dims3()?;
        let (cz, e) = (t[8].dim(0)?, t[4].dim(0)?);
        let [m, mask, scale, offset, wa, ba, wb, bb, wo, bo] = super::values(t)?;
        let (m, mask): (&[f32], &[f32]) = (&m, &mask);
        let project = Packed::from_nk(&[&wa[..], &wb[..]].concat(), c, 2 * e);
        let bias = [&ba[..], &bb[..]].concat();
        let output = Packed::from_nk(&wo, e * e, cz);

        // a as [r, e, s], so that its rows run over the summed sequences; b as [s, r·e].
        let (mut a, mut b) = (vec![0.0; r * e * s], vec![0.0; s * r * e]);
        let (share_a, share_b) = (SharedMut::new(&mut a), SharedMut::new(&mut b));
        for_blocks(r, 1, |i, _| {
            scratch(s * (c + 2 * e), |buffer| {
                let (normed, ab) = buffer.split_at_mut(s * c);
                for q in 0..s {
                    let row = &mut normed[q * c..][..c];
                    layer_norm_row(&m[(q * r + i) * c..][..c], &scale, &offset, row);
                }
                let finish = Finish { bias: &bias, ..Finish::default() };
                gemm(Mat::new(normed, c), s, &project, ab, 2 * e, finish);
                // SAFETY: every residue writes its own elements.
                let a = unsafe { share_a.range(i * e * s, e * s) };
                for q in 0..s {
                    let present = mask[q * r + i];
                    for k in 0..e {
                        a[k * s + q] = present * ab[q * 2 * e + k];
                    }
                    // SAFETY: as above.
                    let b = unsafe { share_b.range((q * r + i) * e, e) };
                    for k in 0..e {
                        b[k] = present * ab[q * 2 * e + e + k];
                    }
                }
            });
        });
        let packed = Packed::from_kn(&b, s, r * e);
        drop(b);

        // How many sequences each pair of residues shares.
        let mut count = vec![0.0; r * r];
        let columns: Vec<f32> = (0..r * s).map(|x| mask[(x % s) * r + x / s]).collect(); // [r, s]
        let shared_by = Packed::from_nk(&columns, s, r);
        gemm_parallel(Mat::new(&columns, s), r, &shared_by, &mut count, r, Finish::default());

        let mut out = vec![0.0; r * r * cz];
        let shared = SharedMut::new(&mut out);
        for_blocks(r, RESIDUES, |i0, residues| {
            scratch(residues * e * r * e + r * e * e, |buffer| {
                let (outer, rows) = buffer.split_at_mut(residues * e * r * e);
                let a = Mat::new(&a[i0 * e * s..], s);
                gemm(a, residues * e, &packed, outer, r * e, Finish::default());
                for i in 0..residues {
                    // [e, r, e] → [r, e, e]: one row of e² a pair.
                    for k in 0..e {
                        let from = &outer[(i * e + k) * r * e..][..r * e];
                        for (j, from) in from.chunks_exact(e).enumerate() {
                            rows[(j * e + k) * e..][..e].copy_from_slice(from);
                        }
                    }
                    // SAFETY: every residue i writes its own rows.
                    let out = unsafe { shared.range((i0 + i) * r * cz, r * cz) };
                    let finish = Finish { bias: &bo, ..Finish::default() };
                    gemm(Mat::new(rows, e * e), r, &output, out, cz, finish);
                    for (out, n) in out.chunks_exact_mut(cz).zip(&count[(i0 + i) * r..]) {
                        let inv = 1.0 / (n + EPS);
                        out.iter_mut().for_each(|v| *v *= inv);
                    }
                }
            });
        });
        Ok((out, (r, r, cz).into()))
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
