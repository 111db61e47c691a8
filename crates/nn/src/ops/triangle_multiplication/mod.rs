//! Triangle multiplication: each edge is updated from the two other edges of all triangles.
//! AF2 Suppl. Alg. 11 (outgoing) and 12 (incoming).
//!
//! Fused: the projections are stored channel-major, so that the triangle sum is one r × r × r matrix
//! product a channel; incoming edges are outgoing ones of the transposed pair representation.

mod backward;
mod forward;

pub use forward::channels_at_a_time;

use super::plain;
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update, reference_backward};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Which edges of the triangle are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edges {
    /// out[i, j] = Σ_k a[i, k]·b[j, k]
    Outgoing,
    /// out[i, j] = Σ_k a[k, i]·b[k, j]
    Incoming,
}

/// Weights; linear weights are `[out, in]`.
pub struct TriangleWeights<'a> {
    /// Layer norm of the input, `[c_z]` each.
    pub norm_in: (&'a Tensor, &'a Tensor),
    /// Projection of a `[c, c_z]`, `[c]`, and its gate.
    pub a: [(&'a Tensor, &'a Tensor); 2],
    /// Projection of b `[c, c_z]`, `[c]`, and its gate.
    pub b: [(&'a Tensor, &'a Tensor); 2],
    /// Layer norm of the sums, `[c]` each.
    pub norm_out: (&'a Tensor, &'a Tensor),
    /// Output `[c_z, c]`, `[c_z]`.
    pub out: (&'a Tensor, &'a Tensor),
    /// Gate of the output `[c_z, c_z]`, `[c_z]`.
    pub gate: (&'a Tensor, &'a Tensor),
}

/// The update of `z` `[r, r, c_z]`, to be added to it; `mask` `[r, r]`.
pub fn triangle_multiplication(z: &Tensor, mask: &Tensor, w: &TriangleWeights<'_>, edges: Edges) -> Update {
    let mut inputs = vec![z, mask, w.norm_in.0, w.norm_in.1];
    for (weight, bias) in [w.a[0], w.a[1], w.b[0], w.b[1], w.norm_out, w.out, w.gate] {
        inputs.extend([weight, bias]);
    }
    Update::new(TriangleMultiplication { edges }, &inputs)
}

struct TriangleMultiplication {
    edges: Edges,
}

impl Fused for TriangleMultiplication {
    fn name(&self) -> &'static str {
        "triangle_multiplication"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (r, r1, cz) = t[0].dims3()?;
        if r != r1 {
            candle_core::bail!("triangle_multiplication: expected [r, r, {cz}], got [{r}, {r1}, {cz}]");
        }
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], z: Source<'_>, out: Place<'_>) -> Result<()> {
        forward::forward(self.edges, t, z, out)
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::triangle_multiplication(job, self.edges == Edges::Incoming)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        // Nobody learns a mask.
        Ok(!job.wants(1) && faces::triangle_multiplication_backward(job, self.edges == Edges::Incoming)?)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let x = plain::layer_norm(&t[0], &t[2], &t[3])?;
        let mask = t[1].unsqueeze(2)?;
        let side = |i: usize| -> Result<Tensor> {
            let gate = plain::sigmoid(&plain::linear(&x, &t[i + 2], &t[i + 3])?)?;
            (plain::linear(&x, &t[i], &t[i + 1])? * gate)?.broadcast_mul(&mask)?.permute((2, 0, 1))
        };
        let (a, b) = (side(4)?.contiguous()?, side(8)?.contiguous()?); // [c, r, r]
        let sums = match self.edges {
            Edges::Outgoing => a.matmul(&b.t()?)?,
            Edges::Incoming => a.t()?.contiguous()?.matmul(&b)?,
        };
        let sums = plain::layer_norm(&sums.permute((1, 2, 0))?.contiguous()?, &t[12], &t[13])?;
        let gate = plain::sigmoid(&plain::linear(&x, &t[16], &t[17])?)?;
        plain::linear(&sums, &t[14], &t[15])? * gate
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if wanted[1] {
            return reference_backward(self, t, grad, wanted); // nobody learns a mask
        }
        backward::backward(self.edges, t, grad, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    fn inputs() -> Vec<Tensor> {
        let (r, cz, c) = (7, 6, 5);
        let mask = noise(&[r, r], 2).ge(-0.5).unwrap().to_dtype(candle_core::DType::F32).unwrap();
        let mut t = vec![noise(&[r, r, cz], 1), mask, noise(&[cz], 3), noise(&[cz], 4)];
        for i in 0..4 {
            t.extend([noise(&[c, cz], 10 + i), noise(&[c], 20 + i)]);
        }
        t.extend([noise(&[c], 30), noise(&[c], 31), noise(&[cz, c], 32), noise(&[cz], 33)]);
        t.extend([noise(&[cz, cz], 34), noise(&[cz], 35)]);
        t
    }

    #[test]
    fn outgoing() {
        let all: Vec<usize> = (0..18).filter(|&i| i != 1).collect();
        check(&TriangleMultiplication { edges: Edges::Outgoing }, &inputs(), &all);
    }

    #[test]
    fn a_few_channels_at_a_time_are_the_same() {
        let t = inputs();
        let z = crate::ops::value(&t[0]).unwrap();
        for edges in [Edges::Outgoing, Edges::Incoming] {
            let run = |few: usize| {
                let mut out = vec![f32::NAN; z.len()];
                forward::forward_by(few, edges, &t, Source::new(&z), Place::fresh(&mut out)).unwrap();
                out
            };
            let whole = run(5);
            assert!([1, 2, 3].iter().all(|&few| run(few) == whole) && whole.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn incoming() {
        check(&TriangleMultiplication { edges: Edges::Incoming }, &inputs(), &[0, 4, 6, 8, 10, 14, 16]);
    }
}
