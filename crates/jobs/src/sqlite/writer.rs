//! The one task that writes: it runs what is waiting as one transaction (group commit) and answers after the commit.
//!
//! Commits cost a disk flush each, so while one is flushed, the next operations gather and share the next flush.

use crate::sql::{Operation, Turn};
use crate::{Clock, Error, JobId, Point, Policy, Probe, Result};
use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Operations that share a commit: enough to gain, few enough that the first does not wait long for the last.
const GROUP: usize = 64;

/// An operation and who waits for it.
struct Pending<O: Operation> {
    operation: O,
    output: Option<Result<O::Output>>,
    caller: oneshot::Sender<Result<O::Output>>,
}

/// [`Pending`] of any kind.
#[async_trait]
trait Entry: Send {
    fn name(&self) -> &'static str;
    /// Nobody waits any more.
    fn abandoned(&self) -> bool;
    /// `Ok(false)` if it was refused and is to be taken back.
    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<bool>;
    fn answer(self: Box<Self>, committed: Result<()>);
}

#[async_trait]
impl<O: Operation> Entry for Pending<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<bool> {
        match self.operation.run(turn).await {
            Err(error) if !error.is_refusal() => Err(error),
            output => {
                let done = output.is_ok();
                self.output = Some(output);
                Ok(done)
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let answer = match (committed, self.output) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(output)) => output,
            (Ok(()), None) => Err(Error::Closed),
        };
        // A caller that left does not need it.
        let _ = self.caller.send(answer);
    }
}

enum Message {
    Run(Box<dyn Entry>),
    Stop,
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Queue(mpsc::Sender<Message>);

impl Queue {
    /// Runs `operation` and returns once it is on disk.
    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let (caller, answer) = oneshot::channel();
        let pending = Pending { operation, output: None, caller };
        self.0.send(Message::Run(Box::new(pending))).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Ends the writer after what is waiting.
    pub(super) async fn stop(&self) {
        // It may have ended already.
        let _ = self.0.send(Message::Stop).await;
    }
}

/// What the task owns.
pub(super) struct Writer {
    pub(super) db: SqliteConnection,
    pub(super) path: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) policy: Policy,
    pub(super) probe: Option<Arc<dyn Probe>>,
    pub(super) hints: broadcast::Sender<JobId>,
    /// Locked as long as it is open.
    pub(super) lock: File,
}

impl Writer {
    /// A queue to a task that runs until the queue is closed or stopped. Full at 1,024 waiting operations: then callers
    /// wait, and memory stays bounded.
    pub(super) fn start(self) -> (Queue, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(1024);
        (Queue(sender), tokio::spawn(self.work(receiver)))
    }

    async fn work(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut stop = false;
        while !stop {
            let Some(first) = queue.recv().await else { break };
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Run(entry) => group.push(entry),
                    Message::Stop => stop = true,
                }
                if !stop && group.len() < GROUP {
                    next = queue.try_recv().ok();
                }
            }
            group.retain(|entry| !entry.abandoned());
            if !group.is_empty() {
                self.turn(group).await;
            }
        }
        // The last connection to close folds the log into the file; if that fails the log is there at the next start.
        let _ = self.db.close().await;
        drop(self.lock);
    }

    async fn turn(&mut self, mut group: Vec<Box<dyn Entry>>) {
        let committed = match self.transaction(&mut group).await {
            Ok(touched) => {
                touched.into_iter().for_each(|job| {
                    // Nobody may be listening.
                    let _ = self.hints.send(job);
                });
                Ok(())
            }
            Err(error) => {
                // Fails if SQLite took it back by itself, as on a full disk.
                let _ = sqlx::query("ROLLBACK").execute(&mut self.db).await;
                Err(error)
            }
        };
        for entry in group {
            entry.answer(committed.clone());
        }
    }

    /// Runs all of the group and commits; returns the jobs it changed.
    async fn transaction(&mut self, group: &mut [Box<dyn Entry>]) -> Result<Vec<JobId>> {
        self.execute("BEGIN IMMEDIATE").await?;
        let mut touched = Vec::new();
        for entry in group.iter_mut() {
            self.execute("SAVEPOINT one").await?;
            let mut turn = Turn {
                db: &mut self.db,
                now: self.clock.now(),
                policy: &self.policy,
                server: "",
                touched: Vec::new(),
            };
            let done = entry.run(&mut turn).await.map_err(|error| super::named(error, &self.path))?;
            if done {
                touched.append(&mut turn.touched);
            } else {
                self.execute("ROLLBACK TO one").await?;
            }
            self.execute("RELEASE one").await?;
            self.reached(entry.name(), Point::Applied);
        }
        self.execute("COMMIT").await?;
        group.iter().for_each(|entry| self.reached(entry.name(), Point::Committed));
        Ok(touched)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        let done = sqlx::query(sql).execute(&mut self.db).await;
        done.map(|_| ()).map_err(|error| super::named(Error::database(sql)(error), &self.path))
    }

    fn reached(&self, operation: &'static str, point: Point) {
        if let Some(probe) = &self.probe {
            probe.reached(operation, point);
        }
    }
}
