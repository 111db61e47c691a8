//! How far an ingest is: a bar on a terminal, a line now and then elsewhere; and whether it shall stop.

use anyhow::Context;
use dataset::ingest::Watch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Off a terminal, a line is written at least this often.
const SILENCE: Duration = Duration::from_secs(30);

/// Progress of an ingest, told by all its threads.
pub struct Progress {
    bar: Option<ProgressBar>,
    stop: Arc<AtomicBool>,
    spoken: Mutex<Instant>,
}

impl Progress {
    /// Begins, and listens for Ctrl-C.
    ///
    /// # Errors
    /// If the system gives no such signals.
    pub fn begin() -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        ctrlc::set_handler(move || {
            eprintln!("INFO data.stop stopping, nothing will be written");
            flag.store(true, Ordering::Relaxed);
        })
        .context("cannot listen for Ctrl-C")?;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec}, {eta} left");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Ok(Self { bar, stop, spoken: Mutex::new(Instant::now()) })
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Progress {
    fn progress(&self, done: usize, of: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        } else if let Ok(mut spoken) = self.spoken.try_lock()
            && spoken.elapsed() >= SILENCE
        {
            *spoken = Instant::now();
            eprintln!("INFO data.ingest done={done}/{of}");
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
