//! Attempts that fail: retries, waits, and when it is enough.

use super::{Backend, Bench, policy, retry, secs};
use jobs::{JobStore, Outcome, Reap, Reason, Requeue, State, Submission};
use serde_json::json;
use std::time::Duration;

pub async fn a_failed_attempt_waits_longer_each_time<B: Backend>(b: Bench<B>) {
    let job = b.plain().await;
    // Doubled, and no longer than the longest; the fourth attempt is the last.
    for wait in [2, 4, 7] {
        let lease = b.claim().await.lease;
        let waiting = b.store.requeue(lease, retry("flaky", None)).await.unwrap();
        assert_eq!((waiting.state, waiting.lease), (State::RetryWait, None));
        assert_eq!(waiting.reason, Some(Reason::new("flaky", "what happened")));
        let due = waiting.due.unwrap();
        let told = b.store.events(job.id, waiting.last_event - 1, 9).await.unwrap().remove(0).data;
        let reason = json!({"code": "flaky", "message": "what happened"});
        let expected = json!({"state": "retry_wait", "attempts": waiting.attempts, "reason": reason, "due": due.to_string()});
        assert_eq!(told, expected);
        b.clock.advance(secs(wait) - Duration::from_millis(1));
        b.none().await;
        b.clock.advance(Duration::from_millis(1));
    }
    let claim = b.claim().await;
    assert_eq!(claim.job.attempts, policy().max_attempts);
    let failed = b.store.requeue(claim.lease, retry("flaky", None)).await.unwrap();
    assert_eq!((failed.state, failed.id), (State::Failed, job.id));
    let events = b.store.events(job.id, failed.last_event - 1, 9).await.unwrap();
    assert_eq!(
        events[0].data,
        json!({"state": "failed", "attempts": 4, "reason": {"code": "flaky", "message": "what happened"}})
    );
    b.clock.advance(secs(100));
    b.none().await;
}

pub async fn bad_input_is_not_tried_again<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    let reason = Reason::new("bad_input", "expected letters, found 7");
    let failed = b.store.finish(claim.lease, Outcome::Failed(reason.clone())).await.unwrap();
    assert_eq!((failed.state, failed.reason, failed.attempts), (State::Failed, Some(reason), 1));
    assert_eq!(b.store.get(claim.job.id).await.unwrap().finished, Some(claim.job.created));
}

pub async fn out_of_memory_twice_is_enough<B: Backend>(b: Bench<B>) {
    let job = b.submit(Submission { max_attempts: Some(9), ..Submission::new("ada", json!(1)) }).await;
    for (code, state) in
        [("out_of_memory", State::RetryWait), ("flaky", State::RetryWait), ("out_of_memory", State::Failed)]
    {
        let lease = b.claim().await.lease;
        let after = b.store.requeue(lease, retry(code, Some(2))).await.unwrap();
        assert_eq!(after.state, state, "{code} at attempt {}", after.attempts);
        b.clock.advance(policy().max_backoff);
    }
    assert_eq!(b.store.get(job.id).await.unwrap().reason.unwrap().code, "out_of_memory");
}

pub async fn a_job_that_kills_its_workers_is_poison<B: Backend>(b: Bench<B>) {
    let job = b.submit(Submission { max_attempts: Some(9), ..Submission::new("ada", json!(1)) }).await;
    // Deaths the server saw and deaths that only the lease shows count together.
    for death in 1..=policy().worker_deaths {
        assert!(matches!(b.state(job.id).await, State::Queued | State::RetryWait));
        let lease = b.claim().await.lease;
        if death == 2 {
            b.store.requeue(lease, retry(Reason::WORKER_LOST, None)).await.unwrap();
        } else {
            b.clock.advance(policy().lease);
            let reaped = b.store.reap(Reap::Expired).await.unwrap();
            assert_eq!((reaped.requeued, reaped.failed), if death == 3 { (0, 1) } else { (1, 0) });
        }
        b.clock.advance(policy().max_backoff);
    }
    let failed = b.store.get(job.id).await.unwrap();
    assert_eq!((failed.state, failed.attempts), (State::Failed, 3));
    assert_eq!(failed.reason.unwrap().code, Reason::WORKER_LOST);
    b.none().await;
}

pub async fn a_drain_gives_the_attempt_back<B: Backend>(b: Bench<B>) {
    let job = b.submit(Submission { max_attempts: Some(1), ..Submission::new("ada", json!(1)) }).await;
    for round in 1..4 {
        let claim = b.claim().await;
        assert_eq!((claim.job.attempts, claim.lease.fence), (1, round));
        let queued = b.store.requeue(claim.lease, Requeue::Drain).await.unwrap();
        assert_eq!((queued.state, queued.attempts, queued.reason), (State::Queued, 0, None));
    }
    assert_eq!(b.history(job.id).await.len(), 7);
}
