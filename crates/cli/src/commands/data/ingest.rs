//! `foldry data ingest SOURCE... -o FILE`: structures and alignments into a dataset.

use super::progress::Progress;
use crate::failure::{Interrupted, bad_input};
use anyhow::Context;
use dataset::ingest::{
    Alignments, Clusters, Filters, Folder, Packed, Reason, Report, Settings, Source, Splits, has_alignments,
    has_structures, ingest, is_packed,
};
use dataset::{Date, Writer};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Make a dataset from experimental structures and their alignments.
#[derive(clap::Args)]
pub struct Args {
    /// Folders of PDB or mmCIF files (also .gz, .zst), single files, packed sets, or folders of alignments:
    /// `ID.a3m`, or `ID/…` as OpenFold and OpenProteinSet have them. Alignments among the structures count too.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The dataset to write, NAME.foldset.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Table of id, cluster, split (train, val, test) and no_train_homolog; by default a packed set's own.
    #[arg(long, value_name = "TSV")]
    split: Option<PathBuf>,
    /// What becomes of chains the table does not name.
    #[arg(long, value_enum, default_value = "refuse")]
    unlisted: Unlisted,
    /// Clusters as mmseqs writes them (representative, tab, member); by default those of the split table.
    #[arg(long, value_name = "TSV")]
    clusters: Option<PathBuf>,
    /// A folder of alignments; as naming it among the sources.
    #[arg(long, value_name = "FOLDER")]
    alignments: Vec<PathBuf>,
    /// Most rows of an alignment that are kept.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..))]
    max_rows: u32,
    /// Write NAME.000.foldset, NAME.001.foldset, …, none larger than this many MiB.
    #[arg(long, value_name = "MiB", value_parser = clap::value_parser!(u32).range(1..))]
    part_size: Option<u32>,
    /// Refuse resolutions that are not below this, Å.
    #[arg(long, value_name = "Å", default_value_t = Filters::default().max_resolution)]
    max_resolution: f32,
    /// Refuse sequences in which one type has more than this share of the residues.
    #[arg(long, value_name = "SHARE", default_value_t = Filters::default().max_single_share)]
    max_single_share: f32,
    /// Refuse shorter sequences.
    #[arg(long, value_name = "N", default_value_t = Filters::default().min_length)]
    min_length: usize,
    /// Refuse longer sequences.
    #[arg(long, value_name = "N", default_value_t = Filters::default().max_length)]
    max_length: usize,
    /// Refuse chains with fewer resolved residues.
    #[arg(long, value_name = "N", default_value_t = Filters::default().min_resolved)]
    min_resolved: usize,
    /// Refuse chains with a larger share of unresolved residues.
    #[arg(long, value_name = "SHARE", default_value_t = Filters::default().max_missing_share)]
    max_missing_share: f32,
    /// Refuse chains of this day or later, and those without a date.
    #[arg(long, value_name = "YYYY-MM-DD")]
    before: Option<Date>,
    /// What was refused and why, as a table; by default OUTPUT.report.tsv.
    #[arg(long, value_name = "TSV")]
    report: Option<PathBuf>,
    /// Replace a dataset that is there already.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Unlisted {
    /// They are refused: the table lists all chains.
    Refuse,
    /// They are for training: the table lists what is held out.
    Train,
}

/// Writes the dataset and the report; the summary goes to stderr.
pub fn run(args: Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let there = dataset::exists(&args.output);
    if let Some(there) = there.filter(|_| !args.overwrite) {
        let there = there.display();
        return Err(bad_input(format!("{there}: there is a dataset already; --overwrite replaces it")));
    }
    let settings = settings(&args)?;
    let mut sources = sources(&args, &settings.splits)?;
    let part_size = args.part_size.map(|mib| u64::from(mib) << 20);
    let progress = Progress::begin()?;
    let mut writer = Writer::create(&args.output, part_size)?;
    let outcome = ingest(&mut sources, &settings, &mut writer, &progress);
    progress.end();
    let Some(report) = outcome? else {
        drop(writer);
        let what = format!("{}: not written", args.output.display());
        return Err(anyhow::Error::new(Interrupted).context(what));
    };
    let table = args.report.clone().unwrap_or_else(|| dataset::report_path(&args.output));
    write(&report, &table)?;
    summary(&report, &table);
    if report.kept == 0 {
        anyhow::bail!(
            "{}: not written, no chain was kept of {}",
            args.output.display(),
            report.refused.len()
        );
    }
    let written = writer.finish()?;
    let (files, mb, secs) = (written.files.len(), written.bytes as f64 / 1e6, start.elapsed().as_secs_f64());
    eprintln!("INFO data.done chains={} files={files} mb={mb:.1} secs={secs:.1}", written.chains);
    written.files.iter().for_each(|file| println!("{}", file.display()));
    Ok(())
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let share = |name: &str, share: f32| match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(bad_input(format!("--{name} {share}: expected a share from 0 to 1"))),
    };
    if args.max_resolution.is_nan() || args.max_resolution <= 0.0 {
        return Err(bad_input(format!("--max-resolution {}: expected more than 0 Å", args.max_resolution)));
    }
    let filters = Filters {
        max_resolution: args.max_resolution,
        max_single_share: share("max-single-share", args.max_single_share)?,
        min_length: args.min_length,
        max_length: args.max_length,
        min_resolved: args.min_resolved,
        max_missing_share: share("max-missing-share", args.max_missing_share)?,
        before: args.before,
    };
    let mut splits = Splits::default();
    if let Some(path) = &args.split {
        splits = Splits::read(path).map_err(bad_input)?;
    } else {
        for path in args.sources.iter().filter(|s| is_packed(s)).map(|s| s.join("split.tsv")) {
            if path.is_file() {
                let table = path.display().to_string();
                splits.extend(Splits::read(&path).map_err(bad_input)?, &table).map_err(bad_input)?;
                eprintln!("NOTE  splits and clusters as {table} says");
            }
        }
    }
    let clusters = args.clusters.as_deref().map(Clusters::read).transpose().map_err(bad_input)?;
    Ok(Settings {
        filters,
        splits,
        unlisted_train: args.unlisted == Unlisted::Train,
        clusters: clusters.unwrap_or_default(),
    })
}

/// Looks what each source is; alignments are collected first, as structures of any source may want them.
fn sources(args: &Args, splits: &Splits) -> anyhow::Result<Vec<Box<dyn Source>>> {
    let mut alignments = Alignments::new(args.max_rows as usize);
    for folder in &args.alignments {
        alignments.add_folder(folder).map_err(bad_input)?;
    }
    let mut structures: Vec<&Path> = Vec::new();
    for source in &args.sources {
        if is_packed(source) || has_structures(source).map_err(bad_input)? {
            structures.push(source);
        } else if has_alignments(source).map_err(bad_input)? {
            alignments.add_folder(source).map_err(bad_input)?;
        } else {
            let expected = "expected structures (.cif, .pdb, .ent), alignments (.a3m, .sto) or a packed set";
            return Err(bad_input(format!("{}: {expected}, found none", source.display())));
        }
    }
    if structures.is_empty() {
        return Err(bad_input("expected at least one source with structures, found alignments alone"));
    }
    let open = |path: &Path| -> Result<Box<dyn Source>, dataset::Error> {
        Ok(match is_packed(path) {
            true => Box::new(Packed::open(path)?),
            false => Box::new(Folder::open(path, alignments.clone(), splits)?),
        })
    };
    structures.into_iter().map(|path| open(path).map_err(bad_input)).collect()
}

fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut out = BufWriter::new(file);
    report.write(&mut out).and_then(|()| out.flush()).with_context(|| path.display().to_string())
}

/// Reasons that are named one by one, so that a wrong path or a damaged disk shows.
const SHOWN: usize = 5;

fn summary(report: &Report, table: &Path) {
    let (kept, refused) = (report.kept, report.refused.len());
    if refused > 0 {
        let reasons = report.by_reason().into_iter().map(|(reason, count)| format!("{reason} {count}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        eprintln!("NOTE  {refused} refused ({reasons}), {kept} kept; {} says why", table.display());
    }
    let unreadable: Vec<_> = report.refused.iter().filter(|r| r.reason == Reason::Unreadable).collect();
    for refused in unreadable.iter().take(SHOWN) {
        eprintln!("NOTE  {}: {}", refused.source, refused.what);
    }
    if let Some(more) = unreadable.len().checked_sub(SHOWN).filter(|&n| n > 0) {
        eprintln!("NOTE  {more} more could not be read");
    }
    if !report.notes.is_empty() {
        eprintln!("NOTE  {} remarks on kept chains in {}", report.notes.len(), table.display());
    }
}
