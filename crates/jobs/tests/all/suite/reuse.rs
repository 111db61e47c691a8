//! A result that is there already.

use super::{Backend, Bench, START, policy, secs};
use jobs::{Digest, JobStore, Outcome, Quotas, Reap, State, Submission};
use serde_json::json;

fn with_content(tenant: &str, content: &[u8]) -> Submission {
    Submission { content: Some(Digest::of(content)), ..Submission::new(tenant, json!({ "sequence": "MKV" })) }
}

pub async fn what_has_a_result_is_not_run_again<B: Backend>(b: Bench<B>) {
    let (input, result) = (Digest::of(b"msa"), Digest::of(b"pdb"));
    let first = b.submit(with_content("ada", b"same")).await;
    // Nothing to reuse yet.
    let second = b.submit(with_content("ada", b"same")).await;
    assert_eq!((second.state, second.reused), (State::Queued, None));
    let lease = b.claim().await.lease;
    b.store
        .finish(lease, Outcome::Succeeded { result: json!({"plddt": 91}), blobs: vec![result] })
        .await
        .unwrap();
    b.store.cancel(second.id).await.unwrap();

    // Also where the queue is full, and with a key, a hook and a blob of its own.
    b.store.set_quotas("ada", Quotas { queued: 0, running: 1, weight_per_day: 1 }).await.unwrap();
    b.clock.advance(secs(3));
    let asked = || Submission {
        key: Some("k".into()),
        webhook: Some("hook".into()),
        blobs: vec![input],
        weight: 5,
        ..with_content("ada", b"same")
    };
    let answer = b.store.submit(vec![asked()]).await.unwrap().remove(0);
    let job = answer.job;
    assert_eq!((answer.fresh, job.state, job.reused), (true, State::Succeeded, Some(first.id)));
    assert_eq!((job.result.clone(), job.attempts, job.started), (Some(json!({"plddt": 91})), 0, None));
    assert_eq!((job.created, job.finished), (START + secs(3), Some(START + secs(3))));
    assert_eq!(b.store.get(job.id).await.unwrap(), job);
    let events: Vec<_> = b.store.events(job.id, 0, 9).await.unwrap().into_iter().map(|e| e.data).collect();
    let reused = json!({"state": "succeeded", "reused": first.id.to_string()});
    assert_eq!(events, [json!({"state": "queued"}), reused]);
    let told = b.store.deliveries(9).await.unwrap();
    assert_eq!(told.iter().map(|told| told.job).collect::<Vec<_>>(), [job.id]);
    b.none().await;
    let again = b.store.submit(vec![asked()]).await.unwrap().remove(0);
    assert_eq!((again.fresh, again.job.id), (false, job.id));

    // It holds the result's blob by itself.
    b.clock.advance(policy().retention - secs(3));
    while !b.store.reap(Reap::Expired).await.unwrap().is_empty() {}
    assert!(b.store.get(first.id).await.unwrap().expired);
    assert_eq!(b.store.unreferenced(vec![input, result]).await.unwrap(), []);
    assert_eq!(b.submit(with_content("ada", b"same")).await.reused, Some(job.id));
}

pub async fn only_a_result_that_is_kept_is_reused<B: Backend>(b: Bench<B>) {
    let run = async |submission: Submission, outcome: Outcome| {
        b.submit(submission).await;
        b.store.finish(b.claim().await.lease, outcome).await.unwrap()
    };
    let failed = Outcome::Failed(jobs::Reason::new("bad_input", "x"));
    run(with_content("ada", b"failed"), failed).await;
    run(with_content("bob", b"of another"), super::success()).await;
    run(with_content("ada", b"old"), super::success()).await;
    let plain = run(Submission::new("ada", json!(1)), super::success()).await;
    b.clock.advance(policy().retention);
    b.store.reap(Reap::Expired).await.unwrap();
    assert!(b.store.get(plain.id).await.unwrap().expired);
    run(with_content("ada", b"recent"), super::success()).await;
    for (content, state) in [
        (&b"failed"[..], State::Queued),
        (b"of another", State::Queued),
        (b"old", State::Queued),
        (b"unknown", State::Queued),
        (b"recent", State::Succeeded),
    ] {
        let job = b.submit(with_content("ada", content)).await;
        assert_eq!((job.state, job.reused.is_some()), (state, state == State::Succeeded), "{content:?}");
    }
    assert_eq!(b.submit(Submission::new("ada", json!(1))).await.state, State::Queued);
}
