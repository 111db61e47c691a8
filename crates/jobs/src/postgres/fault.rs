//! What PostgreSQL's errors mean for a call.

use super::tls;
use crate::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// How a transaction went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was taken back because of another at the same time; it may be run again.
    Again,
    /// It is over.
    Over(Error),
}

/// A fault before the commit was asked for: nothing happened.
pub(super) fn before_commit(error: Error, place: &str) -> Fault {
    let (what, source) = match error {
        Error::Contended(_) => return Fault::Again,
        Error::Database { what, source } => (what, source),
        other => return Fault::Over(other),
    };
    // SQLSTATE; https://www.postgresql.org/docs/current/errcodes-appendix.html
    let code = source.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
    match code.as_deref() {
        // Serialization failure, deadlock, a key that another server has just used.
        Some("40001" | "40P01" | "23505") => Fault::Again,
        // Lock not available, query cancelled by its timeout.
        Some("55P03" | "57014") => Fault::Over(Error::Busy(PathBuf::from(place))),
        Some("53100") => Fault::Over(Error::DiskFull(PathBuf::from(place))),
        Some(code) if is_ending(code) => Fault::Over(unavailable(what, source, place)),
        Some(_) => Fault::Over(Error::Database { what, source }),
        None if matches!(*source, sqlx::Error::PoolClosed) => Fault::Over(Error::Closed),
        None if tls::refused(&source) => Fault::Over(tls::untrusted(source, place)),
        None if is_lost(&source) => Fault::Over(unavailable(what, source, place)),
        None => Fault::Over(Error::Database { what, source }),
    }
}

/// A fault in answer to the commit. Only where the server says that it took the transaction back is that so.
pub(super) fn at_commit(error: sqlx::Error, what: &'static str, place: &str) -> Fault {
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) if code.starts_with("40") || code.starts_with("23") => Fault::Again,
        _ => Fault::Over(Error::Uncertain { place: place.to_owned(), what }),
    }
}

pub(super) fn unavailable(what: &'static str, source: Arc<sqlx::Error>, place: &str) -> Error {
    Error::Unavailable { place: place.to_owned(), what, source }
}

/// The server ends the connection, or does not take one: connection exceptions, out of connections, shutting down or
/// starting, idle for too long in a transaction.
fn is_ending(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25P03"
}

fn is_lost(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Io, PoolTimedOut, Protocol, WorkerCrashed};
    matches!(error, Io(_) | PoolTimedOut | Protocol(_) | WorkerCrashed)
}
