//! Updates of the pair representation within a block: triangle multiplications, triangle attentions,
//! transition. AF2 Suppl. Alg. 6 lines 6–10 and Alg. 16.

use crate::attention::TriangleAttention;
use crate::config::{Dropout, PairBlock, Triangle};
use crate::layers::{Linear, Norm};
use crate::taps::Taps;
use candle_core::{Result as Tensors, Tensor};
use nn::ops::{Edges, Orientation, TransitionWeights, TriangleWeights};
use nn::{Params, Update, ops};

/// Layer norm, widen, ReLU, narrow. AF2 Suppl. Alg. 9 and 15.
pub struct Transition {
    norm: Norm,
    widen: Linear,
    narrow: Linear,
}

impl Transition {
    /// Width `c`, hidden width `c · factor`.
    pub fn load(p: &Params, c: usize, factor: usize) -> nn::Result<Self> {
        Ok(Self {
            norm: Norm::load(&p.sub("layer_norm"), c)?,
            widen: Linear::load(&p.sub("linear_1"), c, c * factor)?,
            narrow: Linear::load(&p.sub("linear_2"), c * factor, c)?,
        })
    }

    /// The update of `x` `[.., c]`.
    pub fn update(&self, x: &Tensor) -> Update {
        let w = TransitionWeights {
            norm: self.norm.pair(),
            widen: self.widen.pair(),
            narrow: self.narrow.pair(),
        };
        ops::transition(x, &w)
    }
}

/// Triangle multiplication. AF2 Suppl. Alg. 11, 12.
pub struct TriangleMultiplication {
    norm_in: Norm,
    a: [Linear; 2],
    b: [Linear; 2],
    norm_out: Norm,
    out: Linear,
    gate: Linear,
    edges: Edges,
}

impl TriangleMultiplication {
    /// `c` is the pair's width. Projections come apart or, as newer models store them, a above b in one.
    pub fn load(p: &Params, c: usize, config: &Triangle, edges: Edges) -> nn::Result<Self> {
        let n = config.num_intermediate_channel;
        let (a, b) = if p.has("linear_ab_p.weight") {
            let (x, gate) = (
                Linear::load(&p.sub("linear_ab_p"), c, 2 * n)?,
                Linear::load(&p.sub("linear_ab_g"), c, 2 * n)?,
            );
            let half = |l: &Linear, start: usize| -> nn::Result<Linear> {
                Ok(Linear { weight: l.weight.narrow(0, start, n)?, bias: l.bias.narrow(0, start, n)? })
            };
            ([half(&x, 0)?, half(&gate, 0)?], [half(&x, n)?, half(&gate, n)?])
        } else {
            let load = |name: &str| Linear::load(&p.sub(name), c, n);
            ([load("linear_a_p")?, load("linear_a_g")?], [load("linear_b_p")?, load("linear_b_g")?])
        };
        Ok(Self {
            norm_in: Norm::load(&p.sub("layer_norm_in"), c)?,
            a,
            b,
            norm_out: Norm::load(&p.sub("layer_norm_out"), n)?,
            out: Linear::load(&p.sub("linear_z"), n, c)?,
            gate: Linear::load(&p.sub("linear_g"), c, c)?,
            edges,
        })
    }

    /// The update of `z` `[r, r, c]` with `mask` `[r, r]`.
    pub fn update(&self, z: &Tensor, mask: &Tensor) -> Update {
        let w = TriangleWeights {
            norm_in: self.norm_in.pair(),
            a: [self.a[0].pair(), self.a[1].pair()],
            b: [self.b[0].pair(), self.b[1].pair()],
            norm_out: self.norm_out.pair(),
            out: self.out.pair(),
            gate: self.gate.pair(),
        };
        ops::triangle_multiplication(z, mask, &w, self.edges)
    }
}

/// The order of updates: the template stack attends first, the Evoformer multiplies first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Multiplications, attentions, transition.
    MultiplyFirst,
    /// Attentions, multiplications, transition.
    AttendFirst,
}

/// All pair updates of one block.
pub struct PairUpdates {
    outgoing: TriangleMultiplication,
    incoming: TriangleMultiplication,
    starting: TriangleAttention,
    ending: TriangleAttention,
    transition: Transition,
    order: Order,
    dropout: Rates,
}

/// What training leaves out of each update.
struct Rates {
    outgoing: Dropout,
    incoming: Dropout,
    starting: Dropout,
    ending: Dropout,
    transition: Dropout,
}

impl PairUpdates {
    /// `c` is the pair's width.
    pub fn load(p: &Params, c: usize, config: &PairBlock, order: Order) -> nn::Result<Self> {
        let (start, end) = (&config.triangle_attention_starting_node, &config.triangle_attention_ending_node);
        let (out, inc) = (&config.triangle_multiplication_outgoing, &config.triangle_multiplication_incoming);
        Ok(Self {
            outgoing: TriangleMultiplication::load(&p.sub("tri_mul_out"), c, out, Edges::Outgoing)?,
            incoming: TriangleMultiplication::load(&p.sub("tri_mul_in"), c, inc, Edges::Incoming)?,
            starting: TriangleAttention::load(&p.sub("tri_att_start"), c, start, Orientation::PerRow)?,
            ending: TriangleAttention::load(&p.sub("tri_att_end"), c, end, Orientation::PerColumn)?,
            transition: Transition::load(
                &p.sub("pair_transition"),
                c,
                config.pair_transition.num_intermediate_factor,
            )?,
            order,
            dropout: Rates {
                outgoing: out.dropout,
                incoming: inc.dropout,
                starting: start.dropout,
                ending: end.dropout,
                transition: config.pair_transition.dropout,
            },
        })
    }

    /// `z` `[r, r, c]` after all updates; its memory is used for the result.
    pub fn forward(&self, z: Tensor, mask: &Tensor, path: &str, taps: &Taps) -> Tensors<Tensor> {
        let step = |z: Tensor, name: &str, rate: Dropout, update: Update| -> Tensors<Tensor> {
            taps.dropped(|| format!("{path}.{name}"), rate, z, update)
        };
        let rates = &self.dropout;
        let multiply = |mut z: Tensor| -> Tensors<Tensor> {
            let update = self.outgoing.update(&z, mask);
            z = step(z, "tri_mul_out", rates.outgoing, update)?;
            let update = self.incoming.update(&z, mask);
            step(z, "tri_mul_in", rates.incoming, update)
        };
        let attend = |mut z: Tensor| -> Tensors<Tensor> {
            let update = self.starting.update(&z, mask)?;
            z = step(z, "tri_att_start", rates.starting, update)?;
            let update = self.ending.update(&z, mask)?;
            step(z, "tri_att_end", rates.ending, update)
        };
        let z = match self.order {
            Order::MultiplyFirst => attend(multiply(z)?)?,
            Order::AttendFirst => multiply(attend(z)?)?,
        };
        let update = self.transition.update(&z);
        step(z, "pair_transition", rates.transition, update)
    }
}
