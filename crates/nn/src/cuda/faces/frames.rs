//! Frames moved on, rigid groups and atoms, pairs of unit length, and their gradients: `frames.cu`. All in f32.

use super::int;
use crate::cuda::arguments::{FrameUpdate, RigidGroups, UnitPairs};
use crate::cuda::backward::BackwardJob;
use crate::cuda::job::Job;
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Few threads a block, so that few residues reach many processors.
const THREADS: usize = 64;

fn launch(kernel: &str, threads: usize) -> Launch {
    let (file, kernel, blocks) = ("frames", kernel.to_string(), threads.div_ceil(THREADS));
    Launch { file, kernel, blocks, turns: false, threads: THREADS, shared: 0 }
}

fn update_of(job: &Job<'_>) -> Result<FrameUpdate> {
    Ok(FrameUpdate {
        update: job.at(0),
        frames: job.at(1),
        residual: job.residual,
        out: job.out,
        r: int(job.inputs[0].dim(0)?),
        ..FrameUpdate::default()
    })
}

/// Inputs as in `ops/frames/update`: update, frames.
pub(crate) fn frame_update(job: &Job<'_>) -> Result<bool> {
    let arguments = update_of(job)?;
    // SAFETY: the update is [r, 6], frames and result are packed frames of r residues.
    unsafe { job.launch(&launch("frame_update", job.inputs[0].dim(0)?), &arguments)? };
    Ok(true)
}

/// Its gradients; `still`: none to quaternions and rotations.
pub(crate) fn frame_update_backward(job: &BackwardJob<'_>, still: bool) -> Result<bool> {
    let forward = update_of(job)?;
    let (d_update, d_frames) = (job.to(0), job.to(1));
    let arguments = FrameUpdate { grad: job.grad(), d_update, d_frames, still: i32::from(still), ..forward };
    // SAFETY: as above; gradients have the shapes of their inputs.
    unsafe { job.launch(&launch("frame_update_backward", job.inputs[0].dim(0)?), &arguments)? };
    Ok(true)
}

fn groups_of(job: &Job<'_>, scale: f32) -> Result<RigidGroups> {
    Ok(RigidGroups {
        angles: job.at(0),
        frames: job.at(1),
        table: job.at(2),
        residual: job.residual,
        out: job.out,
        r: int(job.inputs[0].dim(0)?),
        scale,
        ..RigidGroups::default()
    })
}

/// Inputs as in `ops/frames/groups`: angles, frames, table.
pub(crate) fn rigid_groups(job: &Job<'_>, scale: f32) -> Result<bool> {
    let arguments = groups_of(job, scale)?;
    // SAFETY: angles are [r, 7, 2], frames packed, the table [r, 166], the result [138·r].
    unsafe { job.launch(&launch("rigid_groups", 8 * job.inputs[0].dim(0)?), &arguments)? };
    Ok(true)
}

/// Its gradients; none of the table.
pub(crate) fn rigid_groups_backward(job: &BackwardJob<'_>, scale: f32) -> Result<bool> {
    if job.wants(2) {
        return Ok(false);
    }
    let forward = groups_of(job, scale)?;
    let (d_angles, d_frames) = (job.to(0), job.to(1));
    let arguments = RigidGroups { grad: job.grad(), d_angles, d_frames, ..forward };
    // SAFETY: as above; gradients have the shapes of their inputs.
    unsafe { job.launch(&launch("rigid_groups_backward", 8 * job.inputs[0].dim(0)?), &arguments)? };
    Ok(true)
}

/// Inputs as in `ops/frames/unit`: x.
pub(crate) fn unit_pairs(job: &Job<'_>) -> Result<bool> {
    let pairs = job.inputs[0].elem_count() / 2;
    let arguments = UnitPairs {
        x: job.at(0),
        residual: job.residual,
        out: job.out,
        pairs: int(pairs),
        ..UnitPairs::default()
    };
    // SAFETY: x, what is added to and the result have so many pairs.
    unsafe { job.launch(&launch("unit_pairs", pairs), &arguments)? };
    Ok(true)
}

/// Its gradient.
pub(crate) fn unit_pairs_backward(job: &BackwardJob<'_>) -> Result<bool> {
    let pairs = job.inputs[0].elem_count() / 2;
    let arguments = UnitPairs {
        x: job.at(0),
        grad: job.grad(),
        out: job.to(0),
        pairs: int(pairs),
        ..UnitPairs::default()
    };
    // SAFETY: x and both gradients have so many pairs.
    unsafe { job.launch(&launch("unit_pairs_backward", pairs), &arguments)? };
    Ok(true)
}
