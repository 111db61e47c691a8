//! `foldry weights`: list, pull, import, verify and inspect parameter files.

mod catalogue;
mod download;
mod folder;
mod import;
mod inspect;
mod pull;

pub use folder::{find, installed, sha256};

use crate::failure::bad_input;
use std::path::PathBuf;

/// Parameter files: find, download, convert, check and look into them.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the published parameter sets and what is installed.
    List,
    /// Download a published parameter set; continues a download that was cut off.
    Pull {
        /// An archive or a model, as `weights list` names them (model_1_ptm, finetuning_3, …).
        name: String,
        /// Download from this address instead of the publisher's; the file name is appended.
        /// By default what FOLDRY_MIRROR says.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Convert AlphaFold .npz or OpenFold .pt parameters into the weights folder.
    Import {
        /// The file to convert.
        file: PathBuf,
        /// Model name; by default that of the file (params_model_1.npz becomes model_1).
        #[arg(long)]
        name: Option<String>,
        /// Number type to store.
        #[arg(long, value_enum, default_value = "f32")]
        dtype: import::StoredType,
        /// Licence to record, where the catalogue does not know it.
        #[arg(long)]
        licence: Option<String>,
    },
    /// Hash every installed file and compare with what was recorded.
    Verify,
    /// List the tensors of a parameter file and the network they make.
    Inspect {
        /// An .npz, .pt or .safetensors file.
        file: PathBuf,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    let folder = folder::weights_folder();
    let need = || {
        folder
            .clone()
            .ok_or_else(|| bad_input("no weights folder: set FOLDRY_WEIGHTS, XDG_DATA_HOME or HOME"))
    };
    match args.action {
        Action::List => inspect::list(folder.as_deref()),
        Action::Pull { name, mirror } => {
            let mirror = mirror.or_else(|| std::env::var("FOLDRY_MIRROR").ok()).filter(|m| !m.is_empty());
            pull::pull(&name, mirror.as_deref(), &need()?)
        }
        Action::Import { file, name, dtype, licence } => {
            import::import(&file, name.as_deref(), dtype, licence.as_deref(), &need()?).map(drop)
        }
        Action::Verify => folder::verify(&need()?),
        Action::Inspect { file } => inspect::inspect(&file),
    }
}
