//! A client of `foldry serve` (docs/service.md): requests that are tried again, events that go on after a cut, results.

mod body;
mod events;
#[cfg(test)]
pub mod fake;
mod fetch;
mod follow;
mod http;
mod problem;
mod shown;

pub use body::{Wishes, body, key};
pub use fetch::{Format, files, one};
pub use follow::{Screen, follow};
pub use http::Client;
pub use shown::{line, table};

/// Where the server is.
#[derive(clap::Args, Clone, Debug)]
pub struct Server {
    /// Address of the server.
    #[arg(long, env = "FOLDRY_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// API key, if the server wants one. Other users of this machine can see a command line: the variable hides it.
    #[arg(long, env = "FOLDRY_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// The path of a job's part.
///
/// # Errors  bad input: no id.
pub fn path(id: &str, part: &str) -> anyhow::Result<String> {
    let sound = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    match sound {
        true => Ok(format!("/v1/jobs/{id}{part}")),
        false => {
            let id: String = id.chars().take(64).collect();
            Err(crate::failure::bad_input(format!("expected a job's id, found {id:?}")))
        }
    }
}
