//! What a URL says about TLS, checked before connecting: what would be ignored without a word is refused.

use crate::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::sync::Arc;

/// Refuses a root certificate that cannot be read, or that the mode would not look at.
pub(super) fn check(connect: &PgConnectOptions, place: &str) -> Result<()> {
    // The URL as it was understood, variables of the environment (PGSSLROOTCERT) included.
    let url = connect.to_url_lossy();
    let Some((_, root)) = url.query_pairs().find(|(name, _)| name == "sslrootcert") else { return Ok(()) };
    // It is written as it is shown to people.
    let root = root.strip_prefix("file: ").unwrap_or(&root);
    let mode = match connect.get_ssl_mode() {
        PgSslMode::VerifyFull | PgSslMode::VerifyCa => {
            // The certificate itself may stand where its file's name does.
            if !root.contains("-----BEGIN")
                && let Err(error) = std::fs::metadata(root)
            {
                let found = format!("{root}: {error}");
                return Err(Error::damaged(place.as_ref(), "a file of certificates as sslrootcert", found));
            }
            return Ok(());
        }
        PgSslMode::Disable => return Ok(()),
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
    };
    // Others' clients verify with `require` if a root is given; this one would not, and nobody would notice.
    let found = format!("sslmode={mode}, which verifies nothing");
    Err(Error::damaged(place.as_ref(), "sslmode=verify-full or verify-ca beside sslrootcert", found))
}

/// Whether a connection failed because one side did not accept the other's TLS.
pub(super) fn refused(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        // What rustls says of a certificate comes as this kind.
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

pub(super) fn untrusted(source: Arc<sqlx::Error>, place: &str) -> Error {
    Error::Untrusted { place: place.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_certificate_that_would_do_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.pem");
        let told = |mode: &str| {
            let url = format!("postgres://u:hush@h/d?{mode}sslrootcert={}", root.display());
            check(&url.parse().unwrap(), "postgres://h/d").map_err(|error| error.to_string())
        };
        let missing = told("sslmode=verify-full&").unwrap_err();
        assert!(missing.contains("root.pem") && missing.contains("postgres://h/d"), "{missing}");
        std::fs::write(&root, "x").unwrap();
        for mode in ["", "sslmode=prefer&", "sslmode=require&", "sslmode=allow&"] {
            let refused = told(mode).unwrap_err();
            assert!(refused.contains("verify-full") && !refused.contains("hush"), "{refused}");
        }
        for mode in ["sslmode=disable&", "sslmode=verify-ca&", "sslmode=verify-full&"] {
            assert_eq!(told(mode), Ok(()), "{mode}");
        }
    }
}
