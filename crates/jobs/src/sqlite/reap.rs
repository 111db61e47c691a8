//! The reaper: leases that ended, and jobs that are old.

use super::finish::cancelled;
use super::rows::job_of;
use super::turn::Turn;
use super::writer::Operation;
use crate::{Error, Reap, Reaped, Reason, Result, State};
use async_trait::async_trait;

/// Rows a call treats of each kind, so that nobody waits long behind it.
const PART: i64 = 100;

pub(super) struct Reaper(pub(super) Reap);

#[async_trait]
impl Operation for Reaper {
    type Output = Reaped;
    const NAME: &'static str = "reap";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        leases(turn, self.0, &mut reaped).await?;
        if self.0 == Reap::Boot {
            shorten_waits(turn).await?;
        }
        expire(turn, &mut reaped).await?;
        forget(turn, &mut reaped).await?;
        Ok(reaped)
    }
}

async fn leases(turn: &mut Turn<'_>, which: Reap, reaped: &mut Reaped) -> Result<()> {
    let ended = match which {
        Reap::Expired => turn.now.0,
        Reap::Boot => i64::MAX,
    };
    let rows = sqlx::query(
        "SELECT * FROM jobs WHERE state IN ('running', 'cancelling') AND lease <= ? ORDER BY lease LIMIT ?",
    )
    .bind(ended)
    .bind(PART)
    .fetch_all(&mut *turn.db)
    .await
    .map_err(Error::database("leases"))?;
    for row in &rows {
        let job = job_of(row)?;
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

/// No wait is longer than the longest: the clock may have been set back while the server was down.
async fn shorten_waits(turn: &mut Turn<'_>) -> Result<()> {
    let latest = (turn.now + turn.policy.max_backoff).0;
    sqlx::query("UPDATE jobs SET due = ?1 WHERE state = 'retry_wait' AND due > ?1")
        .bind(latest)
        .execute(&mut *turn.db)
        .await
        .map_err(Error::database("waits"))?;
    sqlx::query("UPDATE outbox SET due = ?1 WHERE due > ?1 AND tries = 0")
        .bind(turn.now.0)
        .execute(&mut *turn.db)
        .await
        .map_err(Error::database("waits"))?;
    Ok(())
}

/// Drops what is large of jobs that ended long ago: result, request, events and the claim on their blobs.
async fn expire(turn: &mut Turn<'_>, reaped: &mut Reaped) -> Result<()> {
    let rows = sqlx::query(
        "UPDATE jobs SET expired = 1, result = NULL, request = 'null' WHERE seq IN
         (SELECT seq FROM jobs WHERE finished IS NOT NULL AND expired = 0 AND finished <= ? ORDER BY finished LIMIT ?)
         RETURNING *",
    )
    .bind(turn.now.before(turn.policy.retention).0)
    .bind(PART)
    .fetch_all(&mut *turn.db)
    .await
    .map_err(Error::database("expiry"))?;
    for row in &rows {
        let job = job_of(row)?;
        for sql in ["DELETE FROM blobs WHERE job = ?", "DELETE FROM events WHERE job = ?"] {
            sqlx::query(sql).bind(job.seq).execute(&mut *turn.db).await.map_err(Error::database("expiry"))?;
        }
        turn.touched.push(job.id);
        reaped.expired += 1;
    }
    Ok(())
}

/// Removes expired jobs altogether, their keys too.
async fn forget(turn: &mut Turn<'_>, reaped: &mut Reaped) -> Result<()> {
    let gone = sqlx::query(
        "DELETE FROM jobs WHERE seq IN
         (SELECT seq FROM jobs WHERE expired = 1 AND finished <= ? ORDER BY finished LIMIT ?)",
    )
    .bind(turn.now.before(turn.policy.memory).0)
    .bind(PART)
    .execute(&mut *turn.db)
    .await
    .map_err(Error::database("forgetting"))?;
    reaped.forgotten = u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX);
    Ok(())
}
