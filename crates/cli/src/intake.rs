//! From the inputs of a command to targets: sequences, alignments, and job files with what they say besides.

use crate::failure::bad_input;
use jobfile::{Alignment, Content, Monomer, Seeds};
use msa::{Change, Limits, Note, Target, Unread};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What the inputs hold.
pub struct Intake {
    /// To be folded, by unique names.
    pub targets: Vec<Target>,
    /// Files and records that could not be read; each was told.
    pub refused: usize,
    /// By the source of a target.
    asked: HashMap<String, Asked>,
}

/// What a job file says of a target besides its sequence and alignment.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Seeds, if it names any.
    pub seeds: Option<Seeds>,
    /// Of our own jobs.
    pub options: jobfile::Options,
    /// Structures to use as templates, read from their files.
    pub templates: Vec<Given>,
}

/// A structure of a job file.
#[derive(Clone, Debug)]
pub struct Given {
    /// For messages.
    pub place: String,
    /// For people.
    pub name: String,
    /// PDB or mmCIF.
    pub bytes: Vec<u8>,
    /// Its chain; the most similar one without.
    pub chain: Option<String>,
    /// Pairs of residues of target and template, from 0.
    pub mapping: Option<Vec<(usize, usize)>>,
}

impl Intake {
    /// What was said of a target; nothing for those of other files.
    pub fn asked(&self, target: &Target) -> Option<&Asked> {
        self.asked.get(&target.source)
    }
}

/// Folders may hold many files that are no input; so many are named.
const SKIPPED_SHOWN: usize = 8;

/// Reads all inputs; tells on stderr what cannot be read and what is skipped.
///
/// # Errors  bad input: nothing was found, or the one input cannot be read.
pub fn load(inputs: &[PathBuf], limits: &Limits) -> anyhow::Result<Intake> {
    let mut asked = HashMap::new();
    let mut read = |path: &Path, label: &str, bytes: &[u8]| job_file(path, label, bytes, limits, &mut asked);
    let mut loaded = msa::load_with(inputs, limits, &mut read).map_err(bad_input)?;
    for path in loaded.skipped.iter().take(SKIPPED_SHOWN) {
        let what = if path.is_dir() {
            "a folder within a folder"
        } else {
            "expected .fasta, .a3m or .sto (also .gz or .zst)"
        };
        eprintln!("NOTE  {}: skipped, {what}", path.display());
    }
    if let Some(more) = loaded.skipped.len().checked_sub(SKIPPED_SHOWN).filter(|&n| n > 0) {
        eprintln!("NOTE  {more} more files of no known format skipped");
    }
    if loaded.targets.is_empty() && loaded.failed.len() == 1 {
        return Err(bad_input(loaded.failed.remove(0)));
    }
    for error in &loaded.failed {
        eprintln!("ERROR  {error}");
    }
    if loaded.targets.is_empty() {
        return Err(bad_input("expected at least one target, found none"));
    }
    Ok(Intake { targets: loaded.targets, refused: loaded.failed.len(), asked })
}

/// The targets of a job file, or `None` if it is none. FASTA is left to `msa`, which names each record it refuses.
fn job_file(
    path: &Path,
    label: &str,
    bytes: &[u8],
    limits: &Limits,
    asked: &mut HashMap<String, Asked>,
) -> Option<Vec<Result<Target, Unread>>> {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let json = matches!(start.first(), Some(b'{' | b'['));
    if matches!(start.first(), Some(b'>' | b'#'))
        && jobfile::detect(label, bytes) != Some(jobfile::Dialect::Boltz)
        || !json && jobfile::detect(label, bytes).is_none()
    {
        return None;
    }
    let stem = stem(path);
    let most = jobfile::Limits { residues: limits.columns, ..jobfile::Limits::default() };
    let requests = match jobfile::read_each(label, bytes, &most) {
        Ok(requests) => requests,
        Err(error) => return Some(vec![Err(Unread { name: stem, error: error.to_string() })]),
    };
    let count = requests.len();
    let folder = if path == Path::new("-") { Path::new("") } else { path.parent().unwrap_or(Path::new("")) };
    let mut targets = Vec::with_capacity(count);
    for (i, request) in requests.into_iter().enumerate() {
        let unnamed = if count == 1 { stem.clone() } else { format!("{stem}_{}", i + 1) };
        let name = request.as_ref().map(|r| r.name.trim()).ok().filter(|n| !n.is_empty()).unwrap_or(&unnamed);
        let name = name.replace(|c: char| c.is_whitespace() || c.is_control(), "_");
        let monomer = request.and_then(jobfile::Request::monomer);
        let made = monomer.map_err(|e| e.to_string()).and_then(|monomer| {
            let made = target(&name, monomer, folder, limits);
            made.map_err(|error| crate::failure::text(&error))
        });
        targets.push(made.map_err(|error| Unread { name, error }).map(|(target, said)| {
            asked.insert(target.source.clone(), said);
            target
        }));
    }
    Some(targets)
}

fn stem(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| *name != "-").unwrap_or("job");
    let name = [".gz", ".zst", ".zstd"].iter().find_map(|e| name.strip_suffix(e)).unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_string()
}

/// A chain with its alignment, from the job file's text or from files beside it.
fn target(name: &str, job: Monomer, folder: &Path, limits: &Limits) -> anyhow::Result<(Target, Asked)> {
    let place = job.place.to_string();
    let alignment = match &job.alignment {
        Alignment::None | Alignment::Empty => None,
        Alignment::Text(text) => {
            let label = format!("{place}: alignment");
            let stockholm = text.trim_start().starts_with("# STOCKHOLM");
            let parse = if stockholm { msa::stockholm::parse } else { msa::a3m::parse };
            Some((label.clone(), parse(&label, text.as_bytes(), limits).map_err(bad_input)?))
        }
        Alignment::Path(path) => {
            let file = folder.join(path);
            let read = msa::load_alignment(&file, limits).map_err(|e| bad_input(format!("{place}: {e}")))?;
            Some((file.display().to_string(), read))
        }
    };
    let sequence = match (&alignment, job.sequence.is_empty()) {
        (Some((_, (msa, _))), true) => String::from_utf8_lossy(msa.query()).into_owned(),
        _ => job.sequence,
    };
    let fasta = format!(">{name}\n{sequence}\n");
    let mut target = msa::parse("job.fasta", fasta.as_bytes(), limits)
        .and_then(|mut targets| targets.pop().ok_or(msa::Error::Empty { file: place.clone() }))
        .map_err(|e| bad_input(format!("{place}: {e}")))?;
    target.source = place.clone();
    target.notes.iter_mut().for_each(|note| note.place = place.clone());
    let said = job.notes.into_iter();
    target.notes.extend(said.map(|n| Note { place: n.place.to_string(), change: Change::Said(n.text) }));
    if let Some((label, (msa, notes))) = alignment {
        target.attach(msa, &label).map_err(bad_input)?;
        target.notes.extend(notes);
    }
    let templates =
        job.templates.into_iter().map(|t| given(t, folder, limits)).collect::<anyhow::Result<_>>()?;
    Ok((target, Asked { seeds: job.seeds, options: job.options, templates }))
}

fn given(template: jobfile::Template, folder: &Path, limits: &Limits) -> anyhow::Result<Given> {
    let place = template.place.to_string();
    let bytes = match template.structure {
        Content::Text(text) => text.into_bytes(),
        Content::Path(path) => {
            msa::read(&folder.join(path), limits).map_err(|e| bad_input(format!("{place}: {e}")))?
        }
    };
    let name = if template.name.is_empty() { "template".to_string() } else { template.name };
    Ok(Given { place, name, bytes, chain: template.chain, mapping: template.mapping })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn job_files_become_targets_with_what_they_ask() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| write(folder.path(), name, text);
        at("rows.a3m", ">x\nMKVLU\n>b\nMK-LC\n");
        let boltz = at("b.yaml", "sequences:\n- protein: {id: A, sequence: MKVLU, msa: rows.a3m}\n");
        let own = at(
            "own.json",
            r#"[{"name": "my job", "sequence": "mkv", "options": {"seed": 7, "num_seeds": 2, "recycles": 1}},
                {"alignment": ">q\nMKV\n>r\nM-V\n"}, {"sequence": "MK7"}]"#,
        );
        let table = at("t.csv", "id,sequence\nmy job,MKVA\nb,MK:MV\n");
        let fasta = at("f.fasta", ">my_job\nMKVAA\n");
        let inputs = [boltz, own.clone(), table, fasta];
        let intake = load(&inputs, &Limits::default()).unwrap();
        let all: Vec<_> = intake.targets.iter().map(|t| (t.name.as_str(), t.sequence.as_str())).collect();
        assert_eq!(
            all,
            [
                ("b", "MKVLC"),
                ("my_job", "MKV"),
                ("own_2", "MKV"),
                ("my_job_2", "MKVA"),
                ("my_job_3", "MKVAA")
            ]
        );
        assert_eq!((intake.targets[0].msa.as_ref().map(msa::Msa::rows), intake.refused), (Some(2), 2));
        std::fs::write(&own, std::fs::read_to_string(&own).unwrap().replace("MK7", "MKL")).unwrap();
        let intake = load(std::slice::from_ref(&own), &Limits::default()).unwrap();
        let all: Vec<_> = intake.targets.iter().map(|t| (t.name.as_str(), t.sequence.as_str())).collect();
        assert_eq!(all, [("my_job", "MKV"), ("own_2", "MKV"), ("own_3", "MKL")]);
        let asked = intake.asked(&intake.targets[0]).unwrap();
        assert_eq!((asked.seeds, asked.options.recycles), (Some(Seeds { first: 7, count: 2 }), Some(1)));
        let notes: Vec<String> = intake.targets[0].notes.iter().map(ToString::to_string).collect();
        assert!(
            notes[0].ends_with("own.json: /0/sequence: 3 lower-case residues read as upper case"),
            "{notes:?}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_by_file_and_place() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, says) in [
            ("a.json", r#"{"plddt": [1]}"#, "a.json: expected a job file"),
            (
                "b.json",
                r#"[{"sequences": [{"ion": {"ion": "MG"}}]}]"#,
                "b.json: /0/sequences/0/ion: ions are not supported yet",
            ),
            ("c.yml", "sequences:\n- protein: {id: A, sequence: MK, msa: no.a3m}\n", "c.yml:1: "),
            (
                "d.json",
                r#"{"sequence": "MKV", "alignment": ">q\nMKL\n"}"#,
                "position 3: expected `V`, found `L`",
            ),
            (
                "e.json",
                r#"{"sequence": "MKV", "alignment": ">q\nMKV\n>b\nMK\n"}"#,
                "e.json: alignment:3: row 2",
            ),
        ] {
            let error = load(&[write(folder.path(), name, text)], &Limits::default()).err().unwrap();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(crate::failure::code(&error), 2);
        }
    }
}
