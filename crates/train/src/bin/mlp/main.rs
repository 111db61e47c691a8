//! Trains a small regression, to see the trainer at work: `train-mlp FOLDER CONFIG.json [--resume] [--pause MILLISECONDS]`.
//! CONFIG.json holds a `TrainConfig`. Prints the summary; metrics are in FOLDER/metrics.jsonl
//! and FOLDER/events. `mpirun` starts it on several ranks.

mod task;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use task::{Mlp, Samples};
use train::{BoxError, Collective, Error, Jsonl, Permutation, Progress, TensorBoard, Tracker, TrainConfig};

const USAGE: &str = "usage: train-mlp FOLDER CONFIG.json [--resume] [--pause MILLISECONDS]";

fn main() -> ExitCode {
    match train::join().map_err(BoxError::from).and_then(|ranks| train(&*ranks)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR  {error}");
            ExitCode::FAILURE
        }
    }
}

fn train(ranks: &dyn Collective) -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let (folder, config) = (arguments.next().ok_or(USAGE)?, arguments.next().ok_or(USAGE)?);
    let (mut resume, mut pause) = (false, Duration::ZERO);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--resume" => resume = true,
            "--pause" => pause = Duration::from_millis(arguments.next().ok_or(USAGE)?.parse()?),
            other => return Err(format!("unknown argument {other}\n{USAGE}").into()),
        }
    }
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let config: TrainConfig = serde_json::from_str(&std::fs::read_to_string(&config)?)?;
    let source = Samples::new(40);
    let order = Permutation::new(source.len, config.seed)?;
    let (weights, task) = (Mlp::weights(config.seed)?, Mlp { dropout: 0.1, pause });
    let mut trackers: Vec<Box<dyn Tracker>> = vec![
        Box::new(Jsonl::new(&folder.join("metrics.jsonl"))),
        Box::new(TensorBoard::new(&folder.join("events"))),
        Box::new(Progress::new()),
    ];
    let stop = AtomicBool::new(false);
    let run =
        train::run(&config, &weights, &order, &source, &task, &mut trackers, ranks, folder, resume, &stop);
    match run {
        Ok(summary) if ranks.rank() == 0 => println!("{summary:?}"),
        Ok(_) | Err(Error::Elsewhere { .. }) => {}
        Err(error) if ranks.world() == 1 => return Err(error.into()),
        Err(error) => {
            eprintln!("ERROR  rank {}: {error}", ranks.rank());
            ranks.abort(1);
        }
    }
    Ok(())
}
