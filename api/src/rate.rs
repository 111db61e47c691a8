//! Requests per second: a bucket of tokens for each caller.

use crate::code::Code;
use crate::problem::{Problem, Result};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

/// Full buckets are dropped when there are so many.
const MANY: usize = 10_000;

#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Bucket>>);

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    /// Takes a token; there are at most twice as many as come in a second, and at least one.
    pub(crate) fn take(&self, who: &str, per_second: f64, now: Instant) -> Result<()> {
        let most = (2.0 * per_second).max(1.0);
        let mut buckets = self.0.lock().expect("no holder panics");
        if buckets.len() >= MANY {
            // After a minute without requests a bucket is as good as none.
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs() < 60);
        }
        let bucket = buckets.entry(who.to_owned()).or_insert(Bucket { tokens: most, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * per_second).min(most);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.tokens) / per_second).ceil().clamp(1.0, 3600.0);
        let detail = format!("expected at most {per_second} requests per second, found more");
        Err(Problem::new(Code::RateLimited, detail).retry_after(wait as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let (rates, start) = (Rates::default(), Instant::now());
        let ok = |who: &str, millis| rates.take(who, 3.0, start + Duration::from_millis(millis)).is_ok();
        assert_eq!((0..9).filter(|_| ok("a", 0)).count(), 6);
        assert!(ok("b", 0));
        assert!(!ok("a", 300));
        assert!(ok("a", 700) && ok("a", 701) && !ok("a", 702));
        assert_eq!(
            rates.take("a", 3.0, start + Duration::from_millis(702)).unwrap_err().retry_after,
            Some(1)
        );
    }
}
