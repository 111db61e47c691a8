//! Ingest from end to end, on sources made here.

mod folders;
mod packed;

use super::*;
use crate::Dataset;
use std::path::Path;

/// A file of a source, with its folders.
fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Runs an ingest into `folder/out.foldset` and opens what it made.
fn run(folder: &Path, source: Box<dyn Source>, settings: &Settings) -> (Dataset, Report) {
    let path = folder.join("out.foldset");
    let mut writer = Writer::create(&path, None).unwrap();
    let report = ingest(&mut [source], settings, &mut writer, &()).unwrap().unwrap();
    writer.finish().unwrap();
    let set = Dataset::open(&path).unwrap();
    set.verify().unwrap();
    (set, report)
}

fn ids(set: &Dataset) -> Vec<&str> {
    set.entries().iter().map(|e| e.id.as_str()).collect()
}

fn refusals(report: &Report) -> Vec<(&str, Reason)> {
    report.refused.iter().map(|r| (r.id.as_str(), r.reason)).collect()
}
