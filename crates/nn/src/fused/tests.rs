//! Any number of inputs, and sums in place.

use super::*;
use candle_core::{DType, Var};

struct Product;

impl Fused for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn shape(&self, x: &[Tensor]) -> Result<Shape> {
        Ok(x[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()> {
        for i in 0..x.len() {
            // SAFETY: one thread; elements are read before they are written.
            let mut product = unsafe { x.range(i, 1) }[0];
            for t in &t[1..] {
                product *= crate::ops::value(t)?[i];
            }
            unsafe { out.put(i, &[product]) };
        }
        Ok(())
    }

    fn reference(&self, x: &[Tensor]) -> Result<Tensor> {
        x.iter().skip(1).try_fold(x[0].clone(), |a, b| a.mul(b))
    }
}

#[test]
fn four_inputs_get_their_gradients() {
    let v = |x: [f32; 2]| Var::from_tensor(&Tensor::new(&x, &Device::Cpu).unwrap()).unwrap();
    let vars = [v([2., 3.]), v([5., 7.]), v([11., 13.])];
    let fixed = Tensor::new(&[17f32, 19.], &Device::Cpu).unwrap();
    let out = Update::new(Product, &[vars[0].as_tensor(), vars[1].as_tensor(), &fixed, vars[2].as_tensor()])
        .tensor()
        .unwrap();
    // Used twice, so gradients must also add up across uses.
    let out = (&out + &out).unwrap();
    let grads = out.sum_all().unwrap().to_dtype(DType::F32).unwrap().backward().unwrap();
    let got = |i: usize| grads.get(vars[i].as_tensor()).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got(0), [2. * 5. * 17. * 11., 2. * 7. * 19. * 13.]);
    assert_eq!(got(1), [2. * 2. * 17. * 11., 2. * 3. * 19. * 13.]);
    assert_eq!(got(2), [2. * 2. * 5. * 17., 2. * 3. * 7. * 19.]);
}
#[test]
fn onto_is_a_sum_in_place_or_not() {
    let t = |x: [f32; 3]| Tensor::new(&x, &Device::Cpu).unwrap();
    let values = |t: Tensor| t.to_vec1::<f32>().unwrap();
    let (z, x, y) = (t([1., 2., 3.]), t([5., 7., 11.]), t([13., 17., 19.]));
    // Onto its own first input, onto another tensor, and onto one that is also read elsewhere.
    assert_eq!(values(Update::new(Product, &[&z, &y]).onto(z.clone()).unwrap()), [14., 36., 60.]);
    assert_eq!(values(Update::new(Product, &[&x, &y]).onto(t([1., 1., 1.])).unwrap()), [66., 120., 210.]);
    let w = t([2., 3., 4.]);
    assert_eq!(values(Update::new(Product, &[&x, &w]).onto(w.clone()).unwrap()), [12., 24., 48.]);
    assert_eq!(values(w), [2., 3., 4.]);
    // A part of x as first input: other elements than those written.
    let v = t([2., 3., 4.]);
    let part = v.narrow(0, 1, 2).unwrap();
    let whole = v.narrow(0, 0, 2).unwrap();
    let ones = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(values(Update::new(Product, &[&part, &ones]).onto(whole).unwrap()), [5., 7.]);
    assert!(Update::new(Product, &[&ones]).onto(t([1., 1., 1.])).is_err());
    // On the tape.
    let var = Var::from_tensor(&x).unwrap();
    let sum = Update::new(Product, &[var.as_tensor(), &y]).onto(var.as_tensor().clone()).unwrap();
    let grads = sum.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(grads.get(var.as_tensor()).unwrap().clone()), [14., 18., 20.]);
}
