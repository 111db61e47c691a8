//! `foldry bench`: how fast the network runs here, and how far that is from what the cores can do.

mod block;
mod cases;
mod gpu;
mod gpu_train;
mod model;
mod op;
mod train;
mod usage;

/// Time the network with made-up parameters and report its share of the machine's peak.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// One pass of the full-size network (model_5_ptm: 48 Evoformer and 4 extra-MSA blocks)
    Model(model::Args),
    /// One block of the Evoformer and one of the extra-MSA stack, by itself
    Block(block::Args),
    /// Each operation of a block by itself, forward and backward
    Op(op::Args),
    /// Training steps of a small network: passes, losses and gradients, no optimizer
    Train(train::Args),
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Model(args) if args.device.is_gpu() => gpu::model(&args),
        What::Op(args) if args.device.is_gpu() => gpu::ops(&args),
        What::Model(args) => model::run(&args),
        What::Block(args) => block::run(&args),
        What::Op(args) => op::run(&args),
        What::Train(args) => train::run(&args),
    }
}
