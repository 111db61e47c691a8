//! Gradients of gated attention.
//!
//! Each attended row is taken alone: it is normalised and projected again, then for each head and block of
//! queries the softmax is made again and gone back through at once. Between rows there are only the sums
//! that give the gradients of the weights and of the pair bias.

use super::{Attention, Orientation};
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, add_transposed_product, gate_backward_row, gemm, layer_norm_backward_row,
    layer_norm_row, mul_sigmoid, padded, scale_row, scratch, softmax_backward_row, softmax_row, sum_parts,
    transpose,
};
use crate::ops::sums::{Sums, add_rows, gradients};
use crate::ops::{value, values};
use candle_core::{Result, Tensor};

/// Queries whose probabilities are held at a time.
const QUERIES: usize = 96;

/// Gradients to the `wanted` inputs of `op`, among which the mask is not.
pub(super) fn backward(
    op: &Attention,
    t: &[Tensor],
    grad: &Tensor,
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let (n0, n1, c) = t[0].dims3()?;
    let [x, mask, scale, offset, wq, wk, wv, wg, bg, wo] = values(&t[..10])?;
    let (x, mask, grad): (&[f32], &[f32], _) = (&x, &mask, value(grad)?);
    let grad: &[f32] = &grad;
    let bias = t.get(11).map(value).transpose()?;
    let bias: &[f32] = bias.as_deref().unwrap_or(&[]);
    let (h, hk, hv) = (op.heads, wq.len() / c, wv.len() / c);
    let (dk, dv) = (hk / h, hv / h);
    let width = 2 * hk + 2 * hv;
    let wide = padded(width);
    let project = Packed::from_nk_list(&[&wq, &wk, &wv, &wg], c);
    let back_project = Packed::from_kn(&[&wq[..], &wk, &wv, &wg].concat(), width, c);
    let back_output = Packed::from_kn(&wo, c, hv);
    let (n, rows, row_step, step) = match op.orientation {
        Orientation::PerRow => (n1, n0, n1, 1),
        Orientation::PerColumn => (n0, n1, 1, n1),
    };
    let deep = padded(n);
    let groups: [&[usize]; 6] = [&[2, 3], &[4, 5, 6, 7], &[8], &[9], &[10], &[11]];
    let sums = Sums::new(t, wanted, &groups[..if bias.is_empty() { 5 } else { 6 }]);
    let mut dx = vec![0.0; if wanted[0] { x.len() } else { 0 }];
    let share = SharedMut::new(&mut dx);
    let mut total = sums.buffer();
    sum_parts(rows, 1, &mut total, |row, _, sum| {
        let at = |i: usize| row * row_step + i * step;
        let block = QUERIES.min(n);
        scratch(n * (2 * wide + 2 * c + 2 * hv + 1 + dk + dv) + 2 * block * deep, |buffer| {
            let (qkvg, buffer) = buffer.split_at_mut(n * wide);
            let (dqkvg, buffer) = buffer.split_at_mut(n * wide);
            let (normed, buffer) = buffer.split_at_mut(n * c);
            let (grad_row, buffer) = buffer.split_at_mut(n * c);
            let (attended, buffer) = buffer.split_at_mut(n * hv);
            let (dattended, buffer) = buffer.split_at_mut(n * hv);
            let (keys_mask, buffer) = buffer.split_at_mut(n);
            let (dkeys, buffer) = buffer.split_at_mut(dk * n);
            let (dvalues, buffer) = buffer.split_at_mut(dv * n);
            let (p, dp) = buffer.split_at_mut(block * deep);
            for i in 0..n {
                let from = at(i) * c..at(i) * c + c;
                layer_norm_row(&x[from.clone()], &scale, &offset, &mut normed[i * c..][..c]);
                grad_row[i * c..][..c].copy_from_slice(&grad[from]);
                keys_mask[i] = 1e9 * (mask[at(i)] - 1.0);
            }
            gemm(Mat::new(normed, c), n, &project, qkvg, wide, Finish::default());
            gemm(Mat::new(grad_row, c), n, &back_output, dattended, hv, Finish::default());
            for i in 0..n {
                let gate = &qkvg[i * wide + 2 * hk + hv..][..hv];
                mul_sigmoid(&mut dattended[i * hv..][..hv], gate, &bg);
            }

            let mut keys = [Packed::empty(), Packed::empty()];
            let mut packed_values = [Packed::empty(), Packed::empty()];
            for head in 0..h {
                let k = Mat::new(&qkvg[hk + head * dk..], wide);
                keys[0].refill_nk(k, dk, n);
                keys[1].refill_kn(k, n, dk);
                let v = Mat::new(&qkvg[2 * hk + head * dv..], wide);
                packed_values[0].refill_nk(v, dv, n);
                packed_values[1].refill_kn(v, n, dv);
                dkeys.fill(0.0);
                dvalues.fill(0.0);
                for q0 in (0..n).step_by(QUERIES) {
                    let queries = QUERIES.min(n - q0);
                    let q = &qkvg[q0 * wide + head * dk..];
                    let dout = &dattended[q0 * hv + head * dv..];
                    gemm(Mat::new(q, wide), queries, &keys[0], p, deep, Finish::default());
                    gemm(Mat::new(dout, hv), queries, &packed_values[0], dp, deep, Finish::default());
                    // The bias's rows of these queries and what sums their gradient.
                    let of_head = (head * n + q0) * n;
                    let dbias: &mut [f32] = if bias.is_empty() { &mut [] } else { sums.of(sum, 11) };
                    for i in 0..queries {
                        let bias: &[f32] = if bias.is_empty() { &[] } else { &bias[of_head + i * n..][..n] };
                        let dbias: &mut [f32] =
                            if dbias.is_empty() { &mut [] } else { &mut dbias[of_head + i * n..][..n] };
                        let p = &mut p[i * deep..][..n];
                        let inverse = softmax_row(p, (dk as f32).powf(-0.5), bias, keys_mask);
                        softmax_backward_row(p, inverse, &mut dp[i * deep..][..n], dbias);
                    }
                    let out = &mut attended[q0 * hv + head * dv..];
                    gemm(Mat::new(p, deep), queries, &packed_values[1], out, hv, Finish::default());
                    let dq = &mut dqkvg[q0 * wide + head * dk..];
                    gemm(Mat::new(dp, deep), queries, &keys[1], dq, wide, Finish::default());
                    // [d, n]: long rows keep the matrix product's registers filled where d is small.
                    add_transposed_product((q, wide), dk, (dp, deep), n, queries, dkeys);
                    add_transposed_product((dout, hv), dv, (p, deep), n, queries, dvalues);
                }
                transpose(dkeys, n, dk, n, &mut dqkvg[hk + head * dk..], wide);
                transpose(dvalues, n, dv, n, &mut dqkvg[2 * hk + head * dv..], wide);
            }

            for i in 0..n {
                let row = &mut dqkvg[i * wide..][..width];
                // The scale belongs to both queries and keys' gradients: logits are scale·q·k.
                scale_row(&mut row[..2 * hk], (dk as f32).powf(-0.5));
                let gate = &mut row[2 * hk + hv..];
                gate.copy_from_slice(&qkvg[i * wide + 2 * hk + hv..][..hv]);
                gate_backward_row(&mut attended[i * hv..][..hv], &dattended[i * hv..][..hv], gate, &bg);
            }
            if wanted[9] {
                add_transposed_product((grad_row, c), c, (attended, hv), hv, n, sums.of(sum, 9));
            }
            add_rows(sums.of(sum, 10), grad_row, c, n);
            if wanted[4..8].contains(&true) {
                add_transposed_product((dqkvg, wide), width, (normed, c), c, n, sums.range(sum, 4, 7));
            }
            add_rows(sums.of(sum, 8), &dqkvg[2 * hk + hv..], wide, n);
            if !wanted[0] && !wanted[2] && !wanted[3] {
                return;
            }
            // Neither the normalised input nor the result's gradient is needed any longer.
            gemm(Mat::new(dqkvg, wide), n, &back_project, grad_row, c, Finish::default());
            let (dscale, doffset) = sums.pair(sum, 2);
            for i in 0..n {
                let (x, grad) = (&x[at(i) * c..][..c], &grad_row[i * c..][..c]);
                let dx = &mut normed[i * c..][..c];
                layer_norm_backward_row(x, &scale, grad, dx, dscale, doffset);
                if wanted[0] {
                    // SAFETY: every attended row writes its own elements.
                    unsafe { share.range(at(i) * c, c) }.copy_from_slice(dx);
                }
            }
        });
    });
    gradients(dx, &[(&sums, &total)], t, wanted)
}

#[cfg(test)]
mod tests {
    use super::super::{Attention, Orientation};
    use crate::ops::gradcheck::check_backward;
    use crate::ops::plain::testing::noise;
    use candle_core::{DType, Tensor};

    const ALL: [usize; 11] = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    /// Inputs of `n0` × `n1` × `c` elements times `scale`; of the mask, numbers above `masked` are 1.
    fn inputs(n0: usize, n1: usize, n: usize, c: usize, d: usize, scale: f64, masked: f64) -> Vec<Tensor> {
        let h = 2;
        let mask = noise(&[n0, n1], 2).ge(masked).unwrap().to_dtype(DType::F32).unwrap();
        let w = |o: usize, i: usize, seed| (noise(&[o, i], seed) * (2.0 / (i as f64).sqrt())).unwrap();
        let x = (noise(&[n0, n1, c], 1) * scale).unwrap();
        let mut t = vec![x, mask, noise(&[c], 3), noise(&[c], 4)];
        t.extend([5, 6, 7, 8].map(|seed| w(h * d, c, seed)));
        t.extend([noise(&[h * d], 9), w(c, h * d, 10), noise(&[c], 11), noise(&[h, n, n], 12)]);
        t
    }

    #[test]
    fn odd_lengths_and_head_dims() {
        for (n, d, scale) in [(1, 8, 1.0), (2, 16, 1e-4), (17, 32, 1e3), (33, 8, 1.0), (130, 16, 1.0)] {
            let per_row = Attention { heads: 2, orientation: Orientation::PerRow };
            check_backward(&per_row, &inputs(3, n, n, 19, d, scale, -0.7), &ALL, Some(2e-6));
            let per_column = Attention { heads: 2, orientation: Orientation::PerColumn };
            check_backward(&per_column, &inputs(n, 5, n, 19, d, scale, -0.7), &ALL, Some(2e-6));
            let no_bias = &inputs(n, 5, n, 19, d, scale, -0.7)[..11];
            check_backward(&per_column, no_bias, &ALL[..10], Some(2e-6));
        }
    }

    #[test]
    fn more_rows_than_parts() {
        let op = Attention { heads: 2, orientation: Orientation::PerRow };
        check_backward(&op, &inputs(37, 11, 11, 10, 8, 1.0, -0.7), &ALL, Some(2e-6));
    }

    #[test]
    fn masked_rows_are_uniform_as_in_alphafold() {
        // In f32 the mask swallows the logits, in f64 it does not: there is nothing to compare with.
        for orientation in [Orientation::PerRow, Orientation::PerColumn] {
            check_backward(
                &Attention { heads: 2, orientation },
                &inputs(9, 9, 9, 10, 8, 1.0, 2.0),
                &ALL,
                None,
            );
        }
    }

    #[test]
    fn only_what_is_wanted() {
        let op = Attention { heads: 2, orientation: Orientation::PerRow };
        let t = inputs(5, 7, 7, 10, 8, 1.0, -0.7);
        for wanted in [&[0][..], &[11], &[2], &[5, 9], &[8, 10], &[0, 1]] {
            check_backward(&op, &t, wanted, None);
        }
    }
}
