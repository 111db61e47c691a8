//! The way to an S3-compatible store.

use crate::{Error, Result};
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// Where a bucket is, and who asks.
#[derive(Clone)]
pub struct S3Options {
    /// `https://s3.eu-central-1.amazonaws.com`, `http://127.0.0.1:9000`; `None` is Amazon's of the region.
    pub endpoint: Option<String>,
    /// As in `eu-central-1`; other makers' stores often ignore it.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Put before every name; may be empty.
    pub prefix: String,
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: String,
    /// For so long after a put the same process does not put the same bytes again. A sweep adds it to its age.
    pub fresh: Duration,
}

impl std::fmt::Debug for S3Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No key.
        f.debug_struct("S3Options").field("endpoint", &self.endpoint).field("bucket", &self.bucket).finish()
    }
}

impl S3Options {
    /// A bucket of a region, with these keys.
    pub fn new(
        bucket: impl Into<String>,
        region: impl Into<String>,
        id: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: None,
            region: region.into(),
            bucket: bucket.into(),
            prefix: String::new(),
            access_key_id: id.into(),
            secret_access_key: secret.into(),
            fresh: Duration::from_secs(600),
        }
    }

    /// The bucket in words.
    pub(super) fn place(&self) -> String {
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("/{}", self.prefix) };
        format!("s3://{}{prefix}", self.bucket)
    }

    pub(super) fn connect(&self) -> Result<Arc<dyn ObjectStore>> {
        // The program's choice, unless it has made another already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_allow_http(self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")))
            .with_connect_timeout(Duration::from_secs(5))
            .with_timeout(Duration::from_secs(120));
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 5,
            retry_timeout: Duration::from_secs(60),
        };
        let mut builder = AmazonS3Builder::new()
            .with_region(&self.region)
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.access_key_id)
            .with_secret_access_key(&self.secret_access_key)
            // Held by the store against what arrived.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|error| remote(&self.place(), error))?;
        Ok(Arc::new(store))
    }
}

pub(super) fn remote(place: &str, error: object_store::Error) -> Error {
    Error::Remote { place: place.to_owned(), source: Arc::new(error) }
}
