//! Log lines on stderr, as text or as JSON.

use super::given::LogForm;
use std::io::IsTerminal;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins them. Of libraries only warnings are worth a line.
pub fn begin(form: LogForm) {
    let ours = ["foldry", "api", "work", "jobs"].map(|name| (name, Level::INFO));
    let levels = Targets::new().with_default(Level::WARN).with_targets(ours);
    let base = tracing_subscriber::registry().with(levels);
    let begun = match form {
        LogForm::Text => {
            let colours = std::io::stderr().is_terminal();
            base.with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours)).try_init()
        }
        LogForm::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_current_span(false);
            base.with(lines.with_writer(std::io::stderr)).try_init()
        }
    };
    // Only a test that runs two servers in one process begins twice.
    let _ = begun;
}
