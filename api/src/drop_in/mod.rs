//! Routes of other services, so that their clients work here: they submit to the same queue and wait. A client that
//! leaves does not cancel its job.

pub(crate) mod esm;
pub(crate) mod nim;

use crate::accept;
use crate::app::Server;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::shapes::NewJob;
use jobs::{Digest, Job};
use tokio::time::{Instant, sleep_until};
use work::Product;

/// Submits a job and waits for its end.
async fn fold(server: &Server, tenant: &str, new: NewJob) -> Result<Job> {
    let engine = server.engine()?;
    let limits = server.limits.clone();
    let checked = server.parse(move || accept::check(new, &engine, &limits)).await?;
    let submitted = accept::store(server, tenant, vec![(checked, None)]).await?;
    let Some(mut job) = submitted.into_iter().next().map(|one| one.job) else {
        return Err(Problem::internal("the store accepted nothing and did not say why"));
    };
    let end = Instant::now() + server.limits.drop_in_wait;
    let mut follower = server.follow.job(job.id);
    loop {
        job = server.store.get(job.id).await?;
        if job.state.is_terminal() {
            return Ok(job);
        }
        if Instant::now() >= end {
            let detail = format!("the job goes on; its result will be at /v1/jobs/{}/result", job.id);
            return Err(Problem::new(Code::WaitedTooLong, detail));
        }
        tokio::select! {
            () = follower.changed() => {}
            () = sleep_until(end.min(Instant::now() + server.limits.poll)) => {}
        }
    }
}

/// A file of a product, which must be there.
async fn file(server: &Server, product: &Product, name: &str) -> Result<Vec<u8>> {
    let item = product.file(name).ok_or_else(|| Problem::internal(format!("the product has no {name}")))?;
    let digest: Digest = item.sha256.parse().map_err(Problem::internal)?;
    Ok(server.blobs.get(digest).await?)
}
