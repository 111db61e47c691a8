//! Numbers for Prometheus, in its text format (version 0.0.4).

mod histogram;
mod metered;

pub use metered::Metered;

use histogram::Histogram;
use jobs::{Clock, Stats, SystemClock};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends, seconds.
const SUBMIT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const COMMIT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
const RUN: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10_800.0];
/// Residues.
const LENGTHS: [u32; 6] = [128, 256, 512, 1024, 2048, 4096];
/// Models with numbers of their own: a label's values must stay few.
const MODELS: usize = 64;

/// Counters of one server.
pub struct Metrics {
    submit: Histogram,
    commit: Histogram,
    run: Mutex<BTreeMap<(String, String), Histogram>>,
    lease_lost: AtomicU64,
    fence_rejected: AtomicU64,
    clock: SystemClock,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            submit: Histogram::new(SUBMIT),
            commit: Histogram::new(COMMIT),
            run: Mutex::default(),
            lease_lost: AtomicU64::new(0),
            fence_rejected: AtomicU64::new(0),
            clock: SystemClock::default(),
        }
    }
}

impl Metrics {
    /// A request was accepted, so long after it came.
    pub(crate) fn submitted(&self, after: Duration) {
        self.submit.add(after.as_secs_f64());
    }

    fn committed(&self, after: Duration) {
        self.commit.add(after.as_secs_f64());
    }

    fn ran(&self, model: &str, residues: u32, seconds: f64) {
        let mut run = self.run.lock().expect("no holder panics");
        let bucket = LENGTHS.iter().find(|end| residues <= **end).map_or("inf".into(), u32::to_string);
        let key = (model.to_owned(), bucket);
        if run.len() < MODELS * (LENGTHS.len() + 1) || run.contains_key(&key) {
            run.entry(key).or_insert_with(|| Histogram::new(RUN)).add(seconds);
        }
    }

    /// All numbers.
    pub(crate) fn text(&self, stats: &Stats, disk_free: Option<u64>, spans_dropped: Option<u64>) -> String {
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            // Writing to a string does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        };
        head(&mut out, "fold_jobs", "gauge", "Jobs in each state.");
        for (state, count) in &stats.jobs {
            let _ = writeln!(out, "fold_jobs{{state=\"{state}\"}} {count}");
        }
        let age = stats.oldest_queued.map_or(0, |oldest| (self.clock.now().0 - oldest.0).max(0));
        head(&mut out, "fold_queue_oldest_seconds", "gauge", "Age of the oldest queued job.");
        let _ = writeln!(out, "fold_queue_oldest_seconds {}", age as f64 / 1000.0);
        head(&mut out, "fold_submit_seconds", "histogram", "From a request to its acceptance.");
        self.submit.write(&mut out, "fold_submit_seconds", "");
        head(&mut out, "fold_run_seconds", "histogram", "From a job's claim to its success.");
        for ((model, bucket), histogram) in self.run.lock().expect("no holder panics").iter() {
            let labels = format!("model=\"{}\",len_bucket=\"{bucket}\"", escaped(model));
            histogram.write(&mut out, "fold_run_seconds", &labels);
        }
        for (name, help, value) in [
            ("fold_lease_lost_total", "Leases that ran out.", &self.lease_lost),
            (
                "fold_fence_rejected_total",
                "Calls of workers that no longer held their job.",
                &self.fence_rejected,
            ),
        ] {
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name} {}", value.load(Relaxed));
        }
        head(&mut out, "fold_store_commit_seconds", "histogram", "Writes, from the call to the commit.");
        self.commit.write(&mut out, "fold_store_commit_seconds", "");
        if let Some(free) = disk_free {
            head(&mut out, "fold_disk_free_bytes", "gauge", "Free on the data's disk.");
            let _ = writeln!(out, "fold_disk_free_bytes {free}");
        }
        if let Some(dropped) = spans_dropped {
            head(&mut out, "fold_spans_dropped_total", "counter", "Spans that the collector did not get.");
            let _ = writeln!(out, "fold_spans_dropped_total {dropped}");
        }
        out
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
