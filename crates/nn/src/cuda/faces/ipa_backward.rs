//! Gradients of invariant point attention: all of it again, then back through the output layer, `ipa_frames.cu`, `ipa_backward.cu`,
//! `ipa_frames.cu`, and matrix products for the weights.

use super::ipa::{COLUMNS, HEADS, KEYS, Made, STRIDE, Sizes, THREADS, taken};
use crate::cuda::arguments::{IpaBackward, IpaFrames};
use crate::cuda::backward::{BackwardJob, Matrix};
use crate::cuda::machine::{Factor, Launch, Precision, Products, Results};
use candle_core::Result;

/// Keys of a block of the second kernel.
const BLOCK_KEYS: usize = 4;

/// Shared memory of the kernels for queries and for keys, bytes.
fn shared(s: &Sizes) -> [usize; 2] {
    let (features, values) = (s.keys(), s.values());
    let rows = (features | 1) + (values | 1) + (s.cz | 1);
    let queries = features + values + s.h * s.cz + 2 * HEADS + 2 * KEYS * STRIDE + KEYS * rows;
    [4 * queries, 4 * (2 * KEYS * BLOCK_KEYS * STRIDE + BLOCK_KEYS * features)]
}

/// f32 rows of `width` values.
fn floats(address: u64, width: usize) -> Matrix {
    Matrix { address, row: width, width, precision: Precision::F32 }
}

/// Inputs as in `ops/ipa`; nobody learns a mask.
pub(crate) fn invariant_point_attention_backward(job: &BackwardJob<'_>) -> Result<bool> {
    let Some(sizes) = taken(job)? else { return Ok(false) };
    let fits = shared(&sizes).iter().all(|&bytes| bytes <= job.machine.shared());
    if job.wants(2) || sizes.keys() > COLUMNS || !fits {
        return Ok(false);
    }
    let Sizes { r, c, h, pv, .. } = sizes;
    let (width, features) = (sizes.width(), sizes.features());
    let stats = job.floats(2 * r * h)?;
    let made = sizes.make(job, true, stats.address)?;

    // The output layer.
    let d_features = job.floats(r * features)?;
    let grad = floats(job.grad(), c);
    // SAFETY: the gradient is [r, c], features are [r, features], the weight [c, features].
    unsafe {
        sizes.out().back(job, (grad.address, job.at(16)), d_features.address)?;
        job.weight(16, r, (grad, floats(made.features.address, features)), 1.0, false)?;
        job.bias(17, r, grad, 0)?;
    }

    // Features to points in space, attention, and these points back to projections.
    let [d_points, frames] = [job.floats(3 * r * h * pv)?, job.floats(12 * r)?];
    let [d_local, d_weight] = [job.floats(r * width)?, job.floats(h)?];
    let arguments = IpaFrames {
        d_features: d_features.address,
        d_points: d_points.address,
        frames: frames.address,
        d_ready: d_local.address,
        d_rotation: job.to(3),
        d_translation: job.to(4),
        d_head_weight: d_weight.address,
        d_head_weights: job.to(15),
        d_bias: job.to(14),
        ..sizes.frames(job, &made)
    };
    sizes.launch_frames(job, "ipa_finish_backward", &arguments)?;
    attention(job, &sizes, (&made, stats.address), &arguments)?;
    sizes.launch_frames(job, "ipa_place_backward", &arguments)?;

    // The projections.
    let d_local = floats(d_local.address, width);
    let to_s = Products::new(
        (r, c, width),
        Factor::by_rows(d_local.address, width),
        Factor::by_columns(made.weights.address, c),
        Precision::F32,
        Results::new(job.to(0), c, Precision::F32),
    );
    // SAFETY: gradients of projections are [r, width], their weights [width, c], s is [r, c].
    unsafe {
        if job.wants(0) {
            job.products(&to_s)?;
        }
        let mut first = 0;
        for (i, columns) in sizes.parts().into_iter().enumerate() {
            let grads = Matrix { address: d_local.address + 4 * first as u64, width: columns, ..d_local };
            job.weight(5 + 2 * i, r, (grads, floats(job.at(0), c)), 1.0, false)?;
            first += columns;
        }
        let [q, kv, q_points, kv_points] = sizes.parts();
        let places = [(6, q), (8, kv), (10, q_points), (12, kv_points)].map(|(i, n)| (job.to(i), n));
        job.column_sums(r, d_local, 0, &places)?;
    }
    Ok(true)
}

/// Gradients of queries, keys, values and their points as the projections lie, of pairs and their bias, of distances' weights.
fn attention(
    job: &BackwardJob<'_>,
    sizes: &Sizes,
    (made, stats): (&Made, u64),
    frames: &IpaFrames,
) -> Result<()> {
    let &Sizes { r, cz, h, .. } = sizes;
    let [weights, dlogits] = [job.floats(r * r * h)?, job.floats(r * r * h)?];
    let dweight_rows = job.floats(r * h)?;
    let [dq, dk, dv, dq_points, dk_points, dv_points] = sizes.places(frames.d_ready);
    let arguments = IpaBackward {
        forward: sizes.core(job, made, stats),
        d_o: frames.d_features,
        d_points: frames.d_points,
        d_pair: frames.d_features + 4 * sizes.pairs_at() as u64,
        dq,
        dk,
        dv,
        dq_points,
        dk_points,
        dv_points,
        weights: weights.address,
        dlogits: dlogits.address,
        dweight_rows: dweight_rows.address,
        dz_before: 0,
        dz: job.to(1),
    };
    let launch = |kernel: &str, blocks: usize, shared: usize| {
        let (file, kernel) = ("ipa_backward", kernel.to_string());
        let launch = Launch { file, kernel, blocks, turns: false, threads: THREADS, shared };
        // SAFETY: as `Sizes::core`; gradients lie as what they belong to, weights and logits are [r, r, h].
        unsafe { job.launch(&launch, &arguments) }
    };
    let [queries, keys] = shared(sizes);
    launch("ipa_backward_queries_f32", r, queries)?;
    launch("ipa_backward_keys", r.div_ceil(BLOCK_KEYS), keys)?;
    let of_bias = floats(dlogits.address, h);
    let to_pairs = Products {
        scale: sizes.bias_scale(),
        ..Products::new(
            (r * r, cz, h),
            Factor::by_rows(dlogits.address, h),
            Factor::by_columns(job.at(13), cz),
            Precision::F32,
            Results { add: true, ..Results::new(job.to(1), cz, Precision::F32) },
        )
    };
    // SAFETY: logits are [r·r, h], pairs and their gradient [r·r, cz], the weight [h, cz].
    unsafe {
        if job.wants(1) {
            job.products(&to_pairs)?;
        }
        job.weight(13, r * r, (of_bias, floats(job.at(1), cz)), sizes.bias_scale(), false)?;
        if job.wants(15) {
            job.column_sums(r, floats(dweight_rows.address, h), 0, &[(frames.d_head_weight, h)])?;
            job.finish_sums()?;
        }
    }
    Ok(())
}
