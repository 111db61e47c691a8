//! Cancelling, at every moment.

use super::{Backend, Bench, is_lost, policy, retry, success};
use jobs::{Beat, JobStore, Outcome, Reap, Reason, Requeue, State};
use std::sync::Arc;

pub async fn a_waiting_job_is_cancelled_at_once<B: Backend>(b: Bench<B>) {
    let queued = b.plain().await.id;
    assert_eq!(b.store.cancel(queued).await.unwrap().state, State::Cancelled);
    let claim = b.running().await;
    b.store.requeue(claim.lease, retry("flaky", None)).await.unwrap();
    let cancelled = b.store.cancel(claim.job.id).await.unwrap();
    assert_eq!((cancelled.state, cancelled.due), (State::Cancelled, None));
    b.clock.advance(policy().max_backoff);
    b.none().await;
    // Once more changes nothing.
    assert_eq!(b.store.cancel(claim.job.id).await.unwrap(), cancelled);
    assert_eq!(b.history(queued).await, ["queued", "cancelled"]);
}

pub async fn a_running_job_is_stopped_by_its_worker<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    assert_eq!(b.store.cancel(claim.job.id).await.unwrap().state, State::Cancelling);
    assert_eq!(b.store.cancel(claim.job.id).await.unwrap().state, State::Cancelling);
    assert!(matches!(b.store.heartbeat(claim.lease).await, Ok(Beat::Stop(_))));
    let ended = b.store.finish(claim.lease, Outcome::Cancelled).await.unwrap();
    assert_eq!((ended.state, ended.reason), (State::Cancelled, None));
    assert_eq!(b.history(claim.job.id).await, ["queued", "running", "cancelling", "cancelled"]);
}

pub async fn a_cancelled_job_does_not_come_back<B: Backend>(b: Bench<B>) {
    // Whatever the worker says after the cancellation.
    let mut words = 0;
    for word in 0..5 {
        let claim = b.running().await;
        b.store.cancel(claim.job.id).await.unwrap();
        let ended = match word {
            0 => b.store.finish(claim.lease, success()).await,
            1 => b.store.finish(claim.lease, Outcome::Failed(Reason::new("bad_input", "x"))).await,
            2 => b.store.requeue(claim.lease, Requeue::Drain).await,
            3 => b.store.requeue(claim.lease, retry("flaky", None)).await,
            _ => b.store.finish(claim.lease, Outcome::Cancelled).await,
        }
        .unwrap();
        assert_eq!((ended.state, ended.result), (State::Cancelled, None), "word {word}");
        words += 1;
    }
    assert_eq!(b.store.stats().await.unwrap().jobs[&State::Cancelled], words);
    b.none().await;
}

pub async fn the_reaper_ends_what_the_worker_does_not<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    b.store.cancel(claim.job.id).await.unwrap();
    b.clock.advance(policy().lease);
    assert_eq!(b.store.reap(Reap::Expired).await.unwrap().cancelled, 1);
    assert_eq!(b.state(claim.job.id).await, State::Cancelled);
    is_lost(b.store.finish(claim.lease, Outcome::Cancelled).await);
}

pub async fn a_success_that_came_first_stays<B: Backend>(b: Bench<B>) {
    let claim = b.running().await;
    let done = b.store.finish(claim.lease, success()).await.unwrap();
    assert_eq!(b.store.cancel(claim.job.id).await.unwrap(), done);
    let Outcome::Succeeded { result, .. } = success() else { unreachable!() };
    assert_eq!((done.state, done.result), (State::Succeeded, Some(result)));
}

pub async fn of_cancel_and_success_one_wins<B: Backend>(b: Bench<B>) {
    for round in 0..20 {
        let claim = b.running().await;
        let (one, two) = (Arc::clone(&b.store), Arc::clone(&b.store));
        let id = claim.job.id;
        let cancel = tokio::spawn(async move { one.cancel(id).await.unwrap().state });
        let finish = tokio::spawn(async move { two.finish(claim.lease, success()).await.unwrap().state });
        let (cancel, finish) = (cancel.await.unwrap(), finish.await.unwrap());
        let expected = match cancel {
            State::Cancelling => State::Cancelled,
            State::Succeeded => State::Succeeded,
            other => panic!("round {round}: expected cancelling or succeeded, found {other}"),
        };
        assert_eq!((finish, b.state(id).await), (expected, expected), "round {round}");
        let ends =
            b.history(id).await.iter().filter(|state| State::parse(state).unwrap().is_terminal()).count();
        assert_eq!(ends, 1, "round {round}");
    }
}
