//! A server whose worker folds nothing, to try clients on: `cargo run -p api --example fake -- 127.0.0.1:8080`.

#[path = "../tests/all/server.rs"]
#[allow(dead_code)] // the tests use all of it
mod server;

use std::time::Duration;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    eprintln!("http://{}", listener.local_addr()?);
    let change = |app: &mut api::App, _: &std::path::Path| {
        app.limits.drop_in_wait = Duration::from_secs(5);
        app.limits.quotas.queued = 1_000_000;
    };
    let mut server = server::Server::with(change, jobs::Options::default()).await;
    server.work();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    api::serve_router(listener, server.router.clone(), &server.limits, stopped).await
}
