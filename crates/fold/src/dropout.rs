//! Dropout, in training only. AF2 Suppl. 1.11.6.

use crate::config::{Along, Dropout as Rate};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// Fills a slice with numbers drawn uniformly from [0, 1): always the same for the same place in the network.
pub type Draw = Arc<dyn Fn(u32, &mut [f32]) + Send + Sync>;

/// What is left out in one pass. The same draws give the same pass again, which is how a pass that was not kept is repeated.
#[derive(Clone)]
pub struct Dropout {
    pass: u32,
    draw: Draw,
}

impl Dropout {
    /// For pass number `pass`.
    pub fn new(pass: usize, draw: Draw) -> Self {
        Self { pass: pass as u32, draw }
    }

    /// `x` with a share of its values 0 and the others larger for it, so that the mean stays. `place` is a name that
    /// nothing else in the network has.
    pub(crate) fn apply(&self, place: &str, rate: Rate, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        if rate.shared {
            shape[match rate.orientation {
                Along::PerRow => 0,
                Along::PerColumn => 1,
            }] = 1;
        }
        let mut values = vec![0.0; shape.iter().product()];
        (self.draw)(self.site(place), &mut values);
        let kept = 1.0 - rate.rate;
        for value in &mut values {
            *value = if f64::from(*value) < kept { (1.0 / kept) as f32 } else { 0.0 };
        }
        x.broadcast_mul(&Tensor::from_vec(values, shape, x.device())?)
    }

    /// A number for a place in this pass (FNV-1a); the upper half, as the lower numbers are for what is drawn of samples.
    fn site(&self, place: &str) -> u32 {
        let hash = place.bytes().chain(self.pass.to_le_bytes());
        hash.fold(0x811c_9dc5_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(0x0100_0193)) | 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Numbers that depend on the place and on nothing else.
    fn dropout(pass: usize) -> Dropout {
        Dropout::new(
            pass,
            Arc::new(|site, values: &mut [f32]| {
                let mut state = u64::from(site);
                for value in values {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *value = (state >> 40) as f32 / (1u32 << 24) as f32;
                }
            }),
        )
    }

    fn applied(pass: usize, place: &str, rate: Rate) -> Vec<Vec<Vec<f32>>> {
        let ones = Tensor::ones((40, 30, 20), candle_core::DType::F32, &Device::Cpu).unwrap();
        dropout(pass).apply(place, rate, &ones).unwrap().to_vec3().unwrap()
    }

    #[test]
    fn the_share_is_left_out_and_the_mean_stays() {
        let rate = Rate { rate: 0.25, ..Rate::default() };
        let values: Vec<f32> = applied(0, "a", rate).into_iter().flatten().flatten().collect();
        let zeros = values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64;
        assert!((zeros - 0.25).abs() < 0.01, "{zeros}");
        assert!(values.iter().all(|v| *v == 0.0 || *v == 4.0 / 3.0));
        assert_eq!(applied(0, "a", rate), applied(0, "a", rate));
        assert_ne!(applied(0, "a", rate), applied(1, "a", rate));
        assert_ne!(applied(0, "a", rate), applied(0, "b", rate));
    }

    #[test]
    fn a_shared_draw_is_that_of_all_rows_or_columns() {
        let shared = |orientation| Rate { rate: 0.25, shared: true, orientation };
        let rows = applied(0, "a", shared(Along::PerRow));
        assert!(rows.iter().all(|row| *row == rows[0]));
        assert!(rows[0].iter().any(|column| *column != rows[0][0]));
        let columns = applied(0, "a", shared(Along::PerColumn));
        assert!(columns.iter().all(|row| row.iter().all(|column| *column == row[0])));
        assert!(columns.iter().any(|row| row[0] != columns[0][0]));
    }

    #[test]
    fn gradients_pass_where_values_do() {
        let x = Var::from_tensor(&Tensor::ones((3, 4, 5), candle_core::DType::F32, &Device::Cpu).unwrap())
            .unwrap();
        let rate = Rate { rate: 0.5, shared: true, orientation: Along::PerColumn };
        let y = dropout(2).apply("c", rate, x.as_tensor()).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        let grad = grads.get(x.as_tensor()).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(grad, y.to_vec3::<f32>().unwrap());
        assert!(grad.iter().flatten().flatten().any(|g| *g == 2.0));
    }
}
