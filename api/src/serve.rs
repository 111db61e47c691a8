//! Serving: connections with bounds on their number, their headers' time, their buffers, and clients that do not read.

use crate::app::App;
use crate::limits::Limits;
use crate::router::router;
use crate::stall::Stall;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Bytes that a connection buffers; headers must fit.
const BUFFER: usize = 64 << 10;
/// How long requests may take to end once the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `app` until `stop` is true, or its sender is gone; then no connection is accepted, and those that are open have
/// a few seconds to end. Event streams are broken off, and go on where they were at the next server.
/// # Errors  as [`serve_router`].
pub async fn serve(listener: TcpListener, app: App, stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let limits = app.limits.clone();
    serve_router(listener, router(app), &limits, stop).await
}

/// [`serve`] with routes that are there already.
/// # Errors  when the listener accepts nothing any more.
pub async fn serve_router(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let free = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let (stopping, stopped) = watch::channel(false);
    let mut open = JoinSet::new();
    let stop = async move { stop.wait_for(|stop| *stop).await.is_ok() };
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let permit = free.clone().acquire_owned().await.expect("never closed");
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            _ = &mut stop => break,
            accepted = accepted => accepted,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), limits, stopped.clone());
                open.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                // Out of descriptors, most likely: others will close theirs.
                tracing::warn!(%error, "http.accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::info!("http.broken_off");
        open.shutdown().await;
    }
    Ok(())
}

fn connection(
    stream: TcpStream,
    router: Router,
    limits: &Limits,
    mut stopped: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<> {
    // Small answers are not held back; a socket that refuses is served all the same.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Stall::new(stream, limits.write_idle));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(BUFFER)
        .serve_connection(io, TowerToHyperService::new(router));
    async move {
        tokio::pin!(connection);
        let stop = async { stopped.wait_for(|stopped| *stopped).await.is_ok() };
        let ended = tokio::select! {
            ended = &mut connection => ended,
            _ = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "http.connection");
        }
    }
}
