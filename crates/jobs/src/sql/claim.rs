//! Giving a waiting job to a worker.

use super::db::{Flavour, Hold, Lock};
use super::operation::Operation;
use super::turn::Turn;
use super::value::values;
use crate::{Claim, Error, Lease, Result};
use async_trait::async_trait;

pub(crate) struct ClaimOne {
    pub(crate) worker: String,
}

// Held jobs are as few as workers, so counting them is cheap and no counter can be wrong. A tenant that may run none
// has no held job to be counted, hence the second half.
macro_rules! next {
    ($by:literal) => {
        concat!(
            "SELECT seq, tenant FROM jobs ",
            $by,
            " WHERE state IN ('queued', 'retry_wait') AND (state = 'queued' OR due <= $1)
              AND tenant NOT IN (
                SELECT held.tenant FROM
                    (SELECT tenant, count(*) AS n FROM jobs WHERE state IN ('running', 'cancelling') GROUP BY tenant)
                        AS held
                    LEFT JOIN tenants ON tenants.tenant = held.tenant
                WHERE held.n >= coalesce(tenants.running, $2)
                UNION ALL SELECT tenant FROM tenants WHERE running = 0)
              ORDER BY priority DESC, seq LIMIT 1"
        )
    };
}

fn next_job(flavour: Flavour) -> &'static str {
    match flavour {
        // By itself SQLite takes the index by state and sorts what it finds: 7 ms of 10,000 jobs, every time.
        Flavour::Sqlite => next!("INDEXED BY jobs_waiting"),
        Flavour::Postgres => next!(""),
    }
}

/// Claims beside this one may have used up the tenant's room since the query above began.
const ROOM: &str = "
    SELECT coalesce((SELECT running FROM tenants WHERE tenant = $1), $2)
         - (SELECT count(*) FROM jobs WHERE tenant = $1 AND state IN ('running', 'cancelling')) AS n";

#[async_trait]
impl Operation for ClaimOne {
    type Output = Option<Claim>;
    const NAME: &'static str = "claim";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Option<Claim>> {
        let running = turn.policy.quotas.running;
        let sql = next_job(turn.db.flavour());
        let next = turn.db.first("next job", Lock::Skip, sql, values![turn.now, running]).await?;
        let Some(next) = next else { return Ok(None) };
        let (seq, tenant): (i64, String) = (next.get("seq")?, next.get("tenant")?);
        turn.db.hold(Hold::Running(&tenant)).await?;
        if turn.db.number("room", ROOM, values![&tenant, running]).await? <= 0 {
            return Err(Error::Contended(Self::NAME));
        }
        let sql = "UPDATE jobs SET state = 'running', fence = fence + 1, attempts = attempts + 1, worker = $1,
                   server = $2, lease = $3, due = NULL, started = coalesce(started, $4) WHERE seq = $5 RETURNING *";
        let lease = turn.now + turn.policy.lease;
        let job = turn.moved("claim", sql, values![&self.worker, turn.server, lease, turn.now, seq]).await?;
        let sql = "INSERT INTO attempts (job, fence, worker, started) VALUES ($1, $2, $3, $4)";
        turn.db.change("attempt", sql, values![seq, job.fence, &self.worker, turn.now]).await?;
        Ok(Some(Claim { lease: Lease { job: job.id, fence: job.fence }, job }))
    }
}
