//! Webhook calls that are to be made, and the small writes that fit nowhere else.

use super::rows::{column, read};
use super::turn::Turn;
use super::writer::Operation;
use crate::{Delivery, Error, Quotas, Result};
use async_trait::async_trait;
use uuid::Uuid;

pub(super) struct Deliveries {
    pub(super) limit: u32,
}

#[async_trait]
impl Operation for Deliveries {
    type Output = Vec<Delivery>;
    const NAME: &'static str = "deliveries";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Vec<Delivery>> {
        let rows = sqlx::query(
            "SELECT outbox.id, jobs.id AS job_id, outbox.webhook, outbox.tries FROM outbox
             JOIN jobs ON jobs.seq = outbox.job WHERE outbox.due <= ? ORDER BY outbox.due LIMIT ?",
        )
        .bind(turn.now.0)
        .bind(self.limit)
        .fetch_all(&mut *turn.db)
        .await
        .map_err(Error::database("outbox"))?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: Uuid = read(row, "id", |text| text.parse().ok())?;
            let tries = column::<u32>(row, "tries")? + 1;
            // Taken off the list at once and put back for later: a sender that dies leaves it to the next.
            if tries > turn.policy.webhook_tries {
                delete(turn, id).await?;
                continue;
            }
            sqlx::query("UPDATE outbox SET tries = ?, due = ? WHERE id = ?")
                .bind(tries)
                .bind((turn.now + turn.policy.after_try(tries)).0)
                .bind(id.to_string())
                .execute(&mut *turn.db)
                .await
                .map_err(Error::database("outbox"))?;
            let job = read(row, "job_id", |text| text.parse().ok())?;
            deliveries.push(Delivery { id, job, webhook: column(row, "webhook")?, tries });
        }
        Ok(deliveries)
    }
}

pub(super) struct Delivered(pub(super) Uuid);

#[async_trait]
impl Operation for Delivered {
    type Output = ();
    const NAME: &'static str = "delivered";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        delete(turn, self.0).await
    }
}

async fn delete(turn: &mut Turn<'_>, delivery: Uuid) -> Result<()> {
    sqlx::query("DELETE FROM outbox WHERE id = ?")
        .bind(delivery.to_string())
        .execute(&mut *turn.db)
        .await
        .map_err(Error::database("outbox"))?;
    Ok(())
}

pub(super) struct SetQuotas {
    pub(super) tenant: String,
    pub(super) quotas: Quotas,
}

#[async_trait]
impl Operation for SetQuotas {
    type Output = ();
    const NAME: &'static str = "set_quotas";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        sqlx::query("INSERT OR REPLACE INTO tenants (tenant, queued, running, weight) VALUES (?, ?, ?, ?)")
            .bind(&self.tenant)
            .bind(self.quotas.queued)
            .bind(self.quotas.running)
            .bind(super::quota::limit(self.quotas.weight_per_day))
            .execute(&mut *turn.db)
            .await
            .map_err(Error::database("quotas"))?;
        Ok(())
    }
}

pub(super) struct Ping;

#[async_trait]
impl Operation for Ping {
    type Output = ();
    const NAME: &'static str = "ping";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        sqlx::query("INSERT OR REPLACE INTO pulse (one, at) VALUES (1, ?)")
            .bind(turn.now.0)
            .execute(&mut *turn.db)
            .await
            .map_err(Error::database("ping"))?;
        Ok(())
    }
}
