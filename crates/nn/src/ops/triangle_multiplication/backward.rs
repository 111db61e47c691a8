//! Gradients of triangle multiplication: the factors and their sums are made again, then each row of the
//! output, each channel of the sums and each row of the factors is gone back through.

use super::Edges;
use super::forward::Factors;
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, add_bias, add_transposed_product, for_blocks, gate_backward_row, gemm,
    layer_norm_backward_row, layer_norm_row, mul_sigmoid, scale_row, scratch, sum_parts, transpose,
};
use crate::ops::sums::{Sums, add_rows, gradients};
use crate::ops::{value, values};
use crate::place::Source;
use candle_core::{Result, Tensor};

/// Gradients to the `wanted` inputs, among which the mask is not.
pub(super) fn backward(
    edges: Edges,
    t: &[Tensor],
    grad: &Tensor,
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let factors = Factors::new(t, edges)?;
    let (z, grad) = (value(&t[0])?, value(grad)?);
    let ([r, _, c], wide) = (factors.sizes, factors.wide);
    let of_output = Sums::new(t, wanted, &[&[12, 13], &[14], &[15], &[16], &[17]]);
    let of_factors = Sums::new(t, wanted, &[&[2, 3], &[4, 8, 6, 10], &[5, 9, 7, 11]]);
    let (mut output_total, mut factors_total) = (of_output.buffer(), of_factors.buffer());
    let mut dz = vec![0.0; z.len()];
    scratch(3 * c * r * wide, |buffer| -> Result<()> {
        let (ab, sums) = buffer.split_at_mut(2 * c * r * wide);
        factors.project(Source::new(&z), ab);
        factors.sum(ab, sums);
        let total = (&of_output, &mut output_total[..]);
        back_to_sums(&factors, &t[12..], &z, &grad, sums, &mut dz, total, wanted)?;
        back_to_factors(&factors, sums, ab);
        back_to_input(&factors, t, &z, ab, &mut dz, (&of_factors, &mut factors_total), wanted)
    })?;
    gradients(dz, &[(&of_output, &output_total), (&of_factors, &factors_total)], t, wanted)
}

/// From the output to the sums, which are replaced by their gradient; `dnormed` takes the gradient that
/// reaches the normalised input through the output's gate.
fn back_to_sums(
    factors: &Factors<'_>,
    weights: &[Tensor],
    z: &[f32],
    grad: &[f32],
    sums: &mut [f32],
    dnormed: &mut [f32],
    (places, total): (&Sums, &mut [f32]),
    wanted: &[bool],
) -> Result<()> {
    let ([r, cz, c], wide, [scale, offset]) = (factors.sizes, factors.wide, &factors.norm);
    let [ns, no, wo, bo, wg, bg] = values(weights)?;
    let (output, gate) = (Packed::from_nk(&wo, c, cz), Packed::from_nk(&wg, cz, cz));
    let (back_output, back_gate) = (Packed::from_kn(&wo, cz, c), Packed::from_kn(&wg, cz, cz));
    let (sums, dnormed) = (SharedMut::new(sums), SharedMut::new(dnormed));
    sum_parts(r, 1, total, |i, _, sum| {
        // SAFETY: every i reads and writes its own rows of the sums.
        let row_of = |channel: usize| unsafe { sums.range((channel * r + i) * wide, r) };
        scratch(r * (3 * c + 4 * cz), |buffer| {
            let (summed, buffer) = buffer.split_at_mut(r * c);
            let (y, buffer) = buffer.split_at_mut(r * c);
            let (turned, buffer) = buffer.split_at_mut(r * c);
            let (normed, buffer) = buffer.split_at_mut(r * cz);
            let (gates, buffer) = buffer.split_at_mut(r * cz);
            let (update, dupdate) = buffer.split_at_mut(r * cz);
            for (channel, row) in turned.chunks_exact_mut(r).enumerate() {
                row.copy_from_slice(row_of(channel));
            }
            transpose(turned, r, c, r, summed, c);
            for j in 0..r {
                layer_norm_row(&summed[j * c..][..c], &ns, &no, &mut y[j * c..][..c]);
                layer_norm_row(&z[(i * r + j) * cz..][..cz], scale, offset, &mut normed[j * cz..][..cz]);
            }
            gemm(Mat::new(normed, cz), r, &gate, gates, cz, Finish::default());
            gemm(Mat::new(y, c), r, &output, update, cz, Finish { bias: &bo, ..Finish::default() });
            dupdate.copy_from_slice(&grad[i * r * cz..][..r * cz]);
            for at in (0..r * cz).step_by(cz) {
                let (dupdate, gate) = (&mut dupdate[at..][..cz], &mut gates[at..][..cz]);
                mul_sigmoid(dupdate, gate, &bg);
                gate_backward_row(&mut update[at..][..cz], dupdate, gate, &bg);
            }
            if wanted[14] {
                add_transposed_product((dupdate, cz), cz, (y, c), c, r, places.of(sum, 14));
            }
            if wanted[16] {
                add_transposed_product((gates, cz), cz, (normed, cz), cz, r, places.of(sum, 16));
            }
            add_rows(places.of(sum, 15), dupdate, cz, r);
            add_rows(places.of(sum, 17), gates, cz, r);
            // SAFETY: every i writes its own rows.
            let dnormed = unsafe { dnormed.range(i * r * cz, r * cz) };
            gemm(Mat::new(gates, cz), r, &back_gate, dnormed, cz, Finish::default());
            gemm(Mat::new(dupdate, cz), r, &back_output, y, c, Finish::default());
            let (dscale, doffset) = places.pair(sum, 12);
            for at in (0..r * c).step_by(c) {
                let dsum = &mut turned[at..][..c];
                layer_norm_backward_row(&summed[at..][..c], &ns, &y[at..][..c], dsum, dscale, doffset);
            }
            transpose(turned, c, r, c, summed, r);
            for (channel, row) in summed.chunks_exact(r).enumerate() {
                row_of(channel).copy_from_slice(row);
            }
        });
    });
    Ok(())
}

/// From the sums' gradient to that of a and b, whose place it takes.
fn back_to_factors(factors: &Factors<'_>, dsums: &[f32], ab: &mut [f32]) {
    let ([r, _, c], wide) = (factors.sizes, factors.wide);
    let share = SharedMut::new(ab);
    for_blocks(c, 1, |channel, _| {
        let dsum = &dsums[channel * r * wide..][..r * wide];
        // SAFETY: every channel has its own a and b.
        let [a, b] = [channel, c + channel].map(|i| unsafe { share.range(i * r * wide, r * wide) });
        let (mut packed_a, mut packed_b) = (Packed::empty(), Packed::empty());
        packed_a.refill_kn(Mat::new(a, wide), r, r);
        packed_b.refill_kn(Mat::new(b, wide), r, r);
        gemm(Mat::new(dsum, wide), r, &packed_b, a, wide, Finish::default());
        scratch(r * wide, |turned| {
            transpose(dsum, wide, r, r, turned, wide);
            gemm(Mat::new(turned, wide), r, &packed_a, b, wide, Finish::default());
        });
    });
}

/// From the gradient of a and b to the input's. `dz` holds the gradient to the normalised input so far.
fn back_to_input(
    factors: &Factors<'_>,
    t: &[Tensor],
    z: &[f32],
    dab: &[f32],
    dz: &mut [f32],
    (places, total): (&Sums, &mut [f32]),
    wanted: &[bool],
) -> Result<()> {
    let ([r, cz, c], step, wide) = (factors.sizes, factors.step, factors.wide);
    let ([scale, offset], mask): (_, &[f32]) = (&factors.norm, &factors.mask);
    let [wap, wag, wbp, wbg] = [&t[4], &t[6], &t[8], &t[10]].map(value);
    let weights = [&wap?[..], &wbp?[..], &wag?[..], &wbg?[..]].concat();
    let back = Packed::from_kn(&weights, 4 * c, cz);
    let dz = SharedMut::new(dz);
    sum_parts(r, 1, total, |i, _, sum| {
        let at = |k: usize| i * step.0 + k * step.1;
        scratch(r * (2 * cz + 8 * c), |buffer| {
            let (normed, buffer) = buffer.split_at_mut(r * cz);
            let (dnormed, buffer) = buffer.split_at_mut(r * cz);
            let (projected, buffer) = buffer.split_at_mut(r * 4 * c);
            let (turned, dgated) = buffer.split_at_mut(r * 2 * c);
            for (channel, row) in turned.chunks_exact_mut(r).enumerate() {
                row.copy_from_slice(&dab[(channel * r + i) * wide..][..r]);
            }
            transpose(turned, r, 2 * c, r, dgated, 2 * c);
            for k in 0..r {
                layer_norm_row(&z[at(k) * cz..][..cz], scale, offset, &mut normed[k * cz..][..cz]);
                // SAFETY: every i has its own pairs.
                dnormed[k * cz..][..cz].copy_from_slice(unsafe { dz.range(at(k) * cz, cz) });
            }
            gemm(Mat::new(normed, cz), r, &factors.project, projected, 4 * c, Finish::default());
            for k in 0..r {
                let (x, gate) = projected[k * 4 * c..][..4 * c].split_at_mut(2 * c);
                let dx = &mut dgated[k * 2 * c..][..2 * c];
                add_bias(x, &factors.bias);
                scale_row(dx, mask[at(k)]);
                mul_sigmoid(dx, gate, &factors.gate_bias);
                gate_backward_row(x, dx, gate, &factors.gate_bias);
                x.copy_from_slice(dx);
            }
            if [4, 6, 8, 10].iter().any(|&i| wanted[i]) {
                let sum = places.range(sum, 4, 10);
                add_transposed_product((projected, 4 * c), 4 * c, (normed, cz), cz, r, sum);
            }
            add_rows(places.range(sum, 5, 11), projected, 4 * c, r);
            let onto = Finish { accumulate: true, ..Finish::default() };
            gemm(Mat::new(projected, 4 * c), r, &back, dnormed, cz, onto);
            let (dscale, doffset) = places.pair(sum, 2);
            for k in 0..r {
                // SAFETY: as above.
                let dz = unsafe { dz.range(at(k) * cz, cz) };
                let (z, grad) = (&z[at(k) * cz..][..cz], &dnormed[k * cz..][..cz]);
                layer_norm_backward_row(z, scale, grad, dz, dscale, doffset);
            }
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Edges, TriangleMultiplication};
    use crate::ops::gradcheck::check_backward;
    use crate::ops::plain::testing::noise;
    use candle_core::{DType, Tensor};

    fn inputs(r: usize, cz: usize, c: usize, scale: f64, masked: f64) -> Vec<Tensor> {
        let mask = noise(&[r, r], 2).ge(masked).unwrap().to_dtype(DType::F32).unwrap();
        let z = (noise(&[r, r, cz], 1) * scale).unwrap();
        let mut t = vec![z, mask, noise(&[cz], 3), noise(&[cz], 4)];
        for i in 0..4 {
            t.extend([noise(&[c, cz], 10 + i), noise(&[c], 20 + i)]);
        }
        t.extend([noise(&[c], 30), noise(&[c], 31), noise(&[cz, c], 32), noise(&[cz], 33)]);
        t.extend([noise(&[cz, cz], 34), noise(&[cz], 35)]);
        t
    }

    #[test]
    fn odd_sizes() {
        let all: Vec<usize> = (0..18).filter(|&i| i != 1).collect();
        let sizes = [(1, 7, 9, 1.0), (2, 17, 8, 1e3), (17, 8, 33, 1e-4), (33, 19, 16, 1.0)];
        for edges in [Edges::Outgoing, Edges::Incoming] {
            for (r, cz, c, scale) in sizes {
                let op = TriangleMultiplication { edges };
                check_backward(&op, &inputs(r, cz, c, scale, -0.5), &all, Some(2e-6));
            }
        }
    }

    #[test]
    fn only_what_is_wanted() {
        let op = TriangleMultiplication { edges: Edges::Incoming };
        let t = inputs(5, 7, 6, 1.0, -0.5);
        for wanted in [&[0][..], &[8], &[5, 16], &[12, 3], &[1, 14]] {
            check_backward(&op, &t, wanted, None);
        }
    }

    #[test]
    fn all_masked() {
        let op = TriangleMultiplication { edges: Edges::Outgoing };
        check_backward(&op, &inputs(6, 7, 5, 1.0, 2.0), &[0, 2, 3, 12, 13, 14, 15, 16, 17], None);
    }
}
