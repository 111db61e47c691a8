//! Logs: events and their fields, on stderr. Never keys, secrets or sequences.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes what happens to stderr, as lines for people or as JSON. `FOLDRY_LOG` says how much, as `debug` or
/// `info,hyper=warn`; without it `info`. Does nothing if logs go somewhere already.
pub fn log_to_stderr(json: bool) {
    let asked = std::env::var("FOLDRY_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let targets = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(targets);
    // An error means that there is a logger already.
    let _ = if json {
        registry.with(lines.json()).try_init()
    } else {
        registry.with(lines.with_ansi(false)).try_init()
    };
}
