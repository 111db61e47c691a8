//! Our own jobs: bodies of `POST /v1/jobs` (docs/service.md), one, a list, or `{"jobs": [...]}`.

use crate::draft::Draft;
use crate::file::File;
use crate::json;
use crate::place::step;
use crate::types::List;
use crate::{Alignment, Chain, Content, Each, Error, Options, Request, Template, Webhook};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    jobs: List<Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    #[serde(default)]
    name: Option<String>,
    sequence: Option<String>,
    alignment: Option<String>,
    #[serde(default)]
    templates: List<Structure>,
    #[serde(default)]
    options: Option<How>,
    priority: Option<i32>,
    max_attempts: Option<u32>,
    webhook: Option<Call>,
    reuse: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Structure {
    #[serde(default)]
    name: Option<String>,
    structure: String,
    chain: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct How {
    model: Option<String>,
    recycles: Option<u32>,
    recycle_tolerance: Option<f64>,
    seed: Option<u64>,
    num_seeds: Option<u32>,
    max_msa: Option<(u32, u32)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    url: String,
    secret: Option<String>,
}

pub(crate) fn read(file: &File<'_>) -> Result<Each, Error> {
    let jobs = if is_batch(file.text) {
        json::numbered(file, "/jobs", json::parse::<Batch>(file)?.jobs.0)?
    } else {
        json::entries::<Job>(file)?
    };
    Ok(jobs.into_iter().map(|(pointer, job)| request(file, &pointer, job)).collect())
}

/// An object whose first key is `jobs`; others are told as unknown keys of a job.
fn is_batch(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with("\"jobs\""))
}

fn request(file: &File<'_>, pointer: &str, job: Job) -> Result<Request, Error> {
    let mut draft = Draft::new(file, None, pointer, job.name.as_deref().unwrap_or(""));
    if job.sequence.is_none() && job.alignment.is_none() {
        return Err(Error::value(&draft.at(pointer), "`sequence` or `alignment`", "neither"));
    }
    let how = job.options.unwrap_or_default();
    seeds(&mut draft, &step(pointer, "options"), how.seed, how.num_seeds, file.limits.seeds)?;
    draft.request.options = Options {
        model: how.model,
        recycles: how.recycles,
        recycle_tolerance: how.recycle_tolerance,
        max_msa: how.max_msa,
        priority: job.priority,
        max_attempts: job.max_attempts,
        reuse: job.reuse,
        webhook: job.webhook.map(|call| Webhook { url: call.url, secret: call.secret }),
    };
    let place = draft.at(&step(pointer, "sequence"));
    let sequence = match &job.sequence {
        Some(text) => draft.sequence(text, &place)?,
        None => String::new(),
    };
    let templates = job.templates.0.into_iter().enumerate().map(|(i, template)| Template {
        place: draft.at(&step(&step(pointer, "templates"), i)),
        name: template.name.unwrap_or_default(),
        structure: Content::Text(template.structure),
        chain: template.chain,
        mapping: None,
    });
    let templates = templates.collect();
    let alignment = job.alignment.map_or(Alignment::None, Alignment::Text);
    let ids = draft.copies(1, pointer)?;
    let place = draft.at(pointer);
    draft.push(Chain { place, ids, sequence, alignment, templates });
    draft.finish()
}

/// `seed` and the `num_seeds - 1` after it, written out; none where neither is said.
fn seeds(
    draft: &mut Draft<'_>,
    here: &str,
    seed: Option<u64>,
    count: Option<u32>,
    most: usize,
) -> Result<(), Error> {
    if seed.is_none() && count.is_none() {
        return Ok(());
    }
    let (first, count) = (seed.unwrap_or(0), count.unwrap_or(1));
    let place = draft.at(&step(here, "num_seeds"));
    if count == 0 {
        return Err(Error::value(&place, "at least 1 seed", "0"));
    }
    if count as usize > most {
        return Err(Error::limit(&place, "seeds", most as u64));
    }
    let Some(last) = first.checked_add(u64::from(count) - 1) else {
        let place = draft.at(&step(here, "seed"));
        return Err(Error::value(&place, format!("no seed beyond {}", u64::MAX), first.to_string()));
    };
    draft.request.seeds = (first..=last).collect();
    Ok(())
}
