//! Accepting jobs.

use super::db::{Hold, Lock};
use super::operation::Operation;
use super::quota;
use super::rows::job;
use super::turn::Turn;
use super::value::values;
use crate::{Digest, Error, Job, JobId, Result, State, Submission, Submitted};
use async_trait::async_trait;
use std::collections::BTreeSet;

pub(crate) struct Submit(pub(crate) Vec<Submission>);

#[async_trait]
impl Operation for Submit {
    type Output = Vec<Submitted>;
    const NAME: &'static str = "submit";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Vec<Submitted>> {
        // In one order, so that two batches do not wait for each other.
        let tenants: BTreeSet<_> = self.0.iter().map(|submission| submission.tenant.as_str()).collect();
        for tenant in tenants {
            turn.db.hold(Hold::Accepting(tenant)).await?;
        }
        let mut answers = Vec::with_capacity(self.0.len());
        for submission in &self.0 {
            answers.push(accept(turn, submission).await?);
        }
        Ok(answers)
    }
}

async fn accept(turn: &mut Turn<'_>, submission: &Submission) -> Result<Submitted> {
    let digest = submission.digest();
    if let Some(key) = &submission.key
        && let Some(job) = known(turn, &submission.tenant, key, digest).await?
    {
        return Ok(Submitted { job, fresh: false });
    }
    let earlier = match &submission.content {
        Some(content) => same_content(turn, &submission.tenant, content).await?,
        None => None,
    };
    let weight = if earlier.is_some() { 0 } else { quota::stored(submission.weight) };
    if earlier.is_none() {
        quota::check(turn, &submission.tenant, weight).await?;
    }

    let row = turn
        .db
        .one(
            "submit",
            "INSERT INTO jobs (id, tenant, key, digest, request, webhook, content, weight, priority, state,
                               max_attempts, created, reused)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued', $10, $11, $12) RETURNING *",
            values![
                JobId::fresh(),
                &submission.tenant,
                submission.key.as_deref(),
                &digest,
                submission.request.to_string(),
                submission.webhook.as_deref(),
                submission.content.as_ref(),
                weight,
                submission.priority,
                submission.max_attempts.unwrap_or(turn.policy.max_attempts),
                turn.now,
                earlier.as_ref().map(|job| job.id.to_string()),
            ],
        )
        .await?;
    let job = row.job()?;
    for blob in &submission.blobs {
        let sql = "INSERT INTO blobs (digest, job, result) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
        turn.db.change("blob", sql, values![blob, job.seq]).await?;
    }
    let job = turn.tell(&job).await?;
    let job = match earlier {
        Some(earlier) => reuse(turn, &job, &earlier).await?,
        None => job,
    };
    Ok(Submitted { job, fresh: true })
}

/// The job that a key made.
async fn known(turn: &mut Turn<'_>, tenant: &str, key: &str, digest: Digest) -> Result<Option<Job>> {
    let sql = "SELECT id, digest FROM jobs WHERE tenant = $1 AND key = $2";
    let Some(row) = turn.db.first("idempotency key", Lock::None, sql, values![tenant, key]).await? else {
        return Ok(None);
    };
    let id = row.job_id("id")?;
    if row.get::<Vec<u8>>("digest")? != digest.as_bytes() {
        return Err(Error::KeyReused { key: key.to_owned(), job: id });
    }
    job(turn.db, Lock::None, id).await.map(Some)
}

/// The latest job that has the result already; of all that have it, it keeps it for longest. Locked, so that it does
/// not expire before its blobs are held by another.
async fn same_content(turn: &mut Turn<'_>, tenant: &str, content: &Digest) -> Result<Option<Job>> {
    let sql = "SELECT * FROM jobs WHERE tenant = $1 AND content = $2 AND state = 'succeeded' AND expired = 0
               ORDER BY seq DESC LIMIT 1";
    let row = turn.db.first("content", Lock::Wait, sql, values![tenant, content]).await?;
    row.map(|row| row.job()).transpose()
}

/// Ends a job that was just accepted with the result of an earlier one, and holds its blobs for as long as it is kept.
async fn reuse(turn: &mut Turn<'_>, job: &Job, earlier: &Job) -> Result<Job> {
    let sql = "INSERT INTO blobs (digest, job, result)
               SELECT digest, $1, 1 FROM blobs WHERE job = $2 AND result = 1";
    turn.db.change("result", sql, values![job.seq, earlier.seq]).await?;
    turn.end(job, State::Succeeded, earlier.result.as_ref(), None).await
}
