//! Webhook calls that are to be made, and the small writes that fit nowhere else.

use super::db::Lock;
use super::operation::Operation;
use super::turn::Turn;
use super::value::values;
use crate::{Delivery, Quotas, Result};
use async_trait::async_trait;
use uuid::Uuid;

pub(crate) struct Deliveries {
    pub(crate) limit: u32,
}

#[async_trait]
impl Operation for Deliveries {
    type Output = Vec<Delivery>;
    const NAME: &'static str = "deliveries";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Vec<Delivery>> {
        let sql =
            "SELECT id, (SELECT jobs.id FROM jobs WHERE jobs.seq = outbox.job) AS job_id, webhook, tries
                   FROM outbox WHERE due <= $1 ORDER BY due LIMIT $2";
        let rows = turn.db.rows("outbox", Lock::Skip, sql, values![turn.now, self.limit]).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: Uuid = row.read("id", |text| text.parse().ok())?;
            let tries = row.number::<u32>("tries")? + 1;
            // Taken off the list at once and put back for later: a sender that dies leaves it to the next.
            if tries > turn.policy.webhook_tries {
                delete(turn, id).await?;
                continue;
            }
            let due = turn.now + turn.policy.after_try(tries);
            let sql = "UPDATE outbox SET tries = $1, due = $2 WHERE id = $3";
            turn.db.change("outbox", sql, values![tries, due, id]).await?;
            deliveries.push(Delivery { id, job: row.job_id("job_id")?, webhook: row.get("webhook")?, tries });
        }
        Ok(deliveries)
    }
}

pub(crate) struct Delivered(pub(crate) Uuid);

#[async_trait]
impl Operation for Delivered {
    type Output = ();
    const NAME: &'static str = "delivered";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        delete(turn, self.0).await
    }
}

async fn delete(turn: &mut Turn<'_>, delivery: Uuid) -> Result<()> {
    turn.db.change("outbox", "DELETE FROM outbox WHERE id = $1", values![delivery]).await?;
    Ok(())
}

pub(crate) struct SetQuotas {
    pub(crate) tenant: String,
    pub(crate) quotas: Quotas,
}

#[async_trait]
impl Operation for SetQuotas {
    type Output = ();
    const NAME: &'static str = "set_quotas";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        let Quotas { queued, running, weight_per_day } = self.quotas;
        let sql = "INSERT INTO tenants (tenant, queued, running, weight) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (tenant) DO UPDATE
                   SET queued = excluded.queued, running = excluded.running, weight = excluded.weight";
        let weight = super::quota::limit(weight_per_day);
        turn.db.change("quotas", sql, values![&self.tenant, queued, running, weight]).await?;
        Ok(())
    }
}

pub(crate) struct Ping;

#[async_trait]
impl Operation for Ping {
    type Output = ();
    const NAME: &'static str = "ping";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        let sql =
            "INSERT INTO pulse (one, at) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET at = excluded.at";
        turn.db.change("ping", sql, values![turn.now]).await?;
        Ok(())
    }
}
