//! What a server refuses and why: `application/problem+json`, or whatever stands between answers.

use crate::failure::bad_input;
use serde::Deserialize;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable, for programs; empty where the answer is not of `foldry serve`.
    pub code: String,
    detail: String,
    pointer: Option<String>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    code: String,
    title: Option<String>,
    detail: Option<String>,
    pointer: Option<String>,
    request_id: Option<String>,
}

/// Characters of a server's words that are shown.
const SHOWN: usize = 1000;

impl Problem {
    /// From the answer's body, whatever it is.
    pub fn new(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Body>(body) {
            Ok(body) => Self {
                status,
                detail: plain(&body.detail.or(body.title).unwrap_or_default()),
                code: plain(&body.code),
                pointer: body.pointer.map(|p| plain(&p)).filter(|p| !p.is_empty()),
                request_id: body.request_id.map(|id| plain(&id)),
            },
            Err(_) => {
                let detail = format!("expected an answer of foldry serve, found status {status}");
                Self { status, code: String::new(), detail, pointer: None, request_id: None }
            }
        }
    }

    /// Whether the same request may pass later.
    pub fn is_passing(&self) -> bool {
        matches!(self.status, 429 | 502 | 503 | 504)
    }

    /// As an error of a command: what the user sent is bad input, all else is a failure.
    pub fn error(&self) -> anyhow::Error {
        match self.status {
            400 | 401 | 403 | 404 | 405 | 406 | 413 | 415 | 416 | 422 => bad_input(self),
            _ => anyhow::anyhow!(self.to_string()),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(pointer) = &self.pointer {
            write!(f, "{pointer}: ")?;
        }
        f.write_str(&self.detail)?;
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        match &self.request_id {
            // Only where the server's operator has to look for it.
            Some(id) if self.status >= 500 => write!(f, ", request {id}"),
            _ => Ok(()),
        }
    }
}

/// Without control characters, which would reach the terminal.
pub fn plain(text: &str) -> String {
    text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
