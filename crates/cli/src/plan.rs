//! What a prediction will take, before it is begun: operations, time and peak memory.
//!
//! Dims: r residues, s MSA rows (template rows included), e extra rows, t templates.

use crate::machine::{duration, gb};
use nn::files::Arrays;

mod gpu;
mod memory;

pub use gpu::GpuPlan;
pub use memory::running_bytes;

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
    fn projections(&self) -> usize {
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

/// Floating-point operations of one pass (a multiply-add counts two): every matrix product of the network.
pub fn flops(d: &Dims) -> f64 {
    let stack = |k: &Stack, rows: usize| {
        let (r, n) = (d.r as f64, rows as f64);
        let z2 = r * r;
        let f = |x: usize| x as f64;
        let (m, z, row, column) = (f(k.c_m), f(k.c_z), f(k.row.0), f(k.column));
        // Row attention: q, k, v, gate, output; logits and weighted sum; bias from the pair.
        let mut one = n * r * m * 5.0 * row + 2.0 * n * r * r * row + z2 * z * f(k.row.1);
        // Column attention, all rows against all, or one query a column.
        one += if k.global {
            n * r * m * 2.3 * column + 2.0 * n * r * column
        } else {
            n * r * m * 5.0 * column + 2.0 * n * n * r * column
        };
        one += 2.0 * n * r * m * f(k.transition_m);
        one += 2.0 * n * r * m * f(k.outer) + n * z2 * f(k.outer).powi(2) + z2 * f(k.outer).powi(2) * z;
        // Two triangle multiplications: four projections, the product, output and gate.
        let t = f(k.triangle);
        one += 2.0 * (z2 * z * 4.0 * t + z2 * r * t + z2 * t * z + z2 * z * z);
        // Two triangle attentions.
        let (a, heads) = (f(k.triangle_attention.0), f(k.triangle_attention.1));
        one += 2.0 * (z2 * z * (5.0 * a + heads) + 2.0 * z2 * r * a);
        one += 2.0 * z2 * z * f(k.transition_z);
        2.0 * one * f(k.blocks)
    };
    let (r, c_s) = (d.r as f64, d.c_s as f64);
    let z = d.evoformer.c_z as f64;
    // Transition and torsions are about four layers of the single representation's width.
    let attention = d.ipa.products(d.r, d.c_s, d.evoformer.c_z);
    let structure = d.layers as f64 * 2.0 * (attention + 4.0 * r * c_s * c_s);
    let heads = 2.0 * r * r * z * d.pair_bins as f64;
    stack(&d.evoformer, d.s)
        + stack(&d.extra_stack, d.extra)
        + d.templates as f64 * stack(&d.template_stack, 0)
        + structure
        + heads
}

/// Peak memory of a prediction, bytes: three times the parameters in f32 while they are read, rearranged
/// and converted (measured: 2.7 times), or later [`running_bytes`].
pub fn peak_bytes(d: &Dims, passes: usize, threads: usize) -> u64 {
    (12 * d.parameters as u64).max(running_bytes(d, passes, threads))
}

/// Time and memory of one prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Peak memory, bytes.
    pub bytes: u64,
    /// Seconds for all passes.
    pub seconds: f64,
}

/// Share of the measured matrix product that a whole pass reaches.
const EFFICIENCY: f64 = 0.75;

impl Plan {
    /// The plan for `passes` passes on a machine that does `gflops` in matrix products.
    pub fn new(d: &Dims, passes: usize, threads: usize, gflops: f64) -> Self {
        let seconds = flops(d) * passes as f64 / (gflops * 1e9 * EFFICIENCY);
        Self { bytes: peak_bytes(d, passes, threads), seconds }
    }

    /// One line for people; `available` in bytes, where known.
    pub fn describe(&self, d: &Dims, passes: usize, threads: usize, available: Option<u64>) -> String {
        let of = available.map_or(String::new(), |a| format!(" (of {} available)", gb(a)));
        format!(
            "plan: {} residues, {}+{} rows, {passes} passes: about {}{of}, about {} on {threads} thread{}",
            d.r,
            d.s,
            d.extra,
            gb(self.bytes),
            duration(self.seconds),
            if threads == 1 { "" } else { "s" }
        )
    }

    /// Why this cannot be run, if it cannot.
    pub fn refusal(&self, d: &Dims, available: Option<u64>) -> Option<String> {
        let available = available.filter(|&a| self.bytes > a)?;
        Some(format!(
            "{} residues with {}+{} rows need about {} of memory, {} are available; fewer rows (--max-msa) or a shorter sequence may fit",
            d.r,
            d.s,
            d.extra,
            gb(self.bytes),
            gb(available)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::files::Array;

    #[test]
    fn operations_of_one_part_by_hand() {
        // A stack of nothing but triangle multiplication over 5 residues: 3 channels in, 2 inside.
        let none = Stack::default();
        let evoformer = Stack { blocks: 7, c_z: 3, triangle: 2, ..none };
        let base = Dims::full(5, 4, 0);
        let empty = Dims { evoformer: none, extra_stack: none, pair_bins: 0, layers: 0, ..base };
        assert_eq!(flops(&empty), 0.0);
        let hand = 7.0 * 2.0 * 2.0 * (25.0 * 3.0 * 4.0 * 2.0 + 125.0 * 2.0 + 25.0 * 2.0 * 3.0 + 25.0 * 9.0);
        assert_eq!(flops(&Dims { evoformer, ..empty }), hand);
    }

    #[test]
    fn operations_of_point_attention_by_hand() {
        // 5 residues of 7 channels, pairs of 3; 2 heads of 4 channels for keys, 6 for values; 1 and 3 points.
        let ipa = PointAttention { heads: 2, q: 8, kv: 20, q_points: 6, kv_points: 24 };
        let features = 2 * (6 + 4 * 3 + 3);
        let linear = 5 * 7 * (8 + 20 + 6 + 24 + features);
        let pairs = 25 * 2 * (4 + 3 + 6 + 3 * 3 + 2 * 3);
        assert_eq!(ipa.products(5, 7, 3), (linear + pairs) as f64);
        assert_eq!(PointAttention::FULL.features(128), 2112);
    }

    #[test]
    fn alphafold_sizes_cost_what_is_known() {
        // 508 + 1024 rows at r = 64: about 4.6 TFLOP a pass, by counting the products of the reference.
        let pass = flops(&Dims::full(64, 508, 1024)) / 1e12;
        assert!((3.0..6.5).contains(&pass), "{pass}");
        // The pair grows with r³ in the end, memory with r² only.
        let (a, b) = (Dims::full(1024, 128, 1), Dims::full(2048, 128, 1));
        assert!(flops(&b) / flops(&a) > 4.5);
        let ratio = peak_bytes(&b, 1, 2) as f64 / peak_bytes(&a, 1, 2) as f64;
        assert!((3.0..=4.1).contains(&ratio), "{ratio}");
        let small = peak_bytes(&Dims::full(64, 512, 1024), 4, 2);
        assert!((500_000_000..1_900_000_000).contains(&small), "{small}");
    }

    /// What [`MEASURED`]'s network has.
    const PARAMETERS_OF_ONE_BLOCK: usize = 4_796_000;
    /// `foldry bench model --blocks 1` on two threads: residues, rows, extra rows, most memory held.
    const MEASURED: [(usize, usize, usize, u64); 6] = [
        (64, 512, 1024, 173_875_200),
        (128, 512, 1024, 259_366_912),
        (256, 64, 64, 241_750_016),
        (512, 64, 64, 687_955_968),
        (1024, 64, 64, 1_579_532_288),
        (2048, 16, 16, 5_700_000_000),
    ];

    #[test]
    fn memory_is_within_a_tenth_of_what_was_measured() {
        for (r, s, extra, bytes) in MEASURED {
            let d = Dims { parameters: PARAMETERS_OF_ONE_BLOCK, ..Dims::full(r, s, extra) };
            let ratio = running_bytes(&d, 1, 2) as f64 / bytes as f64;
            assert!((0.9..1.1).contains(&ratio), "{r} residues, {s} + {extra} rows: {ratio}");
        }
    }

    #[test]
    fn long_sequences_fit() {
        // Four passes over all of AlphaFold's rows.
        let bytes = |r| running_bytes(&Dims::full(r, 512, 1024), 4, 2);
        assert!(bytes(2048) < 12_000_000_000, "{}", bytes(2048));
    }

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

    #[test]
    fn a_plan_too_large_is_refused_with_numbers() {
        let d = Dims::full(3000, 512, 1024);
        let plan = Plan::new(&d, 4, 2, 100.0);
        let why = plan.refusal(&d, Some(1_000_000_000)).unwrap();
        assert!(why.contains("3000 residues") && why.contains("1.0 GB are available"), "{why}");
        assert_eq!(plan.refusal(&d, Some(plan.bytes)), None);
        assert_eq!(plan.refusal(&d, None), None);
        let line = plan.describe(&d, 4, 2, Some(23_000_000_000));
        assert!(line.starts_with("plan: 3000 residues, 512+1024 rows, 4 passes: about "), "{line}");
        assert!(line.contains("(of 23.0 GB available)") && line.ends_with(" on 2 threads"), "{line}");
    }
}
