//! Who asks: taken from the header `Authorization`, counted, and held to its rate.

use crate::app::Server;
use crate::code::Code;
use crate::problem::{Problem, Result};
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use jobs::{Job, JobId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The tenant of a server without keys.
pub(crate) const LOCAL: &str = "local";

/// An admitted caller.
pub(crate) struct Caller {
    pub(crate) tenant: String,
    pub(crate) admin: bool,
}

impl FromRequestParts<Arc<Server>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self> {
        let Some(keys) = server.keys.as_ref().filter(|keys| keys.are_wanted()) else {
            if let Some(rate) = server.limits.requests_per_second {
                server.rates.take(LOCAL, rate, Instant::now())?;
            }
            return Ok(Self { tenant: LOCAL.into(), admin: true });
        };
        let refused = |detail: &str| Problem::new(Code::Unauthorized, detail);
        let header = parts.headers.get(header::AUTHORIZATION);
        let header =
            header.ok_or_else(|| refused("expected a header `Authorization: Bearer KEY`, found none"))?;
        let token = header.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let token = token.ok_or_else(|| refused("expected `Bearer KEY`, found another scheme"))?;
        let key = keys.check(token).ok_or_else(|| refused("the key is unknown or was revoked"))?;
        if let Some(rate) = key.requests_per_second.or(server.limits.requests_per_second) {
            server.rates.take(&key.id, rate, Instant::now())?;
        }
        apply_quotas(server).await?;
        Ok(Self { tenant: key.tenant.clone(), admin: key.admin })
    }
}

impl Caller {
    /// The job, if it is the caller's own; others are as unknown as those that are not there.
    pub(crate) async fn job(&self, server: &Server, id: &str) -> Result<Job> {
        let unknown = || Problem::new(Code::NotFound, "expected the id of a job, found another");
        let id: JobId = id.parse().map_err(|_| unknown())?;
        match server.store.get(id).await {
            Ok(job) if job.tenant == self.tenant => Ok(job),
            Ok(_) | Err(jobs::Error::Unknown(_)) => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells the store what the file of keys says, once after every change.
async fn apply_quotas(server: &Server) -> Result<()> {
    let Some(keys) = &server.keys else { return Ok(()) };
    if server.quotas_of.load(Ordering::Acquire) == keys.generation() {
        return Ok(());
    }
    let (generation, quotas) = keys.quotas();
    let policy = server.limits.quotas;
    for (tenant, own) in quotas {
        let quotas = jobs::Quotas {
            queued: own.queued.unwrap_or(policy.queued),
            running: own.running.unwrap_or(policy.running),
            weight_per_day: own.residues_per_day.unwrap_or(policy.weight_per_day),
        };
        server.store.set_quotas(&tenant, quotas).await?;
    }
    server.quotas_of.store(generation, Ordering::Release);
    Ok(())
}
