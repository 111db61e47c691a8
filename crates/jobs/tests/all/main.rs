//! The conformance suite on every backend, and what is a backend's own.

mod blobs;
mod churn;
mod crash;
mod disk;
mod postgres;
mod proxy;
#[cfg(feature = "s3")]
mod s3;
mod sqlite;
mod suite;
mod tls;
