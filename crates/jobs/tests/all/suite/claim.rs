//! Who gets which job.

use super::{Backend, Bench, policy, secs, success};
use jobs::{JobStore, Quotas, State, Submission};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

pub async fn a_claim_runs_the_job<B: Backend>(b: Bench<B>) {
    let queued = b.plain().await;
    b.clock.advance(secs(4));
    let claim = b.claim().await;
    let now = queued.created + secs(4);
    assert_eq!((claim.lease.job, claim.lease.fence), (queued.id, queued.fence + 1));
    assert_eq!(claim.job, b.store.get(queued.id).await.unwrap());
    assert_eq!((claim.job.state, claim.job.attempts), (State::Running, 1));
    assert_eq!((claim.job.started, claim.job.lease), (Some(now), Some(now + policy().lease)));
    assert_eq!(claim.job.worker.as_deref(), Some("worker-1"));
    let events = b.store.events(queued.id, 1, 9).await.unwrap();
    assert_eq!(
        (events.len(), &events[0].data),
        (1, &json!({"state": "running", "attempts": 1, "worker": "worker-1"}))
    );
}

pub async fn a_job_is_not_claimed_twice<B: Backend>(b: Bench<B>) {
    b.none().await;
    b.plain().await;
    b.claim().await;
    b.none().await;
    // Nor when its lease ran out, until the reaper has ended it.
    b.clock.advance(secs(100));
    b.none().await;
}

pub async fn priority_goes_before_age<B: Backend>(b: Bench<B>) {
    for (n, priority) in [0, 5, -2, 5, 0].into_iter().enumerate() {
        b.submit(Submission { priority, ..Submission::new("ada", json!(n)) }).await;
    }
    let mut order = Vec::new();
    while let Some(claim) = b.store.claim("w").await.unwrap() {
        order.push(claim.job.request.as_u64().unwrap());
    }
    assert_eq!(order, [1, 3, 0, 4, 2]);
}

pub async fn a_tenant_at_its_limit_lets_others_pass<B: Backend>(b: Bench<B>) {
    b.store.set_quotas("ada", Quotas { queued: 9, running: 2, ..Quotas::default() }).await.unwrap();
    b.store.set_quotas("eve", Quotas { queued: 9, running: 0, ..Quotas::default() }).await.unwrap();
    for tenant in ["eve", "ada", "ada", "ada", "bob"] {
        b.submit(Submission::new(tenant, json!(1))).await;
    }
    let mut claims = Vec::new();
    while let Some(claim) = b.store.claim("w").await.unwrap() {
        claims.push(claim);
    }
    let tenants: Vec<_> = claims.iter().map(|claim| claim.job.tenant.as_str()).collect();
    assert_eq!(tenants, ["ada", "ada", "bob"]);
    // A job that is being cancelled still has a worker.
    b.store.cancel(claims[0].job.id).await.unwrap();
    b.none().await;
    b.store.finish(claims[1].lease, success()).await.unwrap();
    assert_eq!(b.claim().await.job.tenant, "ada");
}

pub async fn of_many_claimers_each_job_has_one<B: Backend>(b: Bench<B>) {
    let jobs = 61;
    b.store
        .submit((0..jobs).map(|n| Submission::new(format!("t{}", n % 4), json!(n))).collect())
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..7 {
        let store = Arc::clone(&b.store);
        tasks.spawn(async move {
            let mut mine = Vec::new();
            while let Some(claim) = store.claim(&format!("w{worker}")).await.unwrap() {
                mine.push(claim.lease.job);
                store.finish(claim.lease, success()).await.unwrap();
            }
            mine
        });
    }
    let claimed: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), jobs as usize);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), jobs as usize);
    assert_eq!(b.store.stats().await.unwrap().jobs[&State::Succeeded], jobs as u64);
}
