//! Telling others that a job ended: Standard Webhooks, from the store's outbox.
//!
//! A call is made at least once, and again later if it fails, as often as the store's policy says (8 times). The address
//! is looked up once a try and the call goes to what was found: an address that is public when it is checked and private
//! when it is used would reach into the operator's network.

mod address;
mod call;
mod sign;

use crate::limits::Limits;
use crate::view::JobView;
use jobs::{Delivery, JobStore};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Calls at the same time.
const CALLS: usize = 8;
/// How often the outbox is looked at.
const POLL: Duration = Duration::from_secs(1);

/// Makes webhook calls for ever. A call that is cut off by the server's end comes again.
pub async fn send_webhooks(store: Arc<dyn JobStore>, limits: Limits) {
    let private = limits.private_webhooks;
    let free = Arc::new(Semaphore::new(CALLS));
    let mut calls = JoinSet::new();
    loop {
        let mut idle = true;
        match store.deliveries(free.available_permits() as u32).await {
            Ok(deliveries) => {
                for delivery in deliveries {
                    idle = false;
                    let permit = free.clone().acquire_owned().await.expect("never closed");
                    let store = store.clone();
                    calls.spawn(async move {
                        deliver(store.as_ref(), delivery, private).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "webhook.outbox"),
        }
        while calls.try_join_next().is_some() {}
        let pause = if idle { POLL } else { Duration::from_millis(50) };
        tokio::time::sleep(pause).await;
    }
}

async fn deliver(store: &dyn JobStore, delivery: Delivery, private: bool) {
    let (id, job, tries) = (delivery.id, delivery.job, delivery.tries);
    let made = make(store, &delivery, private).await;
    match &made {
        Ok(Made::Done(status)) => tracing::info!(%job, %id, tries, status, "webhook.done"),
        Ok(Made::Again(why)) => tracing::warn!(%job, %id, tries, why, "webhook.failed"),
        Ok(Made::Never(why)) => tracing::warn!(%job, %id, tries, why, "webhook.given_up"),
        Err(error) => tracing::warn!(%job, %id, tries, %error, "webhook.failed"),
    }
    if matches!(made, Ok(Made::Done(_) | Made::Never(_)))
        && let Err(error) = store.delivered(id).await
    {
        // It comes again; receivers know the id.
        tracing::warn!(%job, %id, %error, "webhook.outbox");
    }
}

/// How a call went.
enum Made {
    Done(u16),
    Again(String),
    Never(String),
}

async fn make(store: &dyn JobStore, delivery: &Delivery, private: bool) -> jobs::Result<Made> {
    let hook: crate::NewWebhook = match serde_json::from_str(&delivery.webhook) {
        Ok(hook) => hook,
        Err(error) => return Ok(Made::Never(error.to_string())),
    };
    let Some(secret) = crate::accept::secret(&hook.secret) else {
        return Ok(Made::Never("expected a secret, found something else".into()));
    };
    let job = match store.get(delivery.job).await {
        Err(jobs::Error::Unknown(_)) => return Ok(Made::Never("the job is forgotten".into())),
        job => JobView::new(&job?, None, false),
    };
    let body = json!({
        "type": format!("job.{}", job.state),
        "timestamp": job.finished,
        // The sequence stays here.
        "data": {"id": job.id, "name": job.name, "state": job.state, "residues": job.residues, "created": job.created,
            "started": job.started, "finished": job.finished, "reason": job.reason, "reused": job.reused,
            "links": job.links},
    });
    let body = body.to_string();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = delivery.id.to_string();
    let signature = sign::signature(&secret, &id, now, &body);
    let call = call::Call { url: hook.url, id, timestamp: now, signature, body };
    let address = match address::resolve(&call.url, private).await {
        Ok(found) => found,
        Err(why) => return Ok(Made::Again(why)),
    };
    let made = tokio::task::spawn_blocking(move || call.make(address, private)).await;
    Ok(match made {
        Ok(Ok(status)) if (200..300).contains(&status) => Made::Done(status),
        // Gone: the receiver wants no more of them.
        Ok(Ok(410)) => Made::Never("the receiver answers 410".into()),
        Ok(Ok(status)) => Made::Again(format!("the receiver answers {status}")),
        Ok(Err(why)) => Made::Again(why),
        Err(error) => Made::Again(error.to_string()),
    })
}
