//! Operations with made-up inputs, at sizes that all differ.

use candle_core::{DType, Device, Tensor};
use nn::ops::{
    self, AttentionWeights, Edges, GlobalAttentionWeights, Orientation, OuterProductWeights,
    PointAttentionWeights, TransitionWeights, TriangleWeights,
};
use nn::{Params, Update};

/// An operation and what its result may be added to.
pub struct Case {
    pub name: String,
    pub update: Update,
    pub onto: Tensor,
    /// Whether that is the first input, whose memory the sum may take.
    pub aliased: bool,
    /// Which rows of the result are compared, if not all: 1 or 0 for each.
    pub rows: Option<Tensor>,
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
    Case { name, update, onto: x, aliased: true, rows: None }
}

pub fn global_attention((s, r, c): (usize, usize, usize), heads: usize, d: usize) -> Case {
    let (m, hd) = (made(7), heads * d);
    let (x, mask, norm) = (m.get("x.matrix", &[s, r, c]), m.mask(s, r), m.norm("n", c));
    let (q, k, v) = (m.weight("q", hd, c), m.weight("k", d, c), m.weight("v", d, c));
    let (gate, out) = (m.linear("g", hd, c), m.linear("o", c, hd));
    let w =
        GlobalAttentionWeights { norm: both(&norm), qkv: (&q, &k, &v), gate: both(&gate), out: both(&out) };
    let name = format!("global attention {s}x{r} c {c} {heads}x{d}");
    Case { name, update: ops::global_attention(&x, &mask, &w, heads), onto: x, aliased: true, rows: None }
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
        rows: None,
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
    Case { name, update: ops::transition(&x, &weights), onto: x, aliased: true, rows: None }
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
    Case {
        name,
        update: ops::triangle_multiplication(&z, &mask, &w, edges),
        onto: z,
        aliased: true,
        rows: None,
    }
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
    Case { name, update: ops::outer_product_mean(&x, &mask, &w), onto: z, aliased: false, rows: None }
}

pub fn linear(rows: [usize; 2], k: usize, n: usize, biased: bool, relu: bool) -> Case {
    let m = made(8);
    let (x, [w, b]) = (m.get("x.matrix", &[rows[0], rows[1], k]), m.linear("w", n, k));
    let b = biased.then_some(&b);
    let update = if relu { ops::linear_relu_update(&x, &w, b) } else { ops::linear_update(&x, &w, b) };
    let onto = m.get("y.matrix", &[rows[0], rows[1], n]);
    let name = format!("linear {rows:?} {k} to {n} bias {biased} relu {relu}");
    Case { name, update, onto, aliased: false, rows: None }
}

pub fn layer_norm(rows: [usize; 2], c: usize) -> Case {
    let m = made(9);
    let (x, norm) = (m.get("x.matrix", &[rows[0], rows[1], c]), m.norm("n", c));
    let update = ops::layer_norm(&x, &norm[0], &norm[1]);
    Case { name: format!("layer norm {rows:?} c {c}"), update, onto: x, aliased: true, rows: None }
}

/// Packed frames of r residues, with unit quaternions.
fn frames(m: &Made, r: usize) -> Tensor {
    let list = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let q = m.get("q.matrix", &[r, 4]);
    let q = q.broadcast_div(&q.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap()).unwrap();
    ops::pack_frames(&list(q), &list(m.get("t.matrix", &[r, 3])), &Device::Cpu).unwrap()
}

pub fn frame_update(r: usize, still: bool) -> Case {
    let m = made(11);
    let frames = frames(&m, r);
    let update = ops::frame_update(&m.get("u.matrix", &[r, 6]), &frames, still);
    Case { name: format!("frame update {r} still {still}"), update, onto: frames, aliased: false, rows: None }
}

/// Groups of any matrices; every group has atoms, and some atoms are not there.
pub fn rigid_groups(r: usize) -> Case {
    let m = made(12);
    let mut table: Vec<f32> = m.get("g.matrix", &[r * ops::GROUP_TABLE]).to_vec1().unwrap();
    for row in table.chunks_mut(ops::GROUP_TABLE) {
        for k in 0..14 {
            row[ops::GroupSections::GROUP.start + k] = (k % 8) as f32;
            row[ops::GroupSections::MASK.start + k] = f32::from(u8::from(k != 4));
        }
    }
    let table = Tensor::from_vec(table, (r, ops::GROUP_TABLE), &Device::Cpu).unwrap();
    let update = ops::rigid_groups(&m.get("a.matrix", &[r, 7, 2]), &frames(&m, r), &table, 10.0);
    let onto = m.get("o.matrix", &[138 * r]);
    Case { name: format!("rigid groups {r}"), update, onto, aliased: false, rows: None }
}

pub fn expectations(rows: [usize; 2], bins: usize, k: usize) -> Case {
    let m = made(14);
    let (x, onto) = (m.get("x.matrix", &[rows[0], rows[1], bins]), m.get("o.matrix", &[k, rows[0], rows[1]]));
    let update = ops::expectations(&(x * 9.0).unwrap(), &m.get("v.matrix", &[k, bins]));
    Case { name: format!("expectations {rows:?} {bins} bins, {k}"), update, onto, aliased: false, rows: None }
}

pub fn unit_pairs(rows: usize) -> Case {
    let x = made(13).get("x.matrix", &[rows, 7, 2]);
    Case {
        name: format!("unit pairs {rows}"),
        update: ops::unit_pairs(&x),
        onto: x,
        aliased: true,
        rows: None,
    }
}

/// Point attentions of all kinds; the smallest has `least` residues.
pub fn point_attentions(least: usize) -> impl Iterator<Item = Case> {
    let of = |(r, channels, heads, sizes, masked)| point_attention(r, channels, heads, sizes, masked);
    [
        (17, (24, 40), 3, [8, 5, 2, 3], true),
        (34, (19, 128), 12, [16, 16, 4, 8], false),
        (least, (9, 2), 1, [1, 1, 1, 1], false),
        (9, (33, 66), 16, [5, 8, 1, 7], true),
    ]
    .into_iter()
    .map(of)
}

/// `[dk, dv, pq, pv]`: channels and points of a head. Rotations are orthogonal; some residues are masked if `masked`.
pub fn point_attention(
    r: usize,
    (c, cz): (usize, usize),
    heads: usize,
    [dk, dv, pq, pv]: [usize; 4],
    masked: bool,
) -> Case {
    let m = made(10);
    let (s, z) = (m.get("s.matrix", &[r, c]), m.get("z.matrix", &[r, r, cz]));
    let mask = if masked {
        m.mask(1, r).squeeze(0).unwrap()
    } else {
        Tensor::ones(r, DType::F32, &Device::Cpu).unwrap()
    };
    let (rotation, translation) = (rotations(r), m.get("t.matrix", &[r, 3]));
    let [q, kv] = [m.linear("q", heads * dk, c), m.linear("kv", heads * (dk + dv), c)];
    let [q_points, kv_points] =
        [m.linear("qp", 3 * heads * pq, c), m.linear("kvp", 3 * heads * (pq + pv), c)];
    let (bias, out) = (m.linear("b", heads, cz), m.linear("o", c, heads * (dv + 4 * pv + cz)));
    let weights = PointAttentionWeights {
        q: both(&q),
        kv: both(&kv),
        q_points: both(&q_points),
        kv_points: both(&kv_points),
        pair_bias: both(&bias),
        head_weights: &m.get("h.matrix", &[heads]),
        out: both(&out),
    };
    let update = ops::invariant_point_attention(&s, &z, &mask, (&rotation, &translation), &weights);
    let name = format!("point attention {r} c {c} cz {cz} {heads}x{dk}/{dv} {pq}/{pv} mask {masked}");
    // A masked query's logits are -1e5 and what is left of their digits, but for the kernel, which keeps these.
    let rows = masked.then(|| mask.clone());
    Case { name, update, onto: s, aliased: true, rows }
}

/// A turn about each axis, by other angles for each residue.
fn rotations(r: usize) -> Tensor {
    let one = |i: usize| {
        let [(sa, ca), (sb, cb), (sc, cc)] = [0.7, 1.9, 3.1].map(|f| (f * (i + 1) as f32).sin_cos());
        [
            cb * cc,
            sa * sb * cc - ca * sc,
            ca * sb * cc + sa * sc,
            cb * sc,
            sa * sb * sc + ca * cc,
            ca * sb * sc - sa * cc,
            -sb,
            sa * cb,
            ca * cb,
        ]
    };
    Tensor::from_vec((0..r).flat_map(one).collect::<Vec<f32>>(), (r, 3, 3), &Device::Cpu).unwrap()
}
