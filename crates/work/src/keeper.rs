//! Keeps a lease alive while its job is worked on.

use jobs::{Beat, JobStore, Lease, State};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Ours; go on.
    Yes,
    /// Ours, and the job is being cancelled.
    Cancelling,
    /// Somebody else's by now: nothing we do counts.
    Lost,
}

/// Beats until it is dropped.
pub(crate) struct Keeper {
    held: watch::Receiver<Held>,
    task: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn JobStore>, lease: Lease, beat: Duration) -> Self {
        let (send, held) = watch::channel(Held::Yes);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(beat);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            // The claim was the first beat.
            ticks.tick().await;
            let mut hints = store.hints();
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    // A cancellation is answered at once, not at the next beat. Our own events hint, too: those
                    // cost a look.
                    () = hinted(&mut hints, lease) => {
                        let state = store.get(lease.job).await.map(|job| job.state);
                        if state.is_ok_and(|state| state != State::Cancelling) {
                            continue;
                        }
                    }
                }
                match store.heartbeat(lease).await {
                    Ok(Beat::Continue(_)) => {}
                    Ok(Beat::Stop(_)) => {
                        send.send_if_modified(|held| {
                            std::mem::replace(held, Held::Cancelling) != Held::Cancelling
                        });
                    }
                    Err(jobs::Error::LeaseLost { .. } | jobs::Error::Unknown(_)) => {
                        send.send_replace(Held::Lost);
                        return;
                    }
                    // The lease may outlast what ails the store.
                    Err(error) => tracing::warn!(job = %lease.job, %error, "work.beat"),
                }
            }
        });
        Self { held, task }
    }

    /// How it stands now.
    pub(crate) fn held(&self) -> Held {
        *self.held.borrow()
    }

    /// Waits until it is no longer what it was at the last look.
    pub(crate) async fn changed(&mut self) -> Held {
        if self.held.changed().await.is_err() && self.held() != Held::Lost {
            // Its task ended without a word: the runtime is stopping.
            std::future::pending::<()>().await;
        }
        *self.held.borrow_and_update()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for a hint that the job changed.
async fn hinted(hints: &mut tokio::sync::broadcast::Receiver<jobs::JobId>, lease: Lease) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match hints.recv().await {
            Ok(job) if job == lease.job => return,
            // Others are none of our business; of those missed the next beat tells.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
