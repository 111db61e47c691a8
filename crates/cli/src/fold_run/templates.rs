//! `--templates FILE[:CHAIN][=ALIGNMENT]`: structures the user offers, read once, aligned to each target.

use super::mapping::{self, Mapping};
use crate::failure::bad_input;
use crate::intake::Given;
use features::RawTemplates;
use features::templates::{TemplateLimits, TemplateReport, TemplateSource, from_structures};
use std::path::Path;

/// A structure read from a file.
#[derive(Clone)]
pub struct Template {
    name: String,
    chain: Option<String>,
    structure: structure::Structure,
    mapping: Option<Mapping>,
    /// SHA-256 of the files and the chain asked for.
    pub key: String,
}

/// Reads every file; `:CHAIN` after the name picks a chain, `=ALIGNMENT` names a mapping.
///
/// # Errors  bad input, naming file and place.
pub fn read(arguments: &[String]) -> anyhow::Result<Vec<Template>> {
    arguments.iter().map(|argument| read_one(argument)).collect()
}

/// The files as they are, for a server, which aligns them.
///
/// # Errors  bad input: a file that cannot be read, a mapping.
pub fn given(arguments: &[String]) -> anyhow::Result<Vec<Given>> {
    let each = arguments.iter().map(|argument| {
        let Parts { file, chain, mapping } = split(argument, |file| Path::new(file).is_file());
        if let Some(mapping) = mapping {
            return Err(bad_input(format!(
                "{file}: its own mapping, {mapping}, cannot be sent to a server yet"
            )));
        }
        let bytes = msa::read(Path::new(file), &msa::Limits::default()).map_err(bad_input)?;
        let name = Path::new(file).file_name().and_then(|n| n.to_str()).unwrap_or(file).to_string();
        Ok(Given { place: file.to_string(), name, bytes, chain: chain.map(String::from), mapping: None })
    });
    each.collect()
}

fn read_one(argument: &str) -> anyhow::Result<Template> {
    let Parts { file, chain, mapping } = split(argument, |file| Path::new(file).is_file());
    let limits = msa::Limits::default();
    let bytes = msa::read(Path::new(file), &limits).map_err(bad_input)?;
    let name = Path::new(file).file_name().and_then(|n| n.to_str()).unwrap_or(file);
    let mapping = mapping
        .map(|file| {
            let bytes = msa::read(Path::new(file), &limits).map_err(bad_input)?;
            Ok::<_, anyhow::Error>((mapping::parse(file, &bytes).map_err(bad_input)?, bytes))
        })
        .transpose()?;
    let template = Template::parse(name, file, &bytes, chain)?;
    Ok(match mapping {
        None => template,
        Some((mapping, text)) => Template {
            key: key([bytes.as_slice(), text.as_slice()], chain),
            mapping: Some(mapping),
            ..template
        },
    })
}

fn key<'a>(files: impl IntoIterator<Item = &'a [u8]>, chain: Option<&str>) -> String {
    format!("{}:{}", super::receipt::sha256(files), chain.unwrap_or(""))
}

impl Template {
    /// A structure, PDB or mmCIF; `place` is what messages call it.
    ///
    /// # Errors  bad input, naming the place.
    pub fn parse(name: &str, place: &str, bytes: &[u8], chain: Option<&str>) -> anyhow::Result<Self> {
        let structure = structure::read(bytes, None, &structure::Limits::default())
            .map_err(|e| bad_input(format!("{place}:{e}")))?;
        let (name, key) = (name.to_string(), key([bytes], chain));
        Ok(Self { name, chain: chain.map(String::from), structure, mapping: None, key })
    }
}

impl TryFrom<&Given> for Template {
    type Error = anyhow::Error;

    /// # Errors  bad input, naming the place.
    fn try_from(given: &Given) -> anyhow::Result<Self> {
        let chain = given.chain.as_deref();
        let template = Self::parse(&given.name, &given.place, &given.bytes, chain)?;
        Ok(match &given.mapping {
            None => template,
            Some(pairs) => {
                let numbers: Vec<u8> = pairs
                    .iter()
                    .flat_map(|&(q, t)| [q as u64, t as u64])
                    .flat_map(u64::to_le_bytes)
                    .collect();
                let key = key([given.bytes.as_slice(), &numbers], chain);
                Self { key, mapping: Some(Mapping::Pairs(pairs.clone())), ..template }
            }
        })
    }
}

/// An argument taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    file: &'a str,
    chain: Option<&'a str>,
    mapping: Option<&'a str>,
}

/// What is a file as a whole has no chain suffix and no mapping.
fn split(argument: &str, is_file: impl Fn(&str) -> bool) -> Parts<'_> {
    let plain = |file| Parts { file, chain: None, mapping: None };
    let chain = |text| {
        if is_file(text) {
            return Some(plain(text));
        }
        let (file, chain) =
            text.rsplit_once(':').filter(|(file, chain)| !chain.is_empty() && is_file(file))?;
        Some(Parts { chain: Some(chain), ..plain(file) })
    };
    let mapped = || {
        let (front, mapping) = argument.rsplit_once('=').filter(|(_, mapping)| !mapping.is_empty())?;
        Some(Parts { mapping: Some(mapping), ..chain(front)? })
    };
    if is_file(argument) {
        return plain(argument);
    }
    mapped().or_else(|| chain(argument)).unwrap_or(plain(argument))
}

/// The templates aligned to `sequence`, and what became of each.
///
/// # Errors  as `features::templates::from_structures`.
pub fn align(
    sequence: &str,
    templates: &[Template],
) -> Result<(RawTemplates, Vec<TemplateReport>), features::Error> {
    type Resolved = (Option<String>, Option<Vec<(usize, usize)>>);
    let resolved: Vec<Result<Resolved, String>> = templates
        .iter()
        .map(|t| match &t.mapping {
            None => Ok((t.chain.clone(), None)),
            Some(mapping) => mapping
                .resolve(sequence, &t.structure, t.chain.as_deref())
                .map(|(chain, pairs)| (Some(chain), Some(pairs))),
        })
        .collect();
    let fitting = templates.iter().zip(&resolved).filter_map(|(t, r)| Some((t, r.as_ref().ok()?)));
    let sources: Vec<TemplateSource<'_>> = fitting
        .map(|(t, (chain, pairs))| TemplateSource {
            name: &t.name,
            structure: &t.structure,
            chain: chain.as_deref(),
            mapping: pairs.as_deref(),
        })
        .collect();
    let (raw, found) = from_structures(sequence, &sources, &TemplateLimits::default())?;
    let mut found = found.into_iter();
    let reports = templates.iter().zip(resolved).filter_map(|(t, r)| match r {
        Ok(_) => found.next(),
        Err(why) => Some(TemplateReport {
            name: t.name.clone(),
            chain: t.chain.clone(),
            refused: Some(why),
            aligned: 0,
            identity: 0.0,
            coverage: 0.0,
        }),
    });
    Ok((raw, reports.collect()))
}

/// Says of templates that pass, beyond the first `most`, that the model does not read them.
pub fn keep_first(reports: &mut [TemplateReport], most: usize) {
    for report in reports.iter_mut().filter(|r| r.refused.is_none()).skip(most) {
        report.refused = Some(format!("the model reads {most} at most"));
    }
}

/// A report as a sentence.
pub fn describe(report: &TemplateReport) -> String {
    let chain = report.chain.as_ref().map_or(String::new(), |c| format!(" chain {c}"));
    match &report.refused {
        Some(why) => format!("template {}{chain} refused: {why}", report.name),
        None => format!(
            "template {}{chain} used: {} residues aligned, {:.0}% identical, {:.0}% of the target",
            report.name,
            report.aligned,
            100.0 * report.identity,
            100.0 * report.coverage
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_split_off_existing_files_only() {
        let files = |f: &str| f == "a.pdb" || f == "c:1.cif";
        let parts = |file, chain, mapping| Parts { file, chain, mapping };
        assert_eq!(split("a.pdb", files), parts("a.pdb", None, None));
        assert_eq!(split("a.pdb:B", files), parts("a.pdb", Some("B"), None));
        assert_eq!(split("c:1.cif", files), parts("c:1.cif", None, None));
        assert_eq!(split("c:1.cif:AA", files), parts("c:1.cif", Some("AA"), None));
        assert_eq!(split("b.pdb:A", files), parts("b.pdb:A", None, None));
        assert_eq!(split("a.pdb=m.fasta", files), parts("a.pdb", None, Some("m.fasta")));
        assert_eq!(split("c:1.cif:A=m.json", files), parts("c:1.cif", Some("A"), Some("m.json")));
        assert_eq!(split("b.pdb=m", files), parts("b.pdb=m", None, None));
    }

    #[test]
    fn a_shipped_structure_is_its_own_template() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/examples/");
        let read = read(&[format!("{root}4mo0_A.ref.pdb")]).unwrap();
        let targets = msa::load(&[format!("{root}4mo0_A.fasta").into()], &msa::Limits::default()).unwrap();
        let (raw, reports) = align(&targets.targets[0].sequence, &read).unwrap();
        assert_eq!(raw.len(), 1);
        assert!(reports[0].identity > 0.99 && reports[0].coverage > 0.8, "{:?}", reports[0]);
        assert!(describe(&reports[0]).contains("used"));
        // With a mapping of ten residues only these are aligned; one that does not fit is refused.
        let sequence = &targets.targets[0].sequence;
        let folder = tempfile::tempdir().unwrap();
        let mapped = |text: &str| {
            let file = folder.path().join("m.fasta");
            std::fs::write(&file, text).unwrap();
            let read = super::read(&[format!("{root}4mo0_A.ref.pdb:A={}", file.display())]).unwrap();
            align(sequence, &read).unwrap().1.remove(0)
        };
        let part = &sequence[20..30];
        let report = mapped(&format!(">q\n{part}\n>t\n{part}\n"));
        assert_eq!((report.aligned, report.chain.as_deref(), report.refused), (10, Some("A"), None));
        let report = mapped(&format!(">q\n{part}\n>t\nWWWWWWWWWW\n"));
        assert!(describe(&report).contains("refused: the mapping's second row"), "{report:?}");
        let mut three = [reports[0].clone(), report, reports[0].clone()];
        keep_first(&mut three, 1);
        assert_eq!(three[0].refused, None);
        assert_eq!(describe(&three[2]), "template 4mo0_A.ref.pdb chain A refused: the model reads 1 at most");
    }
}
