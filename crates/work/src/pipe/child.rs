//! The child's end of the pipe.

use super::{Command, Made, Said, Task};
use crate::{Engine, Progress};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable, for programs: `bad_input`, `disk_full`, `wrong_weights`, `fold_failed`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Another attempt may succeed.
    pub again: bool,
}

/// Tells the supervisor how far a task is; and whether to stop.
pub struct Told<'a> {
    out: &'a mut dyn Write,
    /// What [`Told::stopped`] looks at.
    pub stop: &'a AtomicBool,
    block: Option<Instant>,
    lost: bool,
}

/// Blocks are told this often at most.
const BLOCKS: Duration = Duration::from_millis(500);

impl Told<'_> {
    /// Says it. When nobody listens any more, [`Told::stopped`] is true from then on.
    pub fn say(&mut self, progress: Progress) {
        if matches!(progress, Progress::Block { .. }) {
            if self.block.is_some_and(|at| at.elapsed() < BLOCKS) {
                return;
            }
            self.block = Some(Instant::now());
        }
        self.lost |= say(self.out, &Said::Progress { told: progress }).is_err();
    }

    /// Work on this task is to end.
    pub fn stopped(&self) -> bool {
        self.lost || self.stop.load(Ordering::Relaxed)
    }
}

/// Whoever folds.
pub trait Folder {
    /// What it can do.
    fn engine(&self) -> Engine;

    /// Folds; `None` if it was told to stop.
    /// # Errors  why there is no result.
    fn fold(&mut self, task: &Task, told: &mut Told<'_>) -> Result<Option<Made>, Failure>;
}

/// Folds what comes on standard input until it ends, which ends the process: the server is gone, and so nothing
/// that is still being folded is of use.
/// # Errors  the supervisor cannot be written to, or the system has no thread left to read it.
pub fn serve(folder: &mut dyn Folder) -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (send, tasks) = mpsc::channel();
    let flag = stop.clone();
    std::thread::Builder::new().spawn(move || {
        for line in io::stdin().lock().lines() {
            match line.map(|line| serde_json::from_str(&line)) {
                Ok(Ok(Command::Fold(task))) => {
                    flag.store(false, Ordering::Relaxed);
                    if send.send(task).is_err() {
                        break;
                    }
                }
                Ok(Ok(Command::Stop)) => flag.store(true, Ordering::Relaxed),
                Ok(Err(error)) => {
                    eprintln!("ERROR  supervisor: expected a command, found something else: {error}");
                    break;
                }
                Err(_) => break,
            }
        }
        std::process::exit(0);
    })?;
    let mut out = io::stdout().lock();
    say(&mut out, &Said::Ready(folder.engine()))?;
    while let Ok(task) = tasks.recv() {
        let mut told = Told { out: &mut out, stop: &stop, block: None, lost: false };
        let said = match folder.fold(&task, &mut told) {
            Ok(Some(made)) => Said::Done(made),
            Ok(None) => Said::Stopped,
            Err(failure) => Said::Failed(failure),
        };
        say(&mut out, &said)?;
    }
    Ok(())
}

fn say(out: &mut dyn Write, said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
