//! Traces for a collector, if there is one.

use super::settings::Settings;
use anyhow::Context;
use spans::Spans;
use std::time::Duration;

/// The longest that the end waits for the collector.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to send, as the settings say; `instance` is this process among those that do.
///
/// # Errors  if the system gives no thread.
pub fn begin(settings: &Settings, instance: &str) -> anyhow::Result<Spans> {
    let Some(endpoint) = &settings.otlp else { return Ok(Spans::default()) };
    Spans::start(endpoint, instance).context("cannot start the thread that sends traces")
}

/// Sends what still waits, within moments.
pub async fn end(spans: Spans) {
    if !spans.is_on() {
        return;
    }
    let closing = spans.clone();
    // It blocks, and other tasks still end.
    let _ = tokio::task::spawn_blocking(move || closing.close(PATIENCE)).await;
    if let Some(dropped @ 1..) = spans.dropped() {
        tracing::warn!(dropped, "spans.dropped");
    }
}
