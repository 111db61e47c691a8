//! Expected values of bins: `expectations.cu`.

use super::int;
use crate::cuda::arguments::Expectations;
use crate::cuda::job::Job;
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Rows that a block takes at a time, a warp each.
const WARPS: usize = 8;

/// Inputs as in `ops/expectations`: logits, values.
pub(crate) fn expectations(job: &Job<'_>) -> Result<bool> {
    let (k, bins) = job.inputs[1].dims2()?;
    let rows = job.inputs[0].elem_count() / bins;
    let arguments = Expectations {
        logits: job.at(0),
        values: job.at(1),
        residual: job.residual,
        out: job.out,
        rows: rows as i64,
        bins: int(bins),
        k: int(k),
    };
    let kernel = "expectations".to_string();
    let launch = Launch {
        file: "expectations",
        kernel,
        blocks: rows.div_ceil(WARPS),
        turns: true,
        threads: 32 * WARPS,
        shared: 0,
    };
    // SAFETY: logits are [rows, bins], values [k, bins], the result [k, rows].
    unsafe { job.launch(&launch, &arguments)? };
    Ok(true)
}
