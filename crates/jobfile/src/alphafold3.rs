//! Jobs of AlphaFold 3: one object a file. Source: github.com/google-deepmind/alphafold3, `docs/input.md`.

use crate::draft::Draft;
use crate::file::File;
use crate::json;
use crate::place::step;
use crate::types::{List, Seed, Texts};
use crate::{Alignment, Chain, Content, Each, Error, Request, Template};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Job {
    #[serde(default)]
    name: String,
    #[serde(default)]
    model_seeds: List<Seed>,
    sequences: List<Entity>,
    #[serde(default)]
    bonded_atom_pairs: List<IgnoredAny>,
    #[serde(default, rename = "userCCD")]
    user_ccd: Option<IgnoredAny>,
    #[serde(default, rename = "userCCDPath")]
    user_ccd_path: Option<IgnoredAny>,
    #[serde(default, rename = "dialect")]
    _dialect: Option<String>,
    #[serde(default)]
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Entity {
    Protein(Protein),
    Rna(Other),
    Dna(Other),
    Ligand(Other),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Protein {
    id: Texts,
    sequence: String,
    #[serde(default)]
    modifications: List<IgnoredAny>,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    unpaired_msa: Option<String>,
    unpaired_msa_path: Option<String>,
    paired_msa: Option<String>,
    paired_msa_path: Option<String>,
    /// `null`: search; `[]`: none.
    #[serde(default)]
    templates: List<Structure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Structure {
    mmcif: Option<String>,
    mmcif_path: Option<String>,
    query_indices: List<usize>,
    template_indices: List<usize>,
}

/// What is no protein; refused, so not looked into.
#[derive(Deserialize)]
struct Other {
    id: Texts,
}

pub(crate) fn read(file: &File<'_>) -> Result<Each, Error> {
    Ok(json::entries::<Job>(file)?.into_iter().map(|(pointer, job)| request(file, &pointer, job)).collect())
}

fn request(file: &File<'_>, pointer: &str, job: Job) -> Result<Request, Error> {
    let mut draft = Draft::new(file, None, pointer, &job.name);
    draft.version(job.version, 4, &step(pointer, "version"));
    draft.seeds(&job.model_seeds.0, &step(pointer, "modelSeeds"))?;
    let bonds = !job.bonded_atom_pairs.0.is_empty();
    let list = step(pointer, "sequences");
    for (i, entity) in job.sequences.0.into_iter().enumerate() {
        let (key, what, ids) = match entity {
            Entity::Protein(protein) => {
                let chain = chain(&mut draft, &step(&step(&list, i), "protein"), protein)?;
                draft.push(chain);
                continue;
            }
            Entity::Rna(other) => ("rna", "RNA is", other.id),
            Entity::Dna(other) => ("dna", "DNA is", other.id),
            Entity::Ligand(other) => ("ligand", "ligands are", other.id),
        };
        let here = step(&step(&list, i), key);
        draft.ids(ids.0, &step(&here, "id"))?;
        draft.refuse_if(true, &here, what);
    }
    draft.refuse_if(bonds, &step(pointer, "bondedAtomPairs"), "bonds between given atoms are");
    for (key, there) in [("userCCD", job.user_ccd.is_some()), ("userCCDPath", job.user_ccd_path.is_some())] {
        if there {
            draft.note(&step(pointer, key), "components of one's own belong to ligands; not used");
        }
    }
    draft.finish()
}

fn chain(draft: &mut Draft<'_>, here: &str, protein: Protein) -> Result<Chain, Error> {
    let ids = draft.ids(protein.id.0, &step(here, "id"))?;
    let place = draft.at(&step(here, "sequence"));
    let sequence = draft.sequence(&protein.sequence, &place)?;
    let modified = !protein.modifications.0.is_empty();
    draft.refuse_if(modified, &step(here, "modifications"), "modified residues are");
    let alignment = match (protein.unpaired_msa, protein.unpaired_msa_path) {
        (Some(_), Some(_)) => {
            let both = "both";
            return Err(Error::value(&draft.at(here), "one of unpairedMsa and unpairedMsaPath", both));
        }
        (Some(text), None) if text.trim().is_empty() => Alignment::Empty,
        (Some(text), None) => Alignment::Text(text),
        (None, Some(path)) => Alignment::Path(path),
        (None, None) => Alignment::None,
    };
    if protein.paired_msa.is_some_and(|text| !text.trim().is_empty()) || protein.paired_msa_path.is_some() {
        draft.note(here, "the paired alignment is for complexes; not used");
    }
    let mut templates = Vec::new();
    for (i, template) in protein.templates.0.into_iter().enumerate() {
        let here = step(&step(here, "templates"), i);
        let place = draft.at(&here);
        let structure = match (template.mmcif, template.mmcif_path) {
            (Some(text), None) => Content::Text(text),
            (None, Some(path)) => Content::Path(path),
            (Some(_), Some(_)) => return Err(Error::value(&place, "one of mmcif and mmcifPath", "both")),
            (None, None) => return Err(Error::value(&place, "mmcif or mmcifPath", "neither")),
        };
        let (query, of_template) = (template.query_indices.0, template.template_indices.0);
        if query.len() != of_template.len() || query.is_empty() {
            let expected = "as many queryIndices as templateIndices, at least one";
            let found = format!("{} and {}", query.len(), of_template.len());
            return Err(Error::value(&place, expected, found));
        }
        let mapping = Some(query.into_iter().zip(of_template).collect());
        templates.push(Template { place, name: String::new(), structure, chain: None, mapping });
    }
    let place = draft.at(here);
    Ok(Chain { place, ids, sequence, alignment, templates })
}
