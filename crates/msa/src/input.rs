//! From paths to targets: files, folders and standard input, in any known format.

use crate::decompress::decompress;
use crate::fasta::Refused;
use crate::name::{Taken, from_header};
use crate::text::Text;
use crate::{Change, Error, Limits, Msa, Note, Target, a3m, fasta, stockholm};
use std::io::Read;
use std::path::{Path, PathBuf};

mod format;

use format::{Format, stem};

/// What [`load`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of the inputs; those of a folder by file name.
    pub targets: Vec<Target>,
    /// Files and folders inside a given folder that are of no known format.
    pub skipped: Vec<PathBuf>,
    /// What is wrong with files and FASTA records that could not be read; all others were.
    pub failed: Vec<Error>,
}

/// Reads files, folders (not what lies in folders below them) and `-`, standard input.
///
/// Names are made unique; a record that cannot be read keeps its name from others, so that names stay when
/// it is put right. An alignment and a FASTA file of one record, both of one stem and sequence, are one target.
///
/// # Errors  standard input given twice. Bad files do not stop the good ones, see [`Loaded::failed`].
pub fn load(inputs: &[PathBuf], limits: &Limits) -> Result<Loaded, Error> {
    load_with(inputs, limits, &mut |_, _, _| None)
}

/// Reads a file of a format that is none of ours: path, name in messages, decompressed bytes. `None` leaves it to us.
pub type Other<'a> = dyn FnMut(&Path, &str, &[u8]) -> Option<Vec<Result<Target, Unread>>> + 'a;

/// An entry of a file that another reader could not make a target of.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The name it would have had.
    pub name: String,
    /// What is wrong with it, and where.
    pub error: String,
}

/// As [`load`]; `other` may read files of formats of its own. These are not paired with alignments.
///
/// # Errors  as [`load`].
pub fn load_with(inputs: &[PathBuf], limits: &Limits, other: &mut Other<'_>) -> Result<Loaded, Error> {
    let count = inputs.iter().filter(|p| is_stdin(p)).count();
    if count > 1 {
        return Err(Error::StandardInput { count });
    }
    let (mut loaded, mut sets) = (Loaded::default(), Vec::new());
    for path in inputs {
        if is_stdin(path) || !path.is_dir() {
            sets.push(Set::read(path, limits, other));
        } else if let Err(error) = folder(path, limits, &mut loaded.skipped, &mut sets) {
            loaded.failed.push(error);
        }
    }
    pair(&mut sets);
    let mut taken = Taken::default();
    for target in sets.into_iter().flat_map(|set| set.targets) {
        match target {
            Ok(mut target) => {
                let to = taken.unique(&target.name);
                if to != target.name {
                    let from = std::mem::replace(&mut target.name, to.clone());
                    let place = target.source.clone();
                    target.notes.push(Note { place, change: Change::Duplicate { from, to } });
                }
                loaded.targets.push(target);
            }
            Err(refused) => {
                taken.unique(&refused.name);
                loaded.failed.push(*refused.error);
            }
        }
    }
    Ok(loaded)
}

/// The targets of one file, those that cannot be read among them.
struct Set {
    stem: String,
    targets: Vec<Result<Target, Refused>>,
}

impl Set {
    fn read(path: &Path, limits: &Limits, other: &mut Other<'_>) -> Self {
        let label = label(path);
        let mut stem = stem(&label).unwrap_or_default().to_string();
        let targets = read(path, limits).and_then(|bytes| match other(path, &label, &bytes) {
            Some(targets) => {
                stem = format!("{label}/"); // no file's stem, so that nothing is paired with it
                let refused = |Unread { name, error }| Refused { name, error: Box::new(Error::Said(error)) };
                Ok(targets.into_iter().map(|target| target.map_err(refused)).collect())
            }
            None => parse_each(&label, &bytes, limits),
        });
        let targets = targets.unwrap_or_else(|error| {
            let name = from_header(&stem.replace(char::is_whitespace, "_"), "target").safe;
            vec![Err(Refused { name, error: Box::new(error) })]
        });
        Self { stem, targets }
    }

    /// The one target, if there is one and no other record.
    fn only(&self) -> Option<&Target> {
        let [Ok(target)] = self.targets.as_slice() else { return None };
        Some(target)
    }
}

/// Gives FASTA files of one record the alignments of the same stem and sequence.
fn pair(sets: &mut [Set]) {
    for i in 0..sets.len() {
        let Some(alignment) = sets[i].only().filter(|a| a.msa.is_some()) else { continue };
        let partner = sets.iter().position(|set| {
            set.stem == sets[i].stem
                && set.only().is_some_and(|t| t.msa.is_none() && t.sequence == alignment.sequence)
        });
        let Some(partner) = partner else { continue };
        let Some(Ok(alignment)) = sets[i].targets.pop() else { continue };
        let Some(Ok(target)) = sets[partner].targets.first_mut() else { continue };
        let place = target.source.clone();
        target.notes.push(Note { place, change: Change::Paired(alignment.source) });
        target.notes.extend(alignment.notes);
        target.msa = alignment.msa;
    }
}

/// Reads one alignment for a target that is there already: A3M (also by content) or Stockholm.
///
/// # Errors  as the parsers, and [`Error::NotAnAlignment`] for a FASTA file of several records.
pub fn load_alignment(path: &Path, limits: &Limits) -> Result<(Msa, Vec<Note>), Error> {
    let label = label(path);
    let bytes = read(path, limits)?;
    match Format::of(&label, &bytes)? {
        Format::Stockholm => stockholm::parse(&label, &bytes, limits),
        Format::A3m => a3m::parse(&label, &bytes, limits),
        Format::Fasta => a3m::parse(&label, &bytes, limits).map_err(|error| match error {
            Error::RowLength { .. } => {
                let found = "FASTA records of different lengths".to_string();
                Error::NotAnAlignment { file: label.clone(), found }
            }
            other => other,
        }),
    }
}

/// The decompressed bytes of a file or of standard input (`-`).
///
/// # Errors  [`Error::Io`], [`Error::Compressed`], [`Error::Limit`].
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Io { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let most = limits.bytes.saturating_add(1);
    if is_stdin(path) {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).and_then(|f| f.take(most).read_to_end(&mut bytes)).map_err(failed)?;
    }
    if bytes.len() as u64 > limits.bytes {
        return Err(Error::Limit { file: label(path), what: "bytes", limit: limits.bytes });
    }
    decompress(&label(path), bytes, limits)
}

/// Targets of one decompressed file; `label` is its name, whose ending helps to tell the format.
/// Names are safe but not yet unique.
///
/// # Errors  of the format's parser.
pub fn parse(label: &str, bytes: &[u8], limits: &Limits) -> Result<Vec<Target>, Error> {
    parse_each(label, bytes, limits)?.into_iter().map(|target| target.map_err(|r| *r.error)).collect()
}

fn parse_each(label: &str, bytes: &[u8], limits: &Limits) -> Result<Vec<Result<Target, Refused>>, Error> {
    let stem = stem(label);
    let (msa, notes) = match Format::of(label, bytes)? {
        Format::Fasta => return fasta::parse(&Text::new(label, bytes)?, stem.unwrap_or("sequence"), limits),
        Format::A3m => a3m::parse(label, bytes, limits)?,
        Format::Stockholm => stockholm::parse(label, bytes, limits)?,
    };
    Ok(vec![Ok(Target::from_alignment(msa, notes, label, stem))])
}

fn folder(
    path: &Path,
    limits: &Limits,
    skipped: &mut Vec<PathBuf>,
    sets: &mut Vec<Set>,
) -> Result<(), Error> {
    let failed = |source| Error::Io { path: path.to_path_buf(), source };
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        // Hidden files are notes of the file system's or an editor's, whatever their ending.
        let hidden = entry.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        let known = !hidden && Format::by_ending(&label(&entry)).is_some();
        // A link to nowhere is a file that cannot be read, and said to be.
        let file = !std::fs::metadata(&entry).is_ok_and(|m| !m.is_file());
        if known && file { files.push(entry) } else { others.push(entry) }
    }
    if files.is_empty() {
        return Err(Error::EmptyFolder { path: path.to_path_buf() });
    }
    files.sort();
    others.sort();
    skipped.extend(others);
    sets.extend(files.iter().map(|path| Set::read(path, limits, &mut |_, _, _| None)));
    Ok(())
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn label(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_string() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/examples"))
    }

    #[test]
    fn a_folder_pairs_sequences_with_their_alignments() {
        let loaded = load(&[examples()], &Limits::default()).unwrap();
        let names: Vec<_> = loaded.targets.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["1jos_A", "2ayd_A", "4mo0_A", "5pal_A"]);
        assert!(
            loaded.targets.iter().all(|t| t.msa.as_ref().is_some_and(|m| m.columns() == t.sequence.len()))
        );
        assert_eq!(loaded.skipped.iter().filter(|p| p.to_string_lossy().ends_with(".ref.pdb")).count(), 4);
    }

    #[test]
    fn a_bad_file_or_record_leaves_the_others_and_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.fasta", ">dup\nM1\n>dup\nMKV\n");
        write("b.a3m", ">q\nMKV\n>r\nMK\n");
        write("c.fasta", ">b\nMKVL\n");
        write("._c.fasta", "\0\u{5}\u{16}");
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", folder.path().join("d.fasta")).unwrap();
        let inputs = [folder.path().to_path_buf(), folder.path().join("e.fasta")];
        let loaded = load(&inputs, &Limits::default()).unwrap();
        let names: Vec<_> = loaded.targets.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["dup_2", "b_2"]);
        assert_eq!(loaded.skipped.len(), 1);
        let failed: Vec<_> = loaded.failed.iter().map(ToString::to_string).collect();
        assert!(failed[0].ends_with("a.fasta:2:2: expected an amino-acid letter, found `1`"), "{failed:?}");
        assert!(failed[1].contains("b.a3m:3: row 2 (`r`)"), "{failed:?}");
        assert!(failed.last().unwrap().contains("e.fasta: No such file"), "{failed:?}");
        assert_eq!(failed.len(), if cfg!(unix) { 4 } else { 3 });
    }

    #[test]
    fn files_named_one_by_one_are_paired_as_in_a_folder() {
        let names = ["4mo0_A.a3m", "4mo0_A.fasta", "2ayd_A.a3m"];
        let loaded = load(&names.map(|n| examples().join(n)), &Limits::default()).unwrap();
        let got: Vec<_> = loaded.targets.iter().map(|t| (t.name.as_str(), t.msa.is_some())).collect();
        assert_eq!(got, [("4mo0_A", true), ("2ayd_A", true)]);
    }

    #[test]
    fn the_same_name_twice_gets_a_number() {
        let fasta = examples().join("2ayd_A.fasta");
        let loaded = load(&[fasta.clone(), fasta], &Limits::default()).unwrap();
        assert_eq!(loaded.targets[1].name, "2ayd_A_2");
        assert!(matches!(loaded.targets[1].notes[0].change, Change::Duplicate { .. }));
    }

    #[test]
    fn an_alignment_of_another_protein_is_refused() {
        let limits = Limits::default();
        let mut target = parse("t.fasta", b">t\nSRIVVHTQK\n", &limits).unwrap().remove(0);
        let (msa, _) = load_alignment(&examples().join("2ayd_A.a3m"), &limits).unwrap();
        let message = target.attach(msa, "2ayd_A.a3m").unwrap_err().to_string();
        assert!(message.ends_with("position 9: expected `K`, found `T`"), "{message}");
        target.attach(a3m::parse("x", b">q\nSRIVVHTQK\n", &limits).unwrap().0, "x").unwrap();
        assert!(target.msa.is_some());
    }
}
