//! `foldry result ID`: what a job of a server made.

use crate::client::{Client, Format, Server, files, one};
use crate::failure::bad_input;
use anyhow::Context;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// Fetch the result of a job: all its files with -o, or one form of it on standard output.
#[derive(clap::Args)]
pub struct Args {
    /// The job's id.
    id: String,
    #[command(flatten)]
    server: Server,
    /// Folder in which the result gets its own, with all files checked by sha256; with --format a file ID.FORMAT.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What to fetch; without -o by default pdb.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Which model, 1 is the best; for pdb and cif.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rank: u32,
    /// Replace another result in the folder of -o.
    #[arg(long, requires = "output")]
    overwrite: bool,
}

/// Fetches it.
pub fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    match (&args.output, args.format) {
        (Some(folder), None) => {
            let place = files(&client, &args.id, folder, args.overwrite)?;
            println!("{}", place.display());
            Ok(())
        }
        (Some(folder), Some(format)) => {
            let mut bytes = Vec::new();
            one(&client, &args.id, format, args.rank, &mut bytes)?;
            let file = folder.join(format!("{}.{}", args.id, format.ending()));
            if file.exists() && !args.overwrite && std::fs::read(&file).ok().as_deref() != Some(&bytes) {
                let what = "expected nothing or the same result, found another";
                return Err(bad_input(format!("{}: {what}; --overwrite replaces it", file.display())));
            }
            let part = folder.join(format!(".{}.{}.part", args.id, format.ending()));
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&part, &bytes))
                .and_then(|()| std::fs::rename(&part, &file))
                .with_context(|| format!("cannot write {}", file.display()))?;
            println!("{}", file.display());
            Ok(())
        }
        (None, format) => {
            let format = format.unwrap_or(Format::Pdb);
            if format == Format::Zip && std::io::stdout().is_terminal() {
                return Err(bad_input("--format zip: expected -o DIR or a redirection, found a terminal"));
            }
            // Whole or not at all: a reader behind a pipe cannot take back what it got.
            let mut bytes = Vec::new();
            one(&client, &args.id, format, args.rank, &mut bytes)?;
            let mut out = crate::console::out();
            out.write_all(&bytes).and_then(|()| out.flush()).context("standard output")
        }
    }
}
