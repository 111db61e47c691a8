//! From the gradients of queries, and of keys and values summed over queries, to the inputs.

use super::backward::QuerySums;
use super::project::{Frame, Project, ROWS, point, set_point};
use super::sizes::{Sizes, point_factor};
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, for_blocks, gemm_parallel, padded, scale_row, scratch, transpose,
};
use crate::ops::sums::add_rows;
use crate::ops::{value, values};
use candle_core::{Device, Result, Tensor};

/// Gradient of one frame: rotation row by row, then translation.
#[derive(Default)]
pub(super) struct FrameGradient([f32; 12]);

impl FrameGradient {
    /// What [`FrameGradient::put`] left.
    pub fn of(from: &[f32]) -> Self {
        Self(from.try_into().expect("12 numbers"))
    }

    /// Adds `rows` ⊗ `columns` to the rotation's and `shift` to the translation's.
    pub fn add(&mut self, rows: [f32; 3], columns: [f32; 3], shift: [f32; 3]) {
        for a in 0..3 {
            for b in 0..3 {
                self.0[3 * a + b] += rows[a] * columns[b];
            }
            self.0[9 + a] += shift[a];
        }
    }

    pub fn put(&self, to: &mut [f32]) {
        to.copy_from_slice(&self.0);
    }
}

/// Gradients to the `wanted` inputs but the pair representation.
/// - `made` projections and features; `known` sums over queries, and the queries' part of the gradients of projections
///   `[r, wide]` and frames `[r, 12]`, to which that of keys and values is added
pub(super) fn to_inputs(
    project: &Project<'_>,
    t: &[Tensor],
    grad: &[f32],
    made: (&[f32], &[f32]),
    known: (&QuerySums<'_>, &mut [f32], &mut [f32]),
    wanted: &[bool],
    grads: &mut [Option<Tensor>],
) -> Result<()> {
    let (local, features) = made;
    let (sums, dlocal, dframes) = known;
    let Sizes { r, c, pq, .. } = project.sizes;
    let (wide, width) = (project.wide, project.sizes.width());
    keys_and_values(project, local, sums, dlocal, dframes);

    let put = |grads: &mut [Option<Tensor>], i: usize, values: &[f32]| -> Result<()> {
        if wanted[i] {
            grads[i] = Some(Tensor::from_slice(values, t[i].shape(), &Device::Cpu)?);
        }
        Ok(())
    };
    let part = |from: usize, to: usize| -> Vec<f32> {
        dframes.chunks_exact(12).flat_map(|frame| &frame[from..to]).copied().collect()
    };
    put(grads, 3, &part(0, 9))?;
    put(grads, 4, &part(9, 12))?;
    let third = (1.0f64 / 3.0).sqrt() as f32;
    let mut of_pairs = sums.pair_weight.to_vec();
    scale_row(&mut of_pairs, third);
    put(grads, 13, &of_pairs)?;
    // What all logits of a query have in common changes nothing.
    put(grads, 14, &vec![0.0; project.sizes.h])?;
    let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
    let factor = point_factor(pq);
    let of_heads = value(&t[15])?;
    let of_heads = of_heads.iter().zip(&*sums.point_weights);
    let of_heads: Vec<f32> = of_heads.map(|(&x, &d)| (f64::from(d) * factor * sigmoid(x)) as f32).collect();
    put(grads, 15, &of_heads)?;

    if wanted[0] {
        let weights = [&t[5], &t[7], &t[9], &t[11]].map(value);
        let [wq, wkv, wqp, wkvp] = weights;
        let back = Packed::from_kn(&[&wq?[..], &wkv?, &wqp?, &wkvp?].concat(), width, c);
        let mut ds = vec![0.0; r * c];
        gemm_parallel(Mat::new(dlocal, wide), r, &back, &mut ds, c, Finish::default());
        grads[0] = Some(Tensor::from_vec(ds, (r, c), &Device::Cpu)?);
    }
    if wanted[5..13].contains(&true) {
        let [s] = values(&t[..1])?;
        let (weight, bias) = layer((dlocal, wide, width), (&s, c, c), r);
        let (mut weight, mut bias) = (&weight[..], &bias[..]);
        for (i, columns) in project.sizes.parts().into_iter().enumerate() {
            let (first, rest) = weight.split_at(columns * c);
            put(grads, 5 + 2 * i, first)?;
            weight = rest;
            let (first, rest) = bias.split_at(columns);
            put(grads, 6 + 2 * i, first)?;
            bias = rest;
        }
    }
    if wanted[16..].contains(&true) {
        let width = project.sizes.features();
        let (weight, bias) = layer((grad, c, c), (features, padded(width), width), r);
        put(grads, 16, &weight)?;
        put(grads, 17, &bias)?;
    }
    Ok(())
}

/// Adds what keys and values give to the gradients of projections and frames.
fn keys_and_values(
    project: &Project<'_>,
    local: &[f32],
    sums: &QuerySums<'_>,
    dlocal: &mut [f32],
    dframes: &mut [f32],
) {
    let (wide, r, h) = (project.wide, project.sizes.r, project.sizes.h);
    let [of_q, of_kv, of_q_points, _] = project.sizes.parts();
    let columns = h * QuerySums::rows(&project.sizes);
    let (dlocal, dframes) = (SharedMut::new(dlocal), SharedMut::new(dframes));
    for_blocks(r, ROWS, |row, rows| {
        scratch(rows * columns, |turned| {
            transpose(&sums.keys[row..], r, columns, rows, turned, columns);
            for (i, dkeys) in turned.chunks_exact(columns).enumerate() {
                let at = (row + i) * wide;
                // SAFETY: every residue has its own rows.
                let (dlocal, to) = unsafe { (dlocal.range(at, wide), dframes.range((row + i) * 12, 12)) };
                let (dkv, dpoints) = dlocal[of_q..].split_at_mut(of_kv);
                let local = &local[at + of_q + of_kv + of_q_points..];
                let mut dframe = FrameGradient::of(to);
                let frame = project.frame(row + i);
                residue(&project.sizes, frame, local, dkeys, dkv, &mut dpoints[of_q_points..], &mut dframe);
                dframe.put(to);
            }
        });
    });
}

/// One residue's part of [`keys_and_values`]: from `dkeys`, in attention's order, to `dkv` and `dpoints`, in the layers'.
fn residue(
    sizes: &Sizes,
    frame: Frame<'_>,
    local: &[f32],
    dkeys: &[f32],
    dkv: &mut [f32],
    dpoints: &mut [f32],
    dframe: &mut FrameGradient,
) {
    let &Sizes { h, dk, dv, pq, pv, .. } = sizes;
    let all = h * (pq + pv);
    for (head, dkeys) in dkeys.chunks_exact(QuerySums::rows(sizes)).enumerate() {
        let (dk_points, dvalues) = dkeys[dk..].split_at(3 * pq);
        let dkv = &mut dkv[head * (dk + dv)..][..dk + dv];
        dkv[..dk].copy_from_slice(&dkeys[..dk]);
        dkv[dk..].copy_from_slice(&dvalues[..dv]);
        for p in 0..pq + pv {
            let dx = if p < pq { point(dk_points, pq, p) } else { point(&dvalues[dv..], pv, p - pq) };
            let at = head * (pq + pv) + p;
            dframe.add(dx, point(local, all, at), dx);
            set_point(dpoints, all, at, frame.turn_back(dx));
        }
    }
}

/// Gradients of a linear layer's weight `[n, k]` and bias, from those of its output and from its input, whose rows
/// start every so many elements.
fn layer(
    (grad, grad_stride, n): (&[f32], usize, usize),
    (x, x_stride, k): (&[f32], usize, usize),
    rows: usize,
) -> (Vec<f32>, Vec<f32>) {
    let (mut weight, mut bias) = (vec![0.0; n * k], vec![0.0; n]);
    add_rows(&mut bias, grad, grad_stride, rows);
    let deep = padded(rows);
    scratch(n * deep, |turned| {
        transpose(grad, grad_stride, rows, n, turned, deep);
        let mut packed = Packed::empty();
        packed.refill_kn(Mat::new(x, x_stride), rows, k);
        gemm_parallel(Mat::new(turned, deep), n, &packed, &mut weight, k, Finish::default());
    });
    (weight, bias)
}
