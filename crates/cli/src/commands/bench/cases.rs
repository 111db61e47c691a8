//! The operations of an Evoformer block, and what the extra-MSA block and the structure module have of their own, with
//! AlphaFold's channels (Suppl. 1.6–1.8) and made-up weights.

use crate::plan::PointAttention;
use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use nn::ops::{
    self, AttentionWeights, Edges, FrameSections, GROUP_TABLE, GlobalAttentionWeights, GroupSections,
    Orientation,
};
use nn::ops::{OuterProductWeights, PointAttentionWeights, TransitionWeights, TriangleWeights};
use nn::{Params, Update};

/// Channels: MSA, extra MSA, pair, outer product, single.
const C_M: usize = 256;
const C_E: usize = 64;
const C_Z: usize = 128;
const OUTER: usize = 32;
const C_S: usize = 384;
/// Bins of the distogram.
const BINS: usize = 64;

/// An operation on representations of some size.
pub struct Case {
    /// As in the table.
    pub name: &'static str,
    /// Shape of what is updated.
    pub onto: Vec<usize>,
    /// Shape of what is read, where that is something else.
    pub from: Option<Vec<usize>>,
    /// Which input is a mask, to which no gradient goes.
    pub mask: Option<usize>,
    /// Whether its result is a tensor of its own in the network, not added to another.
    pub alone: bool,
    /// Operations of the forward matrix products, 10⁹; a multiply-add counts two.
    pub gflop: f64,
    /// Makes the weights.
    pub make: Box<dyn Fn(&Weights) -> Result<Op>>,
}

/// The operation with its weights, on its first input.
pub type Op = Box<dyn Fn(&Tensor) -> Update>;

/// Made-up tensors, which keep gradients or not.
pub struct Weights {
    tracked: bool,
    params: Params,
}

impl Weights {
    /// Tensors that keep gradients if `tracked`.
    pub fn new(tracked: bool) -> Self {
        Self { tracked, params: Params::made_up(1, &Device::Cpu) }
    }

    /// Elements of all tensors made so far.
    pub fn elements(&self) -> usize {
        self.params.elements()
    }

    /// Noise.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let t = self.params.get(name, shape)?;
        Ok(if self.tracked { Var::from_tensor(&t)?.into_inner() } else { t })
    }

    fn matrix(&self, name: &str, out: usize, inner: usize) -> Result<Tensor> {
        self.tensor(&format!("{name}.matrix"), &[out, inner])
    }

    fn linear(&self, name: &str, out: usize, inner: usize) -> Result<[Tensor; 2]> {
        Ok([self.matrix(name, out, inner)?, self.tensor(&format!("{name}.bias"), &[out])?])
    }

    fn norm(&self, name: &str, c: usize) -> Result<[Tensor; 2]> {
        Ok([self.tensor(&format!("{name}.weight"), &[c])?, self.tensor(&format!("{name}.bias"), &[c])?])
    }
}

fn pair([a, b]: &[Tensor; 2]) -> (&Tensor, &Tensor) {
    (a, b)
}

fn present(a: usize, b: usize) -> Result<Tensor> {
    Ok(Tensor::ones((a, b), DType::F32, &Device::Cpu)?)
}

/// All operations for `r` residues, `s` clustered and `e` extra rows.
pub fn cases(r: usize, s: usize, e: usize) -> Vec<Case> {
    use Orientation::{PerColumn, PerRow};
    let (z, m, x) = (vec![r, r, C_Z], vec![s, r, C_M], vec![e, r, C_E]);
    let f = |n: usize| n as f64;
    // Five projections of the width; logits and weighted sum.
    let gated = |n: usize, rows: usize, c: usize| 5.0 * f(rows * n * c * c) + 2.0 * f(rows * n * n * c);
    let triangles = f(r * r) * f(C_Z) * f(6 * C_Z + r);
    let outer = f(s * r) * f(2 * C_M * OUTER) + f(r * r) * f(OUTER * OUTER) * f(s + C_Z);
    let points = PointAttention::FULL.products(r, C_S, C_Z);
    let case = |name, onto: &[usize], products: f64, make| Case {
        name,
        onto: onto.to_vec(),
        from: None,
        mask: Some(1),
        alone: false,
        gflop: 2e-9 * products,
        make,
    };
    let unmasked =
        |name, onto: &[usize], products: f64, make| Case { mask: None, ..case(name, onto, products, make) };
    let of_pairs = |name, onto: &[usize], products: f64, make| Case {
        from: Some(z.clone()),
        alone: true,
        ..unmasked(name, onto, products, make)
    };
    let row = [r, C_S];
    vec![
        case("triangle_attention_starting", &z, gated(r, r, C_Z), attention([r, r, C_Z], 4, true, PerRow)),
        case("triangle_attention_ending", &z, gated(r, r, C_Z), attention([r, r, C_Z], 4, true, PerColumn)),
        case("triangle_outgoing", &z, triangles, triangle(r, Edges::Outgoing)),
        case("triangle_incoming", &z, triangles, triangle(r, Edges::Incoming)),
        unmasked("pair_transition", &z, 8.0 * f(r * r * C_Z * C_Z), transition(C_Z)),
        case("msa_row_attention", &m, gated(r, s, C_M), attention([s, r, C_M], 8, true, PerRow)),
        case("msa_column_attention", &m, gated(s, r, C_M), attention([s, r, C_M], 8, false, PerColumn)),
        unmasked("msa_transition", &m, 8.0 * f(s * r * C_M * C_M), transition(C_M)),
        Case { from: Some(m.clone()), ..case("outer_product_mean", &z, outer, outer_product(s, r)) },
        case("extra_row_attention", &x, gated(r, e, C_E), attention([e, r, C_E], 8, true, PerRow)),
        case("extra_global_attention", &x, f(e * r * C_E) * (2.25 * f(C_E)), global(e, r)),
        Case { mask: Some(2), ..case("invariant_point_attention", &row, points, point_attention(r)) },
        of_pairs("pair_bias", &[4, r, r], f(r * r) * f(4 * C_Z), pair_bias(4)),
        of_pairs("linear", &[r, r, BINS], f(r * r) * f(BINS * C_Z), linear(BINS, C_Z, false)),
        unmasked("linear_relu", &row, f(r) * f(C_S * C_S), linear(C_S, C_S, true)),
        unmasked("layer_norm_pair", &z, 0.0, layer_norm(C_Z)),
        unmasked("layer_norm_single", &row, 0.0, layer_norm(C_S)),
        Case {
            from: Some(vec![r, 6]),
            ..of_pairs("frame_update", &[FrameSections::new(r).len()], 0.0, frames(r))
        },
        Case {
            from: Some(vec![r, 7, 2]),
            mask: Some(2),
            ..of_pairs("rigid_groups", &[138 * r], 0.0, rigid_groups(r))
        },
        Case { from: Some(vec![r, r, BINS]), ..of_pairs("expectations", &[2, r, r], 0.0, expectations()) },
    ]
}

fn attention(
    [n0, n1, c]: [usize; 3],
    heads: usize,
    biased: bool,
    orientation: Orientation,
) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    let n = if orientation == Orientation::PerRow { n1 } else { n0 };
    Box::new(move |w| {
        let (norm, gate, out) = (w.norm("norm", c)?, w.linear("gate", c, c)?, w.linear("out", c, c)?);
        let [q, k, v] = [w.matrix("q", c, c)?, w.matrix("k", c, c)?, w.matrix("v", c, c)?];
        let bias = biased.then(|| w.tensor("pair", &[heads, n, n])).transpose()?;
        let mask = present(n0, n1)?;
        Ok(Box::new(move |x| {
            let w =
                AttentionWeights { norm: pair(&norm), qkv: (&q, &k, &v), gate: pair(&gate), out: pair(&out) };
            ops::attention(x, &mask, bias.as_ref(), &w, heads, orientation)
        }))
    })
}

fn triangle(r: usize, edges: Edges) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let (norm_in, norm_out) = (w.norm("in", C_Z)?, w.norm("out", C_Z)?);
        let linear = |name: &str| w.linear(name, C_Z, C_Z);
        let a = [linear("a")?, linear("a_gate")?];
        let b = [linear("b")?, linear("b_gate")?];
        let (out, gate, mask) = (linear("z")?, linear("gate")?, present(r, r)?);
        Ok(Box::new(move |z| {
            let w = TriangleWeights {
                norm_in: pair(&norm_in),
                a: [pair(&a[0]), pair(&a[1])],
                b: [pair(&b[0]), pair(&b[1])],
                norm_out: pair(&norm_out),
                out: pair(&out),
                gate: pair(&gate),
            };
            ops::triangle_multiplication(z, &mask, &w, edges)
        }))
    })
}

fn transition(c: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let (norm, widen, narrow) =
            (w.norm("norm", c)?, w.linear("widen", 4 * c, c)?, w.linear("narrow", c, 4 * c)?);
        Ok(Box::new(move |x| {
            let w = TransitionWeights { norm: pair(&norm), widen: pair(&widen), narrow: pair(&narrow) };
            ops::transition(x, &w)
        }))
    })
}

fn outer_product(s: usize, r: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let (norm, a, b) = (w.norm("norm", C_M)?, w.linear("a", OUTER, C_M)?, w.linear("b", OUTER, C_M)?);
        let (out, mask) = (w.linear("out", C_Z, OUTER * OUTER)?, present(s, r)?);
        Ok(Box::new(move |m| {
            let w = OuterProductWeights { norm: pair(&norm), a: pair(&a), b: pair(&b), out: pair(&out) };
            ops::outer_product_mean(m, &mask, &w)
        }))
    })
}

fn global(e: usize, r: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    const HEADS: usize = 8;
    Box::new(move |w| {
        let (norm, gate, out) =
            (w.norm("norm", C_E)?, w.linear("gate", C_E, C_E)?, w.linear("out", C_E, C_E)?);
        let d = C_E / HEADS;
        let [q, k, v] = [w.matrix("q", C_E, C_E)?, w.matrix("k", d, C_E)?, w.matrix("v", d, C_E)?];
        let mask = present(e, r)?;
        Ok(Box::new(move |m| {
            let w = GlobalAttentionWeights {
                norm: pair(&norm),
                qkv: (&q, &k, &v),
                gate: pair(&gate),
                out: pair(&out),
            };
            ops::global_attention(m, &mask, &w, HEADS)
        }))
    })
}

fn point_attention(r: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    let PointAttention { heads, q, kv, q_points, kv_points } = PointAttention::FULL;
    let features = PointAttention::FULL.features(C_Z);
    Box::new(move |w| {
        let [queries, keys] = [w.linear("q", q, C_S)?, w.linear("kv", kv, C_S)?];
        let points = [w.linear("q_points", q_points, C_S)?, w.linear("kv_points", kv_points, C_S)?];
        let (bias, out) = (w.linear("bias", heads, C_Z)?, w.linear("out", C_S, features)?);
        let (z, head_weights) = (w.tensor("pair", &[r, r, C_Z])?, w.tensor("heads", &[heads])?);
        let frames = [w.tensor("rotation", &[r, 3, 3])?, w.tensor("translation", &[r, 3])?];
        let mask = Tensor::ones(r, DType::F32, &Device::Cpu)?;
        Ok(Box::new(move |s| {
            let w = PointAttentionWeights {
                q: pair(&queries),
                kv: pair(&keys),
                q_points: pair(&points[0]),
                kv_points: pair(&points[1]),
                pair_bias: pair(&bias),
                head_weights: &head_weights,
                out: pair(&out),
            };
            ops::invariant_point_attention(s, &z, &mask, pair(&frames), &w)
        }))
    })
}

fn pair_bias(heads: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let (norm, weight) = (w.norm("norm", C_Z)?, w.matrix("bias", heads, C_Z)?);
        Ok(Box::new(move |z| ops::pair_bias_update(z, pair(&norm), &weight, false)))
    })
}

fn linear(n: usize, k: usize, relu: bool) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let [weight, bias] = w.linear("linear", n, k)?;
        let of = if relu { ops::linear_relu_update } else { ops::linear_update };
        Ok(Box::new(move |x| of(x, &weight, Some(&bias))))
    })
}

fn frames(r: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let frames = w.tensor("frames", &[FrameSections::new(r).len()])?;
        Ok(Box::new(move |update| ops::frame_update(update, &frames, false)))
    })
}

/// Every group has atoms.
fn rigid_groups(r: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let frames = w.tensor("frames", &[FrameSections::new(r).len()])?;
        let mut table: Vec<f32> = w.tensor("table", &[r * GROUP_TABLE])?.to_vec1()?;
        for row in table.chunks_mut(GROUP_TABLE) {
            row[GroupSections::GROUP]
                .iter_mut()
                .enumerate()
                .for_each(|(atom, group)| *group = (atom % 8) as f32);
        }
        let table = Tensor::from_vec(table, (r, GROUP_TABLE), &Device::Cpu)?;
        Ok(Box::new(move |angles| ops::rigid_groups(angles, &frames, &table, 10.0)))
    })
}

fn expectations() -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let values = w.tensor("values", &[2, BINS])?;
        Ok(Box::new(move |logits| ops::expectations(logits, &values)))
    })
}

fn layer_norm(c: usize) -> Box<dyn Fn(&Weights) -> Result<Op>> {
    Box::new(move |w| {
        let norm = w.norm("norm", c)?;
        Ok(Box::new(move |x| ops::layer_norm(x, &norm[0], &norm[1])))
    })
}
