//! How much of its quotas a tenant has used.

use super::rows::column;
use super::turn::Turn;
use crate::policy::DAY;
use crate::{Error, Quotas, Result, Timestamp};

/// Heavier is stored as this: no sum of so many jobs as fit on a disk overflows, and no quota that is one allows it.
const HEAVIEST: i64 = 1 << 40;

/// A weight as it is stored.
pub(super) fn stored(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(HEAVIEST).min(HEAVIEST)
}

/// A limit as it is stored; `i64::MAX` is none.
pub(super) fn limit(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}

/// Whether one more job of this weight is within the tenant's quotas.
pub(super) async fn check(turn: &mut Turn<'_>, tenant: &str, weight: i64) -> Result<()> {
    let own = sqlx::query("SELECT queued, weight FROM tenants WHERE tenant = ?")
        .bind(tenant)
        .fetch_optional(&mut *turn.db)
        .await
        .map_err(Error::database("quota"))?;
    let Quotas { queued, weight_per_day, .. } = turn.policy.quotas;
    let (queued, per_day) = match own {
        Some(row) => (column(&row, "queued")?, column(&row, "weight")?),
        None => (queued, limit(weight_per_day)),
    };
    waiting(turn, tenant, queued).await?;
    if per_day == i64::MAX || weight == 0 { Ok(()) } else { weighing(turn, tenant, per_day, weight).await }
}

async fn waiting(turn: &mut Turn<'_>, tenant: &str, limit: u32) -> Result<()> {
    // Counts no further than it needs to.
    let waiting: u32 = sqlx::query_scalar(
        "SELECT count(*) FROM
         (SELECT 1 FROM jobs WHERE tenant = ? AND state IN ('queued', 'retry_wait') LIMIT ?)",
    )
    .bind(tenant)
    .bind(limit)
    .fetch_one(&mut *turn.db)
    .await
    .map_err(Error::database("quota"))?;
    if waiting < limit { Ok(()) } else { Err(Error::Quota { tenant: tenant.to_owned(), limit }) }
}

async fn weighing(turn: &mut Turn<'_>, tenant: &str, limit: i64, asked: i64) -> Result<()> {
    let day_ago = turn.now.before(DAY).0;
    let used: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(weight), 0) FROM jobs WHERE tenant = ? AND created > ? AND weight > 0",
    )
    .bind(tenant)
    .bind(day_ago)
    .fetch_one(&mut *turn.db)
    .await
    .map_err(Error::database("quota"))?;
    if used + asked <= limit {
        return Ok(());
    }
    // The job whose weight makes room when it is a day old; none does for what is more than the limit itself.
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT created FROM
         (SELECT created, sum(weight) OVER (ORDER BY created, seq) AS gone FROM jobs
          WHERE tenant = ? AND created > ? AND weight > 0)
         WHERE gone >= ? ORDER BY gone LIMIT 1",
    )
    .bind(tenant)
    .bind(day_ago)
    .bind(used + asked - limit)
    .fetch_optional(&mut *turn.db)
    .await
    .map_err(Error::database("quota"))?;
    let room = last.filter(|_| asked <= limit).map(|created| Timestamp(created) + DAY);
    Err(Error::WeightQuota {
        tenant: tenant.to_owned(),
        limit: limit.unsigned_abs(),
        used: used.unsigned_abs(),
        asked: asked.unsigned_abs(),
        retry_after: room.map(|room| room.since(turn.now)),
    })
}
