//! Jobs of Boltz: one YAML document a file, named by the file. Source: github.com/jwohlwend/boltz, `docs/prediction.md`.

use crate::draft::Draft;
use crate::error::quote;
use crate::file::File;
use crate::place::step;
use crate::types::{List, Text, Texts};
use crate::yaml;
use crate::{Alignment, Chain, Content, Each, Error, Template};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    #[serde(default)]
    version: Option<u64>,
    sequences: List<Entity>,
    #[serde(default)]
    constraints: List<IgnoredAny>,
    #[serde(default)]
    templates: List<Structure>,
    #[serde(default)]
    properties: List<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entity {
    Protein(Protein),
    Dna(Other),
    Rna(Other),
    Ligand(Other),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protein {
    id: Texts,
    sequence: Text,
    /// A file, or the word `empty`.
    msa: Option<Text>,
    #[serde(default)]
    modifications: List<IgnoredAny>,
    #[serde(default)]
    cyclic: Option<bool>,
}

/// What is no protein; refused, so not looked into.
#[derive(Deserialize)]
struct Other {
    id: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Structure {
    cif: Option<Text>,
    pdb: Option<Text>,
    /// Chains of the job it is for; all without.
    #[serde(default)]
    chain_id: Option<Texts>,
    /// Their chains in the template.
    #[serde(default)]
    template_id: Option<Texts>,
    #[serde(default)]
    force: Option<bool>,
    #[serde(default, rename = "threshold")]
    _threshold: IgnoredAny,
}

pub(crate) fn read(file: &File<'_>) -> Result<Each, Error> {
    let (job, lines) = yaml::parse::<Job>(file)?;
    let mut draft = Draft::new(file, Some(&lines), "", file.stem());
    draft.version(job.version, 1, "/version");
    for (i, entity) in job.sequences.0.into_iter().enumerate() {
        let here = step("/sequences", i);
        let (key, what, ids) = match entity {
            Entity::Protein(protein) => {
                let chain = chain(&mut draft, &step(&here, "protein"), protein)?;
                draft.push(chain);
                continue;
            }
            Entity::Dna(other) => ("dna", "DNA is", other.id),
            Entity::Rna(other) => ("rna", "RNA is", other.id),
            Entity::Ligand(other) => ("ligand", "ligands are", other.id),
        };
        let here = step(&here, key);
        draft.ids(ids.0, &step(&here, "id"))?;
        draft.refuse_if(true, &here, what);
    }
    for (i, structure) in job.templates.0.into_iter().enumerate() {
        template(&mut draft, &step("/templates", i), structure)?;
    }
    draft.refuse_if(!job.constraints.0.is_empty(), "/constraints", "constraints are");
    draft.refuse_if(!job.properties.0.is_empty(), "/properties", "predicted properties (affinity) are");
    Ok(vec![draft.finish()])
}

fn chain(draft: &mut Draft<'_>, here: &str, protein: Protein) -> Result<Chain, Error> {
    let ids = draft.ids(protein.id.0, &step(here, "id"))?;
    let place = draft.at(&step(here, "sequence"));
    let sequence = draft.sequence(&protein.sequence.0, &place)?;
    let modified = !protein.modifications.0.is_empty();
    draft.refuse_if(modified, &step(here, "modifications"), "modified residues are");
    draft.refuse_if(protein.cyclic == Some(true), &step(here, "cyclic"), "cyclic chains are");
    let alignment = match protein.msa.map(|Text(text)| text) {
        None => Alignment::None,
        Some(text) if text.trim().is_empty() => Alignment::None,
        Some(text) if text == "empty" => Alignment::Empty,
        Some(path) => {
            let table = path.to_ascii_lowercase().ends_with(".csv");
            draft.refuse_if(table, &step(here, "msa"), "alignments as tables of paired rows are");
            Alignment::Path(path)
        }
    };
    let place = draft.at(here);
    Ok(Chain { place, ids, sequence, alignment, templates: Vec::new() })
}

/// Gives a template to the chains it is for.
fn template(draft: &mut Draft<'_>, here: &str, structure: Structure) -> Result<(), Error> {
    let place = draft.at(here);
    let path = match (structure.cif, structure.pdb) {
        (Some(Text(path)), None) | (None, Some(Text(path))) => path,
        (Some(_), Some(_)) => return Err(Error::value(&place, "one of cif and pdb", "both")),
        (None, None) => return Err(Error::value(&place, "cif or pdb", "neither")),
    };
    draft.refuse_if(structure.force == Some(true), &step(here, "force"), "forced templates are");
    let name = path.rsplit(['/', '\\']).next().unwrap_or(&path).to_string();
    let targets = structure.chain_id.map(|ids| ids.0);
    let chains = structure.template_id.map(|ids| ids.0).unwrap_or_default();
    if let Some(targets) = &targets {
        let known = |id: &String| draft.request.chains.iter().any(|chain| chain.ids.contains(id));
        if let Some(id) = targets.iter().find(|id| !known(id)) {
            let place = draft.at(&step(here, "chain_id"));
            return Err(Error::value(&place, "ids of protein chains of this job", quote(id)));
        }
    }
    let count = targets.as_ref().map_or(1, Vec::len);
    if !chains.is_empty() && chains.len() != count {
        let place = draft.at(&step(here, "template_id"));
        let (expected, found) = ("as many template_id as chain_id", format!("{} and {count}", chains.len()));
        return Err(Error::value(&place, expected, found));
    }
    for chain in &mut draft.request.chains {
        let index = match &targets {
            None => Some(0),
            Some(targets) => targets.iter().position(|id| chain.ids.contains(id)),
        };
        let Some(index) = index else { continue };
        let (place, structure) = (place.clone(), Content::Path(path.clone()));
        let of_template = chains.get(index).cloned();
        chain.templates.push(Template {
            place,
            name: name.clone(),
            structure,
            chain: of_template,
            mapping: None,
        });
    }
    Ok(())
}
