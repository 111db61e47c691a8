//! Counts of values in buckets.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(super) struct Histogram {
    ends: &'static [f64],
    /// One more than ends, for what is above the last.
    counts: Vec<AtomicU64>,
    /// Bits of an f64.
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(ends: &'static [f64]) -> Self {
        let counts = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        Self { ends, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    pub(super) fn add(&self, value: f64) {
        let bucket = self.ends.iter().position(|end| value <= *end).unwrap_or(self.ends.len());
        self.counts[bucket].fetch_add(1, Relaxed);
        let more = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // Always some, so never refused.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, more);
    }

    /// As Prometheus counts: each bucket holds those before it, too.
    pub(super) fn write(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (index, count) in self.counts.iter().enumerate() {
            total += count.load(Relaxed);
            let end = self.ends.get(index).map_or("+Inf".into(), f64::to_string);
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{end}\"}} {total}");
        }
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}_sum{braces} {}", f64::from_bits(self.sum.load(Relaxed)));
        let _ = writeln!(out, "{name}_count{braces} {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let histogram = Histogram::new(&[0.5, 2.0]);
        [0.5, 0.75, 1.0, 8.0].iter().for_each(|value| histogram.add(*value));
        let mut text = String::new();
        histogram.write(&mut text, "x", "a=\"b\"");
        let expected = "x_bucket{a=\"b\",le=\"0.5\"} 1\nx_bucket{a=\"b\",le=\"2\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n\
                        x_sum{a=\"b\"} 10.25\nx_count{a=\"b\"} 4\n";
        assert_eq!(text, expected);
    }
}
