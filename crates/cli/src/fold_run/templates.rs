//! `--templates FILE[:CHAIN]`: structures the user offers, read once, aligned to each target.

use crate::failure::bad_input;
use features::RawTemplates;
use features::templates::{TemplateLimits, TemplateReport, TemplateSource, from_structures};
use std::path::Path;

/// A structure read from a file.
pub struct Template {
    name: String,
    chain: Option<String>,
    structure: structure::Structure,
    /// SHA-256 of the file and the chain asked for.
    pub key: String,
}

/// Reads every file; `:CHAIN` after the name picks a chain.
///
/// # Errors  bad input, naming file and place.
pub fn read(arguments: &[String]) -> anyhow::Result<Vec<Template>> {
    arguments.iter().map(|argument| read_one(argument)).collect()
}

fn read_one(argument: &str) -> anyhow::Result<Template> {
    let (file, chain) = split(argument, |file| Path::new(file).is_file());
    let limits = msa::Limits::default();
    let bytes = msa::read(Path::new(file), &limits).map_err(bad_input)?;
    let structure = structure::read(&bytes, None, &structure::Limits::default())
        .map_err(|e| bad_input(format!("{file}:{e}")))?;
    let key = format!("{}:{}", super::receipt::sha256([bytes.as_slice()]), chain.unwrap_or(""));
    let name = Path::new(file).file_name().and_then(|n| n.to_str()).unwrap_or(file).to_string();
    Ok(Template { name, chain: chain.map(String::from), structure, key })
}

/// The file and the chain: what is a file as a whole has no chain suffix.
fn split(argument: &str, is_file: impl Fn(&str) -> bool) -> (&str, Option<&str>) {
    if is_file(argument) {
        return (argument, None);
    }
    match argument.rsplit_once(':') {
        Some((file, chain)) if !chain.is_empty() && is_file(file) => (file, Some(chain)),
        _ => (argument, None),
    }
}

/// The templates aligned to `sequence`, and what became of each.
///
/// # Errors  as `features::templates::from_structures`.
pub fn align(
    sequence: &str,
    templates: &[Template],
) -> Result<(RawTemplates, Vec<TemplateReport>), features::Error> {
    let sources: Vec<TemplateSource<'_>> = templates
        .iter()
        .map(|t| TemplateSource {
            name: &t.name,
            structure: &t.structure,
            chain: t.chain.as_deref(),
            mapping: None,
        })
        .collect();
    from_structures(sequence, &sources, &TemplateLimits::default())
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
        assert_eq!(split("a.pdb", files), ("a.pdb", None));
        assert_eq!(split("a.pdb:B", files), ("a.pdb", Some("B")));
        assert_eq!(split("c:1.cif", files), ("c:1.cif", None));
        assert_eq!(split("c:1.cif:AA", files), ("c:1.cif", Some("AA")));
        assert_eq!(split("b.pdb:A", files), ("b.pdb:A", None));
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
    }
}
