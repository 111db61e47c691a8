//! What a person sees: a bar on a terminal, a line now and then elsewhere. All of it on stderr.

use super::Tracker;
use crate::error::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Loss, samples a second and time left.
pub struct Progress {
    face: Face,
    began: Instant,
    /// Finished steps when this call of the trainer began, and steps of the whole run.
    first: u64,
    steps: u64,
    /// The latest numbers, as shown.
    latest: String,
}

enum Face {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
}

impl Progress {
    /// A bar if stderr is a terminal, lines if not.
    pub fn new() -> Self {
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            Self::with(Face::Bar(bar))
        } else {
            Self::lines(std::io::stderr())
        }
    }

    /// Lines to `out`.
    pub fn lines(out: impl Write + Send + 'static) -> Self {
        Self::with(Face::Lines(Box::new(out)))
    }

    fn with(face: Face) -> Self {
        Self { face, began: Instant::now(), first: 0, steps: 0, latest: String::new() }
    }

    fn line(&mut self, text: &str) -> Result<()> {
        match &mut self.face {
            Face::Bar(bar) => {
                bar.println(text);
                Ok(())
            }
            Face::Lines(out) => writeln!(out, "{text}").map_err(Error::io(Path::new("progress"))),
        }
    }

    /// Time left after `step`, at the speed of this call so far.
    fn left(&self, step: u64) -> Duration {
        let done = step.saturating_sub(self.first).max(1) as f64;
        let left = self.steps.saturating_sub(step) as f64;
        Duration::try_from_secs_f64(self.began.elapsed().as_secs_f64() * left / done).unwrap_or_default()
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracker for Progress {
    fn begin(&mut self, step: u64, steps: u64) -> Result<()> {
        (self.began, self.first, self.steps) = (Instant::now(), step, steps);
        if let Face::Bar(bar) = &self.face {
            bar.set_length(steps);
            bar.set_position(step);
        }
        Ok(())
    }

    fn scalars(&mut self, step: u64, kind: &str, values: &BTreeMap<String, f64>) -> Result<()> {
        if kind != "train" {
            let mut text = format!("INFO train.{kind} step={step}");
            for (name, value) in values {
                let _ = write!(text, " {name}={}", short(*value));
            }
            return self.line(&text);
        }
        let left = clock(self.left(step));
        let value = |name: &str| values.get(name).map_or("none".into(), |v| short(*v));
        let (loss, speed) = (value("loss"), value("samples_per_second"));
        self.latest = format!("loss={loss} samples_per_second={speed} left={left}");
        match &self.face {
            Face::Bar(bar) => {
                bar.set_position(step);
                bar.set_message(format!("loss {loss}  {speed} samples/s  {left} left"));
                Ok(())
            }
            Face::Lines(_) => {
                let text = format!("INFO train.step step={step}/{} {}", self.steps, self.latest);
                self.line(&text)
            }
        }
    }

    fn note(&mut self, step: u64, text: &str) -> Result<()> {
        self.line(&format!("INFO train.note step={step} {text}"))
    }

    fn end(&mut self) -> Result<()> {
        if let Face::Bar(bar) = &self.face {
            bar.abandon();
        }
        Ok(())
    }
}

/// Four significant digits.
fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e5).contains(&value.abs()) {
        let digits = if value == 0.0 { 0 } else { (3 - value.abs().log10().floor() as i32).max(0) };
        let text = format!("{value:.*}", digits as usize);
        let trimmed =
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        return trimmed.to_owned();
    }
    format!("{value:.3e}")
}

/// `1d02h`, `3h07m`, `12m05s` or `9s`.
fn clock(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_say_where_a_run_is() {
        let out = Shared::default();
        let mut progress = Progress::lines(out.clone());
        progress.begin(10, 30).unwrap();
        // Five steps took (a little over) 100 s; 15 are left.
        progress.began -= Duration::from_secs(100);
        let values = BTreeMap::from([("loss".into(), 0.123_456), ("samples_per_second".into(), 12.0)]);
        progress.scalars(15, "train", &values).unwrap();
        progress.scalars(15, "validate", &BTreeMap::from([("score".into(), -2e-7)])).unwrap();
        progress.note(16, "skipped sample 3").unwrap();
        progress.end().unwrap();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let expected = "INFO train.step step=15/30 loss=0.1235 samples_per_second=12 left=5m00s\n\
                        INFO train.validate step=15 score=-2.000e-7\n\
                        INFO train.note step=16 skipped sample 3\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_and_times_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1234.5, "1234"),
            (12345.0, "12345"),
            (9.9996, "10"),
            (0.001, "0.001"),
            (-0.5, "-0.5"),
            (1e7, "1.000e7"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(value), text);
        }
        for (seconds, text) in [(9, "9s"), (725, "12m05s"), (11_240, "3h07m"), (94_000, "1d02h")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
