//! The supervisors of a machine, and the end of their work.

use super::settings::Settings;
use anyhow::Context;
use jobs::{Blobs, JobStore};
use spans::Spans;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use work::{Engine, Launch, Supervisor, Times, Wish};

/// Supervisors at work.
pub struct Crew {
    tasks: JoinSet<()>,
    wish: watch::Sender<Wish>,
    drain: Duration,
}

impl Crew {
    /// Starts them, named after the server.
    ///
    /// # Errors  if this program's own file cannot be found.
    pub fn start(
        settings: &Settings,
        server: &str,
        store: &Arc<dyn JobStore>,
        blobs: &Blobs,
        engine: &watch::Sender<Option<Engine>>,
        spans: &Spans,
    ) -> anyhow::Result<Self> {
        let launch = launch(settings)?;
        let (wish, _) = watch::channel(Wish::Work);
        let mut tasks = JoinSet::new();
        for number in 1..=settings.workers {
            let supervisor = Supervisor {
                store: store.clone(),
                blobs: blobs.clone(),
                launch: launch.clone(),
                name: format!("{server}/{number}"),
                scratch: settings.data.join("scratch").join(number.to_string()),
                times: Times { beat: settings.policy.lease / 4, job: settings.job, ..Times::default() },
                spans: spans.clone(),
            };
            tasks.spawn(supervisor.run(engine.clone(), wish.subscribe()));
        }
        Ok(Self { tasks, wish, drain: settings.drain })
    }

    /// Lets running jobs end, for as long as the settings say; what then still runs goes back to the queue.
    pub async fn drain(mut self) {
        self.wish.send_replace(Wish::Drain(Instant::now() + self.drain));
        while self.tasks.join_next().await.is_some() {}
    }
}

/// How a child is started.
///
/// # Errors  if this program's own file cannot be found.
pub fn launch(settings: &Settings) -> anyhow::Result<Launch> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Each child gets its share of the cores, unless the operator says otherwise.
    let threads = (cores / settings.workers.max(1) as usize).max(1).to_string();
    let environment = match std::env::var_os("RAYON_NUM_THREADS") {
        Some(_) => Vec::new(),
        None => vec![("RAYON_NUM_THREADS".into(), threads.into())],
    };
    Ok(Launch { program, arguments: settings.offer.arguments(), environment })
}
