//! Softmax attention of one head over a block of queries; the full logits matrix never exists.

use super::gemm::{Finish, gemm};
use super::packed::{Mat, Packed, padded};
use super::rows::scale_row;
use super::scratch::scratch;
use super::softmax::softmax_row_as;

/// Queries whose logits are held at a time.
const QUERIES: usize = 48;

/// One head of one attended row.
pub struct HeadBlock<'a> {
    /// Queries `[n_q, d]`, unscaled.
    pub q: Mat<'a>,
    /// Keys as Bᵀ: `[d, n_k]` packed from `[n_k, d]`.
    pub k: &'a Packed,
    /// Values `[n_k, d_v]`.
    pub v: &'a Packed,
    /// Factor on q·k, usually d^(−1/2).
    pub scale: f32,
    /// Added to the scaled logits, `[n_q, n_k]`; empty for none.
    pub bias: &'a [f32],
    /// Added to the logits of each key, `[n_k]`: 0 or −1e9.
    pub mask: &'a [f32],
}

/// softmax(scale·q·kᵀ + bias + mask)·v into `out`, rows `out_stride` apart.
pub fn attend(head: &HeadBlock<'_>, queries: usize, out: &mut [f32], out_stride: usize) {
    let (keys, number) = (head.k.n(), head.v.number());
    let wide = padded(keys);
    scratch(QUERIES * wide, |logits| {
        let mut inverse = [0f32; QUERIES];
        for q0 in (0..queries).step_by(QUERIES) {
            let rows = QUERIES.min(queries - q0);
            gemm(head.q.from_row(q0), rows, head.k, logits, wide, Finish::default());
            for (i, row) in logits.chunks_exact_mut(wide).take(rows).enumerate() {
                let bias = if head.bias.is_empty() { &[] } else { &head.bias[(q0 + i) * keys..][..keys] };
                inverse[i] = softmax_row_as(number, &mut row[..keys], head.scale, bias, head.mask);
            }
            let out = &mut out[q0 * out_stride..];
            gemm(Mat::of(number, logits, wide), rows, head.v, out, out_stride, Finish::default());
            for (i, inverse) in inverse.iter().enumerate().take(rows) {
                scale_row(&mut out[i * out_stride..][..head.v.n()], *inverse);
            }
        }
    });
}
