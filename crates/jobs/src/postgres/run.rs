//! Transactions: begun, run, committed, and run again if another was in the way.

use super::fault::{Fault, at_commit, before_commit, unavailable};
use crate::sql::{Operation, Turn};
use crate::{Clock, Error, JobId, Point, Policy, Probe, Result, Timestamp};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Row};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;

/// How often a transaction is run before it is given up.
const TRIES: u32 = 8;

pub(super) struct Runner {
    pub(super) pool: PgPool,
    /// The database in words, without password.
    pub(super) place: String,
    pub(super) server: String,
    pub(super) policy: Policy,
    pub(super) patience: Duration,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) probe: Option<Arc<dyn Probe>>,
}

impl Runner {
    /// Runs `operation`; when it returns, that is committed, and hints are on their way.
    pub(super) async fn run<O: Operation>(
        self: &Arc<Self>,
        operation: O,
        hints: mpsc::Sender<JobId>,
    ) -> Result<O::Output> {
        let runner = Arc::clone(self);
        // A task of its own: a caller that leaves does not leave an open transaction in the pool.
        let task = tokio::spawn(async move {
            let (output, touched) = runner.tries(operation).await?;
            for job in touched {
                // Full: whoever waits looks by itself.
                let _ = hints.try_send(job);
            }
            Ok(output)
        });
        match task.await {
            Ok(output) => output,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is stopping.
            Err(_) => Err(Error::Closed),
        }
    }

    async fn tries<O: Operation>(&self, mut operation: O) -> Result<(O::Output, Vec<JobId>)> {
        for tried in 1..=TRIES {
            match self.once(&mut operation).await {
                Err(Fault::Again) => tokio::time::sleep(Duration::from_millis(3 * u64::from(tried))).await,
                Err(Fault::Over(error)) => return Err(error),
                Ok(output) => return Ok(output),
            }
        }
        Err(Error::Contended(O::NAME))
    }

    async fn once<O: Operation>(&self, operation: &mut O) -> Result<(O::Output, Vec<JobId>), Fault> {
        let mut db = self.connection(O::NAME).await.map_err(Fault::Over)?;
        let mut committing = false;
        let work = self.transaction(&mut db, operation, &mut committing);
        let done = match tokio::time::timeout(self.patience, work).await {
            Ok(done) => done,
            Err(_) if committing => {
                Err(Fault::Over(Error::Uncertain { place: self.place.clone(), what: O::NAME }))
            }
            Err(_) => Err(Fault::Over(self.silent(O::NAME))),
        };
        let kept = match &done {
            Ok(_) => true,
            Err(Fault::Over(error)) if !error.is_refusal() => false,
            Err(_) => sqlx::raw_sql("ROLLBACK").execute(&mut *db).await.is_ok(),
        };
        if !kept {
            // Whatever state it is in, nobody gets it again.
            db.close_on_drop();
        }
        done
    }

    async fn transaction<O: Operation>(
        &self,
        db: &mut PoolConnection<Postgres>,
        operation: &mut O,
        committing: &mut bool,
    ) -> Result<(O::Output, Vec<JobId>), Fault> {
        let fault = |error| before_commit(error, &self.place);
        let now = self.begin(db).await.map_err(fault)?;
        let mut turn =
            Turn { db: &mut **db, now, policy: &self.policy, server: &self.server, touched: Vec::new() };
        let output = operation.run(&mut turn).await.map_err(fault)?;
        let touched = turn.touched;
        self.reached(O::NAME, Point::Applied);
        *committing = true;
        sqlx::raw_sql("COMMIT")
            .execute(&mut **db)
            .await
            .map_err(|error| at_commit(error, O::NAME, &self.place))?;
        self.reached(O::NAME, Point::Committed);
        Ok((output, touched))
    }

    /// Begins a transaction and asks for the time, in one go.
    async fn begin(&self, db: &mut PoolConnection<Postgres>) -> Result<Timestamp> {
        let sql = "BEGIN; SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
        let rows = sqlx::raw_sql(sql).fetch_all(&mut **db).await.map_err(Error::database("begin"))?;
        if let Some(clock) = &self.clock {
            return Ok(clock.now());
        }
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(Error::database("time"))?;
        row.try_get(0).map(Timestamp).map_err(Error::database("time"))
    }

    /// The answer of what only read, on a connection that goes back unless it is spoilt.
    pub(super) fn ended<T>(
        &self,
        what: &'static str,
        done: Result<Result<T>, Elapsed>,
        mut db: PoolConnection<Postgres>,
    ) -> Result<T> {
        let error = match done {
            Ok(Err(error)) if !error.is_refusal() => match before_commit(error, &self.place) {
                Fault::Over(error) => error,
                Fault::Again => Error::Contended(what),
            },
            Ok(done) => return done,
            Err(_) => self.silent(what),
        };
        db.close_on_drop();
        Err(error)
    }

    pub(super) async fn connection(&self, what: &'static str) -> Result<PoolConnection<Postgres>> {
        self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolClosed => Error::Closed,
            // Whatever else keeps us from a connection.
            error => unavailable(what, Arc::new(error), &self.place),
        })
    }

    pub(super) fn silent(&self, what: &'static str) -> Error {
        let kind = std::io::ErrorKind::TimedOut;
        let silence = std::io::Error::new(kind, format!("no answer within {:?}", self.patience));
        unavailable(what, Arc::new(sqlx::Error::Io(silence)), &self.place)
    }

    fn reached(&self, operation: &'static str, point: Point) {
        if let Some(probe) = &self.probe {
            probe.reached(operation, point);
        }
    }
}
