//! The reaper: leases that ended, and jobs that are old.

use super::db::Lock;
use super::finish::cancelled;
use super::operation::Operation;
use super::turn::Turn;
use super::value::values;
use crate::{Reap, Reaped, Reason, Result, State};
use async_trait::async_trait;

/// Rows a call treats of each kind, so that nobody waits long behind it.
const PART: i64 = 100;

pub(crate) struct Reaper(pub(crate) Reap);

#[async_trait]
impl Operation for Reaper {
    type Output = Reaped;
    const NAME: &'static str = "reap";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        shorten(turn).await?;
        leases(turn, self.0, &mut reaped).await?;
        expire(turn, &mut reaped).await?;
        forget(turn, &mut reaped).await?;
        Ok(reaped)
    }
}

async fn leases(turn: &mut Turn<'_>, which: Reap, reaped: &mut Reaped) -> Result<()> {
    let sql = match which {
        Reap::Expired => {
            "SELECT * FROM jobs WHERE state IN ('running', 'cancelling') AND lease <= $1 ORDER BY lease LIMIT $2"
        }
        Reap::Boot => {
            "SELECT * FROM jobs WHERE state IN ('running', 'cancelling') AND server = $1 ORDER BY lease LIMIT $2"
        }
    };
    let values = match which {
        Reap::Expired => values![turn.now, PART].to_vec(),
        Reap::Boot => values![turn.server, PART].to_vec(),
    };
    // A job that is held by another transaction is just being reported on, or reaped by somebody else.
    for row in turn.db.rows("leases", Lock::Skip, sql, &values).await? {
        let job = row.job()?;
        let job = match which {
            _ if job.state == State::Cancelling => cancelled(turn, &job).await?,
            Reap::Boot => turn.give_back(&job, "server_stopped").await?,
            Reap::Expired => {
                let worker = job.worker.as_deref().unwrap_or_default();
                let message = format!("worker {worker} was silent for longer than its lease");
                turn.retry(&job, &Reason::new(Reason::WORKER_LOST, message), None).await?
            }
        };
        match job.state {
            State::Cancelled => reaped.cancelled += 1,
            State::Failed => reaped.failed += 1,
            _ => reaped.requeued += 1,
        }
    }
    Ok(())
}

/// No wait and no lease is longer than the longest: the clock may have been set back since it began.
async fn shorten(turn: &mut Turn<'_>) -> Result<()> {
    let latest = turn.now + turn.policy.lease;
    let sql = "SELECT seq FROM jobs WHERE state IN ('running', 'cancelling') AND lease > $1";
    for row in turn.db.rows("leases", Lock::Skip, sql, values![latest]).await? {
        let sql = "UPDATE jobs SET lease = $1 WHERE seq = $2";
        turn.db.change("leases", sql, values![latest, row.get::<i64>("seq")?]).await?;
    }
    let latest = turn.now + turn.policy.max_backoff;
    let sql = "SELECT seq FROM jobs WHERE state = 'retry_wait' AND due > $1";
    for row in turn.db.rows("waits", Lock::Skip, sql, values![latest]).await? {
        let sql = "UPDATE jobs SET due = $1 WHERE seq = $2";
        turn.db.change("waits", sql, values![latest, row.get::<i64>("seq")?]).await?;
    }
    let latest = turn.now + turn.policy.after_try(turn.policy.webhook_tries);
    let sql = "SELECT id FROM outbox WHERE due > $1 OR (tries = 0 AND due > $2)";
    for row in turn.db.rows("webhooks", Lock::Skip, sql, values![latest, turn.now]).await? {
        let sql = "UPDATE outbox SET due = $1 WHERE id = $2";
        turn.db.change("webhooks", sql, values![turn.now, row.get::<String>("id")?]).await?;
    }
    Ok(())
}

/// Drops what is large of jobs that ended long ago: result, request, events and the claim on their blobs.
async fn expire(turn: &mut Turn<'_>, reaped: &mut Reaped) -> Result<()> {
    let before = turn.now.before(turn.policy.retention);
    let sql = "SELECT seq, id FROM jobs WHERE finished IS NOT NULL AND expired = 0 AND finished <= $1
               ORDER BY finished LIMIT $2";
    for row in turn.db.rows("expiry", Lock::Skip, sql, values![before, PART]).await? {
        let seq: i64 = row.get("seq")?;
        for sql in [
            "UPDATE jobs SET expired = 1, result = NULL, request = 'null' WHERE seq = $1",
            "DELETE FROM blobs WHERE job = $1",
            "DELETE FROM events WHERE job = $1",
        ] {
            turn.db.change("expiry", sql, values![seq]).await?;
        }
        turn.touched.push(row.job_id("id")?);
        reaped.expired += 1;
    }
    Ok(())
}

/// Removes expired jobs altogether, their keys too.
async fn forget(turn: &mut Turn<'_>, reaped: &mut Reaped) -> Result<()> {
    let before = turn.now.before(turn.policy.memory);
    let sql = "SELECT seq FROM jobs WHERE expired = 1 AND finished <= $1 ORDER BY finished LIMIT $2";
    for row in turn.db.rows("forgetting", Lock::Skip, sql, values![before, PART]).await? {
        let sql = "DELETE FROM jobs WHERE seq = $1";
        turn.db.change("forgetting", sql, values![row.get::<i64>("seq")?]).await?;
        reaped.forgotten += 1;
    }
    Ok(())
}
