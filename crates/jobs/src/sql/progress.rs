//! What a worker says while it works.

use super::operation::Operation;
use super::turn::Turn;
use super::value::values;
use crate::{Beat, Lease, Result, State};
use async_trait::async_trait;
use serde_json::Value;

pub(crate) struct Heartbeat(pub(crate) Lease);

#[async_trait]
impl Operation for Heartbeat {
    type Output = Beat;
    const NAME: &'static str = "heartbeat";

    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Beat> {
        let job = turn.held(self.0).await?;
        let ends = turn.now + turn.policy.lease;
        let sql = "UPDATE jobs SET lease = $1 WHERE seq = $2";
        turn.db.change("heartbeat", sql, values![ends, job.seq]).await?;
        Ok(if job.state == State::Cancelling { Beat::Stop(ends) } else { Beat::Continue(ends) })
    }
}

pub(crate) struct Append {
    pub(crate) lease: Lease,
    pub(crate) kind: String,
    pub(crate) data: Value,
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
