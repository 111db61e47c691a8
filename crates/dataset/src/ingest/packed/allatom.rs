//! All-atom chains: a table, and a tar archive (xz) with a PDB file for each.

use super::alignments::Alignments;
use super::read;
use crate::ingest::table::{Table, text};
use crate::ingest::{Found, Job, Reason, Refused, structures};
use crate::{Date, Error};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// What the table says of a file.
#[derive(Clone)]
struct Row {
    id: String,
    sequence: String,
    date: Option<Date>,
}

/// One file of the archive, or why the rest cannot be read.
type Member = Result<(String, Vec<u8>), Error>;

pub(super) struct AllAtom {
    rows: HashMap<String, Row>,
    jobs: usize,
    archive: PathBuf,
    members: Option<Receiver<Member>>,
}

impl AllAtom {
    /// Reads `index.tsv`; `chains.tar.xz` is unpacked on a thread of its own while chains are made.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("index.tsv");
        let place = path.display().to_string();
        let rows = rows(&place, &text(&place, read(&path)?)?)?;
        let archive = folder.join("chains.tar.xz");
        File::open(&archive).map_err(Error::io(&archive))?;
        Ok(Self { jobs: rows.len(), rows, archive, members: None })
    }

    pub fn jobs(&self) -> usize {
        self.jobs
    }

    pub fn next(&mut self, alignments: &Arc<Alignments>) -> Option<Result<Job, Error>> {
        let archive = &self.archive;
        let members = self.members.get_or_insert_with(|| {
            let (sender, receiver) = sync_channel(512);
            let archive = archive.clone();
            std::thread::spawn(move || {
                let failed = unpack(&archive, &mut |member| sender.send(Ok(member)).is_ok());
                if let Err(error) = failed {
                    let _ = sender.send(Err(error)); // nobody listens any more if this fails
                }
            });
            receiver
        });
        loop {
            let Ok(member) = members.recv() else {
                // The archive is read; what the table has beyond it is missing.
                let mut missing: Vec<Row> = self.rows.drain().map(|(_, row)| row).collect();
                if missing.is_empty() {
                    return None;
                }
                missing.sort_by(|a, b| a.id.cmp(&b.id));
                let refuse = |row: Row| {
                    Err(Refused::new(&row.id, "allatom", Reason::Unreadable, "not in chains.tar.xz"))
                };
                return Some(Ok(Box::new(move || missing.into_iter().map(refuse).collect())));
            };
            let (name, bytes) = match member {
                Ok(member) => member,
                Err(error) => {
                    self.rows.clear();
                    return Some(Err(error));
                }
            };
            let Some(row) = self.rows.remove(&name) else { continue };
            let alignments = alignments.clone();
            return Some(Ok(Box::new(move || vec![found(row, &name, &bytes, &alignments)])));
        }
    }
}

fn rows(place: &str, text: &str) -> Result<HashMap<String, Row>, Error> {
    let mut table = Table::new(place, text)?;
    let [id, file, date, sequence] = ["id", "file", "deposited", "sequence"].map(|c| table.column(c));
    let (id, file, date, sequence) = (id?, file?, date?, sequence?);
    let mut rows = HashMap::new();
    while let Some(fields) = table.next() {
        let fields = fields?;
        let date = match fields.get(date) {
            "" => None,
            text => Some(text.parse().map_err(|e| table.wrong(fields.line, e))?),
        };
        let row = Row { id: fields.get(id).to_string(), sequence: fields.get(sequence).to_string(), date };
        if rows.insert(fields.get(file).to_string(), row).is_some() {
            return Err(
                table.wrong(fields.line, format!("expected each file once, found {}", fields.get(file)))
            );
        }
    }
    Ok(rows)
}

/// Hands the files of the archive to `take` until it wants no more.
fn unpack(path: &Path, take: &mut dyn FnMut((String, Vec<u8>)) -> bool) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = tar::Archive::new(lzma_rust2::XzReader::new(BufReader::new(file), true));
    let most = structure::Limits::default().bytes as u64;
    for entry in archive.entries().map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let name = entry
            .path()
            .map_err(Error::io(path))?
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        entry.take(most + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        if !take((name, bytes)) {
            break;
        }
    }
    Ok(())
}

fn found(row: Row, name: &str, bytes: &[u8], alignments: &Alignments) -> Result<Found, Refused> {
    let refuse = |what: String| Refused::new(&row.id, "allatom", Reason::Unreadable, format!("{name}{what}"));
    let read =
        structure::read(bytes, None, &structure::Limits::default()).map_err(|e| refuse(format!(":{e}")))?;
    let [only] = read.chains.as_slice() else {
        return Err(refuse(format!(": expected one chain, found {}", read.chains.len())));
    };
    let mut chain = structures::chain(only);
    if chain.sequence != row.sequence {
        return Err(refuse(": expected the sequence of the table, found another".into()));
    }
    let notes = alignments.attach(&row.id, &mut chain).into_iter().collect();
    Ok(Found {
        id: row.id,
        source: "allatom".into(),
        chain,
        resolution: read.resolution,
        date: row.date,
        notes,
    })
}
