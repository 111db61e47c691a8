//! What a prediction takes of a GPU's memory, stage by stage as `memory.rs` counts it on the CPU, and how much of it hot operations may
//! have at a time. Formulas follow what `nn::cuda`'s faces and the network allocate; `tests/kernels/run.sh driver` holds them against what
//! the driver is asked for.

use super::{Dims, Stack};
use crate::machine::gb;
use nn::cuda::Precision;

/// The driver's context, loaded kernels and cuBLAS's work space, bytes: a guess until it is measured.
pub const CONTEXT: u64 = 1_200_000_000;

/// Share of the free memory that is planned for: the pool cannot join pieces that lie apart.
const SHARE: f64 = 0.95;

/// Outer products at a time, bytes: as `nn::cuda` has them.
const PART: u64 = 32 << 20;

/// Memory of one prediction on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuPlan {
    /// Peak memory, bytes.
    pub bytes: u64,
    /// Bytes that an operation may hold at a time, for `nn::cuda::set_room`; none if all fits at once.
    pub room: Option<u64>,
}

impl GpuPlan {
    /// The plan for `passes` passes in `precision` on a GPU with `available` bytes free: operations get as much room as fits.
    ///
    /// # Errors  Why this cannot be run: not even with one row or eight channels at a time.
    pub fn new(d: &Dims, passes: usize, precision: Precision, available: u64) -> Result<Self, String> {
        let limit = (available as f64 * SHARE) as u64;
        let all = peak(d, passes, precision, u64::MAX);
        if all <= limit {
            return Ok(Self { bytes: all, room: None });
        }
        let least = peak(d, passes, precision, 0);
        if least > limit {
            return Err(format!(
                "{} residues with {}+{} rows need about {} of the GPU's memory in {}, of {} available {} are used; fewer rows \
                 (--max-msa){} or a shorter sequence may fit",
                d.r,
                d.s,
                d.extra,
                gb(least),
                precision.name(),
                gb(available),
                gb(limit),
                if precision == Precision::F32 { ", --dtype bf16" } else { "" },
            ));
        }
        // More room is never less memory; a thousandth of what the largest operation takes is near enough.
        let (mut fits, mut exceeds) = (0, all);
        while exceeds - fits > all / 1000 + 1 {
            let room = fits + (exceeds - fits) / 2;
            if peak(d, passes, precision, room) <= limit { fits = room } else { exceeds = room }
        }
        Ok(Self { bytes: peak(d, passes, precision, fits), room: Some(fits) })
    }

    /// One line for people.
    pub fn describe(&self, d: &Dims, passes: usize, device: &str, available: u64) -> String {
        let parts = self.room.map_or(String::new(), |room| format!(", operations in parts of {}", gb(room)));
        format!(
            "plan: {} residues, {}+{} rows, {passes} passes on {device}: about {} (of {} available){parts}",
            d.r,
            d.s,
            d.extra,
            gb(self.bytes),
            gb(available)
        )
    }
}

/// Most memory that is held at a time if operations may hold `room` bytes, bytes.
fn peak(d: &Dims, passes: usize, precision: Precision, room: u64) -> u64 {
    let m = Memory { d: *d, value: precision.bytes() as u64, room };
    let stages =
        [m.embedding(passes), m.templates(), m.extra_stack(), m.evoformer(), m.structure(), m.heads(passes)];
    // Parameters stay in f32 beside those that products take: all of them rounded, or joined, which is somewhat more than a quarter.
    let tenths = if precision == Precision::Bf16 { 60 } else { 51 }; // of a byte, for each
    let parameters = d.parameters as u64 * tenths / 10;
    CONTEXT + parameters + 4 * m.rr() + stages.into_iter().max().unwrap_or(0)
}

/// A network's tensors on a GPU, bytes. Representations and whatever candle makes are f32; `value` bytes has what passes between the
/// kernels of an operation.
struct Memory {
    d: Dims,
    value: u64,
    room: u64,
}

impl Memory {
    /// Pairs of residues.
    fn rr(&self) -> u64 {
        (self.d.r * self.d.r) as u64
    }

    /// A pair representation of `c` channels in f32.
    fn pair(&self, c: usize) -> u64 {
        4 * self.rr() * c as u64
    }

    fn z(&self) -> u64 {
        self.pair(self.d.evoformer.c_z)
    }

    /// Rows of an alignment of `c` channels in f32.
    fn rows(&self, rows: usize, c: usize) -> u64 {
        (4 * rows * self.d.r * c) as u64
    }

    fn msa(&self) -> u64 {
        self.rows(self.d.s, self.d.evoformer.c_m)
    }

    /// The pair and the one of the pass before, with the bins of its distances — differences of coordinates, then either side's bins and
    /// their product — or with relative positions, which are added as a tensor; or the MSA's features. Those of extra rows wait meanwhile
    /// where they are made ahead.
    fn embedding(&self, passes: usize) -> u64 {
        const BINS: usize = 15;
        let before = if passes > 1 { self.z() } else { 0 };
        let bins = self.pair(3 * BINS + 2 * 3);
        let positions = 2 * self.z() + self.pair(1);
        let ahead = if passes > 1 { self.rows(self.d.extra, 25) } else { 0 };
        self.z() + self.msa() + ahead + (before + bins).max(positions).max(before + self.rows(self.d.s, 49))
    }

    /// All templates' pairs and, while the last is made, bins of its distances, sums or its stack; then the update of the pair: queries, keys or
    /// values, products or sums, and some weights of each template. Besides the pair and the MSA.
    fn templates(&self) -> u64 {
        if self.d.templates == 0 {
            return 0;
        }
        let c = self.d.template_stack.c_z;
        let made = self.d.templates as u64 * self.pair(c);
        // Bins of distances are made as those that are recycled.
        const BINS: usize = 39;
        let bins = self.pair(3 * BINS + 2 * 3);
        let last =
            bins.max(self.pair(3 * c + BINS)).max(self.pair(c) + self.borrowed(&self.d.template_stack, 0));
        let attended = self.pair((3 * c).max(c + self.d.evoformer.c_z) + 12 * self.d.templates);
        self.z() + self.msa() + made + last.max(attended)
    }

    fn extra_stack(&self) -> u64 {
        let e = self.rows(self.d.extra, self.d.extra_stack.c_m);
        let features = self.rows(self.d.extra, 25);
        self.z() + self.msa() + e + features.max(self.borrowed(&self.d.extra_stack, self.d.extra))
    }

    fn evoformer(&self) -> u64 {
        self.z() + self.msa() + self.borrowed(&self.d.evoformer, self.d.s)
    }

    /// The pair and its normalised copy, and what point attention makes of it: a bias for each head.
    fn structure(&self) -> u64 {
        let c_z = self.d.evoformer.c_z;
        let points = 4 * self.d.r * (2 * self.d.ipa.projections() + 2 * self.d.ipa.features(c_z));
        self.msa() + 2 * self.z() + self.pair(self.d.ipa.heads) + points as u64
    }

    /// The pair and its heads' logits, of which the distogram's are added to their transpose; or, behind the pass, what the next one reads.
    fn heads(&self, passes: usize) -> u64 {
        let ahead = if passes > 1 { self.rows(self.d.s, 49) + self.rows(self.d.extra, 25) } else { 0 };
        let logits = self.pair(self.d.pair_bins + 64) + self.rows(self.d.s, 23);
        self.z() + self.msa() + logits + ahead
    }

    /// The most that one operation of a block holds besides what it updates.
    fn borrowed(&self, k: &Stack, rows: usize) -> u64 {
        let (r, value) = (self.d.r, self.value);
        // The bias of pairs and its copy with padded rows, both in f32.
        let bias = |heads: usize| 8 * (heads * r * r.next_multiple_of(32)) as u64;
        // Queries, keys, values and results of the attended rows that are made at a time.
        let attended = |batch: usize, n: usize, width: usize| {
            let one = 4 * (n * width) as u64 * value;
            (one * batch as u64).min(self.room.max(one))
        };
        let row = bias(k.row.1) + attended(rows, r, k.row.0);
        let column = if k.global {
            2 * (rows * r) as u64 * value * k.column as u64
        } else {
            attended(r, rows, k.column)
        };
        let pair = bias(k.triangle_attention.1) + attended(r, r, k.triangle_attention.0);
        // Sums of all channels; both factors of some, eight at least.
        let one = (r * r.next_multiple_of(8)) as u64 * value;
        let sums = one * k.triangle as u64;
        let triangle = (3 * sums).min(self.room.max(sums + 16 * one));
        let outer = 2 * (rows * r * k.outer) as u64 * value;
        let products = PART.max((k.outer * r * k.outer) as u64 * value);
        let mean = outer + products + 4 * self.rr();
        [row, column, pair, triangle, mean].into_iter().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precision::{Bf16, F32};

    /// 80 GB H100 and 141 GB H200: 139 GiB as their driver counts.
    const H100: u64 = 79 << 30;
    const H200: u64 = 139 << 30;

    #[test]
    fn long_sequences_fit_large_gpus() {
        let full = |r| Dims::full(r, 512, 1024);
        for (r, precision, device) in
            [(4096, Bf16, H200), (4096, F32, H200), (4096, Bf16, H100), (2048, F32, H100)]
        {
            let plan = GpuPlan::new(&full(r), 4, precision, device).unwrap();
            assert_eq!(plan.room, None, "{r} {precision:?}: {plan:?}");
        }
        // What docs/cuda.md says.
        let gb = |precision| GpuPlan::new(&full(4096), 4, precision, H200).unwrap().bytes as f64 / 1e9;
        assert!(
            (30.5..31.5).contains(&gb(Bf16)) && (48.0..49.0).contains(&gb(F32)),
            "{} {}",
            gb(Bf16),
            gb(F32)
        );
        // What grows with r² is what there is.
        let bytes = |r| GpuPlan::new(&full(r), 4, Bf16, u64::MAX).unwrap().bytes as f64;
        assert!((3.0..4.0).contains(&(bytes(4096) / bytes(2048))), "{}", bytes(4096) / bytes(2048));
        let why = GpuPlan::new(&full(16384), 4, Bf16, H200).unwrap_err();
        assert!(
            why.contains("16384 residues") && why.contains("in bf16") && !why.contains("--dtype"),
            "{why}"
        );
    }

    #[test]
    fn operations_go_in_parts_before_a_sequence_is_refused() {
        let d = Dims::full(2048, 512, 1024);
        let (all, least) = (peak(&d, 4, F32, u64::MAX), peak(&d, 4, F32, 0));
        assert!(least < all - (1 << 30), "{least} {all}");
        for limit in [all - 1, (all + least) / 2, least + (64 << 20)] {
            let available = (limit as f64 / SHARE) as u64 + 1;
            let plan = GpuPlan::new(&d, 4, F32, available).unwrap();
            let room = plan.room.expect("not all fits");
            assert!(plan.bytes <= limit && room > 0, "{limit}: {plan:?}");
            // It is not given much less than there is.
            assert!(plan.bytes + all / 100 > limit, "{limit}: {plan:?}");
            let line = plan.describe(&d, 4, "a GPU", available);
            assert!(line.contains("2048 residues") && line.contains("operations in parts of"), "{line}");
        }
        let why = GpuPlan::new(&d, 4, F32, least).unwrap_err();
        assert!(why.contains("2048 residues with 512+1024 rows") && why.contains("--dtype bf16"), "{why}");
    }

    #[test]
    fn a_triangle_product_by_hand() {
        // 4097 residues, rows of 4104 values in bf16; 40 channels, of which nothing but triangles is made.
        let stack = Stack { triangle: 40, c_z: 3, ..Stack::default() };
        let d = Dims::full(4097, 0, 0);
        let borrowed = |room| Memory { d, value: 2, room }.borrowed(&stack, 0);
        let one = 4097 * 4104 * 2;
        assert_eq!(borrowed(u64::MAX), 3 * 40 * one);
        assert_eq!(borrowed(60 * one), 60 * one);
        assert_eq!(borrowed(0), (40 + 16) * one);
        // Of few residues the counts of shared sequences and a part of outer products are more.
        let d = Dims::full(17, 0, 0);
        assert_eq!(Memory { d, value: 2, room: 0 }.borrowed(&stack, 0), PART + 4 * 17 * 17);
    }

    #[test]
    fn attended_rows_by_hand() {
        // Three heads of 8 channels over 40 rows of 1000 residues, f32, no pair: only row attention is left.
        let stack = Stack { row: (24, 3), ..Stack::default() };
        let d = Dims { r: 1000, ..Dims::full(1000, 0, 0) };
        let borrowed = |rows, room| Memory { d, value: 4, room }.borrowed(&stack, rows);
        let (bias, one) = (8 * 3 * 1000 * 1024, 4 * 1000 * 24 * 4);
        assert_eq!(borrowed(400, u64::MAX), bias + 400 * one);
        assert_eq!(borrowed(400, 90 * one), bias + 90 * one);
        assert_eq!(borrowed(400, 0), (bias + one).max(PART + 4_000_000));
    }
}
