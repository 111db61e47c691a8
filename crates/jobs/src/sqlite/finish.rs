//! Ends: by the worker, by request, and back to the queue.

use super::rows::job_of;
use super::turn::Turn;
use super::writer::Operation;
use crate::{Error, Job, JobId, Lease, Outcome, Requeue, Result, State};
use async_trait::async_trait;

pub(super) struct Finish {
    pub(super) lease: Lease,
    pub(super) outcome: Outcome,
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
                    sqlx::query("INSERT OR IGNORE INTO blobs (digest, job, result) VALUES (?, ?, 1)")
                        .bind(&blob.as_bytes()[..])
                        .bind(job.seq)
                        .execute(&mut *turn.db)
                        .await
                        .map_err(Error::database("result"))?;
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

pub(super) struct Cancel(pub(super) JobId);

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
                let row = sqlx::query("UPDATE jobs SET state = 'cancelling' WHERE seq = ? RETURNING *")
                    .bind(job.seq)
                    .fetch_one(&mut *turn.db)
                    .await
                    .map_err(Error::database("cancel"))?;
                turn.tell(&job_of(&row)?).await
            }
            State::Cancelling | State::Succeeded | State::Failed | State::Cancelled => Ok(job),
        }
    }
}

pub(super) struct GiveBack {
    pub(super) lease: Lease,
    pub(super) why: Requeue,
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
