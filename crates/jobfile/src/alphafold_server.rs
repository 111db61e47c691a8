//! Jobs of alphafoldserver.com: a list of objects, also what its download page gives back (`…_job_request.json`).
//! Source: github.com/google-deepmind/alphafold, `server/README.md`.

use crate::draft::Draft;
use crate::file::File;
use crate::json;
use crate::place::step;
use crate::types::{List, Seed, Text};
use crate::{Alignment, Chain, Each, Error, Request};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Job {
    #[serde(default)]
    name: Text,
    /// Empty: the server draws one.
    #[serde(default)]
    model_seeds: List<Seed>,
    sequences: List<Entity>,
    #[serde(default, rename = "dialect")]
    _dialect: Option<String>,
    #[serde(default)]
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Entity {
    ProteinChain(Protein),
    DnaSequence(Nucleic),
    RnaSequence(Nucleic),
    Ligand(Ligand),
    Ion(Ion),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Protein {
    sequence: String,
    count: Option<u64>,
    #[serde(default)]
    glycans: List<IgnoredAny>,
    #[serde(default)]
    modifications: List<IgnoredAny>,
    max_template_date: Option<String>,
    use_structure_template: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Nucleic {
    #[serde(rename = "sequence")]
    _sequence: IgnoredAny,
    count: Option<u64>,
    #[serde(default, rename = "modifications")]
    _modifications: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ligand {
    #[serde(rename = "ligand")]
    _ligand: IgnoredAny,
    count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ion {
    #[serde(rename = "ion")]
    _ion: IgnoredAny,
    count: Option<u64>,
}

pub(crate) fn read(file: &File<'_>) -> Result<Each, Error> {
    Ok(json::entries::<Job>(file)?.into_iter().map(|(pointer, job)| request(file, &pointer, job)).collect())
}

fn request(file: &File<'_>, pointer: &str, job: Job) -> Result<Request, Error> {
    let mut draft = Draft::new(file, None, pointer, &job.name.0);
    draft.version(job.version, 1, &step(pointer, "version"));
    draft.seeds(&job.model_seeds.0, &step(pointer, "modelSeeds"))?;
    let list = step(pointer, "sequences");
    for (i, entity) in job.sequences.0.into_iter().enumerate() {
        let (key, count, what) = match &entity {
            Entity::ProteinChain(p) => ("proteinChain", p.count, ""),
            Entity::DnaSequence(n) => ("dnaSequence", n.count, "DNA is"),
            Entity::RnaSequence(n) => ("rnaSequence", n.count, "RNA is"),
            Entity::Ligand(l) => ("ligand", l.count, "ligands are"),
            Entity::Ion(i) => ("ion", i.count, "ions are"),
        };
        let here = step(&step(&list, i), key);
        let ids = draft.copies(count.unwrap_or(1), &step(&here, "count"))?;
        let Entity::ProteinChain(protein) = entity else {
            draft.refuse_if(true, &here, what);
            continue;
        };
        draft.refuse_if(!protein.glycans.0.is_empty(), &step(&here, "glycans"), "glycans are");
        let modified = !protein.modifications.0.is_empty();
        draft.refuse_if(modified, &step(&here, "modifications"), "modified residues are");
        if protein.use_structure_template != Some(false) && protein.max_template_date.is_some() {
            draft.note(&step(&here, "maxTemplateDate"), "no template is searched for; the date is not used");
        }
        let place = draft.at(&step(&here, "sequence"));
        let sequence = draft.sequence(&protein.sequence, &place)?;
        let place = draft.at(&here);
        draft.push(Chain { place, ids, sequence, alignment: Alignment::None, templates: Vec::new() });
    }
    draft.finish()
}
