//! How far a run is, on stderr: a bar on a terminal, plain lines elsewhere. Never the sequence.

use crate::machine::duration;
use fold::Step;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Is told how a target fares.
pub trait Listener {
    /// What was changed in the input, or is worth knowing.
    fn note(&mut self, target: &str, text: &str);
    /// What it will take, in words and in numbers; the time is unknown on a GPU.
    fn plan(&mut self, words: &str, bytes: u64, seconds: Option<f64>);
    /// How the alignment covers the sequence, before anything is folded.
    fn coverage(&mut self, rows: usize, neff: f64, bands: &[Vec<u32>]);
    /// A prediction begins; `job` names the target and, of several, the seed.
    fn begin(&mut self, job: &str, seed: u64);
    /// Its next stage begins.
    fn stage(&mut self, what: &str);
    /// After a block, and after a pass.
    fn step(&mut self, step: &Step);
    /// The prediction ended.
    fn end(&mut self);
    /// All files of the target are in their place.
    fn done(&mut self, words: &str);
}

/// Tells people, on stderr.
#[derive(Default)]
pub struct Console(Option<Progress>);

impl Listener for Console {
    fn note(&mut self, target: &str, text: &str) {
        eprintln!("NOTE  {target}: {text}");
    }

    fn plan(&mut self, words: &str, _bytes: u64, _seconds: Option<f64>) {
        eprintln!("{words}");
    }

    fn coverage(&mut self, _rows: usize, _neff: f64, _bands: &[Vec<u32>]) {}

    fn begin(&mut self, job: &str, _seed: u64) {
        self.0 = Some(Progress::begin(job));
    }

    fn stage(&mut self, what: &str) {
        self.0.iter_mut().for_each(|progress| progress.stage(what));
    }

    fn step(&mut self, step: &Step) {
        self.0.iter_mut().for_each(|progress| progress.step(step));
    }

    fn end(&mut self) {
        self.0.take().iter().for_each(Progress::end);
    }

    fn done(&mut self, words: &str) {
        eprintln!("{words}");
    }
}

/// Progress of one prediction.
struct Progress {
    bar: Option<ProgressBar>,
    job: String,
    /// When the first block began.
    start: Instant,
    pass_start: Instant,
    /// When the last line was written.
    spoken: Instant,
}

/// Off a terminal, a line is written at least this often while blocks go by.
const SILENCE: Duration = Duration::from_secs(30);

/// Characters of a target's name on the bar.
const NAME: usize = 24;

impl Progress {
    /// Begins `job`: target and, of several, the seed.
    fn begin(job: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(shortened(job));
            bar
        });
        let now = Instant::now();
        Self { bar, job: job.to_string(), start: now, pass_start: now, spoken: now }
    }

    /// Names the stage before the network begins.
    fn stage(&mut self, what: &str) {
        let now = Instant::now();
        (self.start, self.pass_start, self.spoken) = (now, now, now);
        match &self.bar {
            Some(bar) => bar.set_message(what.to_string()),
            None => eprintln!("INFO fold.stage job={} stage={what}", self.job),
        }
    }

    /// After a block, and after a pass.
    fn step(&mut self, step: &Step) {
        let (done, all) = blocks(step);
        let left = remaining(self.start.elapsed().as_secs_f64(), done, all);
        if let Some(bar) = &self.bar {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            bar.set_message(format!(
                "pass {}/{}, block {}/{}{}",
                (step.pass + 1).min(step.passes),
                step.passes,
                step.block.min(step.blocks),
                step.blocks,
                left.map_or(String::new(), |s| format!(", {} left", duration(s)))
            ));
        } else if step.finished.is_none() && self.spoken.elapsed() >= SILENCE {
            let left = left.map_or(String::new(), |s| format!(" left={s:.0}s"));
            let (pass, block) = ((step.pass + 1).min(step.passes), step.block.min(step.blocks));
            let (passes, blocks) = (step.passes, step.blocks);
            let line =
                format!("INFO fold.block job={} pass={pass}/{passes} block={block}/{blocks}{left}", self.job);
            self.say(&line);
        }
        if let Some(pass) = &step.finished {
            let ptm = pass.ptm.map_or(String::new(), |p| format!(" ptm={p:.3}"));
            let left = left.filter(|_| step.pass + 1 < step.passes);
            let left = left.map_or(String::new(), |s| format!(" left={s:.0}s"));
            let line = format!(
                "INFO fold.pass job={} pass={}/{} plddt={:.1}{ptm} change={:.2} secs={:.1}{left}",
                self.job,
                step.pass + 1,
                step.passes,
                pass.mean_plddt,
                pass.change,
                self.pass_start.elapsed().as_secs_f64()
            );
            self.pass_start = Instant::now();
            self.say(&line);
        }
    }

    /// A line that does not disturb the bar.
    fn say(&mut self, line: &str) {
        self.spoken = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A name that leaves room for the rest of the line on 80 columns.
fn shortened(job: &str) -> String {
    match job.char_indices().nth(NAME) {
        None => job.to_string(),
        Some(_) => job.chars().take(NAME - 1).chain(['…']).collect(),
    }
}

/// Blocks done and blocks in all passes. Passes and blocks of a step count from 0 and are done.
fn blocks(step: &Step) -> (usize, usize) {
    let done = if step.finished.is_some() { step.blocks } else { step.block.min(step.blocks) };
    (step.pass * step.blocks + done, step.passes * step.blocks)
}

/// Seconds left at the speed so far; unknown before the first block.
fn remaining(elapsed: f64, done: usize, all: usize) -> Option<f64> {
    (done > 0).then(|| elapsed * all.saturating_sub(done) as f64 / done as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shortened("T1024"), "T1024");
        assert_eq!(shortened(&"é".repeat(NAME)), "é".repeat(NAME));
        assert_eq!(shortened(&"é".repeat(NAME + 1)), format!("{}…", "é".repeat(NAME - 1)));
    }

    #[test]
    fn time_left_follows_the_blocks() {
        let step = |pass, block, finished| Step { pass, passes: 4, block, blocks: 52, finished };
        assert_eq!(blocks(&step(1, 13, None)), (65, 208));
        let done = fold::PassDone { mean_plddt: 50.0, ptm: None, change: 1.0 };
        assert_eq!(blocks(&step(3, 0, Some(done))), (208, 208));
        assert_eq!(remaining(10.0, 65, 208), Some(22.0));
        assert_eq!(remaining(10.0, 0, 208), None);
    }
}
