//! Leases and fences: a worker that is late is refused.

use super::{Backend, Bench, is_lost, policy, retry, secs, success};
use jobs::{Beat, JobStore, Lease, Reap, Reaped, Requeue, State};
use serde_json::json;

pub async fn a_heartbeat_renews_the_lease<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    b.clock.advance(secs(10));
    let ends = claim.job.created + secs(10) + policy().lease;
    assert_eq!(b.store.heartbeat(claim.lease).await.unwrap(), Beat::Continue(ends));
    // The first lease would have ended.
    b.clock.advance(secs(14));
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap(), Reaped::default());
    b.clock.advance(secs(1));
    let expected = Reaped { requeued: 1, ..Reaped::default() };
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap(), expected);
}

pub async fn a_late_worker_is_refused<B: Backend>(b: Bench<B>) {
    let late = b.running().await.lease;
    b.clock.advance(policy().lease);
    b.store.reap(Reap::Expired).await.unwrap();
    // Nobody holds it.
    is_lost(b.store.heartbeat(late).await);
    b.clock.advance(policy().backoff);
    let held = b.claim().await.lease;
    assert_eq!(held, Lease { job: late.job, fence: late.fence + 1 });
    // Somebody else holds it.
    let before = b.store.get(late.job).await.unwrap();
    is_lost(b.store.heartbeat(late).await);
    is_lost(b.store.append_event(late, "stage", json!(1)).await);
    is_lost(b.store.finish(late, success()).await);
    is_lost(b.store.requeue(late, Requeue::Drain).await);
    is_lost(b.store.requeue(late, retry("flaky", None)).await);
    assert_eq!(b.store.get(late.job).await.unwrap(), before);
    b.store.finish(held, success()).await.unwrap();
    // It ended, also for the one who ended it.
    for lease in [late, held] {
        is_lost(b.store.finish(lease, success()).await);
        is_lost(b.store.append_event(lease, "stage", json!(1)).await);
    }
    assert_eq!(b.history(late.job).await, ["queued", "running", "retry_wait", "running", "succeeded"]);
}

pub async fn slow_work_is_not_lost_for_nothing<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    b.clock.advance(secs(3600));
    // Nobody took it away, so it still counts.
    assert_eq!(b.store.finish(claim.lease, success()).await.unwrap().state, State::Succeeded);
}

pub async fn fences_are_not_guessed<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    let ahead = Lease { fence: claim.lease.fence + 1, ..claim.lease };
    is_lost(b.store.finish(ahead, success()).await);
    let unknown = Lease { job: "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap(), fence: 1 };
    is_lost(b.store.heartbeat(unknown).await);
    assert_eq!(b.state(claim.job.id).await, State::Running);
}

pub async fn a_restart_keeps_everything<B: Backend>(mut b: Bench<B>) {
    let (running, waiting, cancelling) = (b.running().await, b.running().await, b.running().await);
    let queued = b.plain().await;
    b.store.append_event(running.lease, "stage", json!("msa")).await.unwrap();
    b.store.requeue(waiting.lease, retry("flaky", None)).await.unwrap();
    b.store.cancel(cancelling.job.id).await.unwrap();
    let before = [running.job.id, waiting.job.id, cancelling.job.id, queued.id];
    let read = async |b: &Bench<B>| {
        let mut all = Vec::new();
        for id in before {
            all.push((b.store.get(id).await.unwrap(), b.store.events(id, 0, 99).await.unwrap()));
        }
        all
    };
    let expected = read(&b).await;
    b.restart().await;
    assert_eq!(read(&b).await, expected);

    // Workers were children of the server that stopped: their leases end at once, and no attempt is counted.
    let reaped = b.store.reap(Reap::Boot).await.unwrap();
    assert_eq!(reaped, Reaped { requeued: 1, cancelled: 1, ..Reaped::default() });
    let rescued = b.store.get(running.job.id).await.unwrap();
    assert_eq!((rescued.state, rescued.attempts, rescued.lease), (State::Queued, 0, None));
    is_lost(b.store.finish(running.lease, success()).await);
    assert_eq!(b.state(cancelling.job.id).await, State::Cancelled);
    let again = b.claim().await;
    assert_eq!(again.lease, Lease { job: running.job.id, fence: running.lease.fence + 1 });
}

pub async fn a_clock_set_back_leaves_no_job_waiting<B: Backend>(mut b: Bench<B>) {
    let claim = b.running().await;
    b.plain().await;
    b.store.requeue(claim.lease, retry("flaky", None)).await.unwrap();
    b.clock.set(claim.job.created.before(secs(3600)));
    b.restart().await;
    b.store.reap(Reap::Boot).await.unwrap();
    b.claim().await;
    b.none().await;
    b.clock.advance(policy().max_backoff);
    assert_eq!(b.claim().await.job.id, claim.job.id);
}

pub async fn an_hour_more_or_less_loses_nothing<B: Backend>(b: Bench<B>) {
    let hour = secs(3600);
    // Forward: every lease has run out, and who held one is refused once it is taken.
    let claim = b.running().await;
    b.clock.advance(hour);
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap().requeued, 1);
    is_lost(b.store.heartbeat(claim.lease).await);
    b.clock.advance(policy().max_backoff);
    let claim = b.claim().await;

    // Back: a worker that lives goes on; the lease of one that died ends no later than a lease from now.
    let back = b.store.get(claim.job.id).await.unwrap().lease.unwrap().before(policy().lease + hour);
    b.clock.set(back);
    b.plain().await;
    let dead = b.claim().await;
    b.store.heartbeat(claim.lease).await.unwrap();
    b.store.append_event(claim.lease, "stage", json!(1)).await.unwrap();
    b.clock.advance(hour);
    let dying = b.running().await;
    b.clock.set(back);
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap(), Reaped::default());
    b.store.heartbeat(claim.lease).await.unwrap();
    b.clock.advance(policy().lease);
    b.store.heartbeat(claim.lease).await.unwrap();
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap().requeued, 2);
    for late in [dead.lease, dying.lease] {
        is_lost(b.store.finish(late, success()).await);
    }
    let done = b.store.finish(claim.lease, success()).await.unwrap();
    assert_eq!(done.state, State::Succeeded);
    b.clock.advance(policy().max_backoff);
    for _ in 0..2 {
        let claim = b.claim().await;
        b.store.finish(claim.lease, success()).await.unwrap();
    }
    b.none().await;
}
