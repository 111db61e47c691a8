//! Writing a dataset: record after record, in parts if asked, visible only when whole.

use crate::entry::sequence_hash;
use crate::file::index::{ENTRY, Location, MAX_TEXT};
use crate::file::trailer::{self, MAX_PARTS, Trailer};
use crate::file::{self, index, name};
use crate::{Chain, Date, Entry, Error, Split, record};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A chain with its record made, ready for [`Writer::add`]. Making it is the costly part and may be done on
/// many threads.
#[derive(Clone, Debug)]
pub struct Prepared {
    entry: Entry,
    record: Vec<u8>,
}

impl Prepared {
    /// A training chain of its own cluster; the setters below say otherwise.
    ///
    /// # Errors
    /// [`Error::Chain`] if the chain does not fit together or the id is empty or too long.
    pub fn new(id: &str, source: &str, chain: &Chain) -> Result<Self, Error> {
        let wrong = |what: String| Error::Chain { id: id.chars().take(100).collect(), what };
        if id.is_empty() || id.len() > MAX_TEXT || source.len() > MAX_TEXT {
            return Err(wrong(format!("expected id and source of 1 to {MAX_TEXT} bytes")));
        }
        let record = record::encode(id, chain)?;
        if u32::try_from(record.len()).is_err() {
            return Err(wrong(format!("expected a record below 4 GiB, found {} bytes", record.len())));
        }
        let entry = Entry {
            id: id.to_string(),
            cluster: id.to_string(),
            split: Split::Train,
            no_train_homolog: false,
            length: chain.len(),
            depth: chain.depth(),
            kind: chain.kind(),
            resolution: None,
            date: None,
            source: source.to_string(),
            sequence_hash: sequence_hash(&chain.sequence),
        };
        Ok(Self { entry, record })
    }

    /// What the index will say.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Bytes of the record.
    pub fn size(&self) -> usize {
        self.record.len()
    }

    /// Sets cluster (cut at 4,096 bytes) and split.
    pub fn with_split(mut self, cluster: &str, split: Split, no_train_homolog: bool) -> Self {
        let end = (0..=cluster.len().min(MAX_TEXT)).rev().find(|&n| cluster.is_char_boundary(n));
        self.entry.cluster = cluster[..end.unwrap_or(0)].to_string();
        self.entry.split = split;
        self.entry.no_train_homolog = no_train_homolog && split != Split::Train;
        self
    }

    /// Sets resolution (Å; dropped if it is none) and date.
    pub fn with_origin(mut self, resolution: Option<f32>, date: Option<Date>) -> Self {
        self.entry.resolution = resolution.filter(|r| (0.0..1e4).contains(r));
        self.entry.date = date;
        self
    }
}

/// What [`Writer::finish`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Chains in them.
    pub chains: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes a dataset. Files appear under their names in [`Writer::finish`]; dropped before, it leaves nothing.
pub struct Writer {
    path: PathBuf,
    part_size: Option<u64>,
    parts: Vec<Part>,
    ids: HashSet<String>,
}

/// A part with all its records, or the one that is being written.
struct Part {
    temporary: PathBuf,
    /// `None` once all records are in.
    out: Option<BufWriter<File>>,
    hash: Sha256,
    size: u64,
    /// Bytes the index will have.
    index_size: u64,
    rows: Vec<(Entry, Location)>,
}

impl Writer {
    /// - `path`      `NAME.foldset`
    /// - `part_size` bytes no part exceeds (unless a single record does); `None` for one file
    ///
    /// # Errors
    /// [`Error::Io`] if nothing can be written there.
    pub fn create(path: &Path, part_size: Option<u64>) -> Result<Self, Error> {
        if path.file_name().is_none() {
            return Err(Error::source(path.display().to_string(), "expected a file name, found none"));
        }
        let mut writer = Self { path: path.to_path_buf(), part_size, parts: Vec::new(), ids: HashSet::new() };
        writer.open_part()?;
        Ok(writer)
    }

    fn open_part(&mut self) -> Result<(), Error> {
        let number = self.parts.len();
        if number == MAX_PARTS as usize {
            let what = format!("expected at most {MAX_PARTS} parts, found more: choose a larger part size");
            return Err(Error::source(self.path.display().to_string(), what));
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(self.path.file_name().unwrap_or_default());
        hidden.push(format!(".{}.{number:03}.part", std::process::id()));
        let temporary = self.path.with_file_name(hidden);
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        let mut part = Part {
            temporary,
            out: Some(BufWriter::with_capacity(1 << 20, file)),
            hash: Sha256::new(),
            size: 0,
            index_size: 0,
            rows: Vec::new(),
        };
        let begun = part.write(&file::head());
        self.parts.push(part);
        begun
    }

    /// Adds a chain behind the others.
    ///
    /// # Errors
    /// [`Error::Chain`] for an id that is there already, [`Error::Io`].
    pub fn add(&mut self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { entry, record } = prepared;
        if !self.ids.insert(entry.id.clone()) {
            return Err(Error::Chain {
                id: entry.id,
                what: "expected one chain of this id, found two".into(),
            });
        }
        let row = (ENTRY + entry.id.len() + entry.cluster.len() + entry.source.len()) as u64;
        let full = |part: &Part| {
            let size = part.size + part.index_size + row + record.len() as u64 + trailer::SIZE as u64;
            !part.rows.is_empty() && self.part_size.is_some_and(|most| size > most)
        };
        if self.parts.last().is_some_and(full) {
            if let Some(part) = self.parts.last_mut() {
                part.close()?;
            }
            self.open_part()?;
        }
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        let location =
            Location { offset: part.size, size: record.len() as u32, crc: crc32fast::hash(&record) };
        part.write(&record)?;
        part.index_size += row;
        part.rows.push((entry, location));
        Ok(())
    }

    /// Takes chains out again; returns what the index would have said of them. Their bytes stay in the file.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let mut removed = Vec::new();
        for part in &mut self.parts {
            let rows = std::mem::take(&mut part.rows).into_iter();
            let (stay, go): (Vec<_>, Vec<_>) = rows.partition(|(entry, _)| keep(entry));
            part.rows = stay;
            removed.extend(go.into_iter().map(|(entry, _)| entry));
        }
        for entry in &removed {
            self.ids.remove(&entry.id);
        }
        removed
    }

    /// What the index will say of the chains so far, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.parts.iter().flat_map(|part| &part.rows).map(|(entry, _)| entry)
    }

    /// Chains added so far.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Has nothing been added yet?
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Writes indices and trailers, waits for the disk and gives the files their names, replacing others.
    /// Parts that an earlier, longer set of the same name left are removed.
    ///
    /// # Errors
    /// [`Error::Io`]; then the files of before are still there, unless the disk failed between two renames.
    pub fn finish(mut self) -> Result<Written, Error> {
        let mut set = Sha256::new();
        for part in &self.parts {
            for (entry, location) in &part.rows {
                set.update((entry.id.len() as u64).to_le_bytes());
                set.update(entry.id.as_bytes());
                set.update(location.crc.to_le_bytes());
            }
        }
        let set = set.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&set[..16]);
        let parts = self.parts.len() as u32;
        let mut bytes = 0;
        for (number, part) in self.parts.iter_mut().enumerate() {
            bytes += part.complete(number as u32, parts, id)?;
        }
        let split = self.part_size.is_some();
        let files: Vec<PathBuf> = match split {
            true => (0..self.parts.len()).map(|n| name::part(&self.path, n)).collect(),
            false => vec![self.path.clone()],
        };
        for (part, file) in self.parts.iter().zip(&files) {
            std::fs::rename(&part.temporary, file).map_err(Error::io(file))?;
        }
        let left = if split { self.parts.len() } else { 0 };
        for number in left..MAX_PARTS as usize {
            if std::fs::remove_file(name::part(&self.path, number)).is_err() {
                break;
            }
        }
        let chains = self.ids.len();
        self.parts.clear(); // nothing left to remove
        Ok(Written { files, chains, bytes })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        for part in &mut self.parts {
            part.out = None;
            // It may be gone already; there is nobody to tell.
            let _ = std::fs::remove_file(&part.temporary);
        }
    }
}

impl Part {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.out.is_none() {
            // Closed for its records; opened again for the index, because few files may be open at once.
            let file =
                File::options().append(true).open(&self.temporary).map_err(Error::io(&self.temporary))?;
            self.out = Some(BufWriter::new(file));
        }
        if let Some(out) = &mut self.out {
            out.write_all(bytes).map_err(Error::io(&self.temporary))?;
        }
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        if let Some(mut out) = self.out.take() {
            out.flush().and_then(|()| out.get_ref().sync_all()).map_err(Error::io(&self.temporary))?;
        }
        Ok(())
    }

    /// Index and trailer; returns the size of the whole file.
    fn complete(&mut self, part: u32, parts: u32, set: [u8; 16]) -> Result<u64, Error> {
        let index = index::encode(&self.rows);
        let index_offset = self.size;
        self.write(&index)?;
        let trailer = Trailer {
            index_offset,
            index_size: index.len() as u64,
            records: self.rows.len() as u64,
            part,
            parts,
            set,
            index_crc: crc32fast::hash(&index),
            sha256: self.hash.clone().finalize().into(),
        };
        self.write(&trailer.encode())?;
        self.close()?;
        Ok(self.size)
    }
}
