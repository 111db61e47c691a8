//! Ends: by the worker, by request, and back to the queue.

use super::operation::Operation;
use super::turn::Turn;
use super::value::values;
use crate::{Job, JobId, Lease, Outcome, Requeue, Result, State};
use async_trait::async_trait;

pub(crate) struct Finish {
    pub(crate) lease: Lease,
    pub(crate) outcome: Outcome,
}

#[async_trait]
impl Operation for Finish {
    type Output = Job;
    const NAME: &'static str = "finish";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Job> {
        let job = turn.held(self.lease).await?;
        // The cancellation was committed first, and the client was told of it.
        if job.state == State::Cancelling {
            return cancelled(turn, &job).await;
        }
        match &self.outcome {
            Outcome::Cancelled => cancelled(turn, &job).await,
            Outcome::Failed(reason) => {
                turn.attempt_ended(&job, &reason.code).await?;
                turn.end(&job, State::Failed, None, Some(reason)).await
            }
            Outcome::Succeeded { result, blobs } => {
                for blob in blobs {
                    let sql =
                        "INSERT INTO blobs (digest, job, result) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING";
                    turn.db.change("result", sql, values![blob, job.seq]).await?;
                }
                turn.attempt_ended(&job, State::Succeeded.as_str()).await?;
                turn.end(&job, State::Succeeded, Some(result), None).await
            }
        }
    }
}

/// Completes the cancellation of a held job.
pub(super) async fn cancelled(turn: &mut Turn<'_>, job: &Job) -> Result<Job> {
    turn.attempt_ended(job, State::Cancelled.as_str()).await?;
    turn.end(job, State::Cancelled, None, None).await
}

pub(crate) struct Cancel(pub(crate) JobId);

#[async_trait]
impl Operation for Cancel {
    type Output = Job;
    const NAME: &'static str = "cancel";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Job> {
        let job = turn.get(self.0).await?;
        match job.state {
            State::Queued | State::RetryWait => {
                if job.started.is_none() {
                    turn.lighten(&job).await?;
                }
                turn.end(&job, State::Cancelled, None, None).await
            }
            State::Running => {
                let sql = "UPDATE jobs SET state = 'cancelling' WHERE seq = $1 RETURNING *";
                turn.moved("cancel", sql, values![job.seq]).await
            }
            State::Cancelling | State::Succeeded | State::Failed | State::Cancelled => Ok(job),
        }
    }
}

pub(crate) struct GiveBack {
    pub(crate) lease: Lease,
    pub(crate) why: Requeue,
}

#[async_trait]
impl Operation for GiveBack {
    type Output = Job;
    const NAME: &'static str = "requeue";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Job> {
        let job = turn.held(self.lease).await?;
        if job.state == State::Cancelling {
            return cancelled(turn, &job).await;
        }
        match &self.why {
            Requeue::Drain => turn.give_back(&job, "drained").await,
            Requeue::Retry { reason, limit } => turn.retry(&job, reason, *limit).await,
        }
    }
}
