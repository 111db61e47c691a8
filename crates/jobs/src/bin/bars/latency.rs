//! Durations of many calls, and what is asked of them.

use std::fmt;
use std::time::Duration;

#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// That which a part of them, 0 to 1, did not exceed.
    pub fn at(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }
}

/// A measurement and its limit.
#[derive(Clone, Copy)]
pub struct Bar {
    pub name: &'static str,
    pub found: f64,
    pub bar: f64,
    pub unit: &'static str,
}

impl Bar {
    pub fn time(name: &'static str, found: Duration, bar: f64) -> Self {
        Self { name, found: found.as_secs_f64() * 1e3, bar, unit: "ms" }
    }

    pub fn holds(&self) -> bool {
        self.found < self.bar
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, found, bar, unit } = self;
        write!(
            f,
            "{name:28} {found:9.2} {unit}  (bar {bar} {unit}){}",
            if self.holds() { "" } else { "  MISSED" }
        )
    }
}
