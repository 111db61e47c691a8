//! Gradients for less memory: a network is run in segments, of which only the inputs are kept. Going back, the last segment first,
//! each is run again on a tape of its own (Chen et al., "Training deep nets with sublinear memory cost", 2016).
//!
//! What a segment gives is a leaf of the tape, so that the tape after it ends there. A gradient that reaches such a leaf starts the
//! tape of its segment, made again; that one ends in leaves of segments before and in parameters. No number is another one than on
//! a single tape: the same operations run on the same values, and gradients add up in the same order wherever a segment's result is
//! read twice at most.

use crate::fused::{Leaves, seed};
use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Tensor, Var};
use std::fmt::Display;

/// Segments in the order they ran.
#[derive(Default)]
pub struct Segments(Vec<Segment>);

struct Segment {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    part: Part,
}

/// A part of a network: a pure function of its inputs and of the parameters it holds.
type Part = Box<dyn Fn(Vec<Tensor>) -> Result<Vec<Tensor>> + Send>;

impl Segments {
    /// Runs `part` as the next segment. Its results are leaves of the tape. It must give the same whenever it is called.
    ///
    /// # Errors  If `part` fails, or an input is on a tape that ends elsewhere than in segments and parameters handed to `part`.
    pub fn run<E: From<Error> + Display + Send + Sync + 'static>(
        &mut self,
        inputs: Vec<Tensor>,
        part: impl Fn(Vec<Tensor>) -> std::result::Result<Vec<Tensor>, E> + Send + 'static,
    ) -> std::result::Result<Vec<Tensor>, E> {
        if inputs.iter().any(|t| t.track_op() && !t.is_variable()) {
            let what =
                "segments: expected what other segments gave, got an input that was computed between them";
            return Err(Error::msg(what).into());
        }
        // The tape of `part` is as large as going back, and gone at the end of this line but for the results.
        let outputs = part(inputs.clone())?;
        let leaf = |t: Tensor| Ok(Var::from_tensor(&t.detach())?.into_inner());
        let outputs = outputs.into_iter().map(leaf).collect::<Result<Vec<_>>>()?;
        let part = Box::new(move |inputs| part(inputs).map_err(Error::wrap));
        self.0.push(Segment { inputs, outputs: outputs.clone(), part });
        Ok(outputs)
    }

    /// Gradients of `loss`, which was made of what the segments gave: those of every parameter, in or behind them. Each
    /// segment is forgotten as soon as its gradients are there. `leaves` are those over which the loss was made.
    ///
    /// # Errors  If an operation fails.
    pub fn backward(self, loss: &Tensor, leaves: &Leaves) -> Result<GradStore> {
        let mut grads = leaves.backward(loss)?;
        for Segment { inputs, outputs, part } in self.0.into_iter().rev() {
            // Nothing that was computed from an output without gradient has one.
            let found: Vec<_> = outputs.iter().map(|t| grads.remove(t)).collect();
            drop(outputs);
            if found.iter().all(Option::is_none) {
                continue;
            }
            let leaves = Leaves::default();
            let made = leaves.over(|| part(inputs))?;
            let pairs = made.into_iter().zip(found).filter_map(|(t, grad)| Some((t, grad?)));
            // An output may be on no tape: what it was made of needs no gradient.
            if let Some(start) = seed(pairs.filter(|(t, _)| t.track_op()))? {
                let mut own = leaves.backward(&start)?;
                own.remove(&start);
                grads.extend(own)?;
            }
        }
        Ok(grads)
    }

    /// Bytes of the inputs that are kept.
    pub fn bytes(&self) -> usize {
        let bytes = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        self.0.iter().flat_map(|s| &s.inputs).map(bytes).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ops::{layer_norm, linear};
    use candle_core::Device;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) fn var(shape: &[usize], seed: f32) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i as f32 + 0.3) * (0.7 + seed)).sin()).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap().into_inner()
    }

    pub(crate) fn bits(t: &Tensor) -> Vec<u32> {
        t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    }

    /// Two results from two inputs: the first is read by both.
    fn mixed(w: &[Tensor], t: &[Tensor]) -> Result<Vec<Tensor>> {
        let a = layer_norm(&t[0], &w[1], &w[2]).onto(t[1].clone())?;
        let b = linear(&t[0], &w[0], Some(&w[2]))?;
        Ok(vec![a, b])
    }

    #[test]
    fn gradients_are_those_of_one_tape_to_the_bit() {
        let sets: Vec<Vec<Tensor>> =
            (0..3).map(|i| vec![var(&[5, 5], i as f32), var(&[5], 0.1), var(&[5], i as f32 + 0.2)]).collect();
        let x = var(&[3, 5], 5.0).detach();
        let loss = |t: &[Tensor]| (&t[0] * &t[1]).unwrap().sqr().unwrap().sum_all().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));

        let mut t = vec![x.clone(), (&x * 2.0).unwrap()];
        for w in &sets {
            t = mixed(w, &t).unwrap();
        }
        let whole = loss(&t);
        let one = whole.backward().unwrap();

        let mut segments = Segments::default();
        let mut t = vec![x.clone(), (&x * 2.0).unwrap()];
        for w in sets.clone() {
            let calls = calls.clone();
            let part = move |t: Vec<Tensor>| {
                calls.fetch_add(1, Ordering::Relaxed);
                mixed(&w, &t)
            };
            t = segments.run(t, part).unwrap();
            assert!(t.iter().all(Tensor::is_variable));
        }
        assert_eq!(segments.bytes(), 3 * 2 * 3 * 5 * 4);
        let again = loss(&t);
        assert_eq!(bits(&again), bits(&whole));
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        let many = segments.backward(&again, &Leaves::default()).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 6);
        for (i, w) in sets.iter().flatten().enumerate() {
            assert_eq!(bits(one.get(w).unwrap()), bits(many.get(w).unwrap()), "{i}");
        }
        // Nothing but parameters has a gradient left.
        assert_eq!(many.get_ids().count(), 9);
    }

    #[test]
    fn parameters_of_several_segments_and_behind_them_add_up() {
        let w = vec![var(&[5, 5], 1.0), var(&[5], 0.1), var(&[5], 0.2)];
        let x = var(&[3, 5], 5.0).detach();
        let mut segments = Segments::default();
        let own = w.clone();
        let unread = |t: Vec<Tensor>| Err(Error::msg(format!("{} inputs", t.len())));
        let t = segments.run(vec![x.clone(), x.clone()], move |t| mixed(&own, &t)).unwrap();
        let own = w.clone();
        let t = segments.run(t, move |t| mixed(&own, &t)).unwrap();
        assert!(segments.run(vec![x.clone()], unread).is_err());
        // One that gives nothing the loss depends on is not run again.
        let once = AtomicUsize::new(0);
        let part = move |t: Vec<Tensor>| {
            assert_eq!(once.fetch_add(1, Ordering::Relaxed), 0);
            Result::Ok(t)
        };
        segments.run(t.clone(), part).unwrap();
        let loss = |t: &[Tensor]| linear(&t[1], &w[0], None).unwrap().sum_all().unwrap();
        let got = segments.backward(&loss(&t), &Leaves::default()).unwrap();
        let t = mixed(&w, &mixed(&w, &[x.clone(), x]).unwrap()).unwrap();
        let want = loss(&t).backward().unwrap();
        for w in &w {
            let off = (got.get(w).unwrap() - want.get(w).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-4, "{off}");
        }
    }

    #[test]
    fn what_is_computed_between_segments_is_refused() {
        let x = var(&[3, 5], 5.0);
        let between = (&x + 1.0).unwrap();
        let error = Segments::default().run(vec![between], Result::Ok).unwrap_err().to_string();
        assert!(error.contains("computed between them"), "{error}");
    }
}
