//! Webhooks: an address and a secret that can be used.

use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::shapes::NewWebhook;
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a Standard Webhooks secret begins with.
pub(crate) const PREFIX: &str = "whsec_";

pub(super) fn check(hook: &NewWebhook, private: bool) -> Result<()> {
    let bad = |field: &str, detail: &str| {
        Problem::new(Code::BadWebhook, format!("webhook.{field}: {detail}")).at(format!("/webhook/{field}"))
    };
    if hook.url.len() > 2000 {
        return Err(bad("url", "expected at most 2000 characters, found more"));
    }
    let url: Uri = hook.url.parse().map_err(|_| bad("url", "expected an address, found something else"))?;
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if private => {}
        _ => return Err(bad("url", "expected an address that begins with https://")),
    }
    match url.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            return Err(bad("url", "expected no user name or password in it"));
        }
        Some(authority) if !authority.host().is_empty() => {}
        _ => return Err(bad("url", "expected a host, found none")),
    }
    match secret(&hook.secret) {
        Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(()),
        _ => Err(bad("secret", "expected `whsec_` and base64 of 24 to 64 bytes")),
    }
}

/// The bytes of a secret.
pub(crate) fn secret(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix(PREFIX)?).ok()
}
