//! Operations with made-up inputs, at sizes that all differ.

use candle_core::{DType, Device, Tensor};
use nn::ops::{
    self, AttentionWeights, Edges, GlobalAttentionWeights, Orientation, OuterProductWeights,
    TransitionWeights, TriangleWeights,
};
use nn::{Params, Update};

/// An operation and what its result may be added to.
pub struct Case {
    pub name: String,
    pub update: Update,
    pub onto: Tensor,
    /// Whether that is the first input, whose memory the sum may take.
    pub aliased: bool,
}

/// Made-up tensors by name.
pub struct Made(Params);

/// Tensors of this seed.
pub fn made(seed: u64) -> Made {
    Made(Params::made_up(seed, &Device::Cpu))
}

impl Made {
    pub fn get(&self, name: &str, shape: &[usize]) -> Tensor {
        self.0.get(name, shape).unwrap()
    }

    /// A layer norm's scale and offset.
    fn norm(&self, name: &str, c: usize) -> [Tensor; 2] {
        [self.get(&format!("{name}.weight"), &[c]), self.get(&format!("{name}.bias"), &[c])]
    }

    /// A linear layer's weight and bias.
    fn linear(&self, name: &str, out: usize, inner: usize) -> [Tensor; 2] {
        [self.get(&format!("{name}.matrix"), &[out, inner]), self.get(&format!("{name}.bias"), &[out])]
    }

    fn weight(&self, name: &str, out: usize, inner: usize) -> Tensor {
        self.get(&format!("{name}.matrix"), &[out, inner])
    }

    fn mask(&self, a: usize, b: usize) -> Tensor {
        let noise = self.get("mask.matrix", &[a, b]);
        noise.ge(-0.5 / (b as f64).sqrt()).unwrap().to_dtype(DType::F32).unwrap()
    }
}

fn both(pair: &[Tensor; 2]) -> (&Tensor, &Tensor) {
    (&pair[0], &pair[1])
}

pub fn attention(
    (n0, n1, c): (usize, usize, usize),
    (heads, d): (usize, usize),
    biased: bool,
    orientation: Orientation,
) -> Case {
    let (m, hd) = (made(1), heads * d);
    let x = m.get("x.matrix", &[n0, n1, c]);
    let n = if orientation == Orientation::PerRow { n1 } else { n0 };
    let bias = biased.then(|| (m.get("bias.matrix", &[heads, n, n]) * 2.0).unwrap());
    let (norm, mask) = (m.norm("n", c), m.mask(n0, n1));
    let [q, k, v] = ["q", "k", "v"].map(|name| m.weight(name, hd, c));
    let (gate, out) = (m.linear("g", hd, c), m.linear("o", c, hd));
    let weights =
        AttentionWeights { norm: both(&norm), qkv: (&q, &k, &v), gate: both(&gate), out: both(&out) };
    let update = ops::attention(&x, &mask, bias.as_ref(), &weights, heads, orientation);
    let name = format!("attention {n0}x{n1} c {c} {heads}x{d} {orientation:?} bias {biased}");
    Case { name, update, onto: x, aliased: true }
}

pub fn global_attention((s, r, c): (usize, usize, usize), heads: usize, d: usize) -> Case {
    let (m, hd) = (made(7), heads * d);
    let (x, mask, norm) = (m.get("x.matrix", &[s, r, c]), m.mask(s, r), m.norm("n", c));
    let (q, k, v) = (m.weight("q", hd, c), m.weight("k", d, c), m.weight("v", d, c));
    let (gate, out) = (m.linear("g", hd, c), m.linear("o", c, hd));
    let w =
        GlobalAttentionWeights { norm: both(&norm), qkv: (&q, &k, &v), gate: both(&gate), out: both(&out) };
    let name = format!("global attention {s}x{r} c {c} {heads}x{d}");
    Case { name, update: ops::global_attention(&x, &mask, &w, heads), onto: x, aliased: true }
}

pub fn pair_bias(n: usize, c: usize, heads: usize, swapped: bool) -> Case {
    let m = made(2);
    let (z, w, norm) = (m.get("z.matrix", &[n, n, c]), m.weight("w", heads, c), m.norm("n", c));
    let update = ops::pair_bias_update(&z, both(&norm), &w, swapped);
    Case {
        name: format!("pair bias {n} c {c} {heads} heads swapped {swapped}"),
        update,
        onto: z,
        aliased: false,
    }
}

/// `apart`: no widened value is near zero, where rounding decides whether a ReLU passes it on.
pub fn transition(rows: [usize; 2], c: usize, w: usize, apart: bool) -> Case {
    let m = made(3);
    let (x, norm) = (m.get("x.matrix", &[rows[0], rows[1], c]), m.norm("n", c));
    let (mut widen, narrow) = (m.linear("w", w, c), m.linear("v", c, w));
    if apart {
        let sign = widen[1].ge(0.0).unwrap().to_dtype(DType::F32).unwrap();
        widen[1] = ((sign * 16.0).unwrap() - 8.0).unwrap();
    }
    let weights = TransitionWeights { norm: both(&norm), widen: both(&widen), narrow: both(&narrow) };
    let name = format!("transition {rows:?} c {c} to {w}");
    Case { name, update: ops::transition(&x, &weights), onto: x, aliased: true }
}

pub fn triangle_multiplication(r: usize, cz: usize, c: usize, edges: Edges) -> Case {
    let m = made(4);
    let (z, mask) = (m.get("z.matrix", &[r, r, cz]), m.mask(r, r));
    let (norm_in, norm_out) = (m.norm("in", cz), m.norm("out", c));
    let [a, ag, b, bg] = ["a", "ag", "b", "bg"].map(|name| m.linear(name, c, cz));
    let (out, gate) = (m.linear("o", cz, c), m.linear("g", cz, cz));
    let w = TriangleWeights {
        norm_in: both(&norm_in),
        a: [both(&a), both(&ag)],
        b: [both(&b), both(&bg)],
        norm_out: both(&norm_out),
        out: both(&out),
        gate: both(&gate),
    };
    let name = format!("triangle {r} cz {cz} c {c} {edges:?}");
    Case { name, update: ops::triangle_multiplication(&z, &mask, &w, edges), onto: z, aliased: true }
}

/// With a mask, pairs that share no sequence have updates a thousand times the others': none is `masked` where sums of squares
/// are compared.
pub fn outer_product_mean((s, r, c): (usize, usize, usize), e: usize, cz: usize, masked: bool) -> Case {
    let m = made(5);
    let (x, z) = (m.get("m.matrix", &[s, r, c]), m.get("z.matrix", &[r, r, cz]));
    let all = Tensor::ones((s, r), DType::F32, &Device::Cpu).unwrap();
    // The first sequence has all residues, so that all pairs share one.
    let mask = if masked && s > 1 {
        Tensor::cat(&[all.narrow(0, 0, 1).unwrap(), m.mask(s - 1, r)], 0).unwrap()
    } else {
        all
    };
    let (norm, a, b, out) =
        (m.norm("n", c), m.linear("a", e, c), m.linear("b", e, c), m.linear("o", cz, e * e));
    let w = OuterProductWeights { norm: both(&norm), a: both(&a), b: both(&b), out: both(&out) };
    let name = format!("outer product {s}x{r} c {c} e {e} cz {cz} mask {masked}");
    Case { name, update: ops::outer_product_mean(&x, &mask, &w), onto: z, aliased: false }
}
