//! The states of a job.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a job is: `queued → running → succeeded | failed | cancelled`, plus `retry_wait` and `cancelling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = JobState))]
pub enum State {
    /// Accepted; waits for a worker.
    Queued,
    /// A worker holds its lease.
    Running,
    /// An attempt failed; waits until it may be tried again.
    RetryWait,
    /// To be stopped, and a worker still holds its lease.
    Cancelling,
    /// Has its result.
    Succeeded,
    /// Has none, and a reason.
    Failed,
    /// Stopped because it was asked for.
    Cancelled,
}

impl State {
    /// All, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::RetryWait,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::RetryWait => "retry_wait",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Which one is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Never left again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// A worker holds its lease.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(State::parse("Queued"), None);
    }
}
