//! `foldry serve`: accepts jobs and has them folded.

use super::crew::Crew;
use super::places::{Store, blobs};
use super::settings::Settings;
use super::stop::Stop;
use super::{logs, upkeep};
use crate::failure::{Interrupted, bad_input};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves until it is told to stop. Jobs then get their time to end while clients may still ask for them.
///
/// # Errors  bad input: an address that cannot be had, a file of keys that cannot be read. What the store says.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    logs::begin(settings.log);
    let mut stop = Stop::listen()?;
    let keys = match &settings.keys {
        Some(file) => Some(api::Keys::open(file).map_err(bad_input)?),
        None => None,
    };
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| bad_input(format!("--listen {}: {error}", settings.listen)))?;
    let store = Store::open(&settings).await?;
    let blobs = blobs(&settings)?;
    let metrics = Arc::new(api::Metrics::default());
    let metered: Arc<dyn jobs::JobStore> = Arc::new(api::Metered::new(store.shared(), metrics.clone()));
    let (engine_sender, engine) = watch::channel(None);
    let crew = Crew::start(&settings, &metered, &blobs, &engine_sender)?;
    let app = api::App {
        store: metered.clone(),
        blobs: blobs.clone(),
        engine,
        keys,
        limits: settings.limits.clone(),
        metrics,
        data: settings.data.clone(),
    };
    let upkeep = [
        tokio::spawn(upkeep::reap(metered.clone())),
        tokio::spawn(upkeep::sweep(metered.clone(), blobs)),
        tokio::spawn(api::send_webhooks(metered, settings.limits.clone())),
    ];
    let (end, ended) = watch::channel(false);
    tracing::info!(address = %listener.local_addr()?, workers = settings.workers, "serve.ready");
    let server = tokio::spawn(api::serve(listener, app, ended));

    stop.asked().await;
    tracing::info!(seconds = settings.drain.as_secs(), "serve.drain");
    tokio::select! {
        () = crew.drain() => {}
        // Asked twice. The next start takes the running jobs back.
        () = stop.asked() => return Err(Interrupted.into()),
    }
    end.send_replace(true);
    tokio::select! {
        ended = server => ended??,
        () = stop.asked() => return Err(Interrupted.into()),
    }
    upkeep.iter().for_each(tokio::task::JoinHandle::abort);
    store.close().await;
    tracing::info!("serve.end");
    Ok(())
}
