//! Accepting jobs.

use super::rows::{column, job, job_of, read};
use super::turn::Turn;
use super::writer::Operation;
use crate::{Error, JobId, Result, Submission, Submitted};
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
    check_quota(turn, &submission.tenant).await?;

    let row = sqlx::query(
        "INSERT INTO jobs (id, tenant, key, digest, request, webhook, priority, state, max_attempts, created)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?) RETURNING *",
    )
    .bind(JobId::fresh().to_string())
    .bind(&submission.tenant)
    .bind(&submission.key)
    .bind(&digest.as_bytes()[..])
    .bind(submission.request.to_string())
    .bind(&submission.webhook)
    .bind(submission.priority)
    .bind(submission.max_attempts.unwrap_or(turn.policy.max_attempts))
    .bind(turn.now.0)
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
    Ok(Submitted { job: turn.tell(&job).await?, fresh: true })
}

async fn check_quota(turn: &mut Turn<'_>, tenant: &str) -> Result<()> {
    let own: Option<u32> = sqlx::query_scalar("SELECT queued FROM tenants WHERE tenant = ?")
        .bind(tenant)
        .fetch_optional(&mut *turn.db)
        .await
        .map_err(Error::database("quota"))?;
    let limit = own.unwrap_or(turn.policy.quotas.queued);
    // Counts no further than it needs to.
    let waiting: u32 = sqlx::query_scalar(
        "SELECT count(*) FROM
         (SELECT 1 FROM jobs WHERE tenant = ? AND state IN ('queued', 'retry_wait') LIMIT ?)",
    )
    .bind(tenant)
    .bind(limit)
    .fetch_one(&mut *turn.db)
    .await
    .map_err(Error::database("quota"))?;
    if waiting < limit { Ok(()) } else { Err(Error::Quota { tenant: tenant.to_owned(), limit }) }
}
