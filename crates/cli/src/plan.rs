//! What a prediction will take, before it is begun: operations, time and peak memory.
//!
//! Dims: r residues, s MSA rows (template rows included), e extra rows, t templates.

use crate::machine::{duration, gb};

mod dims;
mod gpu;
mod memory;

pub use dims::{Dims, PointAttention, Stack};
pub use gpu::{CONTEXT, GpuPlan};
pub use memory::running_bytes;

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
