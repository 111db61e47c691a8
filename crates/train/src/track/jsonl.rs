//! The record of a run: one JSON object a line.
//!
//! `{"step":10,"kind":"train","time":1700000000.0,"loss":0.5,…}` or `{"step":7,"kind":"note","time":…,"text":"…"}`; the time is
//! seconds since 1970. A number that is not finite is null.

use super::Tracker;
use crate::error::{Error, Result};
use nn::files::FileError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends to a file, a line a call.
pub struct Jsonl {
    path: PathBuf,
    file: Option<File>,
}

impl Jsonl {
    /// A record at `path`, which is opened when the run begins.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    fn line(&mut self, step: u64, kind: &str, rest: impl IntoIterator<Item = (String, Value)>) -> Result<()> {
        // By hand: the step comes first, the rest in its order.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let mut line = format!("{{\"step\":{step},\"kind\":{},\"time\":{time:.1}", Value::from(kind));
        for (name, value) in rest {
            line.push_str(&format!(",{}:{value}", Value::from(name)));
        }
        line.push_str("}\n");
        let io = Error::io(&self.path);
        match &mut self.file {
            // One write a line: a kill leaves whole lines, save perhaps the last.
            Some(file) => file.write_all(line.as_bytes()).map_err(io),
            None => Err(Error::config(self.path.display(), "a record that was begun", "one that was not")),
        }
    }
}

/// Whether a line is whole and of a step up to `last`.
fn stands(line: &str, last: u64) -> bool {
    let step = serde_json::from_str::<Value>(line).ok().and_then(|v| v.get("step")?.as_u64());
    step.is_some_and(|step| step <= last)
}

impl Tracker for Jsonl {
    fn begin(&mut self, step: u64, _: u64) -> Result<()> {
        let io = || Error::io(&self.path);
        let mut kept = Vec::new();
        match File::open(&self.path) {
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    let line = line.map_err(io())?;
                    if stands(&String::from_utf8_lossy(&line), step) {
                        kept.extend_from_slice(&line);
                        kept.push(b'\n');
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(io()(e)),
        }
        let file = || self.path.display().to_string();
        nn::files::write_atomically(&self.path, |out| {
            out.write_all(&kept).map_err(|source| FileError::Io { file: file(), source })
        })?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path).map_err(io())?);
        Ok(())
    }

    fn scalars(&mut self, step: u64, kind: &str, values: &BTreeMap<String, f64>) -> Result<()> {
        self.line(step, kind, values.iter().map(|(name, &v)| (name.clone(), v.into())))
    }

    fn note(&mut self, step: u64, text: &str) -> Result<()> {
        self.line(step, "note", [("text".to_string(), text.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_takes_back_what_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut record = Jsonl::new(&path);
        assert!(record.note(0, "too early").is_err());
        record.begin(0, 9).unwrap();
        for step in 1..=5 {
            record.scalars(step, "train", &BTreeMap::from([("loss".into(), 1.0 / step as f64)])).unwrap();
        }
        record.note(5, "a \"quoted\" text").unwrap();
        record.scalars(6, "train", &BTreeMap::from([("loss".into(), f64::NAN)])).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("\"loss\":null}\n"));
        // A line cut by a kill.
        record.file.as_mut().unwrap().write_all(b"{\"step\":2,\"ki").unwrap();
        drop(record);
        let mut record = Jsonl::new(&path);
        record.begin(3, 9).unwrap();
        record.note(3, "resumed").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].contains("\"loss\":0.5") && lines[1].contains("\"step\":2"), "{text}");
        assert!(lines[3].contains("resumed"));
    }
}
