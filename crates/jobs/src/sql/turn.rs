//! What operations share: looking a job up, events, and the moves between states.

use super::db::{Db, Lock};
use super::rows::job;
use super::value::{Value, values};
use crate::policy::Next;
use crate::{Error, Event, Job, JobId, Lease, Policy, Reason, Result, State, Timestamp};
use uuid::Uuid;

/// One operation's view of the open transaction.
pub(crate) struct Turn<'a> {
    pub(crate) db: &'a mut dyn Db,
    pub(crate) now: Timestamp,
    pub(crate) policy: &'a Policy,
    /// The server's name, where several share the database; otherwise empty.
    pub(crate) server: &'a str,
    /// Jobs that changed.
    pub(crate) touched: Vec<JobId>,
}

impl Turn<'_> {
    /// The job, which nobody else changes until the transaction ends.
    pub(super) async fn get(&mut self, id: JobId) -> Result<Job> {
        job(self.db, Lock::Wait, id).await
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

    /// Runs an `UPDATE jobs … RETURNING *` of one job, and tells the state it now has.
    pub(super) async fn moved(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Job> {
        let job = self.db.one(what, sql, values).await?.job()?;
        self.tell(&job).await
    }

    /// Adds an event and returns its number.
    pub(super) async fn event(&mut self, job: &Job, kind: &str, data: &serde_json::Value) -> Result<i64> {
        let sql = "UPDATE jobs SET last_event = last_event + 1 WHERE seq = $1 RETURNING last_event AS n";
        let seq = self.db.number("event number", sql, values![job.seq]).await?;
        let sql = "INSERT INTO events (job, seq, at, kind, data) VALUES ($1, $2, $3, $4, $5)";
        self.db.change("event", sql, values![job.seq, seq, self.now, kind, data.to_string()]).await?;
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
        let sql = "UPDATE attempts SET ended = $1, ending = $2 WHERE job = $3 AND fence = $4";
        self.db.change("end of attempt", sql, values![self.now, ending, job.seq, job.fence]).await?;
        Ok(())
    }

    /// The terminal write: state, result or reason, event and webhook call.
    pub(super) async fn end(
        &mut self,
        job: &Job,
        state: State,
        result: Option<&serde_json::Value>,
        reason: Option<&Reason>,
    ) -> Result<Job> {
        let ended = self
            .moved(
                "end of job",
                "UPDATE jobs SET state = $1, finished = $2, lease = NULL, due = NULL, result = $3, code = $4,
                 message = $5 WHERE seq = $6 RETURNING *",
                values![
                    state.as_str(),
                    self.now,
                    result.map(serde_json::Value::to_string),
                    reason.map(|reason| reason.code.as_str()),
                    reason.map(|reason| reason.message.as_str()),
                    job.seq,
                ],
            )
            .await?;
        let sql = "INSERT INTO outbox (id, job, webhook, due)
                   SELECT $1, seq, webhook, $2 FROM jobs WHERE seq = $3 AND webhook IS NOT NULL";
        self.db.change("webhook", sql, values![Uuid::now_v7(), self.now, job.seq]).await?;
        Ok(ended)
    }

    /// A job that never started does not count against its tenant's day.
    pub(super) async fn lighten(&mut self, job: &Job) -> Result<()> {
        self.db.change("weight", "UPDATE jobs SET weight = 0 WHERE seq = $1", values![job.seq]).await?;
        Ok(())
    }

    /// Back to the queue as if this attempt had not been.
    pub(super) async fn give_back(&mut self, job: &Job, ending: &str) -> Result<Job> {
        self.attempt_ended(job, ending).await?;
        let sql = "UPDATE jobs SET state = 'queued', lease = NULL, attempts = attempts - 1
                   WHERE seq = $1 RETURNING *";
        self.moved("give back", sql, values![job.seq]).await
    }

    /// The running attempt failed: wait for the next one, or fail.
    pub(super) async fn retry(&mut self, job: &Job, reason: &Reason, limit: Option<u32>) -> Result<Job> {
        self.attempt_ended(job, &reason.code).await?;
        let sql = "SELECT count(*) AS n FROM attempts WHERE job = $1 AND ending = $2";
        let same = self.db.number("attempts", sql, values![job.seq, &reason.code]).await?;
        let same = u32::try_from(same).unwrap_or(u32::MAX);
        let due = match self.policy.after_failure(job, reason, same, limit, self.now) {
            Next::Fail => return self.end(job, State::Failed, None, Some(reason)).await,
            Next::Wait(due) => due,
        };
        let sql = "UPDATE jobs SET state = 'retry_wait', lease = NULL, due = $1, code = $2, message = $3
                   WHERE seq = $4 RETURNING *";
        self.moved("retry", sql, values![due, &reason.code, &reason.message, job.seq]).await
    }
}
