//! What this machine has: cores, memory, and how many multiply-adds it does in a second.

use nn::cpu::{Finish, Mat, Packed, gemm_parallel};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Memory of the machine, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Installed, or what the control group allows if that is less.
    pub total: u64,
    /// Free for a new program without swapping.
    pub available: u64,
}

/// Total and available memory; `None` where the system does not say (`/proc` on Linux).
pub fn memory() -> Option<Memory> {
    let of_machine = meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let groups = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ];
    let limit = groups.iter().find_map(|(max, used)| Some((number(max)?, number(used).unwrap_or(0))));
    Some(limit.map_or(of_machine, |(max, used)| Memory {
        total: of_machine.total.min(max),
        available: of_machine.available.min(max.saturating_sub(used)),
    }))
}

/// `MemTotal` and `MemAvailable` of `/proc/meminfo`, which count kibibytes.
fn meminfo(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { total: field("MemTotal")?, available: field("MemAvailable")? })
}

/// Threads that compute.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// f32 multiply-adds of our own matrix product, counted as two operations, in 10⁹ per second on all
/// threads: the fastest of the 512³ products of about 50 ms, so that other programs count little.
/// Measured once.
pub fn gflops() -> f64 {
    static MEASURED: OnceLock<f64> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        const N: usize = 512;
        let a: Vec<f32> = (0..N * N).map(|i| (i % 13) as f32 - 6.0).collect();
        let b = Packed::from_kn(&a, N, N);
        let mut c = vec![0.0; N * N];
        let mut product = || gemm_parallel(Mat::new(&a, N), N, &b, &mut c, N, Finish::default());
        product(); // threads and pages
        let (start, mut best) = (Instant::now(), f64::INFINITY);
        while start.elapsed() < Duration::from_millis(50) {
            let one = Instant::now();
            product();
            best = best.min(one.elapsed().as_secs_f64());
        }
        2.0 * (N * N * N) as f64 / best / 1e9
    })
}

/// The instruction set the kernels use.
pub fn instructions() -> &'static str {
    match nn::cpu::level() {
        nn::cpu::Level::Avx512 if nn::cpu::has_bf16() => "AVX-512 with BF16",
        nn::cpu::Level::Avx512 => "AVX-512",
        nn::cpu::Level::Avx2 => "AVX2 and FMA",
        nn::cpu::Level::Neon => "NEON",
        nn::cpu::Level::Plain => "baseline",
    }
}

/// Bytes for people: `1.9 GB`, in 10⁹; `23 MB`, in 10⁶, where that would be nothing.
pub fn gb(bytes: u64) -> String {
    if bytes < 100_000_000 {
        return format!("{:.0} MB", bytes as f64 / 1e6);
    }
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Seconds for people: `8 s`, `3 min`, `2.5 h`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.max(1.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_kibibytes() {
        let text = "MemTotal:       24689412 kB\nMemFree:         1 kB\nMemAvailable:   23000000 kB\n";
        let memory = meminfo(text).unwrap();
        assert_eq!((memory.total, memory.available), (24_689_412 * 1024, 23_000_000 * 1024));
        assert_eq!(meminfo("MemTotal: x kB"), None);
    }

    #[test]
    fn the_probe_measures_something_real() {
        let measured = gflops();
        assert!(measured > 0.1 && measured < 1e6, "{measured}");
    }

    #[test]
    fn people_read_round_numbers() {
        assert_eq!([duration(0.2), duration(89.0), duration(480.0)], ["1 s", "89 s", "8 min"]);
        assert_eq!(duration(9000.0), "2.5 h");
        assert_eq!([gb(1_940_000_000), gb(6_393_488)], ["1.9 GB", "6 MB"]);
    }
}
