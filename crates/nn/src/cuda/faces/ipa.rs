//! Invariant point attention: matrix products for its projections, `ipa_frames.cu` to points in space, `ipa.cu`, `ipa_frames.cu` back to
//! features, a linear layer. All of it is f32 whatever the machine's precision: coordinates are.

use super::int;
use super::linear::Layer;
use crate::cuda::arguments::{InvariantPointAttention, IpaFrames, IpaStrides};
use crate::cuda::job::Job;
use crate::cuda::machine::{Launch, Memory};
pub(super) use crate::ops::PointAttentionSizes as Sizes;
use crate::ops::point_factor;
use candle_core::Result;

/// Queries, keys, heads and threads of a block, and the stride of its logits, as `ipa.cuh` has them.
const QUERIES: usize = 4;
pub(super) const KEYS: usize = 32;
pub(super) const HEADS: usize = 16;
pub(super) const THREADS: usize = 256;
pub(super) const STRIDE: usize = HEADS + 4;
/// Most columns that a block's threads add up.
pub(super) const COLUMNS: usize = 2 * THREADS;
/// Most channels of pairs: 64 threads a query have two each.
const MOST_PAIRS: usize = 128;

/// What the first kernels leave: projections, `ready` with points in space, biases and weights of heads, results in space and as features.
pub(super) struct Made {
    /// `[width, c]`.
    pub weights: Memory,
    pub local: Memory,
    /// None if `local` has become it.
    pub ready: Option<Memory>,
    pub head_weight: Memory,
    pub pairs: Memory,
    pub o_points: Memory,
    pub features: Memory,
    biases: Memory,
}

/// Sizes of the job's inputs, as in `ops/ipa`; none if there is no kernel for them.
pub(super) fn taken(job: &Job<'_>) -> Result<Option<Sizes>> {
    let sizes = Sizes::of(job.inputs)?;
    let Sizes { cz, h, .. } = sizes;
    let taken = h <= HEADS && cz.is_multiple_of(2) && cz <= MOST_PAIRS && sizes.values() <= COLUMNS;
    Ok((taken && sizes.shared() <= job.machine.shared()).then_some(sizes))
}

/// What a GPU asks besides.
impl Sizes {
    /// Features of all heads' queries.
    pub(super) fn keys(&self) -> usize {
        self.h * (self.dk + 3 * self.pq)
    }

    /// Values of all heads, with their points.
    pub(super) fn values(&self) -> usize {
        self.h * self.value()
    }

    /// The output layer.
    pub(super) fn out(&self) -> Layer {
        Layer { rows: self.r, n: self.c, k: self.features() }
    }

    /// What the pair's bias is multiplied with.
    pub(super) fn bias_scale(&self) -> f32 {
        (1.0f64 / 3.0).sqrt() as f32
    }

    /// Shared memory of `ipa.cu`, bytes.
    fn shared(&self) -> usize {
        let features = self.keys();
        4 * (QUERIES * KEYS * STRIDE + KEYS * (features | 1) + QUERIES * (features + 3 * HEADS))
    }

    /// Addresses and sizes of `ipa_frames.cu` but for gradients.
    pub(super) fn frames(&self, job: &Job<'_>, made: &Made) -> IpaFrames {
        let &Self { r, h, dv, pq, pv, .. } = self;
        let [of_q, of_kv, ..] = self.parts();
        IpaFrames {
            local: made.local.address,
            ready: made.ready().address,
            bias: made.biases.address,
            rotation: job.at(3),
            translation: job.at(4),
            head_weights: job.at(15),
            head_weight: made.head_weight.address,
            o_points: made.o_points.address,
            features: made.features.address,
            r: int(r),
            heads: int(h),
            width: int(self.width()),
            first_points: int(of_q + of_kv),
            query_points: int(h * pq),
            key_points: int(h * (pq + pv)),
            value_points: int(h * pv),
            features_width: int(self.features()),
            values: int(h * dv),
            factor: point_factor(pq) as f32,
            ..IpaFrames::default()
        }
    }

    /// A kernel of `ipa_frames.cu`: a warp a residue.
    pub(super) fn launch_frames(&self, job: &Job<'_>, kernel: &str, arguments: &IpaFrames) -> Result<()> {
        let (file, kernel, blocks) = ("ipa_frames", kernel.to_string(), self.r.div_ceil(THREADS / 32));
        let launch = Launch { file, kernel, blocks, turns: false, threads: THREADS, shared: 0 };
        // SAFETY: projections are [r, width], features [r, features], points [3, r, h·pv]; frames and weights have their inputs' shapes.
        unsafe { job.launch(&launch, arguments) }
    }

    /// Where queries, keys, values, their points, biases and results lie; `rows` are laid out as the projections.
    pub(super) fn core(&self, job: &Job<'_>, made: &Made, stats: u64) -> InvariantPointAttention {
        let &Self { r, h, dk, dv, pq, pv, cz, .. } = self;
        let (row, features) = (self.width() as i64, self.features());
        let [q, k, v, q_points, k_points, v_points] = self.places(made.ready().address);
        let of_q = IpaStrides { axis: 0, row, head: dk as i64 };
        let of_kv = IpaStrides { head: (dk + dv) as i64, ..of_q };
        let of_kv_points = IpaStrides { axis: (h * (pq + pv)) as i64, row, head: (pq + pv) as i64 };
        InvariantPointAttention {
            q,
            k,
            v,
            q_points,
            k_points,
            v_points,
            bias: made.pairs.address,
            head_weight: made.head_weight.address,
            mask: job.at(2),
            z: job.at(1),
            o: made.features.address,
            o_points: made.o_points.address,
            o_pair: made.features.address + 4 * self.pairs_at() as u64,
            stats,
            q_stride: of_q,
            k_stride: of_kv,
            v_stride: of_kv,
            q_points_stride: IpaStrides { axis: (h * pq) as i64, row, head: pq as i64 },
            k_points_stride: of_kv_points,
            v_points_stride: of_kv_points,
            bias_stride0: (r * h) as i64,
            bias_stride1: h as i64,
            bias_head_stride: 1,
            o_stride: features as i64,
            o_points_axis_stride: (r * h * pv) as i64,
            o_points_stride: (h * pv) as i64,
            o_pair_stride: features as i64,
            scale: (1.0 / (3.0 * dk as f64)).sqrt() as f32,
            bias_scale: self.bias_scale(),
            r: int(r),
            heads: int(h),
            d: int(dk),
            dv: int(dv),
            points: int(pq),
            v_points_count: int(pv),
            cz: int(cz),
        }
    }

    /// Where queries, keys, values and their points begin in rows of projections at `address`.
    pub(super) fn places(&self, address: u64) -> [u64; 6] {
        let [of_q, of_kv, of_q_points, _] = self.parts();
        let kv_points = of_q + of_kv + of_q_points;
        [0, of_q, of_q + self.dk, of_q + of_kv, kv_points, kv_points + self.pq]
            .map(|at| address + 4 * at as u64)
    }

    /// Everything up to the features. `kept`: the projections as the layers give them, and `stats` or null, for the backward pass.
    pub(super) fn make(&self, job: &Job<'_>, kept: bool, stats: u64) -> Result<Made> {
        let &Self { r, c, cz, h, pv, .. } = self;
        let made = Made {
            weights: job.vectors([5, 7, 9, 11])?,
            local: job.floats(r * self.width())?,
            ready: if kept { Some(job.floats(r * self.width())?) } else { None },
            head_weight: job.floats(h)?,
            pairs: job.floats(r * r * h)?,
            o_points: job.floats(3 * r * h * pv)?,
            features: job.floats(r * self.features())?,
            biases: job.vectors([6, 8, 10, 12])?,
        };
        let projections = Layer { rows: r, n: self.width(), k: c };
        let of_pairs = Layer { rows: r * r, n: h, k: cz };
        let frames = self.frames(job, &made);
        // SAFETY: s is [r, c], z [r·r, cz], the weights are [width, c] and [h, cz]. The bias of pairs is one of all logits of a query
        // and changes nothing.
        unsafe {
            projections.products(job, (job.at(0), made.weights.address), made.local.address, false)?;
            of_pairs.products(job, (job.at(1), job.at(13)), made.pairs.address, false)?;
        }
        self.launch_frames(job, "ipa_place", &frames)?;
        let launch = Launch {
            file: "ipa",
            kernel: "ipa_f32".into(),
            blocks: r.div_ceil(QUERIES),
            turns: false,
            threads: THREADS,
            shared: self.shared(),
        };
        // SAFETY: projections are [r, width], biases [r, r, h], z [r, r, cz], the mask [r], stats [r, h, 2].
        unsafe { job.launch(&launch, &self.core(job, &made, stats))? };
        self.launch_frames(job, "ipa_finish", &frames)?;
        Ok(made)
    }
}

impl Made {
    /// Projections with points in space.
    fn ready(&self) -> &Memory {
        self.ready.as_ref().unwrap_or(&self.local)
    }
}

/// The operation.
pub(crate) fn invariant_point_attention(job: &Job<'_>) -> Result<bool> {
    let Some(sizes) = taken(job)? else { return Ok(false) };
    let made = sizes.make(job, false, 0)?;
    // SAFETY: features are [r, features], the weight [c, features], the result [r, c].
    unsafe { sizes.out().run(job, (made.features.address, job.at(16)), job.at(17), false)? };
    Ok(true)
}
