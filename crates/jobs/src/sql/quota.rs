//! How much of its quotas a tenant has used.

use super::db::Lock;
use super::turn::Turn;
use super::value::values;
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
    let sql = "SELECT queued, weight FROM tenants WHERE tenant = $1";
    let own = turn.db.first("quota", Lock::None, sql, values![tenant]).await?;
    let Quotas { queued, weight_per_day, .. } = turn.policy.quotas;
    let (queued, per_day) = match own {
        Some(row) => (row.number("queued")?, row.get("weight")?),
        None => (queued, limit(weight_per_day)),
    };
    waiting(turn, tenant, queued).await?;
    if per_day == i64::MAX || weight == 0 { Ok(()) } else { weighing(turn, tenant, per_day, weight).await }
}

async fn waiting(turn: &mut Turn<'_>, tenant: &str, limit: u32) -> Result<()> {
    // Counts no further than it needs to.
    let sql = "SELECT count(*) AS n FROM
               (SELECT 1 FROM jobs WHERE tenant = $1 AND state IN ('queued', 'retry_wait') LIMIT $2) AS waiting";
    let waiting = turn.db.number("quota", sql, values![tenant, limit]).await?;
    if waiting < i64::from(limit) { Ok(()) } else { Err(Error::Quota { tenant: tenant.to_owned(), limit }) }
}

async fn weighing(turn: &mut Turn<'_>, tenant: &str, limit: i64, asked: i64) -> Result<()> {
    let day_ago = turn.now.before(DAY);
    let sql = "SELECT CAST(coalesce(sum(weight), 0) AS BIGINT) AS n FROM jobs
               WHERE tenant = $1 AND created > $2 AND weight > 0";
    let used = turn.db.number("quota", sql, values![tenant, day_ago]).await?;
    if used + asked <= limit {
        return Ok(());
    }
    // The job whose weight makes room when it is a day old; none does for what is more than the limit itself.
    let sql = "SELECT created FROM
               (SELECT created, sum(weight) OVER (ORDER BY created, seq) AS gone FROM jobs
                WHERE tenant = $1 AND created > $2 AND weight > 0) AS made
               WHERE gone >= $3 ORDER BY gone LIMIT 1";
    let row = turn.db.first("quota", Lock::None, sql, values![tenant, day_ago, used + asked - limit]).await?;
    let room = match row {
        Some(row) if asked <= limit => Some(Timestamp(row.get("created")?) + DAY),
        _ => None,
    };
    Err(Error::WeightQuota {
        tenant: tenant.to_owned(),
        limit: limit.unsigned_abs(),
        used: used.unsigned_abs(),
        asked: asked.unsigned_abs(),
        retry_after: room.map(|room| room.since(turn.now)),
    })
}
