//! One call: to the address that was checked, without redirects, within a time.

use std::net::SocketAddr;
use std::time::Duration;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// From connecting to the answer's headers.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) struct Call {
    pub(super) url: String,
    pub(super) id: String,
    pub(super) timestamp: u64,
    pub(super) signature: String,
    pub(super) body: String,
}

/// Finds one address, whatever is looked up.
#[derive(Debug)]
struct Pinned(SocketAddr);

impl Resolver for Pinned {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        found.push(self.0);
        Ok(found)
    }
}

impl Call {
    /// Makes the call and returns the status. Blocks.
    pub(super) fn make(&self, address: SocketAddr, plain: bool) -> Result<u16, String> {
        let config = Agent::config_builder()
            .https_only(!plain)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("foldry/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Pinned(address));
        let answer = agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", self.timestamp.to_string())
            .header("webhook-signature", &self.signature)
            .send(&self.body);
        // The answer's body is of no interest and is not read.
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    }
}
