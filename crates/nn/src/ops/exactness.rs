//! Every operation's fused forward against its plain reference in f64: odd sizes, tiny and huge values, masks that leave
//! most or nothing, into memory that holds NaN. Scratch memory holds NaN in all tests of this crate.

use super::plain::testing::noise;
use super::{
    AttentionWeights, Edges, GlobalAttentionWeights, Orientation, OuterProductWeights, PointAttentionWeights,
    TransitionWeights, TriangleWeights,
};
use crate::fused::Update;
use crate::place::{Place, Source};
use candle_core::{DType, Tensor};
use std::cell::Cell;

/// Largest ‖fused − f64‖ / ‖f64‖.
const BOUND: f64 = 5e-7;

/// The same where the mask's −1e5 rounds logits in f32 to multiples of 2⁻⁷.
const ROUNDED: f64 = 1.0 / 256.0;

/// Which elements are present.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Present {
    All,
    Most,
    Nothing,
}

/// What the result is held against.
#[derive(Clone, Copy)]
enum Judge {
    /// The reference in f64.
    Exact,
    /// The same, so many rows of it.
    Rows(usize),
    /// The same to [`ROUNDED`].
    Rounded,
    /// The reference in f32: the mask's −1e9 swallows what is masked whole, in f64 it does not.
    Swallowed,
}

type Pair = (Tensor, Tensor);

fn of((a, b): &Pair) -> (&Tensor, &Tensor) {
    (a, b)
}

/// Made-up weights and representations, no two alike.
struct Made {
    seed: Cell<u64>,
    scale: f64,
    present: Present,
}

impl Made {
    fn tensor(&self, shape: &[usize]) -> Tensor {
        self.seed.set(self.seed.get() + 1);
        noise(shape, self.seed.get())
    }

    /// A representation.
    fn x(&self, shape: &[usize]) -> Tensor {
        (self.tensor(shape) * self.scale).unwrap()
    }

    fn weight(&self, out: usize, inner: usize) -> Tensor {
        (self.tensor(&[out, inner]) * (2.0 / (inner as f64).sqrt())).unwrap()
    }

    fn linear(&self, out: usize, inner: usize) -> Pair {
        (self.weight(out, inner), self.tensor(&[out]))
    }

    fn norm(&self, c: usize) -> Pair {
        ((self.tensor(&[c]) + 1.0).unwrap(), self.tensor(&[c]))
    }

    /// Where most is present, something is in every row and column.
    fn mask(&self, a: usize, b: usize) -> Tensor {
        let present = |i: usize| match self.present {
            Present::All => true,
            Present::Most => (i / b + i % b) % 5 != 4,
            Present::Nothing => false,
        };
        let values: Vec<f32> = (0..a * b).map(|i| f32::from(u8::from(present(i)))).collect();
        Tensor::from_vec(values, (a, b), &candle_core::Device::Cpu).unwrap()
    }

    fn attention(&self, [n0, n1]: [usize; 2], biased: Option<usize>, orientation: Orientation) -> Update {
        let (c, h, d) = (19, 3, 8);
        let [q, k, v] = [0, 1, 2].map(|_| self.weight(h * d, c));
        let (norm, gate, out) = (self.norm(c), self.linear(h * d, c), self.linear(c, h * d));
        let w = AttentionWeights { norm: of(&norm), qkv: (&q, &k, &v), gate: of(&gate), out: of(&out) };
        let bias = biased.map(|n| self.tensor(&[h, n, n]));
        super::attention(&self.x(&[n0, n1, c]), &self.mask(n0, n1), bias.as_ref(), &w, h, orientation)
    }

    fn global_attention(&self, s: usize, r: usize) -> Update {
        let (c, h, d, v) = (17, 3, 8, 5);
        let [q, k, v] = [h * d, d, v].map(|n| self.weight(n, c));
        let hv = h * v.dims()[0];
        let (norm, gate, out) = (self.norm(c), self.linear(hv, c), self.linear(c, hv));
        let w = GlobalAttentionWeights { norm: of(&norm), qkv: (&q, &k, &v), gate: of(&gate), out: of(&out) };
        super::global_attention(&self.x(&[s, r, c]), &self.mask(s, r), &w, h)
    }

    fn triangle(&self, r: usize, edges: Edges) -> Update {
        let (cz, c) = (18, 11);
        let [a, a_gate, b, b_gate] = [0, 1, 2, 3].map(|_| self.linear(c, cz));
        let (norm_in, norm_out) = (self.norm(cz), self.norm(c));
        let (out, gate) = (self.linear(cz, c), self.linear(cz, cz));
        let w = TriangleWeights {
            norm_in: of(&norm_in),
            a: [of(&a), of(&a_gate)],
            b: [of(&b), of(&b_gate)],
            norm_out: of(&norm_out),
            out: of(&out),
            gate: of(&gate),
        };
        super::triangle_multiplication(&self.x(&[r, r, cz]), &self.mask(r, r), &w, edges)
    }

    fn outer_product(&self, s: usize, r: usize) -> Update {
        let (c, e, cz) = (13, 6, 9);
        let (norm, a, b, out) = (self.norm(c), self.linear(e, c), self.linear(e, c), self.linear(cz, e * e));
        let w = OuterProductWeights { norm: of(&norm), a: of(&a), b: of(&b), out: of(&out) };
        super::outer_product_mean(&self.x(&[s, r, c]), &self.mask(s, r), &w)
    }

    fn transition(&self, s: usize, r: usize) -> Update {
        let (norm, widen, narrow) = (self.norm(14), self.linear(39, 14), self.linear(14, 39));
        let w = TransitionWeights { norm: of(&norm), widen: of(&widen), narrow: of(&narrow) };
        super::transition(&self.x(&[s, r, 14]), &w)
    }

    /// `absent` residues at the end are masked.
    fn point_attention(&self, r: usize, absent: usize) -> Update {
        let (c, cz, h, dk, dv, pq, pv) = (20, 18, 3, 8, 5, 2, 3);
        let mask: Vec<f32> = (0..r).map(|i| f32::from(u8::from(i + absent < r))).collect();
        let mask = Tensor::from_vec(mask, r, &candle_core::Device::Cpu).unwrap();
        let columns = [h * dk, h * (dk + dv), 3 * h * pq, 3 * h * (pq + pv)];
        let [q, kv, q_points, kv_points] = columns.map(|n| self.linear(n, c));
        let (pair_bias, out) = (self.linear(h, cz), self.linear(c, h * (dv + 4 * pv + cz)));
        let head_weights = self.tensor(&[h]);
        let w = PointAttentionWeights {
            q: of(&q),
            kv: of(&kv),
            q_points: of(&q_points),
            kv_points: of(&kv_points),
            pair_bias: of(&pair_bias),
            head_weights: &head_weights,
            out: of(&out),
        };
        let frames = (self.tensor(&[r, 3, 3]), self.x(&[r, 3]));
        super::invariant_point_attention(&self.x(&[r, c]), &self.x(&[r, r, cz]), &mask, of(&frames), &w)
    }
}

/// Every operation of the network for `r` residues.
fn operations(r: usize, made: &Made) -> Vec<(&'static str, Update, Judge)> {
    use Judge::{Exact, Rounded, Rows, Swallowed};
    use Orientation::{PerColumn, PerRow};
    let nothing = made.present == Present::Nothing;
    let attends = if nothing { Swallowed } else { Exact };
    let absent = match made.present {
        Present::All => 0,
        Present::Most => r / 5,
        Present::Nothing => r,
    };
    let points = if nothing { Rounded } else { Rows(r - absent) };
    let (x, z, norm) = (made.x(&[3, r, 21]), made.x(&[r, r, 17]), made.norm(17));
    let (linear, bias, scale) = (made.linear(33, 21), made.weight(3, 17), made.norm(21));
    vec![
        ("linear", super::linear::update(&x, &linear.0, Some(&linear.1), false), Exact),
        ("linear, ReLU", super::linear::update(&x, &linear.0, None, true), Exact),
        ("layer norm", super::layer_norm(&x, &scale.0, &scale.1), Exact),
        ("pair bias", super::pair_bias_update(&z, of(&norm), &bias, false), Exact),
        ("pair bias, swapped", super::pair_bias_update(&z, of(&norm), &bias, true), Exact),
        ("attention along rows", made.attention([3, r], Some(r), PerRow), attends),
        ("attention along columns", made.attention([r, 4], Some(r), PerColumn), attends),
        ("attention without bias", made.attention([r, 4], None, PerColumn), attends),
        ("global attention", made.global_attention(r, 4), Exact),
        ("triangles, outgoing", made.triangle(r, Edges::Outgoing), Exact),
        ("triangles, incoming", made.triangle(r, Edges::Incoming), Exact),
        ("outer product mean", made.outer_product(7, r), Exact),
        ("transition", made.transition(2, r), Exact),
        ("invariant point attention", made.point_attention(r, absent), points),
    ]
}

/// The fused forward into NaN, and the reference in f32 and f64; the values that are judged.
fn faces(update: &Update, rows: Option<usize>) -> [Vec<f64>; 3] {
    let (op, inputs) = update.parts();
    let shape = op.shape(inputs).unwrap();
    let mut out = vec![f32::NAN; shape.elem_count()];
    let first = super::value(&inputs[0]).unwrap();
    op.forward(inputs, Source::new(&first), Place::fresh(&mut out)).unwrap();
    drop(first);
    let judged = rows.map_or(out.len(), |rows| out.len() / shape.dims()[0] * rows);
    let reference = |dtype: DType| -> Vec<f64> {
        let inputs: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(dtype).unwrap()).collect();
        let out = op.reference(&inputs).unwrap();
        assert_eq!(out.dims(), shape.dims());
        out.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let fused = out.iter().map(|&x| f64::from(x)).collect();
    [fused, reference(DType::F32), reference(DType::F64)].map(|mut v: Vec<f64>| {
        assert!(v.iter().all(|x| x.is_finite()), "{}: not finite", op.name());
        v.truncate(judged);
        v
    })
}

fn relative(a: &[f64], b: &[f64]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn forward_is_the_reference_in_f64() {
    for r in [1, 2, 17, 33, 130] {
        for scale in [1.0, 1e-4, 1e3] {
            for present in [Present::All, Present::Most, Present::Nothing] {
                let made = Made { seed: Cell::new(r as u64 * 1000), scale, present };
                for (name, update, judge) in operations(r, &made) {
                    let rows = if let Judge::Rows(rows) = judge { Some(rows) } else { None };
                    let [fused, plain, exact] = faces(&update, rows);
                    let (error, most) = match judge {
                        Judge::Exact | Judge::Rows(_) => (relative(&fused, &exact), BOUND),
                        Judge::Rounded => (relative(&fused, &exact), ROUNDED),
                        Judge::Swallowed => (relative(&fused, &plain), BOUND),
                    };
                    assert!(
                        error <= most,
                        "{name}, r = {r}, × {scale:e}, {present:?} present: {error:e} > {most:e}"
                    );
                }
            }
        }
    }
}
