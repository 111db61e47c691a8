//! What the plan counts by: sizes of a network and of its input.

use nn::files::Arrays;

/// Sizes of a stack of MSA and pair blocks; the template pair stack has no MSA part (`c_m` 0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Blocks.
    pub blocks: usize,
    /// MSA channels: c_m, or c_e in the extra stack.
    pub c_m: usize,
    /// Pair channels.
    pub c_z: usize,
    /// Heads · channels of row attention, and its heads.
    pub row: (usize, usize),
    /// Heads · channels of column attention.
    pub column: usize,
    /// Column attention is global: one query a column.
    pub global: bool,
    /// Hidden channels of the MSA transition.
    pub transition_m: usize,
    /// Channels of the outer product.
    pub outer: usize,
    /// Channels of triangle multiplication.
    pub triangle: usize,
    /// Heads · channels of triangle attention, and its heads.
    pub triangle_attention: (usize, usize),
    /// Hidden channels of the pair transition.
    pub transition_z: usize,
}

/// Columns of invariant point attention's projections, all heads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointAttention {
    /// Heads.
    pub heads: usize,
    /// Of queries, and of keys and values.
    pub q: usize,
    /// As above.
    pub kv: usize,
    /// Coordinates of queries' points, and of keys' and values'.
    pub q_points: usize,
    /// As above.
    pub kv_points: usize,
}

impl PointAttention {
    /// AlphaFold's (Suppl. Alg. 22).
    pub const FULL: Self = Self { heads: 12, q: 192, kv: 384, q_points: 144, kv_points: 432 };

    /// Columns of all projections.
    pub(super) fn projections(&self) -> usize {
        self.q + self.kv + self.q_points + self.kv_points
    }

    /// Input of the output layer.
    pub fn features(&self, c_z: usize) -> usize {
        (self.kv - self.q) + (self.kv_points - self.q_points) / 3 * 4 + self.heads * c_z
    }

    /// Multiply-adds over `r` residues of `c` channels and their pairs of `c_z`; the difference of two coordinates
    /// and its square count one.
    pub fn products(&self, r: usize, c: usize, c_z: usize) -> f64 {
        let (linear, pairs) =
            (c * (self.projections() + self.features(c_z)), self.kv + self.kv_points + 2 * self.heads * c_z);
        r as f64 * linear as f64 + (r * r) as f64 * pairs as f64
    }
}

/// Sizes of a network and its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Residues.
    pub r: usize,
    /// Rows of the Evoformer's MSA, rows of templates included.
    pub s: usize,
    /// Extra rows.
    pub extra: usize,
    /// Templates, 0 where the network reads none.
    pub templates: usize,
    /// Single channels c_s.
    pub c_s: usize,
    /// Invariant point attention.
    pub ipa: PointAttention,
    /// Structure layers.
    pub layers: usize,
    /// 48 blocks of the Evoformer.
    pub evoformer: Stack,
    /// 4 blocks over the extra rows.
    pub extra_stack: Stack,
    /// 2 blocks for each template.
    pub template_stack: Stack,
    /// Bins of all pair heads together.
    pub pair_bins: usize,
    /// Elements in all parameters.
    pub parameters: usize,
    /// Matrices of the stacks, all but some hundredths of the parameters, are held in bf16.
    pub bf16: bool,
}

impl Dims {
    /// AlphaFold's sizes (Suppl. 1.6–1.8) without templates, `s` + `extra` rows.
    pub fn full(r: usize, s: usize, extra: usize) -> Self {
        let evoformer = Stack {
            blocks: 48,
            c_m: 256,
            c_z: 128,
            row: (256, 8),
            column: 256,
            global: false,
            transition_m: 1024,
            outer: 32,
            triangle: 128,
            triangle_attention: (128, 4),
            transition_z: 512,
        };
        let extra_stack = Stack {
            blocks: 4,
            c_m: 64,
            row: (64, 8),
            column: 64,
            global: true,
            transition_m: 256,
            ..evoformer
        };
        let template_stack = Stack {
            blocks: 2,
            c_z: 64,
            triangle: 64,
            triangle_attention: (64, 4),
            transition_z: 128,
            ..Stack::default()
        };
        let (templates, c_s, ipa, layers) = (0, 384, PointAttention::FULL, 8);
        let (pair_bins, parameters) = (128, 93_000_000);
        Self {
            r,
            s,
            extra,
            templates,
            c_s,
            ipa,
            layers,
            evoformer,
            extra_stack,
            template_stack,
            pair_bins,
            parameters,
            bf16: false,
        }
    }

    /// The sizes of the network that parameters under our names make.
    pub fn of_parameters(ours: &Arrays, r: usize, s: usize, extra: usize, templates: usize) -> Self {
        let axis =
            |name: &str, axis: usize| ours.get(name).and_then(|a| a.shape().get(axis).copied()).unwrap_or(0);
        let rows = |name: &str| axis(name, 0);
        let outline = fold::names::Summary::of(ours);
        let stack = |prefix: &str, blocks: usize, global: bool| {
            let of = |name: &str| rows(&format!("{prefix}.blocks.0.{name}"));
            let column = if global { "global_attention" } else { "_msa_att.mha" };
            Stack {
                blocks,
                c_m: of("msa_att_row.layer_norm_m.weight"),
                c_z: of("pair_stack.tri_mul_out.layer_norm_in.weight")
                    .max(of("tri_mul_out.layer_norm_in.weight")),
                row: (of("msa_att_row.mha.linear_q.weight"), of("msa_att_row.linear_z.weight")),
                column: of(&format!("msa_att_col.{column}.linear_q.weight")),
                global,
                transition_m: of("msa_transition.linear_1.weight"),
                outer: of("outer_product_mean.linear_1.weight"),
                triangle: of("pair_stack.tri_mul_out.linear_a_p.weight")
                    .max(of("tri_mul_out.linear_a_p.weight")),
                triangle_attention: (
                    of("pair_stack.tri_att_start.mha.linear_q.weight")
                        .max(of("tri_att_start.mha.linear_q.weight")),
                    of("pair_stack.tri_att_start.linear.weight").max(of("tri_att_start.linear.weight")),
                ),
                transition_z: of("pair_stack.pair_transition.linear_1.weight")
                    .max(of("pair_transition.linear_1.weight")),
            }
        };
        let ipa = |name: &str| rows(&format!("structure_module.ipa.{name}"));
        let heads = ["aux_heads.distogram.linear.weight", "aux_heads.tm.linear.weight"];
        Self {
            r,
            s,
            extra,
            templates: if outline.templates { templates } else { 0 },
            c_s: outline.c_s,
            ipa: PointAttention {
                heads: ipa("head_weights"),
                q: ipa("linear_q.weight"),
                kv: ipa("linear_kv.weight"),
                q_points: ipa("linear_q_points.linear.weight"),
                kv_points: ipa("linear_kv_points.linear.weight"),
            },
            layers: 8,
            evoformer: stack("evoformer", outline.evoformer_blocks, false),
            extra_stack: stack("extra_msa_stack", outline.extra_msa_blocks, true),
            template_stack: stack("template_embedder.template_pair_stack", outline.template_blocks, false),
            pair_bins: heads.iter().map(|name| rows(name)).sum(),
            parameters: outline.parameters,
            bf16: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::files::Array;

    #[test]
    fn sizes_are_read_from_parameters() {
        let zeros = |shape: &[usize]| Array::from_f32(shape, &vec![0.0; shape.iter().product()]);
        let ours: Arrays = [
            ("evoformer.blocks.0.msa_att_row.layer_norm_m.weight", zeros(&[24])),
            ("evoformer.blocks.0.msa_att_row.mha.linear_q.weight", zeros(&[12, 24])),
            ("evoformer.blocks.1.msa_att_row.linear_z.weight", zeros(&[4, 20])),
            ("evoformer.blocks.0.pair_stack.tri_mul_out.linear_a_p.weight", zeros(&[13, 20])),
            ("evoformer.linear.weight", zeros(&[28, 24])),
            ("structure_module.ipa.head_weights", zeros(&[2])),
            ("structure_module.ipa.linear_kv_points.linear.weight", zeros(&[24, 28])),
        ]
        .map(|(name, array)| (name.to_string(), array))
        .into();
        let d = Dims::of_parameters(&ours, 9, 5, 3, 2);
        assert_eq!((d.evoformer.blocks, d.evoformer.c_m, d.evoformer.row), (2, 24, (12, 0)));
        assert_eq!((d.evoformer.triangle, d.c_s, d.templates), (13, 28, 0));
        assert_eq!((d.ipa.heads, d.ipa.kv_points), (2, 24));
    }
}
