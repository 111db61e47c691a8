//! Events: numbered without gaps, read again from any number on; hints; webhook calls.

use super::{Backend, Bench, policy, secs, success};
use jobs::{Event, JobStore, Outcome, Submission};
use serde_json::json;
use std::sync::Arc;

pub async fn events_are_read_from_any_number_on<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    for recycle in 0..5 {
        b.clock.advance(secs(1));
        let seq = b.store.append_event(claim.lease, "recycle", json!({ "n": recycle })).await.unwrap();
        assert_eq!(seq, 3 + recycle);
    }
    let done = b.store.finish(claim.lease, success()).await.unwrap();
    let all = b.store.events(claim.job.id, 0, 99).await.unwrap();
    assert_eq!(all.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(done.last_event, 8);
    assert_eq!((all[4].kind.as_str(), &all[4].data), ("recycle", &json!({"n": 2})));
    assert_eq!(all[4].at, claim.job.created + secs(3));
    assert_eq!((all[7].kind.as_str(), &all[7].data), (Event::STATE, &json!({"state": "succeeded"})));
    assert_eq!(b.store.events(claim.job.id, 3, 2).await.unwrap(), all[3..5]);
    assert_eq!(b.store.events(claim.job.id, 8, 2).await.unwrap(), []);
}

pub async fn events_of_many_writers_have_no_gaps<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..23 {
        let (store, lease) = (Arc::clone(&b.store), claim.lease);
        tasks.spawn(async move { store.append_event(lease, "stage", json!(n)).await.unwrap() });
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (3..26).collect::<Vec<_>>());
}

pub async fn changes_are_hinted<B: Backend>(b: Bench<B>) {
    let mut hints = b.store.hints();
    let job = b.plain().await.id;
    assert_eq!(tokio::time::timeout(secs(20), hints.recv()).await.unwrap().unwrap(), job);
}

pub async fn an_end_is_told_until_it_is_heard<B: Backend>(b: Bench<B>) {
    let hooked = |hook: &str| Submission { webhook: Some(hook.into()), ..Submission::new("ada", json!(1)) };
    let one = b.submit(hooked("one")).await.id;
    b.store.finish(b.claim().await.lease, success()).await.unwrap();
    let two = b.submit(hooked("two")).await.id;
    b.store.cancel(two).await.unwrap();
    b.store.finish(b.running().await.lease, Outcome::Cancelled).await.unwrap(); // has no hook

    let first = b.store.deliveries(9).await.unwrap();
    let told = |d: &jobs::Delivery| (d.job, d.webhook.clone(), d.tries);
    let mut seen: Vec<_> = first.iter().map(told).collect();
    seen.sort();
    assert_eq!(seen, [(one, "one".into(), 1), (two, "two".into(), 1)]);
    // Taken; comes again after its wait.
    assert_eq!(b.store.deliveries(9).await.unwrap(), []);
    let heard = first.iter().find(|delivery| delivery.job == one).unwrap();
    let unheard = first.iter().find(|delivery| delivery.job == two).unwrap();
    b.store.delivered(heard.id).await.unwrap();
    for (wait, tries) in [(5, 2), (10, 3)] {
        b.clock.advance(secs(wait - 1));
        assert_eq!(b.store.deliveries(9).await.unwrap(), []);
        b.clock.advance(secs(1));
        let again = b.store.deliveries(9).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].id, again[0].tries), (unheard.id, tries));
    }
    assert_eq!(policy().webhook_tries, 3);
    b.clock.advance(secs(900));
    assert_eq!(b.store.deliveries(9).await.unwrap(), []);
}
