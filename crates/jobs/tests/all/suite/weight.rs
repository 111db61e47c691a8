//! How much a tenant may ask for in a day.

use super::{Backend, Bench, secs, success};
use jobs::{Error, JobStore, Quotas, State, Submission};
use serde_json::json;
use std::time::Duration;

const HOUR: u64 = 3600;

fn heavy(tenant: &str, weight: u64) -> Submission {
    Submission { weight, ..Submission::new(tenant, json!(weight)) }
}

/// What a refusal says: limit, used, asked, when there is room.
fn refusal<T: std::fmt::Debug>(result: jobs::Result<T>) -> (u64, u64, u64, Option<Duration>) {
    match result {
        Err(Error::WeightQuota { limit, used, asked, retry_after, .. }) => (limit, used, asked, retry_after),
        other => panic!("expected too much weight, found {other:?}"),
    }
}

async fn limited<B: Backend>(b: &Bench<B>, weight_per_day: u64) {
    b.store.set_quotas("ada", Quotas { weight_per_day, ..Quotas::default() }).await.unwrap();
}

pub async fn a_day_has_its_weight<B: Backend>(b: Bench<B>) {
    limited(&b, 100).await;
    b.submit(heavy("ada", 40)).await;
    b.clock.advance(secs(HOUR));
    b.submit(heavy("ada", 25)).await;
    b.clock.advance(secs(HOUR));
    b.submit(heavy("ada", 35)).await; // to the brim
    b.submit(heavy("bob", u64::MAX)).await;
    b.submit(heavy("ada", 0)).await;
    // The first job makes room when it is a day old, then the second.
    for (asked, hours) in
        [(1, Some(22)), (40, Some(22)), (41, Some(23)), (66, Some(24)), (100, Some(24)), (101, None)]
    {
        let refused = refusal(b.store.submit(vec![heavy("ada", asked)]).await);
        assert_eq!(refused, (100, 100, asked, hours.map(|hours| secs(hours * HOUR))), "{asked}");
    }
    // That it ended does not make it lighter.
    b.store.finish(b.claim().await.lease, success()).await.unwrap();
    b.clock.advance(secs(22 * HOUR) - Duration::from_millis(1));
    let (_, _, _, wait) = refusal(b.store.submit(vec![heavy("ada", 40)]).await);
    assert_eq!(wait, Some(Duration::from_millis(1)));
    b.clock.advance(Duration::from_millis(1));
    b.submit(heavy("ada", 40)).await;
    refusal(b.store.submit(vec![heavy("ada", 1)]).await);
}

pub async fn what_did_not_start_weighs_nothing<B: Backend>(b: Bench<B>) {
    limited(&b, 10).await;
    let job = b.submit(heavy("ada", 10)).await;
    refusal(b.store.submit(vec![heavy("ada", 1)]).await);
    b.store.cancel(job.id).await.unwrap();
    // One that started counts, however it ends.
    let started = b.submit(heavy("ada", 10)).await;
    let claim = b.claim().await;
    b.store.requeue(claim.lease, super::retry("flaky", None)).await.unwrap();
    assert_eq!(b.store.cancel(started.id).await.unwrap().state, State::Cancelled);
    refusal(b.store.submit(vec![heavy("ada", 1)]).await);
}

pub async fn a_batch_weighs_together<B: Backend>(b: Bench<B>) {
    limited(&b, 10).await;
    let batch = |weights: &[u64]| weights.iter().map(|&weight| heavy("ada", weight)).collect::<Vec<_>>();
    assert_eq!(refusal(b.store.submit(batch(&[4, 5, 3])).await), (10, 9, 3, Some(secs(24 * HOUR))));
    assert_eq!(b.store.stats().await.unwrap().jobs[&State::Queued], 0);
    b.store.submit(batch(&[4, 5, 1])).await.unwrap();
}
