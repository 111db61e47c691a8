//! Reading a dataset: its index in memory, its records mapped and decoded one at a time.

use crate::file::index::{self, Location};
use crate::file::name;
use crate::file::trailer::{SIZE, Trailer};
use crate::{Chain, Entry, Error, Split, entry, record};
use nn::files::Bytes;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A dataset, open for random access. Cheap to share between threads: reading takes `&self`.
pub struct Dataset {
    parts: Vec<Part>,
    entries: Vec<Entry>,
    places: Vec<Place>,
    by_id: HashMap<String, usize>,
}

struct Part {
    file: String,
    bytes: Bytes,
    trailer: Trailer,
}

#[derive(Clone, Copy)]
struct Place {
    part: usize,
    location: Location,
}

impl Dataset {
    /// Opens `NAME.foldset`; or, if there is no such file or `path` names a part, all of `NAME.000.foldset`,
    /// `NAME.001.foldset`, …. Reads the index and no record.
    ///
    /// # Errors
    /// Naming the file: it is not there, cut short, damaged, of another version, or a part is missing.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let set =
            if path.exists() { name::whole(path).map(|(set, _)| set) } else { Some(path.to_path_buf()) };
        let Some(set) = set else { return Self::open_parts(&[path]) };
        let first = name::part(&set, 0);
        if !first.exists() {
            // The message is about what was asked for.
            let asked = if path.exists() { &first } else { path };
            return Err(Error::io(asked)(std::io::ErrorKind::NotFound.into()));
        }
        let parts = Part::open(&first)?.trailer.parts as usize;
        Self::open_parts(&(0..parts).map(|n| name::part(&set, n)).collect::<Vec<PathBuf>>())
    }

    /// Opens some parts of a set, in the order given; the others need not be there.
    ///
    /// # Errors
    /// As [`Dataset::open`], and for files that are not of one set.
    pub fn open_parts<P: AsRef<Path>>(files: &[P]) -> Result<Self, Error> {
        Self::of(files.iter().map(|file| Part::open(file.as_ref())).collect::<Result<_, _>>()?)
    }

    /// A dataset of one part in memory; `file` is its name in messages.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::of(vec![Part::new(file.to_string(), bytes.into())?])
    }

    fn of(parts: Vec<Part>) -> Result<Self, Error> {
        let mut dataset = Self { parts, entries: Vec::new(), places: Vec::new(), by_id: HashMap::new() };
        for (number, part) in dataset.parts.iter().enumerate() {
            let (first, this) = (&dataset.parts[0].trailer, &part.trailer);
            let wrong = |what: String| Err(Error::Parts { file: part.file.clone(), what });
            if (this.set, this.parts) != (first.set, first.parts) {
                return wrong(format!("expected a part of the same set as {}", dataset.parts[0].file));
            }
            if let Some(twin) = dataset.parts[..number].iter().find(|p| p.trailer.part == this.part) {
                return wrong(format!("expected another part than {}, found {} again", twin.file, this.part));
            }
            for (entry, location) in part.index()? {
                let place = dataset.entries.len();
                if dataset.by_id.insert(entry.id.clone(), place).is_some() {
                    return wrong(format!("expected one chain {}, found two", entry.id));
                }
                dataset.entries.push(entry);
                dataset.places.push(Place { part: number, location });
            }
        }
        Ok(dataset)
    }

    /// Chains.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Are there no chains?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The index.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the index says of chain `i`.
    /// # Panics  if there is no such chain.
    pub fn entry(&self, i: usize) -> &Entry {
        &self.entries[i]
    }

    /// The number of a chain.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The chains of a split, in file order.
    pub fn split(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.entries[i].split == split).collect()
    }

    /// Files the dataset consists of.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|p| p.file.as_str())
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes.len() as u64).sum()
    }

    /// Parts of the set this is of, present or not.
    pub fn parts_of_set(&self) -> usize {
        self.parts.first().map_or(0, |p| p.trailer.parts as usize)
    }

    /// What names this content: the same in all parts, another for every other set of chains.
    pub fn set_id(&self) -> String {
        let set = self.parts.first().map_or([0; 16], |p| p.trailer.set);
        set.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads chain `i` and checks its checksum.
    ///
    /// # Errors
    /// [`Error::Record`] naming chain and offset if its bytes are damaged.
    /// # Panics  if there is no such chain.
    pub fn chain(&self, i: usize) -> Result<Chain, Error> {
        let (entry, Place { part, location }) = (&self.entries[i], self.places[i]);
        let part = &self.parts[part];
        let wrong = |what: String| Error::Record {
            file: part.file.clone(),
            id: entry.id.clone(),
            offset: location.offset,
            what,
        };
        let bytes = part.record(location).ok_or_else(|| wrong("expected it in the file".into()))?;
        let crc = crc32fast::hash(bytes);
        if crc != location.crc {
            return Err(wrong(format!(
                "expected checksum {:08x}, found {crc:08x}: it is damaged",
                location.crc
            )));
        }
        let chain = record::decode(bytes, entry.length, entry.depth, entry.kind).map_err(wrong)?;
        if entry::sequence_hash(&chain.sequence) != entry.sequence_hash {
            return Err(wrong("expected the sequence its index entry was made from, found another".into()));
        }
        Ok(chain)
    }

    /// Reads every byte against the checksums of files and records, and decodes every record.
    ///
    /// # Errors
    /// The first damage found, with the chain it hits if it hits one.
    pub fn verify(&self) -> Result<(), Error> {
        use rayon::prelude::*;
        (0..self.len()).into_par_iter().try_for_each(|i| self.chain(i).map(|_| ()))?;
        self.parts.par_iter().try_for_each(|part| {
            let end = part.bytes.len() - SIZE;
            if Sha256::digest(&part.bytes[..end])[..] == part.trailer.sha256 {
                return Ok(());
            }
            Err(Error::Format {
                file: part.file.clone(),
                offset: 0,
                expected: "bytes with the SHA-256 of the trailer".into(),
                found: "others: it is damaged outside the records".into(),
            })
        })
    }
}

impl Part {
    fn open(path: &Path) -> Result<Self, Error> {
        Self::new(path.display().to_string(), Bytes::map(path)?)
    }

    fn new(file: String, bytes: Bytes) -> Result<Self, Error> {
        let trailer = Trailer::of(&file, &bytes)?;
        Ok(Self { file, bytes, trailer })
    }

    fn index(&self) -> Result<Vec<(Entry, Location)>, Error> {
        // The trailer was checked against the size of the file.
        let start = self.trailer.index_offset as usize;
        let bytes = &self.bytes[start..start + self.trailer.index_size as usize];
        if crc32fast::hash(bytes) != self.trailer.index_crc {
            return Err(Error::Format {
                file: self.file.clone(),
                offset: self.trailer.index_offset,
                expected: "an index with its checksum".into(),
                found: "another checksum: it is damaged".into(),
            });
        }
        index::decode(&self.file, bytes, self.trailer.records as usize, self.trailer.index_offset)
    }

    fn record(&self, location: Location) -> Option<&[u8]> {
        let start = usize::try_from(location.offset).ok()?;
        self.bytes.get(start..start.checked_add(location.size as usize)?)
    }
}
