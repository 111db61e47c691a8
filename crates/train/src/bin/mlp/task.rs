//! A small regression: a network of two layers learns a smooth function of five numbers.

use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::time::Duration;
use train::{BoxError, DataSource, LossOut, RngKey, StepCtx, Task, Validation, Weights};

/// Numbers a sample has, and units of the hidden layer.
const INPUTS: usize = 5;
const HIDDEN: usize = 13;

/// Samples made from their number, with some noise drawn anew at every visit.
pub struct Samples {
    /// How many there are.
    pub len: u64,
    /// One that cannot be read.
    pub broken: Option<u64>,
    /// One whose target is not a number.
    pub not_a_number: Option<u64>,
    /// Rows of a sample.
    pub rows: usize,
}

/// Inputs [rows, INPUTS] and targets [rows, 1].
pub type Batch = (Tensor, Tensor);

impl Samples {
    pub fn new(len: u64) -> Self {
        Self { len, broken: None, not_a_number: None, rows: 3 }
    }
}

fn rows(seed: u64, rows: usize, noise: f32, key: RngKey) -> Result<(Vec<f32>, Vec<f32>), BoxError> {
    let (mut draw, mut fresh) = (RngKey::new(seed, 0, 0).site(0), key.site(1));
    let x: Vec<f32> = (0..rows * INPUTS).map(|_| 2.0 * draw.f32() - 1.0).collect();
    let y = x
        .chunks(INPUTS)
        .map(|x| (3.0 * x[0]).sin() * x[1] + x[2] - 0.5 * x[3] * x[4] + noise * fresh.normal() as f32);
    let y = y.collect();
    Ok((x, y))
}

fn tensors((x, y): (Vec<f32>, Vec<f32>)) -> Result<Batch, BoxError> {
    let n = y.len();
    Ok((Tensor::from_vec(x, (n, INPUTS), &Device::Cpu)?, Tensor::from_vec(y, (n, 1), &Device::Cpu)?))
}

impl DataSource for Samples {
    type Batch = Batch;

    fn len(&self) -> u64 {
        self.len
    }

    fn get(&self, index: u64, key: RngKey) -> Result<Batch, BoxError> {
        if self.broken == Some(index) {
            return Err("cannot be read".into());
        }
        let (x, mut y) = rows(index, self.rows, 0.05, key)?;
        if self.not_a_number == Some(index) {
            y[0] = f32::NAN;
        }
        tensors((x, y))
    }
}

/// The network and its mean squared error, with dropout of hidden units.
pub struct Mlp {
    /// Share of hidden units that are dropped.
    pub dropout: f64,
    /// Time to waste on every sample, so that a run can be interrupted.
    pub pause: Duration,
}

impl Mlp {
    pub fn weights(seed: u64) -> Result<Weights, BoxError> {
        let mut draw = RngKey::new(seed, 0, 0).site(7);
        let mut noise = |shape: (usize, usize)| {
            let scale = 1.0 / (shape.0 as f64).sqrt();
            let values = (0..shape.0 * shape.1).map(|_| (scale * draw.normal()) as f32).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        };
        let zeros = |n: usize| Tensor::zeros(n, candle_core::DType::F32, &Device::Cpu);
        Ok(Weights::new(BTreeMap::from([
            ("hidden.weight".into(), noise((INPUTS, HIDDEN))?),
            ("hidden.bias".into(), zeros(HIDDEN)?),
            ("out.weight".into(), noise((HIDDEN, 1))?),
            ("out.bias".into(), zeros(1)?),
        ]))?)
    }

    fn error(
        &self,
        weights: &BTreeMap<String, Tensor>,
        (x, y): &Batch,
        drop: Option<RngKey>,
    ) -> candle_core::Result<Tensor> {
        let w = |name: &str| &weights[name];
        let x = x.to_dtype(w("hidden.weight").dtype())?;
        let hidden = x.matmul(w("hidden.weight"))?.to_dtype(candle_core::DType::F32)?;
        let mut hidden = hidden.broadcast_add(w("hidden.bias"))?.tanh()?;
        if let Some(key) = drop.filter(|_| self.dropout > 0.0) {
            let (mut draw, keep) = (key.site(2), 1.0 - self.dropout);
            let mask: Vec<f32> =
                (0..HIDDEN).map(|_| if draw.bernoulli(keep) { (1.0 / keep) as f32 } else { 0.0 }).collect();
            hidden = hidden.broadcast_mul(&Tensor::from_vec(mask, HIDDEN, &Device::Cpu)?)?;
        }
        let out = hidden.to_dtype(w("out.weight").dtype())?.matmul(w("out.weight"))?;
        let out = out.to_dtype(candle_core::DType::F32)?.broadcast_add(w("out.bias"))?;
        (out - y)?.sqr()?.mean_all()
    }
}

impl Task for Mlp {
    type Batch = Batch;

    fn loss(&self, batch: &Batch, ctx: &StepCtx) -> Result<LossOut, BoxError> {
        std::thread::sleep(self.pause);
        let loss = self.error(&ctx.weights, batch, Some(ctx.key))?;
        let mut out = LossOut::new(loss);
        out.scalars.insert("rows".into(), batch.1.elem_count() as f64);
        Ok(out)
    }

    fn validate(&self, ema: &BTreeMap<String, Tensor>, ctx: &StepCtx) -> Result<Validation, BoxError> {
        let batch = tensors(rows(u64::MAX, 50, 0.0, ctx.key)?)?;
        let error = f64::from(self.error(ema, &batch, None)?.to_scalar::<f32>()?);
        Ok(Validation { score: -error, scalars: BTreeMap::from([("error".into(), error)]) })
    }
}
