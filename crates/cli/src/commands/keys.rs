//! `foldry keys add|list|revoke`: who may use a server. A running server notices within seconds.

use crate::failure::bad_input;
use crate::serve_run::keys_file;
use api::keys::{self, Key, KeyQuotas};
use clap::Subcommand;
use std::path::PathBuf;

/// API keys of `foldry serve`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// File of the keys [default: keys.json in the server's data folder].
    #[arg(long, env = "FOLDRY_KEYS", value_name = "FILE", global = true)]
    keys: Option<PathBuf>,
    /// The server's data folder.
    #[arg(long, env = "FOLDRY_DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Make a key. It is printed once, and cannot be shown again.
    Add(Add),
    /// List keys, without their secrets.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make keys useless.
    Revoke {
        /// As `foldry keys list` shows them.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Add {
    /// Whose jobs it sees and makes; several keys may be of one tenant.
    #[arg(long)]
    tenant: String,
    /// May read the server's metrics.
    #[arg(long)]
    admin: bool,
    /// Jobs of the tenant that may wait [default: the server's].
    #[arg(long, value_name = "N")]
    queued: Option<u32>,
    /// Jobs of the tenant that may run at the same time [default: the server's].
    #[arg(long, value_name = "N")]
    running: Option<u32>,
    /// Residues, times seeds, that the tenant may submit in 24 hours [default: the server's].
    #[arg(long, value_name = "N")]
    residues_per_day: Option<u64>,
    /// Requests per second [default: the server's].
    #[arg(long, value_name = "X")]
    requests_per_second: Option<f64>,
}

/// Adds, lists or revokes.
pub fn run(args: Args) -> anyhow::Result<()> {
    let file = keys_file(args.keys, args.data)?;
    match args.what {
        What::Add(add) => {
            if let Some(rate) = add.requests_per_second.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
                return Err(bad_input(format!("--requests-per-second: expected more than 0, found {rate}")));
            }
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|error| bad_input(format!("{}: {error}", folder.display())))?;
            }
            let (queued, running, residues_per_day) = (add.queued, add.running, add.residues_per_day);
            let (key, token) = keys::add(
                &file,
                Key {
                    id: String::new(),
                    sha256: String::new(),
                    tenant: add.tenant,
                    admin: add.admin,
                    quotas: KeyQuotas { queued, running, residues_per_day },
                    requests_per_second: add.requests_per_second,
                    created: String::new(),
                    revoked: None,
                },
            )
            .map_err(bad_input)?;
            eprintln!(
                "NOTE  key {} of tenant {} in {}; it is shown only now",
                key.id,
                key.tenant,
                file.display()
            );
            println!("{token}");
        }
        What::List { json } => {
            let all = keys::list(&file).map_err(bad_input)?;
            if json {
                println!("{}", serde_json::to_string(&all)?);
                return Ok(());
            }
            for key in all {
                let role = if key.admin { "admin" } else { "user" };
                let state = key.revoked.map_or("valid".into(), |at| format!("revoked {at}"));
                println!("{}\t{}\t{role}\t{}\t{state}", key.id, key.tenant, key.created);
            }
        }
        What::Revoke { ids } => {
            for id in ids {
                keys::revoke(&file, &id).map_err(bad_input)?;
                eprintln!("NOTE  key {id} is revoked");
            }
        }
    }
    Ok(())
}
