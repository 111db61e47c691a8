//! Residual connections: what was there plus its update, without a third tensor where no gradient is kept.

use crate::cpu::{SharedMut, for_blocks};
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};

/// x + update, both of one shape. Untracked sums are made in the update's own memory: `update` must be a
/// tensor that nothing else reads, as the network's operations return it.
///
/// # Errors  If the shapes differ.
pub fn residual(x: Tensor, update: Tensor) -> Result<Tensor> {
    let plain = |t: &Tensor| !t.track_op() && t.is_contiguous() && t.device().is_cpu();
    if !(plain(&x) && plain(&update)) {
        return x + update;
    }
    if x.dims() != update.dims() {
        candle_core::bail!("residual: expected an update of {:?}, got {:?}", x.dims(), update.dims());
    }
    update.inplace_op2(&x, &AddInto)?;
    Ok(update)
}

struct AddInto;

/// Elements one thread adds at a time.
const BLOCK: usize = 1 << 16;

impl InplaceOp2 for AddInto {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(&self, to: &mut CpuStorage, lt: &Layout, x: &CpuStorage, lx: &Layout) -> Result<()> {
        let (CpuStorage::F32(to), CpuStorage::F32(x)) = (to, x) else {
            candle_core::bail!("residual: expected two f32 tensors");
        };
        let len = lt.shape().elem_count();
        let to = SharedMut::new(&mut to[lt.start_offset()..][..len]);
        let x = &x[lx.start_offset()..][..len];
        for_blocks(len, BLOCK, |start, n| {
            // SAFETY: blocks are disjoint.
            let to = unsafe { to.range(start, n) };
            to.iter_mut().zip(&x[start..]).for_each(|(a, b)| *a += b);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::noise;
    use super::*;
    use candle_core::Var;

    #[test]
    fn same_as_a_sum_with_and_without_gradient() {
        let (x, update) = (noise(&[300, 500], 1), noise(&[300, 500], 2));
        let sum = (&x + &update).unwrap().to_vec2::<f32>().unwrap();
        let vars = [&x, &update].map(|t| Var::from_tensor(t).unwrap());
        let tracked = residual(vars[0].as_tensor().clone(), vars[1].as_tensor().clone()).unwrap();
        assert_eq!(tracked.to_vec2::<f32>().unwrap(), sum);
        let grads = tracked.sum_all().unwrap().backward().unwrap();
        assert!(vars.iter().all(|v| grads.get(v.as_tensor()).is_some()));
        assert_eq!(vars[1].as_tensor().to_vec2::<f32>().unwrap(), update.to_vec2::<f32>().unwrap());
        // x is left as it was: it may be recycled.
        let before = x.to_vec2::<f32>().unwrap();
        assert_eq!(residual(x.clone(), update).unwrap().to_vec2::<f32>().unwrap(), sum);
        assert_eq!(x.to_vec2::<f32>().unwrap(), before);
    }

    #[test]
    fn other_shapes_are_refused() {
        let error = residual(noise(&[2, 3], 1), noise(&[3, 2], 2)).unwrap_err().to_string();
        assert!(error.contains("[2, 3]") && error.contains("[3, 2]"), "{error}");
    }
}
