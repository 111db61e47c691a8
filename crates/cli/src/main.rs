//! The `foldry` binary: subcommands, and the only place where crates are wired together.

#[macro_use]
mod console;
mod client;
mod commands;
mod device;
mod disk;
mod embedded;
mod failure;
mod fold_run;
mod forward_run;
mod intake;
mod machine;
mod plan;
mod precision;
mod report;
mod serve_run;
mod train_run;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

// Page faults dominate large tensors with the system allocator (docs/performance.md).
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Protein structure prediction: a sequence or an alignment in, 3D coordinates with confidences out.
#[derive(Parser)]
#[command(name = "foldry", version, about, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 interrupted with finished work kept.\n\
     Data goes to standard output, words for people to standard error.";

#[derive(Subcommand)]
enum Command {
    Fold(commands::fold::Args),
    Forward(commands::forward::Args),
    Score(commands::score::Args),
    Weights(commands::weights::Args),
    Data(commands::data::Args),
    Doctor(commands::doctor::Args),
    Train(commands::train::Args),
    Eval(commands::eval::Args),
    Bench(commands::bench::Args),
    Submit(commands::submit::Args),
    Status(commands::status::Args),
    Watch(commands::watch::Args),
    Result(commands::result::Args),
    Cancel(commands::cancel::Args),
    Serve(commands::serve::Args),
    Worker(commands::worker::Args),
    Keys(commands::keys::Args),
    #[command(hide = true)]
    FoldChild(commands::fold_child::Args),
}

fn main() -> ExitCode {
    nn::cpu::keep_candle_on_one_thread();
    let cli = Cli::parse();
    let outcome: anyhow::Result<()> = match cli.command {
        Command::Fold(args) => commands::fold::run(args),
        Command::Forward(args) => commands::forward::run(args),
        Command::Score(args) => commands::score::run(args),
        Command::Weights(args) => commands::weights::run(args),
        Command::Data(args) => commands::data::run(args),
        Command::Bench(args) => commands::bench::run(args),
        Command::Submit(args) => commands::submit::run(args),
        Command::Status(args) => commands::status::run(args),
        Command::Watch(args) => commands::watch::run(args),
        Command::Result(args) => commands::result::run(args),
        Command::Cancel(args) => commands::cancel::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Train(args) => commands::train::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Worker(args) => commands::worker::run(args),
        Command::Keys(args) => commands::keys::run(args),
        Command::FoldChild(args) => commands::fold_child::run(args),
    };
    failure::report(outcome)
}
