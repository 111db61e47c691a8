//! Giving a waiting job to a worker.

use super::rows::job_of;
use super::turn::Turn;
use super::writer::Operation;
use crate::{Claim, Error, Lease, Result};
use async_trait::async_trait;

pub(super) struct ClaimOne {
    pub(super) worker: String,
}

// Held jobs are as few as workers, so counting them is cheap and no counter can be wrong. A tenant that may run none
// has no held job to be counted, hence the second half.
const NEXT: &str = "
    SELECT seq FROM jobs
    WHERE state IN ('queued', 'retry_wait') AND (state = 'queued' OR due <= ?1)
      AND tenant NOT IN (
        SELECT held.tenant FROM
            (SELECT tenant, count(*) AS n FROM jobs WHERE state IN ('running', 'cancelling') GROUP BY tenant) AS held
            LEFT JOIN tenants ON tenants.tenant = held.tenant
        WHERE held.n >= coalesce(tenants.running, ?2)
        UNION ALL SELECT tenant FROM tenants WHERE running = 0)
    ORDER BY priority DESC, seq LIMIT 1";

#[async_trait]
impl Operation for ClaimOne {
    type Output = Option<Claim>;
    const NAME: &'static str = "claim";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Option<Claim>> {
        let next: Option<i64> = sqlx::query_scalar(NEXT)
            .bind(turn.now.0)
            .bind(turn.policy.quotas.running)
            .fetch_optional(&mut *turn.db)
            .await
            .map_err(Error::database("next job"))?;
        let Some(seq) = next else { return Ok(None) };
        let row = sqlx::query(
            "UPDATE jobs SET state = 'running', fence = fence + 1, attempts = attempts + 1, worker = ?, lease = ?,
             due = NULL, started = coalesce(started, ?) WHERE seq = ? RETURNING *",
        )
        .bind(&self.worker)
        .bind((turn.now + turn.policy.lease).0)
        .bind(turn.now.0)
        .bind(seq)
        .fetch_one(&mut *turn.db)
        .await
        .map_err(Error::database("claim"))?;
        let job = job_of(&row)?;
        sqlx::query("INSERT INTO attempts (job, fence, worker, started) VALUES (?, ?, ?, ?)")
            .bind(seq)
            .bind(job.fence)
            .bind(&self.worker)
            .bind(turn.now.0)
            .execute(&mut *turn.db)
            .await
            .map_err(Error::database("attempt"))?;
        let job = turn.tell(&job).await?;
        Ok(Some(Claim { lease: Lease { job: job.id, fence: job.fence }, job }))
    }
}
