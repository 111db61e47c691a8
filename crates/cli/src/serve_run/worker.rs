//! `foldry worker`: folds what another machine's server accepted.

use super::crew::Crew;
use super::places::{Place, Store, blobs};
use super::settings::{Settings, StorePlace};
use super::stop::Stop;
use super::{logs, traces, upkeep};
use crate::failure::{Interrupted, bad_input};
use tokio::sync::watch;

/// Works until it is told to stop.
///
/// # Errors  bad input: a store that other processes cannot share. What the store says.
pub async fn work(settings: Settings) -> anyhow::Result<()> {
    if let StorePlace::File(_) = settings.store {
        return Err(bad_input(
            "--store: expected postgres://…, as a file is of one server, which has workers of its own (--workers)",
        ));
    }
    logs::begin(settings.log);
    let mut stop = Stop::listen()?;
    let place = Place::take(&settings.data)?;
    let store = Store::open(&settings, &place).await?;
    let blobs = blobs(&settings).await?;
    let shared = store.shared();
    let spans = traces::begin(&settings, &place.name)?;
    let crew = Crew::start(&settings, &place.name, &shared, &blobs, &watch::channel(None).0, &spans)?;
    // Any of the machines may find that another is gone.
    let reaper = tokio::spawn(upkeep::reap(shared));
    stop.asked().await;
    tracing::info!(seconds = settings.drain.as_secs(), "work.drain");
    tokio::select! {
        () = crew.drain() => {}
        () = stop.asked() => return Err(Interrupted.into()),
    }
    reaper.abort();
    store.close().await;
    traces::end(spans).await;
    Ok(())
}
