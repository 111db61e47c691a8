//! Free space where the data are: full disks are told before anything is accepted.

use crate::code::Code;
use crate::problem::{Problem, Result};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Asked at most so often.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) struct Disk {
    folder: PathBuf,
    reserve: u64,
    last: Mutex<Option<(Instant, u64)>>,
}

impl Disk {
    pub(crate) fn new(folder: PathBuf, reserve: u64) -> Self {
        Self { folder, reserve, last: Mutex::new(None) }
    }

    /// Free bytes; `None` if the system does not say.
    pub(crate) fn free(&self) -> Option<u64> {
        let mut last = self.last.lock().expect("no holder panics");
        if let Some((at, free)) = *last
            && at.elapsed() < FRESH
        {
            return Some(free);
        }
        let stat = rustix::fs::statvfs(&self.folder).ok()?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        *last = Some((Instant::now(), free));
        Some(free)
    }

    /// # Errors  `disk_low` if less is free than is to be kept.
    pub(crate) fn check(&self) -> Result<()> {
        match self.free() {
            Some(free) if free < self.reserve => {
                let detail = format!("expected {} free bytes, found {free}", self.reserve);
                Err(Problem::new(Code::DiskLow, detail).retry_after(60))
            }
            _ => Ok(()),
        }
    }
}
