//! What this process has used: CPU time and memory.

/// CPU time of this process, all threads; 0 where the system does not tell.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // utime and stime, the 14th and 15th fields; the state letter before them is no number. Ticks of 10 ms.
    fields.get(10..12).map_or(0.0, |t| (t[0] + t[1]) / 100.0)
}

/// Begins the record of [`peak_memory`] anew, where the system can.
pub fn forget_peak() {
    // On other systems the file is not there, and the peak is that of all runs so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Most memory this process has held, bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
