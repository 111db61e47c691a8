//! Accepting jobs: keys, batches, quotas.

use super::{Backend, Bench, START, success};
use jobs::{Error, JobStore, Quotas, State, Submission};
use serde_json::json;

pub async fn an_accepted_job_is_queued<B: Backend>(b: Bench<B>) {
    let asked =
        Submission { priority: 3, max_attempts: Some(9), ..Submission::new("ada", json!({"b": [1, null]})) };
    let job = b.submit(asked).await;
    assert_eq!(job, b.store.get(job.id).await.unwrap());
    assert_eq!((job.state, job.created, job.attempts), (State::Queued, START, 0));
    assert_eq!((job.priority, job.max_attempts, job.tenant.as_str()), (3, 9, "ada"));
    assert_eq!(job.request, json!({"b": [1, null]}));
    assert_eq!(b.history(job.id).await, ["queued"]);
}

pub async fn an_unknown_job_is_an_error<B: Backend>(b: Bench<B>) {
    let id = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
    assert!(matches!(b.store.get(id).await, Err(Error::Unknown(found)) if found == id));
    assert!(matches!(b.store.events(id, 0, 5).await, Err(Error::Unknown(_))));
    assert!(matches!(b.store.cancel(id).await, Err(Error::Unknown(_))));
}

pub async fn a_key_is_one_job<B: Backend>(b: Bench<B>) {
    let keyed =
        |tenant: &str, n| Submission { key: Some("k".into()), ..Submission::new(tenant, json!({ "n": n })) };
    let first = b.store.submit(vec![keyed("ada", 1)]).await.unwrap().remove(0);
    let again = b.store.submit(vec![keyed("ada", 1)]).await.unwrap().remove(0);
    assert!(first.fresh && !again.fresh);
    assert_eq!(first.job, again.job);
    // Keys are a tenant's own.
    assert_ne!(b.submit(keyed("bob", 2)).await.id, first.job.id);

    let other = b.store.submit(vec![keyed("ada", 2)]).await;
    assert!(matches!(other, Err(Error::KeyReused { job, .. }) if job == first.job.id), "{other:?}");
    // Also when the job has ended.
    b.store.finish(b.claim().await.lease, success()).await.unwrap();
    let again = b.store.submit(vec![keyed("ada", 1)]).await.unwrap().remove(0);
    assert_eq!((again.fresh, again.job.state), (false, State::Succeeded));
}

pub async fn a_key_holds_when_submits_race<B: Backend>(b: Bench<B>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let store = b.store.clone();
        let keyed = Submission { key: Some("k".into()), ..Submission::new("ada", json!(5)) };
        tasks.spawn(async move { store.submit(vec![keyed]).await.unwrap().remove(0) });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.fresh).count(), 1);
    assert!(answers.iter().all(|answer| answer.job.id == answers[0].job.id));
}

pub async fn a_batch_is_all_or_nothing<B: Backend>(b: Bench<B>) {
    b.store.set_quotas("ada", Quotas { queued: 3, running: 5, ..Quotas::default() }).await.unwrap();
    let batch = |n| (0..n).map(|n| Submission::new("ada", json!(n))).collect::<Vec<_>>();
    let refused = b.store.submit(batch(4)).await;
    assert!(matches!(refused, Err(Error::Quota { limit: 3, .. })), "{refused:?}");
    assert_eq!(b.store.stats().await.unwrap().jobs[&State::Queued], 0);
    let accepted = b.store.submit(batch(3)).await.unwrap();
    let requests: Vec<_> = accepted.iter().map(|answer| answer.job.request.clone()).collect();
    assert_eq!(requests, [json!(0), json!(1), json!(2)]);
}

pub async fn waiting_jobs_are_limited<B: Backend>(b: Bench<B>) {
    b.store.set_quotas("ada", Quotas { queued: 2, running: 5, ..Quotas::default() }).await.unwrap();
    let first = b.plain().await;
    b.plain().await;
    let plain = |tenant| vec![Submission::new(tenant, json!(1))];
    assert!(matches!(b.store.submit(plain("ada")).await, Err(Error::Quota { limit: 2, .. })));
    b.store.submit(plain("bob")).await.unwrap();
    // A job that runs does not wait; one in retry_wait does.
    let claim = b.claim().await;
    assert_eq!(claim.job.id, first.id);
    b.store.requeue(claim.lease, super::retry("flaky", None)).await.unwrap();
    assert!(matches!(b.store.submit(plain("ada")).await, Err(Error::Quota { .. })));
    b.store.cancel(first.id).await.unwrap();
    b.store.submit(plain("ada")).await.unwrap();
}
