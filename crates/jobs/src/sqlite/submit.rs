//! Accepting jobs.

use super::quota;
use super::rows::{column, job, job_of, read};
use super::turn::Turn;
use super::writer::Operation;
use crate::{Digest, Error, Job, JobId, Result, State, Submission, Submitted};
use async_trait::async_trait;

pub(super) struct Submit(pub(super) Vec<Submission>);

#[async_trait]
impl Operation for Submit {
    type Output = Vec<Submitted>;
    const NAME: &'static str = "submit";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Vec<Submitted>> {
        let mut answers = Vec::with_capacity(self.0.len());
        for submission in &self.0 {
            answers.push(accept(turn, submission).await?);
        }
        Ok(answers)
    }
}

async fn accept(turn: &mut Turn<'_>, submission: &Submission) -> Result<Submitted> {
    let digest = submission.digest();
    if let Some(key) = &submission.key {
        let known = sqlx::query("SELECT id, digest FROM jobs WHERE tenant = ? AND key = ?")
            .bind(&submission.tenant)
            .bind(key)
            .fetch_optional(&mut *turn.db)
            .await
            .map_err(Error::database("idempotency key"))?;
        if let Some(known) = known {
            let id: JobId = read(&known, "id", |text| text.parse().ok())?;
            if column::<Vec<u8>>(&known, "digest")? != digest.as_bytes() {
                return Err(Error::KeyReused { key: key.clone(), job: id });
            }
            return Ok(Submitted { job: job(&mut *turn.db, id).await?, fresh: false });
        }
    }
    let earlier = match submission.content {
        Some(content) => same_content(turn, &submission.tenant, content).await?,
        None => None,
    };
    let weight = if earlier.is_some() { 0 } else { quota::stored(submission.weight) };
    if earlier.is_none() {
        quota::check(turn, &submission.tenant, weight).await?;
    }

    let row = sqlx::query(
        "INSERT INTO jobs (id, tenant, key, digest, request, webhook, content, weight, priority, state, max_attempts,
                           created, reused)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?) RETURNING *",
    )
    .bind(JobId::fresh().to_string())
    .bind(&submission.tenant)
    .bind(&submission.key)
    .bind(&digest.as_bytes()[..])
    .bind(submission.request.to_string())
    .bind(&submission.webhook)
    .bind(submission.content.as_ref().map(|content| &content.as_bytes()[..]))
    .bind(weight)
    .bind(submission.priority)
    .bind(submission.max_attempts.unwrap_or(turn.policy.max_attempts))
    .bind(turn.now.0)
    .bind(earlier.as_ref().map(|job| job.id.to_string()))
    .fetch_one(&mut *turn.db)
    .await
    .map_err(Error::database("submit"))?;
    let job = job_of(&row)?;
    for blob in &submission.blobs {
        sqlx::query("INSERT OR IGNORE INTO blobs (digest, job, result) VALUES (?, ?, 0)")
            .bind(&blob.as_bytes()[..])
            .bind(job.seq)
            .execute(&mut *turn.db)
            .await
            .map_err(Error::database("blob"))?;
    }
    let job = turn.tell(&job).await?;
    let job = match earlier {
        Some(earlier) => reuse(turn, &job, &earlier).await?,
        None => job,
    };
    Ok(Submitted { job, fresh: true })
}

/// The latest job that has the result already; of all that have it, it keeps it for longest.
async fn same_content(turn: &mut Turn<'_>, tenant: &str, content: Digest) -> Result<Option<Job>> {
    let row = sqlx::query(
        "SELECT * FROM jobs WHERE tenant = ? AND content = ? AND state = 'succeeded' AND expired = 0
         ORDER BY seq DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(&content.as_bytes()[..])
    .fetch_optional(&mut *turn.db)
    .await
    .map_err(Error::database("content"))?;
    row.as_ref().map(job_of).transpose()
}

/// Ends a job that was just accepted with the result of an earlier one, and holds its blobs for as long as it is kept.
async fn reuse(turn: &mut Turn<'_>, job: &Job, earlier: &Job) -> Result<Job> {
    sqlx::query(
        "INSERT INTO blobs (digest, job, result) SELECT digest, ?, 1 FROM blobs WHERE job = ? AND result = 1",
    )
    .bind(job.seq)
    .bind(earlier.seq)
    .execute(&mut *turn.db)
    .await
    .map_err(Error::database("result"))?;
    turn.end(job, State::Succeeded, earlier.result.as_ref(), None).await
}
