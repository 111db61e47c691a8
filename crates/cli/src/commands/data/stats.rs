//! `foldry data stats FILE`: counts, lengths and alignment depths of a dataset.

use crate::failure::bad_input;
use dataset::{Bin, Counts, Dataset, Stats, stats};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Print counts, lengths and alignment depths of a dataset.
#[derive(clap::Args)]
pub struct Args {
    /// NAME.foldset, or one of its parts.
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Also read every record and compare all checksums.
    #[arg(long)]
    verify: bool,
}

/// Prints on stdout.
pub fn run(args: Args) -> anyhow::Result<()> {
    let set = Dataset::open(&args.file).map_err(bad_input)?;
    if args.verify {
        set.verify().map_err(bad_input)?;
    }
    let found = stats(&set);
    let refused = refused(&dataset::report_path(&args.file))?;
    if args.json {
        let object = serde_json::json!({
            "files": set.files().collect::<Vec<_>>(), "bytes": set.bytes(), "set": set.set_id(),
            "verified": args.verify, "refused": refused, "stats": found,
        });
        println!("{object}");
        return Ok(());
    }
    let files = set.files().count();
    println!("set\t{}", set.set_id());
    println!("files\t{files}");
    println!("megabytes\t{:.1}", set.bytes() as f64 / 1e6);
    if args.verify {
        println!("verified\tyes");
    }
    table(&found);
    for (reason, count) in refused.iter().flatten() {
        println!("refused {reason}\t{count}");
    }
    if found.leaks > 0 {
        eprintln!("NOTE  {} chains have a sequence that another split has too", found.leaks);
    }
    Ok(())
}

/// One column for all chains and one for each split.
fn table(found: &Stats) {
    let columns: Vec<&Counts> = [&found.all].into_iter().chain(found.splits.iter().map(|s| &s.1)).collect();
    let row = |name: &str, value: &dyn Fn(&Counts) -> String| {
        let values: Vec<String> = columns.iter().map(|c| value(c)).collect();
        println!("{name}\t{}", values.join("\t"));
    };
    let names: Vec<String> = found.splits.iter().map(|(split, _)| split.to_string()).collect();
    println!("\tall\t{}", names.join("\t"));
    row("chains", &|c| c.chains.to_string());
    row("residues", &|c| c.residues.to_string());
    row("clusters", &|c| c.clusters.to_string());
    row("with alignment", &|c| c.with_alignment.to_string());
    row("without training homolog", &|c| c.no_train_homolog.to_string());
    row("with resolution", &|c| c.with_resolution.to_string());
    row("dates", &|c| c.dates.as_ref().map_or("none".into(), |(a, b)| format!("{a}–{b}")));
    for (i, name) in ["least", "lower quartile", "median", "upper quartile", "greatest"].iter().enumerate() {
        row(&format!("length, {name}"), &|c| number(c.lengths, i));
    }
    for (i, name) in ["least", "lower quartile", "median", "upper quartile", "greatest"].iter().enumerate() {
        row(&format!("alignment rows, {name}"), &|c| number(c.depths, i));
    }
    let histogram = |title: &str, bins: fn(&Counts) -> &[Bin]| {
        for (i, bin) in bins(&found.all).iter().enumerate() {
            row(&format!("{title} {}", range(bin)), &|c| bins(c)[i].chains.to_string());
        }
    };
    histogram("length", |c| &c.length_histogram);
    histogram("alignment rows", |c| &c.depth_histogram);
    for (kind, count) in &found.kinds {
        println!("{kind}\t{count}");
    }
    println!("sequences in two splits\t{}", found.leaks);
}

fn number(values: Option<[usize; 5]>, i: usize) -> String {
    values.map_or("none".into(), |v| v[i].to_string())
}

fn range(bin: &Bin) -> String {
    match bin.to {
        Some(to) if to == bin.from => to.to_string(),
        Some(to) => format!("{}–{to}", bin.from),
        None => format!("{} and more", bin.from),
    }
}

/// How many the report of the ingest refused, by reason; `None` if it is not beside the dataset.
fn refused(report: &Path) -> anyhow::Result<Option<BTreeMap<String, usize>>> {
    let text = match std::fs::read_to_string(report) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad_input(format!("{}: {error}", report.display()))),
    };
    let mut counts = BTreeMap::new();
    // Behind the header, the third column; notes are of chains that were kept.
    for reason in text.lines().skip(1).filter_map(|l| l.split('\t').nth(2)).filter(|r| *r != "note") {
        *counts.entry(reason.to_string()).or_default() += 1;
    }
    Ok(Some(counts))
}
