//! What operations share: looking a job up, events, and the moves between states.

use super::rows::{job, job_of};
use crate::policy::Next;
use crate::{Error, Event, Job, JobId, Lease, Policy, Reason, Result, State, Timestamp};
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;

/// One operation's view of the open transaction.
pub(super) struct Turn<'a> {
    pub(super) db: &'a mut SqliteConnection,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
    /// Jobs that changed.
    pub(super) touched: Vec<JobId>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(db: &'a mut SqliteConnection, now: Timestamp, policy: &'a Policy) -> Self {
        Self { db, now, policy, touched: Vec::new() }
    }

    pub(super) async fn get(&mut self, id: JobId) -> Result<Job> {
        job(&mut *self.db, id).await
    }

    /// The job, if this lease holds it.
    pub(super) async fn held(&mut self, lease: Lease) -> Result<Job> {
        let lost = |found: String| Error::LeaseLost { job: lease.job, fence: lease.fence, found };
        let job = match self.get(lease.job).await {
            Err(Error::Unknown(_)) => return Err(lost("no such job".into())),
            found => found?,
        };
        if job.fence == lease.fence && job.state.is_held() {
            Ok(job)
        } else {
            Err(lost(format!("fence {} of a {} job", job.fence, job.state)))
        }
    }

    /// Adds an event and returns its number.
    pub(super) async fn event(&mut self, job: &Job, kind: &str, data: &Value) -> Result<i64> {
        let seq: i64 = sqlx::query_scalar(
            "UPDATE jobs SET last_event = last_event + 1 WHERE seq = ? RETURNING last_event",
        )
        .bind(job.seq)
        .fetch_one(&mut *self.db)
        .await
        .map_err(Error::database("event number"))?;
        sqlx::query("INSERT INTO events (job, seq, at, kind, data) VALUES (?, ?, ?, ?, ?)")
            .bind(job.seq)
            .bind(seq)
            .bind(self.now.0)
            .bind(kind)
            .bind(data.to_string())
            .execute(&mut *self.db)
            .await
            .map_err(Error::database("event"))?;
        if self.touched.last() != Some(&job.id) {
            self.touched.push(job.id);
        }
        Ok(seq)
    }

    /// Tells the job's present state, and returns the job.
    pub(super) async fn tell(&mut self, job: &Job) -> Result<Job> {
        let last_event = self.event(job, Event::STATE, &Event::state(job)).await?;
        Ok(Job { last_event, ..job.clone() })
    }

    /// Notes how the running attempt ended.
    pub(super) async fn attempt_ended(&mut self, job: &Job, ending: &str) -> Result<()> {
        sqlx::query("UPDATE attempts SET ended = ?, ending = ? WHERE job = ? AND fence = ?")
            .bind(self.now.0)
            .bind(ending)
            .bind(job.seq)
            .bind(job.fence)
            .execute(&mut *self.db)
            .await
            .map_err(Error::database("end of attempt"))?;
        Ok(())
    }

    /// The terminal write: state, result or reason, event and webhook call.
    pub(super) async fn end(
        &mut self,
        job: &Job,
        state: State,
        result: Option<&Value>,
        reason: Option<&Reason>,
    ) -> Result<Job> {
        let row = sqlx::query(
            "UPDATE jobs SET state = ?, finished = ?, lease = NULL, due = NULL, result = ?, code = ?, message = ?
             WHERE seq = ? RETURNING *",
        )
        .bind(state.as_str())
        .bind(self.now.0)
        .bind(result.map(Value::to_string))
        .bind(reason.map(|reason| reason.code.as_str()))
        .bind(reason.map(|reason| reason.message.as_str()))
        .bind(job.seq)
        .fetch_one(&mut *self.db)
        .await
        .map_err(Error::database("end of job"))?;
        sqlx::query("INSERT INTO outbox (id, job, webhook, due) SELECT ?, seq, webhook, ? FROM jobs WHERE seq = ? AND webhook IS NOT NULL")
            .bind(Uuid::now_v7().to_string())
            .bind(self.now.0)
            .bind(job.seq)
            .execute(&mut *self.db)
            .await
            .map_err(Error::database("webhook"))?;
        self.tell(&job_of(&row)?).await
    }

    /// A job that never started does not count against its tenant's day.
    pub(super) async fn lighten(&mut self, job: &Job) -> Result<()> {
        sqlx::query("UPDATE jobs SET weight = 0 WHERE seq = ?")
            .bind(job.seq)
            .execute(&mut *self.db)
            .await
            .map_err(Error::database("weight"))?;
        Ok(())
    }

    /// Back to the queue as if this attempt had not been.
    pub(super) async fn give_back(&mut self, job: &Job, ending: &str) -> Result<Job> {
        self.attempt_ended(job, ending).await?;
        let row = sqlx::query(
            "UPDATE jobs SET state = 'queued', lease = NULL, attempts = attempts - 1 WHERE seq = ? RETURNING *",
        )
        .bind(job.seq)
        .fetch_one(&mut *self.db)
        .await
        .map_err(Error::database("give back"))?;
        self.tell(&job_of(&row)?).await
    }

    /// The running attempt failed: wait for the next one, or fail.
    pub(super) async fn retry(&mut self, job: &Job, reason: &Reason, limit: Option<u32>) -> Result<Job> {
        self.attempt_ended(job, &reason.code).await?;
        let same: u32 = sqlx::query_scalar("SELECT count(*) FROM attempts WHERE job = ? AND ending = ?")
            .bind(job.seq)
            .bind(&reason.code)
            .fetch_one(&mut *self.db)
            .await
            .map_err(Error::database("attempts"))?;
        let due = match self.policy.after_failure(job, reason, same, limit, self.now) {
            Next::Fail => return self.end(job, State::Failed, None, Some(reason)).await,
            Next::Wait(due) => due,
        };
        let row = sqlx::query(
            "UPDATE jobs SET state = 'retry_wait', lease = NULL, due = ?, code = ?, message = ?
             WHERE seq = ? RETURNING *",
        )
        .bind(due.0)
        .bind(&reason.code)
        .bind(&reason.message)
        .bind(job.seq)
        .fetch_one(&mut *self.db)
        .await
        .map_err(Error::database("retry"))?;
        self.tell(&job_of(&row)?).await
    }
}
