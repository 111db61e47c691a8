//! `foldry serve`: accepts jobs and has them folded.

use super::crew::{Crew, launch};
use super::places::{Place, Store, blobs};
use super::settings::Settings;
use super::stop::Stop;
use super::{logs, traces, upkeep};
use crate::failure::{Interrupted, bad_input};
use anyhow::Context;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use work::Times;

/// Serves until it is told to stop. Jobs then get their time to end while clients may still ask for them.
///
/// # Errors  bad input: an address that cannot be had, a file of keys that cannot be read, a model that cannot be
/// folded with. What the store says.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    logs::begin(settings.log);
    let mut stop = Stop::listen()?;
    let keys = Some(settings.keys.open()?);
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| bad_input(format!("--listen {}: {error}", settings.listen)))?;
    let place = Place::take(&settings.data)?;
    let store = Store::open(&settings, &place).await?;
    let blobs = blobs(&settings).await?;
    // What cannot be folded with is found now, not at the first job.
    let engine = work::describe(&launch(&settings)?, Times::default().start).await.map_err(bad_input)?;
    let metrics = Arc::new(api::Metrics::default());
    let metered: Arc<dyn jobs::JobStore> = Arc::new(api::Metered::new(store.shared(), metrics.clone()));
    let (engine_sender, engine) = watch::channel(Some(engine));
    let spans = traces::begin(&settings, &place.name)?;
    let crew = Crew::start(&settings, &place.name, &metered, &blobs, &engine_sender, &spans)?;
    let app = api::App {
        store: metered.clone(),
        blobs: blobs.clone(),
        engine,
        keys,
        limits: settings.limits.clone(),
        metrics,
        spans: spans.clone(),
        data: settings.data.clone(),
    };
    let upkeep = [
        tokio::spawn(upkeep::reap(metered.clone())),
        tokio::spawn(upkeep::sweep(metered.clone(), blobs)),
        tokio::spawn(api::send_webhooks(metered, settings.limits.clone())),
    ];
    let (end, ended) = watch::channel(false);
    tracing::info!(address = %listener.local_addr()?, workers = settings.workers, "serve.ready");
    let mut server = tokio::spawn(api::serve(listener, app, ended));

    let broken = tokio::select! {
        () = stop.asked() => None,
        // It accepts nothing any more; running jobs get their time all the same.
        ended = &mut server => Some(ended),
    };
    tracing::info!(seconds = settings.drain.as_secs(), "serve.drain");
    tokio::select! {
        () = crew.drain() => {}
        // Asked twice. The next start takes the running jobs back.
        () = stop.asked() => return Err(Interrupted.into()),
    }
    end.send_replace(true);
    let ended = match broken {
        Some(ended) => ended,
        None => tokio::select! {
            ended = &mut server => ended,
            () = stop.asked() => return Err(Interrupted.into()),
        },
    };
    upkeep.iter().for_each(tokio::task::JoinHandle::abort);
    store.close().await;
    traces::end(spans).await;
    tracing::info!("serve.end");
    ended?.context("the server broke")
}
