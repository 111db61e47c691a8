//! `foldry eval`: judge parameters on a split of a dataset, beside baselines.

use crate::device::Choice;
use crate::embedded::ACCURACY;
use crate::failure::{Interrupted, bad_input};
use crate::fold_run::{Network, choose};
use crate::machine;
use crate::plan::running_bytes;
use crate::precision::Precision;
use anyhow::{Context, Result};
use dataset::{Dataset, Split};
use folding::accuracy::median;
use folding::evaluate::{Record, record, table};
use folding::lanes::Lanes;
use folding::source::known;
use folding::task::spread;
use nn::files::safetensors;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Judge parameters on chains of known structure: lDDT-Cα, TM-score, dRMSD, with and without alignment.
#[derive(clap::Args)]
pub struct Args {
    /// Chains, as `foldry data ingest` packs them.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// train, val or test.
    #[arg(long, default_value = "val")]
    split: Split,
    /// As in `foldry fold`.
    #[arg(long, default_value = "auto")]
    model: String,
    /// Parameter file (.npz, .pt, .safetensors) instead of an installed or the embedded one.
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// AlphaFold's configuration as JSON, for networks of other sizes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Recycles after the first pass; by default what the model has.
    #[arg(long, value_name = "N")]
    recycles: Option<usize>,
    /// Chains of at most so many residues.
    #[arg(long, value_name = "N", default_value_t = usize::MAX)]
    longest: usize,
    /// So many chains, evenly spread over the split in file order; all by default.
    #[arg(long, value_name = "N", default_value_t = usize::MAX)]
    chains: usize,
    /// Chains judged at once, each on its share of the cores; by default as many as cores and memory allow. Scores
    /// do not depend on it. One on a GPU.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    together: Option<u16>,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: Choice,
    /// Write every chain's scores as it is judged, one JSON object a line.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the medians into the header of the parameter file (.safetensors), where `foldry fold` reads them.
    #[arg(long, requires = "params")]
    record: bool,
    /// Print every chain's scores as JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Judges the chains, a few at once, and prints the table.
pub fn run(args: Args) -> Result<()> {
    let dataset = Dataset::open(&args.data).map_err(bad_input)?;
    let fits: Vec<usize> =
        dataset.split(args.split).into_iter().filter(|&i| dataset.entry(i).length <= args.longest).collect();
    let chosen = spread(&fits, args.chains);
    if chosen.is_empty() {
        let file = args.data.display();
        return Err(bad_input(format!(
            "{file}: expected chains of the split `{}` of at most {} residues, found none",
            args.split.name(),
            args.longest
        )));
    }
    let device = args.device.open(DTYPE.on_gpu())?;
    let weights = choose(&args.model, args.params.as_deref())?;
    let mut network = Network::open(&weights, args.config.as_deref(), DTYPE, device)?;
    let recycles = args.recycles.unwrap_or(network.features.common.num_recycle);
    let features = network.features.clone();
    let longest = chosen.iter().map(|&i| dataset.entry(i).length).max().unwrap_or(0);
    let lanes = match args.together {
        _ if network.is_on_gpu() => 1,
        Some(together) => usize::from(together),
        None => together(&network, longest, recycles),
    };
    let lanes = lanes.min(chosen.len());
    let model = network.model()?;

    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")?;
    let mut output = match &args.output {
        Some(path) => Some((path, File::create(path).with_context(|| path.display().to_string())?)),
        None => None,
    };
    let bar = crate::console::bar(chosen.len() as u64);
    let mut records: Vec<Record> = Vec::new();
    let judge = |number: usize| {
        let entry = dataset.entry(chosen[number]);
        let chain = dataset.chain(chosen[number]).map_err(anyhow::Error::from)?;
        let chain = known(entry, chain);
        Ok(record(model, &features, recycles, (&chain, entry.no_train_homolog, number as u64))?)
    };
    let tell = |number: usize, judged: Result<Record>| -> Result<()> {
        match judged {
            Ok(record) => {
                if let Some((path, file)) = &mut output {
                    let line = serde_json::to_string(&record)? + "\n";
                    file.write_all(line.as_bytes()).with_context(|| path.display().to_string())?;
                }
                records.push(record);
            }
            Err(error) => eprintln!("ERROR  {}: {error:#}", dataset.entry(chosen[number]).id),
        }
        bar.inc(1);
        Ok(())
    };
    let threads = machine::threads() / lanes;
    Lanes::new(lanes, threads).context("threads to judge with")?.in_order(
        chosen.len(),
        &stop,
        judge,
        tell,
    )?;
    bar.finish_and_clear();
    if let Some(path) = args.params.as_deref().filter(|_| args.record && !stop.load(Ordering::Relaxed)) {
        write_down(path, &accuracy_text(&records, args.split, args.longest))?;
    }
    if args.json {
        for record in &records {
            println!("{}", serde_json::to_string(record)?);
        }
    } else {
        println!("{}", table(&records));
    }
    if stop.load(Ordering::Relaxed) {
        return Err(anyhow::Error::new(Interrupted));
    }
    if records.len() < chosen.len() {
        anyhow::bail!(
            "{} of {} chains could not be judged, see above",
            chosen.len() - records.len(),
            chosen.len()
        );
    }
    Ok(())
}

/// How many chains are judged at once: what the longest takes has to fit as often into half of the free memory.
/// Where the system does not say what is free, one.
fn together(network: &Network, longest: usize, recycles: usize) -> usize {
    let common = &network.features.common;
    let dims = |r: usize| network.dims(r, network.features.num_clusters(), common.max_extra_msa, 0);
    // The parameters are there once.
    let bytes = |r| running_bytes(&dims(r), recycles + 1, 1);
    let each = bytes(longest.max(1)).saturating_sub(bytes(1));
    Lanes::that_fit(machine::threads(), each, machine::memory().map_or(0, |m| m.available / 2))
}

/// The medians in a sentence.
fn accuracy_text(records: &[Record], split: Split, longest: usize) -> String {
    let mid =
        |f: fn(&Record) -> f64| median(&records.iter().map(f).collect::<Vec<f64>>()).unwrap_or_default();
    let length =
        if longest == usize::MAX { String::new() } else { format!(" of at most {longest} residues") };
    format!(
        "median lDDT-Cα {:.2} with alignment, {:.2} from the sequence alone, on {} chains{length} of the {} split",
        mid(|r| r.aligned.lddt_ca),
        mid(|r| r.alone.lddt_ca),
        records.len(),
        split.name()
    )
}

/// Puts what was measured into the header of a parameter file.
fn write_down(path: &Path, accuracy: &str) -> Result<()> {
    let (arrays, mut metadata) = safetensors::read(path).map_err(bad_input)?;
    metadata.insert(ACCURACY.into(), accuracy.into());
    Ok(safetensors::write(path, &arrays, &metadata)?)
}

/// Numbers of the matrix products.
const DTYPE: Precision = Precision::F32;
