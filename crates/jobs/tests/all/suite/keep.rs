//! What is kept, and how long; lists and numbers.

use super::{Backend, Bench, is_lost, policy, secs, success};
use jobs::{Digest, Error, JobStore, Outcome, Query, Reap, Reaped, State, Submission};
use serde_json::json;

pub async fn an_old_job_expires_and_is_forgotten<B: Backend>(b: Bench<B>) {
    let (input, result, other) = (Digest::of(b"msa"), Digest::of(b"pdb"), Digest::of(b"other"));
    let asked = || Submission {
        key: Some("k".into()),
        blobs: vec![input],
        ..Submission::new("ada", json!({ "sequence": "MKV" }))
    };
    let job = b.submit(asked()).await.id;
    let kept = b.plain().await.id;
    let lease = b.claim().await.lease;
    b.store.finish(lease, Outcome::Succeeded { result: json!(7), blobs: vec![result] }).await.unwrap();
    let all = vec![input, result, other];
    assert_eq!(b.store.unreferenced(all.clone()).await.unwrap(), [other]);

    b.clock.advance(policy().retention - secs(1));
    assert!(b.store.reap(Reap::Expired).await.unwrap().is_empty());
    b.clock.advance(secs(1));
    let reaped = b.store.reap(Reap::Expired).await.unwrap();
    assert_eq!(reaped, Reaped { expired: 1, ..Reaped::default() });
    let expired = b.store.get(job).await.unwrap();
    assert_eq!((expired.state, expired.expired), (State::Succeeded, true));
    assert_eq!((expired.result, expired.request), (None, json!(null)));
    assert_eq!(b.store.events(job, 0, 9).await.unwrap(), []);
    assert_eq!(b.store.unreferenced(all.clone()).await.unwrap(), all);
    // The key still means this job.
    assert!(!b.store.submit(vec![asked()]).await.unwrap()[0].fresh);

    b.clock.advance(policy().memory - policy().retention);
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap(), Reaped { forgotten: 1, ..Reaped::default() });
    assert!(matches!(b.store.get(job).await, Err(Error::Unknown(_))));
    is_lost(b.store.heartbeat(lease).await);
    assert!(b.store.submit(vec![asked()]).await.unwrap()[0].fresh);
    // What waits is never old.
    assert_eq!(b.state(kept).await, State::Queued);
}

pub async fn a_large_heap_is_reaped_in_parts<B: Backend>(b: Bench<B>) {
    for n in 0..5 {
        let batch = (0..50).map(|k| Submission::new(format!("t{n}"), json!(k))).collect();
        for accepted in b.store.submit(batch).await.unwrap() {
            b.store.cancel(accepted.job.id).await.unwrap();
        }
    }
    b.clock.advance(policy().memory);
    let (mut expired, mut forgotten, mut calls) = (0, 0, 0);
    loop {
        let reaped = b.store.reap(Reap::Expired).await.unwrap();
        if reaped.is_empty() {
            break;
        }
        expired += reaped.expired;
        forgotten += reaped.forgotten;
        calls += 1;
    }
    assert_eq!((expired, forgotten), (250, 250));
    assert!(calls > 1);
}

pub async fn jobs_are_listed_in_pages<B: Backend>(b: Bench<B>) {
    let mut ids = Vec::new();
    for n in 0..7 {
        let tenant = if n % 3 == 0 { "bob" } else { "ada" };
        ids.push(b.submit(Submission::new(tenant, json!(n))).await.id);
    }
    b.store.cancel(ids[1]).await.unwrap();
    b.store.cancel(ids[3]).await.unwrap();
    let pages = async |tenant: Option<&str>, state| {
        let mut query = Query { tenant: tenant.map(str::to_owned), state, before: None, limit: 2 };
        let mut numbers = Vec::new();
        loop {
            let page = b.store.list(&query).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            query.before = Some(last.seq);
            numbers.extend(page.iter().map(|job| job.request.as_u64().unwrap()));
        }
        numbers
    };
    assert_eq!(pages(None, None).await, [6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(pages(Some("bob"), None).await, [6, 3, 0]);
    assert_eq!(pages(None, Some(State::Cancelled)).await, [3, 1]);
    assert_eq!(pages(Some("ada"), Some(State::Queued)).await, [5, 4, 2]);
    assert_eq!(pages(Some("eve"), None).await, [] as [u64; 0]);
}

pub async fn a_queued_job_knows_its_place<B: Backend>(b: Bench<B>) {
    let mut ids = Vec::new();
    for priority in [0, 5, -2, 5, 0] {
        ids.push(b.submit(Submission { priority, ..Submission::new("ada", json!(1)) }).await.id);
    }
    let places = async || {
        let mut places = Vec::new();
        for &id in &ids {
            places.push(b.store.position(id).await.unwrap());
        }
        places
    };
    assert_eq!(places().await, [Some(2), Some(0), Some(4), Some(1), Some(3)]);
    let lease = b.claim().await.lease;
    assert_eq!(places().await, [Some(1), None, Some(3), Some(0), Some(2)]);
    // What waits for another attempt is ahead of others, but nobody asks for its place.
    b.store.requeue(lease, super::retry("flaky", None)).await.unwrap();
    assert_eq!(places().await, [Some(2), None, Some(4), Some(1), Some(3)]);
    b.store.cancel(ids[3]).await.unwrap();
    assert_eq!(places().await, [Some(1), None, Some(3), None, Some(2)]);
    let unknown = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    assert!(matches!(b.store.position(unknown).await, Err(Error::Unknown(_))));
}

pub async fn numbers_are_of_the_present<B: Backend>(b: Bench<B>) {
    b.store.ping().await.unwrap();
    let empty = b.store.stats().await.unwrap();
    assert_eq!((empty.jobs.len(), empty.jobs.values().sum::<u64>(), empty.oldest_queued), (7, 0, None));
    let first = b.running().await;
    b.clock.advance(secs(3));
    b.plain().await;
    b.clock.advance(secs(3));
    b.plain().await;
    let stats = b.store.stats().await.unwrap();
    assert_eq!((stats.jobs[&State::Running], stats.jobs[&State::Queued]), (1, 2));
    assert_eq!(stats.oldest_queued, Some(first.job.created + secs(3)));
    b.store.finish(first.lease, success()).await.unwrap();
    assert_eq!(b.store.stats().await.unwrap().jobs[&State::Succeeded], 1);
}
