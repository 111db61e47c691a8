//! How much memory this process holds.

use std::io::{Error, ErrorKind};

/// Bytes in memory, as Linux counts them.
pub fn resident() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let kib =
        kib.ok_or_else(|| Error::new(ErrorKind::InvalidData, "/proc/self/status: expected VmRSS in kB"))?;
    Ok(kib * 1024)
}
