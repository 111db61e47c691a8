//! Who waits for which job: hints of the store, passed on to those alone whom they concern.
//!
//! A hint may be missed, so whoever follows a job also looks now and then.

use jobs::{JobId, JobStore};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::AbortHandle;

type Table = Arc<Mutex<HashMap<JobId, watch::Sender<()>>>>;

/// Passes hints on; ends when dropped.
pub(crate) struct Follow {
    table: Table,
    task: AbortHandle,
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follow {
    /// # Panics  outside of a tokio runtime.
    pub(crate) fn start(store: &dyn JobStore) -> Self {
        let (table, mut hints) = (Table::default(), store.hints());
        let waiting = table.clone();
        let task = tokio::spawn(async move {
            loop {
                match hints.recv().await {
                    Ok(job) => {
                        if let Some(sender) = waiting.lock().expect("no holder panics").get(&job) {
                            sender.send_replace(());
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        waiting.lock().expect("no holder panics").values().for_each(|sender| {
                            sender.send_replace(());
                        });
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { table, task: task.abort_handle() }
    }

    /// Follows a job from now on.
    pub(crate) fn job(&self, job: JobId) -> Follower {
        let mut table = self.table.lock().expect("no holder panics");
        let changes = table.entry(job).or_insert_with(|| watch::channel(()).0).subscribe();
        Follower { job, changes, table: self.table.clone() }
    }
}

/// Knows when its job changed.
pub(crate) struct Follower {
    job: JobId,
    changes: watch::Receiver<()>,
    table: Table,
}

impl Follower {
    /// Returns once the job changed since the last call, or since it was followed.
    pub(crate) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // Nobody hints any more; looking now and then must do.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut table = self.table.lock().expect("no holder panics");
        // This one still counts.
        if table.get(&self.job).is_some_and(|sender| sender.receiver_count() <= 1) {
            table.remove(&self.job);
        }
    }
}
