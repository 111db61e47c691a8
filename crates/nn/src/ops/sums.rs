//! Gradients that are summed over rows, side by side in one buffer.

use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// Where in a buffer the gradients of some inputs lie: those of inputs that need none are empty.
pub(super) struct Sums {
    places: Vec<(usize, Range<usize>)>,
    len: usize,
}

impl Sums {
    /// Places for the inputs `groups` name, one after the other. If any of a group is wanted, all of the
    /// group have a place, so that they can be made in one go.
    pub fn new(inputs: &[Tensor], wanted: &[bool], groups: &[&[usize]]) -> Self {
        let (mut places, mut len) = (vec![], 0);
        for group in groups {
            let any = group.iter().any(|&i| wanted[i]);
            for &i in *group {
                let end = if any { len + inputs[i].elem_count() } else { len };
                places.push((i, len..end));
                len = end;
            }
        }
        Self { places, len }
    }

    /// A buffer for all of them.
    pub fn buffer(&self) -> Vec<f32> {
        vec![0.0; self.len]
    }

    /// The gradients from that of input `first` to that of input `last`; empty if none of them is wanted.
    ///
    /// # Panics  if either has no place.
    pub fn range<'a>(&self, sum: &'a mut [f32], first: usize, last: usize) -> &'a mut [f32] {
        &mut sum[self.place(first).start..self.place(last).end]
    }

    /// The gradient of input `i`; empty if it is not wanted.
    pub fn of<'a>(&self, sum: &'a mut [f32], i: usize) -> &'a mut [f32] {
        self.range(sum, i, i)
    }

    /// The gradients of inputs `i` and `i + 1`, which follow each other.
    pub fn pair<'a>(&self, sum: &'a mut [f32], i: usize) -> (&'a mut [f32], &'a mut [f32]) {
        let first = self.place(i).len();
        self.range(sum, i, i + 1).split_at_mut(first)
    }

    fn place(&self, i: usize) -> Range<usize> {
        let found = self.places.iter().find(|(input, _)| *input == i);
        found.map(|(_, place)| place.clone()).expect("every summed input has a place")
    }
}

/// The gradients of a backward pass: `dx` that of the first input, the others from buffers with their places.
/// Inputs that need none get none.
///
/// # Errors  If a tensor cannot be made.
pub(super) fn gradients(
    dx: Vec<f32>,
    sums: &[(&Sums, &[f32])],
    inputs: &[Tensor],
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let mut grads = vec![None; inputs.len()];
    if wanted[0] {
        grads[0] = Some(Tensor::from_vec(dx, inputs[0].shape(), &Device::Cpu)?);
    }
    for (sums, sum) in sums {
        for (i, place) in sums.places.iter().filter(|(i, _)| wanted[*i]) {
            grads[*i] = Some(Tensor::from_slice(&sum[place.clone()], inputs[*i].shape(), &Device::Cpu)?);
        }
    }
    Ok(grads)
}

/// `sum` plus all `rows` of its length, which start every `stride` elements; nothing if it is empty.
pub(super) fn add_rows(sum: &mut [f32], rows: &[f32], stride: usize, count: usize) {
    if sum.is_empty() {
        return;
    }
    for i in 0..count {
        crate::cpu::add_bias(sum, &rows[i * stride..][..sum.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    #[test]
    fn unwanted_groups_take_no_place() {
        let inputs = [4, 3, 5, 7, 2].map(|n| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap());
        let wanted = [true, true, false, false, true];
        let sums = Sums::new(&inputs, &wanted, &[&[3], &[1, 2], &[4]]);
        let mut buffer = sums.buffer();
        assert_eq!(buffer.len(), 10);
        let (first, second) = sums.pair(&mut buffer, 1);
        assert_eq!((first.len(), second.len()), (3, 5));
        assert!(sums.of(&mut buffer, 3).is_empty());
        add_rows(sums.of(&mut buffer, 4), &[1.0, 2.0, 9.0, 3.0, 4.0], 3, 2);
        let grads = gradients(vec![5.0; 4], &[(&sums, &buffer)], &inputs, &wanted).unwrap();
        assert_eq!(grads[0].as_ref().unwrap().to_vec1::<f32>().unwrap(), [5.0; 4]);
        assert_eq!(grads[1].as_ref().unwrap().to_vec1::<f32>().unwrap(), [0.0; 3]);
        assert!(grads[2].is_none() && grads[3].is_none());
        assert_eq!(grads[4].as_ref().unwrap().to_vec1::<f32>().unwrap(), [4.0, 6.0]);
    }
}
