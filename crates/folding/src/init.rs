//! How parameters start. AF2 Suppl. 1.11.4; scales as in AlphaFold's `modules.py` and `folding.py`.

use crate::random::Random;
use candle_core::Tensor;
use fold::{Config, Model};
use std::collections::BTreeMap;

/// What a parameter is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Constant(f32),
    /// Normal of variance `scale / fan`, cut off at two standard deviations and widened to make up for it.
    Truncated {
        scale: f32,
        fan: usize,
    },
    /// Uniform of variance `2 / (in + out)`: queries, keys and values.
    Glorot,
}

/// What a parameter of this name and shape starts as. Layers that end an update start at zero, so that a new network
/// passes its input on; gates start open.
fn fill(name: &str, shape: &[usize]) -> Fill {
    let (path, kind) = name.rsplit_once('.').unwrap_or(("", name));
    let layer = path.rsplit('.').next().unwrap_or_default();
    if name.ends_with("head_weights") {
        // Softplus of it is 1.
        return Fill::Constant(0.541_324_9);
    }
    let gate = matches!(layer, "linear_g" | "linear_a_g" | "linear_b_g" | "linear_ab_g");
    if shape.len() == 1 {
        let one = gate || (layer.starts_with("layer_norm") && kind == "weight");
        return Fill::Constant(if one { 1.0 } else { 0.0 });
    }
    let ends = match layer {
        "linear_o" | "linear_z" => !path.ends_with("msa_att_row.linear_z"),
        "linear_out" => path.contains("outer_product_mean") || path.ends_with("ipa.linear_out"),
        "linear_2" => path.contains("_transition") || path.contains("angle_resnet.layers"),
        "linear_3" => path.contains("structure_module.transition") || path.contains("plddt"),
        "linear" => path.contains("aux_heads") || path.contains("bb_update"),
        _ => false,
    };
    if gate || ends {
        return Fill::Constant(0.0);
    }
    let relu = matches!(layer, "linear_1" | "linear_2")
        && (path.contains("transition") || path.contains("angle_resnet.layers") || path.contains("plddt"));
    match layer {
        "linear_q" | "linear_k" | "linear_v" if !path.contains(".ipa.") => Fill::Glorot,
        _ => Fill::Truncated { scale: if relu { 2.0 } else { 1.0 }, fan: shape[1] },
    }
}

/// Parameters of a network of these sizes, by our names, before the first step. The same seed gives the same.
///
/// # Errors  If a tensor cannot be made.
pub fn initial_parameters(config: &Config, seed: u64) -> fold::Result<BTreeMap<String, Tensor>> {
    Model::parameters_by(config, move |name, shape| {
        let mut random =
            Random(name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
            }));
        let n = shape.iter().product();
        let values: Vec<f32> = match fill(name, shape) {
            Fill::Constant(x) => vec![x; n],
            // 0.879… is the standard deviation of a standard normal cut off at ±2.
            Fill::Truncated { scale, fan } => {
                let std = (scale / fan as f32).sqrt() / 0.879_625_7;
                (0..n).map(|_| std * random.truncated_normal()).collect()
            }
            Fill::Glorot => {
                let bound = (6.0 / (shape[0] + shape[1]) as f32).sqrt();
                (0..n).map(|_| bound * (2.0 * random.open_uniform() - 1.0)).collect()
            }
        };
        Ok(Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn updates_start_at_zero_and_gates_open() {
        let p = initial_parameters(&crate::truth::testing::config(), 1).unwrap();
        let all = |name: &str, x: f32| {
            let t = p.get(name).unwrap_or_else(|| panic!("{name} among {:?}", p.keys()));
            assert!(values(t).iter().all(|&v| v == x), "{name}");
        };
        let block = "evoformer.blocks.0";
        for name in [
            "msa_att_row.mha.linear_o.weight",
            "msa_att_row.mha.linear_g.weight",
            "msa_transition.linear_2.weight",
            "outer_product_mean.linear_out.weight",
            "pair_stack.tri_mul_out.linear_z.weight",
            "pair_stack.tri_att_end.mha.linear_o.bias",
            "pair_stack.pair_transition.linear_2.weight",
        ] {
            all(&format!("{block}.{name}"), 0.0);
        }
        all(&format!("{block}.pair_stack.tri_mul_in.linear_a_g.bias"), 1.0);
        all(&format!("{block}.msa_att_row.layer_norm_m.weight"), 1.0);
        for name in ["structure_module.bb_update.linear.weight", "structure_module.ipa.linear_out.weight"] {
            all(name, 0.0);
        }
        for name in
            ["structure_module.transition.layers.0.linear_3.weight", "aux_heads.distogram.linear.weight"]
        {
            all(name, 0.0);
        }
        for name in ["msa_att_row.linear_z.weight", "pair_stack.tri_att_start.linear.weight"] {
            let v = values(&p[&format!("{block}.{name}")]);
            assert!(v.iter().all(|&x| x != 0.0), "{name}");
        }
    }

    #[test]
    fn scales_are_those_of_the_fan_in() {
        let p = initial_parameters(&crate::truth::testing::config(), 2).unwrap();
        let variance = |name: &str| {
            let v = values(&p[name]);
            v.iter().map(|x| x * x).sum::<f32>() / v.len() as f32
        };
        let wide = variance("evoformer.blocks.0.msa_transition.linear_1.weight");
        let c_m = p["evoformer.blocks.0.msa_transition.linear_1.weight"].dims()[1] as f32;
        assert!((wide * c_m / 2.0 - 1.0).abs() < 0.15, "{}", wide * c_m / 2.0);
        assert_ne!(
            values(
                &initial_parameters(&crate::truth::testing::config(), 3).unwrap()["evoformer.linear.weight"]
            ),
            values(&p["evoformer.linear.weight"])
        );
    }
}
