//! Bodies that are made while they are sent: a task makes one part while the one before is sent, never more.

use axum::body::Body;
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The way from the maker to the body.
pub(crate) struct Sink(mpsc::Sender<std::io::Result<Bytes>>);

/// The client is gone, or stopped reading.
#[derive(Debug)]
pub(crate) struct Gone;

impl Sink {
    /// Returns once there is room for the part.
    pub(crate) async fn send(&self, part: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(Ok(part.into())).await.map_err(|_| Gone)
    }

    /// Breaks the body off, so that the client sees that it is not whole.
    pub(crate) async fn fail(&self, why: impl std::fmt::Display) {
        tracing::error!(error = %why, "http.body_failed");
        // A client that is gone does not mind.
        let _ = self.0.send(Err(std::io::Error::other("the body could not be made"))).await;
    }
}

/// A body that `make` makes. Its task ends with the body.
pub(crate) fn body<F: Future<Output = ()> + Send + 'static>(make: impl FnOnce(Sink) -> F) -> Body {
    let (sender, parts) = mpsc::channel(1);
    let task = tokio::spawn(make(Sink(sender)));
    Body::from_stream(Parts { parts, task })
}

struct Parts {
    parts: mpsc::Receiver<std::io::Result<Bytes>>,
    task: JoinHandle<()>,
}

impl Stream for Parts {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.parts.poll_recv(context)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.task.abort();
    }
}
