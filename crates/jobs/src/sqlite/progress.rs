//! What a worker says while it works.

use super::turn::Turn;
use super::writer::Operation;
use crate::{Beat, Error, Lease, Result, State};
use async_trait::async_trait;
use serde_json::Value;

pub(super) struct Heartbeat(pub(super) Lease);

#[async_trait]
impl Operation for Heartbeat {
    type Output = Beat;
    const NAME: &'static str = "heartbeat";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Beat> {
        let job = turn.held(self.0).await?;
        let ends = turn.now + turn.policy.lease;
        sqlx::query("UPDATE jobs SET lease = ? WHERE seq = ?")
            .bind(ends.0)
            .bind(job.seq)
            .execute(&mut *turn.db)
            .await
            .map_err(Error::database("heartbeat"))?;
        Ok(if job.state == State::Cancelling { Beat::Stop(ends) } else { Beat::Continue(ends) })
    }
}

pub(super) struct Append {
    pub(super) lease: Lease,
    pub(super) kind: String,
    pub(super) data: Value,
}

#[async_trait]
impl Operation for Append {
    type Output = i64;
    const NAME: &'static str = "append_event";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<i64> {
        let job = turn.held(self.lease).await?;
        turn.event(&job, &self.kind, &self.data).await
    }
}
