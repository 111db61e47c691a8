//! Hints between servers: jobs that changed, by NOTIFY after the commit.
//!
//! Not inside the transaction: commits with a NOTIFY wait for one another. What is lost is only a hint.

use crate::JobId;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::time::Duration;
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Hints a slow listener may fall behind before it misses some.
const HINTS: usize = 4096;
/// Jobs told in one NOTIFY, whose payload must be shorter than 8,000 bytes.
const TOLD: usize = 150;
/// Between two attempts to reach a database that is away.
const AWAY: Duration = Duration::from_millis(500);

pub(super) struct Hints {
    /// To this server's own listeners, and out to the others.
    out: mpsc::Sender<JobId>,
    heard: broadcast::Sender<JobId>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Hints {
    pub(super) fn start(pool: &PgPool, channel: String) -> Self {
        let (out, told) = mpsc::channel(HINTS);
        let (heard, _) = broadcast::channel(HINTS);
        // Our own come back, too, and are known by this.
        let name = Uuid::now_v7().to_string();
        let tell = tokio::spawn(tell(pool.clone(), channel.clone(), name.clone(), told, heard.clone()));
        let listen = tokio::spawn(listen(pool.clone(), channel, name, heard.clone()));
        Self { out, heard, tasks: Mutex::new(vec![tell, listen]) }
    }

    pub(super) fn sender(&self) -> mpsc::Sender<JobId> {
        self.out.clone()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<JobId> {
        self.heard.subscribe()
    }

    pub(super) async fn stop(&self) {
        for task in self.tasks.lock().await.drain(..) {
            task.abort();
            // Its connection goes back to the pool first.
            let _ = task.await;
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.tasks.get_mut().iter().for_each(JoinHandle::abort);
    }
}

async fn tell(
    pool: PgPool,
    channel: String,
    name: String,
    mut told: mpsc::Receiver<JobId>,
    heard: broadcast::Sender<JobId>,
) {
    let mut jobs = Vec::new();
    while told.recv_many(&mut jobs, TOLD).await > 0 {
        let mut payload = name.clone();
        for job in jobs.drain(..) {
            payload.push_str(&format!(" {job}"));
            // Nobody may be listening.
            let _ = heard.send(job);
        }
        // A database that is away gets none.
        let _ = sqlx::query("SELECT pg_notify($1, $2)").bind(&channel).bind(payload).execute(&pool).await;
    }
}

async fn listen(pool: PgPool, channel: String, name: String, heard: broadcast::Sender<JobId>) {
    loop {
        // A listener that lost its connection makes another by itself; only the first is ours to make.
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(&channel).await.is_ok()
        {
            loop {
                match listener.try_recv().await {
                    Ok(Some(told)) => hear(told.payload(), &name, &heard),
                    Ok(None) => {}
                    Err(sqlx::Error::PoolClosed) => return,
                    Err(_) => tokio::time::sleep(AWAY).await,
                }
            }
        }
        tokio::time::sleep(AWAY).await;
    }
}

fn hear(payload: &str, own: &str, heard: &broadcast::Sender<JobId>) {
    let mut words = payload.split(' ');
    if words.next() == Some(own) {
        return;
    }
    for job in words.filter_map(|word| word.parse().ok()) {
        // Nobody may be listening.
        let _ = heard.send(job);
    }
}
